package davfs_test

import (
	"net/http"
	"strings"
	"testing"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// The engine takes any error of Stat for an unmapped name and truncates what is there.
func TestLockNeverTruncates(t *testing.T) {
	d := newDrive(t)
	d.want(http.StatusOK, "LOCK", "/d/f", lockBody)
	d.hasFile("/d/f", "content of f")

	d.tree.Fail("Stat", &treetest.Failure{Class: davfs.ClassUnavailable})
	d.want(http.StatusServiceUnavailable, "LOCK", "/d/g", lockBody)
	d.hasFile("/d/g", "content of g")
	d.want(http.StatusNoContent, "PUT", "/d/g", "the failed LOCK has left no lock")
}

func TestLockOfUnmappedName(t *testing.T) {
	d := newDrive(t)
	w := d.want(http.StatusCreated, "LOCK", "/d/new", lockBody)
	d.hasFile("/d/new", "")
	d.want(http.StatusLocked, "PUT", "/d/new", "x")
	d.want(http.StatusNoContent, "PUT", "/d/new", "x", "If", "("+w.Header().Get("Lock-Token")+")")

	// Another client makes the file, or a directory, between the question and the answer.
	for name, other := range map[string]func(name string){
		"/d/race":    func(name string) { d.put(name, "content of another") },
		"/d/racedir": func(name string) { d.mkdir(name) },
	} {
		d.tree.Before(func(method, n string) {
			if method == "Put" && n == name {
				d.tree.Before(nil)
				other(name)
			}
		})
		d.want(http.StatusOK, "LOCK", name, lockBody)
	}
	d.hasFile("/d/race", "content of another")
}

func TestLockTimeout(t *testing.T) {
	for _, c := range [][2]string{
		{"", "Second-600"}, {"Infinite", "Second-3600"}, {"Second-0", "Second-600"}, {"Second-180", "Second-180"},
		{"Infinite, Second-4100000000", "Second-3600"}, {"Second-4100000000", "Second-3600"}, {"nonsense", "Second-600"},
	} {
		d := newDrive(t)
		w := d.want(http.StatusOK, "LOCK", "/top", lockBody, "Timeout", c[0])
		if !strings.Contains(w.Body.String(), "<D:timeout>"+c[1]+"</D:timeout>") {
			t.Errorf("Timeout %q gives %s, want %s", c[0], w.Body, c[1])
		}
		w = d.want(http.StatusOK, "LOCK", "/top", "", "Timeout", c[0], "If", "("+w.Header().Get("Lock-Token")+")")
		if !strings.Contains(w.Body.String(), "<D:timeout>"+c[1]+"</D:timeout>") {
			t.Errorf("a refresh with Timeout %q gives %s, want %s", c[0], w.Body, c[1])
		}
	}
}

func TestUnlockTokenWithoutBrackets(t *testing.T) {
	d := newDrive(t)
	token := d.lock("/top")
	d.want(http.StatusNoContent, "UNLOCK", "/top", "", "Lock-Token", strings.Trim(token, "<>"))
	d.want(http.StatusNoContent, "PUT", "/top", "x")
}

// golang/go#42839: a lock ends with its resource.
func TestLocksEndWithTheirResource(t *testing.T) {
	for _, method := range []string{"DELETE", "MOVE"} {
		d := newDrive(t)
		d.lock("/e", "Depth", "0")
		token := d.lock("/d/f")
		tokenD := d.lock("/d/g", "Depth", "0")
		d.want(http.StatusLocked, method, "/d/f", "", "Destination", "/moved")
		d.want(map[string]int{"DELETE": 204, "MOVE": 201}[method], method, "/d/f", "", "Destination", "/moved",
			"If", "("+token+")", "If", "("+tokenD+")")
		d.want(http.StatusCreated, "PUT", "/d/f", "not locked")
		d.want(http.StatusLocked, "PUT", "/d/g", "still locked")
		d.want(http.StatusLocked, "DELETE", "/e", "")

		// Those below a directory as well.
		d.want(map[string]int{"DELETE": 204, "MOVE": 201}[method], method, "/d", "", "Destination", "/moved2",
			"If", "</d/g> ("+tokenD+")")
		d.mkdir("/d")
		d.want(http.StatusCreated, "PUT", "/d/g", "not locked")
	}
}

// A lock that is taken between the question and the change forbids the change.
func TestLockMeanwhile(t *testing.T) {
	for _, c := range []struct{ method, target, call string }{
		{"PUT", "/d/f", "Put"}, {"DELETE", "/d", "RemoveAll"}, {"MOVE", "/d", "Rename"}, {"COPY", "/top", "Copy"},
	} {
		d := newDrive(t)
		d.tree.Before(func(m, _ string) {
			if m == c.call {
				d.tree.Before(nil)
				d.lock("/d/f")
			}
		})
		dst := "/new"
		if c.method == "COPY" {
			dst = "/d/f"
		}
		d.want(http.StatusLocked, c.method, c.target, "x", "Destination", dst)
		d.hasFile("/d/f", "content of f")
	}
}

// A failed DELETE does not end a lock.
func TestLocksSurviveFailure(t *testing.T) {
	d := newDrive(t)
	token := d.lock("/d/f")
	d.tree.Fail("RemoveAll", &treetest.Failure{Class: davfs.ClassUnavailable})
	d.want(http.StatusServiceUnavailable, "DELETE", "/d/f", "", "If", "("+token+")")
	d.want(http.StatusLocked, "PUT", "/d/f", "x")
}

// Finder sends one If line for each token, and a proxy may have changed Host (tailscale/tailscale#12097).
func TestIfHeader(t *testing.T) {
	d := newDrive(t)
	token := d.lock("/d/f")
	d.want(http.StatusNoContent, "PUT", "/d/f", "1", "If", "(<no:token>)", "If", "("+token+")")
	d.want(http.StatusNoContent, "PUT", "/d/f", "2", "If", "<http://outside.example:8443/d/f> ("+token+")")
	d.want(http.StatusNoContent, "PUT", "/d/f", "3", "If", "</d/f> ("+token+")")
	d.want(http.StatusPreconditionFailed, "PUT", "/d/f", "4", "If", "</d/f> (<no:token>)")
	d.want(http.StatusPreconditionFailed, "PUT", "/d/f", "5", "If", "<urn:nowhere> ("+token+")")
	d.want(http.StatusBadRequest, "PUT", "/d/f", "6", "If", "<unclosed")
	d.hasFile("/d/f", "3")

	d.Handler = &davfs.Handler{Tree: d.tree, Prefix: "/dav"}
	token = d.lock("/dav/d/f")
	d.want(http.StatusNoContent, "PUT", "/dav/d/f", "7", "If", "<http://example.com/dav/d/f> ("+token+")")
	d.want(http.StatusPreconditionFailed, "PUT", "/dav/d/f", "8", "If", "<http://example.com/d/f> ("+token+")")
}
