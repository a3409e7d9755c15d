package davfs_test

import (
	"net/http"
	"testing"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// RFC 4918 section 10.6, golang/go#66059.
func TestOverwrite(t *testing.T) {
	for _, method := range []string{"COPY", "MOVE"} {
		for _, o := range []string{"", "T", "t"} {
			d := newDrive(t)
			h := []string{"Destination", "http://example.com/d/g", "Overwrite", o}
			if o == "" {
				h = h[:2]
			}
			d.want(http.StatusNoContent, method, "/d/f", "", h...)
			d.hasFile("/d/g", "content of f")
		}
		d := newDrive(t)
		d.tree.Calls()
		for _, o := range []string{"F", "f"} {
			w := d.want(http.StatusPreconditionFailed, method, "/d/f", "", "Destination", "/d/g", "Overwrite", o)
			if !has(w, "Overwrite") {
				t.Errorf("the answer does not say why: %s", w.Body)
			}
			d.want(http.StatusPreconditionFailed, method, "/d", "", "Destination", "/e", "Overwrite", o)
		}
		if got := d.tree.Calls(); got["Copy"]+got["Rename"] > 0 {
			t.Errorf("a refused %s has begun: %v", method, got)
		}
		d.hasFile("/d/g", "content of g")
		d.want(http.StatusCreated, method, "/d/f", "", "Destination", "/new", "Overwrite", "F")
		d.hasFile("/new", "content of f")
	}
}

// Another client is quicker than the question before: the tree's Check has the last word on Overwrite, and on 201.
func TestOverwriteRace(t *testing.T) {
	for method, call := range map[string]string{"COPY": "Copy", "MOVE": "Rename"} {
		d := newDrive(t)
		race := func(name string) {
			d.tree.Before(func(m, _ string) {
				if m == call {
					d.tree.Before(nil)
					d.put(name, "of another")
				}
			})
		}
		race("/new")
		d.want(http.StatusPreconditionFailed, method, "/d/f", "", "Destination", "/new", "Overwrite", "F")
		d.hasFile("/new", "of another")
		d.hasFile("/d/f", "content of f")
		race("/new2")
		d.want(http.StatusNoContent, method, "/d/f", "", "Destination", "/new2")
		d.hasFile("/new2", "content of f")
	}
}

// The engine removes the target of a MOVE whose source does not exist, and answers 403.
func TestMoveOfMissingSource(t *testing.T) {
	d := newDrive(t)
	for _, method := range []string{"COPY", "MOVE"} {
		d.want(http.StatusNotFound, method, "/absent", "", "Destination", "/d/f", "Overwrite", "T")
		d.want(http.StatusNotFound, method, "/absent", "", "Destination", "/d", "Overwrite", "T")
	}
	d.hasFile("/d/f", "content of f")
}

// COPY and MOVE onto the source, an ancestor or into a descendant (RFC 4918 sections 9.8.5, 9.9.4).
func TestCopyOntoAncestor(t *testing.T) {
	d := newDrive(t)
	d.mkdir("/d/sub")
	d.tree.Calls()
	for _, method := range []string{"COPY", "MOVE"} {
		for _, c := range [][2]string{
			{"/d/f", "/d/f"}, {"/d/", "/d"}, {"/d", "/d/"}, {"//d", "/d"}, {"/d/f", "/d"}, {"/d/f", "/"}, {"/d/sub", "/d/"},
			{"/d", "/d/sub"}, {"/d", "/d/sub/new"}, {"/", "/e"}, {"/d", "/%64"},
		} {
			d.want(http.StatusForbidden, method, c[0], "", "Destination", c[1], "Overwrite", "T")
			d.want(http.StatusForbidden, method, c[0], "", "Destination", "http://example.com"+c[1])
		}
	}
	if got := d.tree.Calls(); len(got) > 0 {
		t.Errorf("the tree is asked: %v", got)
	}
	if got := d.members("/d"); got != "f g sub" {
		t.Errorf("members %q", got)
	}
	d.hasFile("/d/f", "content of f")
	d.want(http.StatusCreated, "MOVE", "/d", "", "Destination", "/d2") // a prefix of a name is no ancestor
}

func TestDestinationOnAnotherHost(t *testing.T) {
	d := newDrive(t)
	d.want(http.StatusBadGateway, "COPY", "/top", "", "Destination", "http://other.example/new")
	d.want(http.StatusBadGateway, "MOVE", "/top", "", "Destination", "http://example.com:8080/new")
	d.isAbsent("/new")
	d.want(http.StatusCreated, "COPY", "/top", "", "Destination", "http://EXAMPLE.com:80/new")
	d.want(http.StatusCreated, "COPY", "/top", "", "Destination", "https://example.com:443/new2")
	d.want(http.StatusCreated, "COPY", "/top", "", "Destination", "/with%20space")
	d.hasFile("/with space", "top")
}

// COPY costs the tree one Copy, whatever is copied, and no reading.
func TestCopyIsOneCall(t *testing.T) {
	d := newDrive(t)
	d.mkdir("/d/sub")
	d.put("/d/sub/deep", "deep")
	for _, c := range []struct {
		code          int
		src, dst      string
		method, calls string
	}{
		{201, "/d/f", "/new", "COPY", "Copy"},
		{204, "/d/f", "/d/g", "COPY", "Copy"},
		{201, "/d", "/d2", "COPY", "Copy"},
		{204, "/d", "/e", "COPY", "Copy"},
		{204, "/d2", "/e", "MOVE", "Rename"},
		{201, "/d/f", "/d/h", "MOVE", "Rename"},
	} {
		d.tree.Calls()
		d.want(c.code, c.method, c.src, "", "Destination", c.dst)
		got := d.tree.Calls()
		if got[c.calls] != 1 || got["Stat"] > 3 {
			t.Errorf("%s %s to %s costs %v", c.method, c.src, c.dst, got)
		}
		for _, k := range []string{"Open", "Read", "Put", "ReadDir", "RemoveAll", "Props", "PatchProps", "Mkdir"} {
			if got[k] > 0 {
				t.Errorf("%s %s to %s costs %d of %s", c.method, c.src, c.dst, got[k], k)
			}
		}
	}
	d.hasFile("/e/sub/deep", "deep")
	d.hasFile("/e/g", "content of f")
}

func TestCopyDepth0(t *testing.T) {
	d := newDrive(t)
	d.want(http.StatusCreated, "COPY", "/d", "", "Destination", "/plain", "Depth", "0")
	d.want(http.StatusMultiStatus, "PROPPATCH", "/d", patchBody)
	d.want(http.StatusCreated, "COPY", "/d/", "", "Destination", "/with/", "Depth", "0")
	d.put("/e/member", "goes away")
	d.want(http.StatusNoContent, "COPY", "/d", "", "Destination", "/e", "Depth", "0")
	d.want(http.StatusPreconditionFailed, "COPY", "/d", "", "Destination", "/e", "Depth", "0", "Overwrite", "F")
	for _, name := range []string{"/plain", "/with", "/e"} {
		if got := d.members(name); got != "" {
			t.Errorf("%s has the members %q", name, got)
		}
	}
	for _, name := range []string{"/with", "/e"} {
		if w := d.do("PROPFIND", name, findDead, "Depth", "0"); !has(w, ">v<") {
			t.Errorf("%s has not the dead property: %s", name, w.Body)
		}
	}
	d.want(http.StatusCreated, "COPY", "/d/f", "", "Destination", "/f", "Depth", "0")
	d.hasFile("/f", "content of f")
	d.want(http.StatusBadRequest, "COPY", "/d", "", "Destination", "/x", "Depth", "1")
	if got := d.members("/"); got != "d e f plain top with" {
		t.Errorf("members %q", got)
	}

	// What fails on the way leaves the target and nothing else.
	d.put("/e/member", "stays")
	for _, call := range []string{"Mkdir", "PatchProps", "Rename"} {
		d.tree.Fail(call, &treetest.Failure{Class: davfs.ClassQuota})
		d.want(http.StatusInsufficientStorage, "COPY", "/d", "", "Destination", "/e", "Depth", "0")
		d.hasFile("/e/member", "stays")
		if got := d.members("/"); got != "d e f plain top with" {
			t.Errorf("with a failing %s: members %q", call, got)
		}
	}
}

// COPY and MOVE take dead properties along; those of a replaced target go with it.
func TestCopyTakesProperties(t *testing.T) {
	d := newDrive(t)
	d.want(http.StatusMultiStatus, "PROPPATCH", "/d/f", patchBody)
	d.want(http.StatusCreated, "COPY", "/d/f", "", "Destination", "/copy")
	d.want(http.StatusNoContent, "COPY", "/d", "", "Destination", "/e")
	d.want(http.StatusNoContent, "MOVE", "/d/f", "", "Destination", "/d/g")
	for _, name := range []string{"/copy", "/e/f", "/d/g"} {
		if w := d.do("PROPFIND", name, findDead, "Depth", "0"); !has(w, ">v<") {
			t.Errorf("%s has not the dead property: %s", name, w.Body)
		}
	}
	d.want(http.StatusNoContent, "COPY", "/top", "", "Destination", "/copy")
	if w := d.do("PROPFIND", "/copy", findDead, "Depth", "0"); has(w, ">v<") {
		t.Errorf("the replaced file has its old property: %s", w.Body)
	}
}
