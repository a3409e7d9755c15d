package davfs_test

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

func TestJunkTree(t *testing.T) {
	for _, policy := range []davfs.Junk{davfs.JunkMemory, davfs.JunkReject} {
		t.Run(string(policy), func(t *testing.T) {
			treetest.Run(t, func(*testing.T) davfs.Tree { return davfs.WithJunk(new(treetest.Mem), policy) },
				treetest.Options{})
		})
	}
}

// The half in memory is a tree too, with its large contents in the tree under it. It has no table of NFC, so what is
// not ASCII is left to the tree.
func TestAllIsJunk(t *testing.T) {
	ascii := func(name string) bool {
		return !strings.ContainsFunc(name, func(r rune) bool { return r > 127 })
	}
	for name, content := range map[string]int64{"memory": 1 << 20, "almost none": 8, "none": 0} {
		t.Run(name, func(t *testing.T) {
			treetest.Run(t, func(*testing.T) davfs.Tree {
				return davfs.NewJunkMemory(new(treetest.Mem), ascii, content, 64<<10, 64<<20, 100_000)
			}, treetest.Options{})
		})
	}
}

func TestJunkPolicies(t *testing.T) {
	m := new(treetest.Mem)
	for _, policy := range []davfs.Junk{"", davfs.JunkStore} {
		if davfs.WithJunk(m, policy) != davfs.Tree(m) {
			t.Errorf("policy %q does not give the tree itself", policy)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a policy that there is not is taken for another")
		}
	}()
	davfs.WithJunk(m, "Memory")
}

var (
	junkNames = []string{"._x", "._", "._.DS_Store", "._a b.jpg", ".DS_Store", "Thumbs.db", "thumbs.DB", "ehthumbs.db",
		"EHTHUMBS.DB", "desktop.ini", "Desktop.ini", "DESKTOP.INI"}
	otherNames = []string{"x", ".x", "_.x", "x._y", ".ds_store", "DS_Store", ".DS_Store.x", "Thumbs.db.txt", "aThumbs.db",
		"humbs.db", "thumb\u017f.db", "desktop.in\u0131", "desktop.\u0130n\u0131", ".~lock.x.odt#", "~$x.docx", ".x.swp",
		".TemporaryItems", ".Trashes", ".fseventsd", ".Spotlight-V100", ".localized", "..x", "Icon\u00a0", "desktop.ini "}
)

func newJunkDrive(t *testing.T, policy davfs.Junk) *drive {
	d := newDrive(t)
	d.Tree = davfs.WithJunk(d.tree, policy)
	return d
}

// escape makes a name a target.
func escape(name string) string {
	return strings.NewReplacer("%", "%25", " ", "%20", "#", "%23", "?", "%3F").Replace(name)
}

func TestWhatIsJunk(t *testing.T) {
	d := newJunkDrive(t, davfs.JunkMemory)
	for _, n := range junkNames {
		d.want(http.StatusCreated, "PUT", "/e/"+escape(n), n)
		if w := d.want(http.StatusOK, "GET", "/e/"+escape(n), ""); w.Body.String() != n {
			t.Errorf("%q holds %q", n, w.Body)
		}
		d.want(http.StatusCreated, "MKCOL", "/d/"+escape(n), "") // a directory is ordinary
		d.want(http.StatusCreated, "PUT", "/d/"+escape(n)+"/member", n)
		d.hasFile("/d/"+n+"/member", n)
	}
	if got := d.members("/e"); got != "" {
		t.Errorf("the tree has %q", got)
	}
	for _, n := range otherNames {
		d.want(http.StatusCreated, "PUT", "/e/"+escape(n), n)
		d.hasFile("/e/"+n, n)
	}
	// Only the last segment says what a file is.
	d.want(http.StatusCreated, "MKCOL", "/.TemporaryItems", "")
	d.want(http.StatusCreated, "PUT", "/.TemporaryItems/x", "x")
	d.hasFile("/.TemporaryItems/x", "x")
}

func TestRejectedJunk(t *testing.T) {
	for _, n := range junkNames {
		d := newJunkDrive(t, davfs.JunkReject)
		target := "/d/" + escape(n)
		refused := func(method, name string, headers ...string) {
			t.Helper()
			body := map[string]string{"PUT": "x", "LOCK": lockBody}[method]
			w := d.want(http.StatusForbidden, method, name, body, headers...)
			if s := w.Body.String(); s != "This drive does not keep the files that operating systems make for themselves.\n" {
				t.Errorf("%s %s says %q", method, name, s)
			}
		}
		for _, method := range []string{"PUT", "MKCOL", "LOCK"} {
			refused(method, target)
		}
		for _, method := range []string{"COPY", "MOVE"} {
			refused(method, "/d/f", "Destination", target)
		}
		if got := d.members("/d"); got != "f g" {
			t.Errorf("members %q", got)
		}
		d.hasFile("/d/f", "content of f")

		// What is there already.
		d.put("/d/"+n, "junk")
		for _, method := range []string{"PUT", "MKCOL"} {
			refused(method, target)
		}
		for _, method := range []string{"COPY", "MOVE"} {
			refused(method, "/d/f", "Destination", target)
			refused(method, target, "Destination", "/e/"+escape(n))
		}
		d.hasFile("/d/"+n, "junk")
		if w := d.want(http.StatusOK, "GET", target, ""); w.Body.String() != "junk" {
			t.Errorf("GET gives %q", w.Body)
		}
		if w := d.want(http.StatusMultiStatus, "PROPFIND", "/d", findLive, "Depth", "1"); !has(w, "<D:href>"+target+"<") {
			t.Errorf("not listed: %s", w.Body)
		}
		d.want(http.StatusMultiStatus, "PROPPATCH", target, patchBody)
		d.want(http.StatusCreated, "COPY", "/d", "", "Destination", "/copy")
		d.hasFile("/copy/"+n, "junk")
		d.want(http.StatusCreated, "MOVE", "/copy", "", "Destination", "/moved")
		d.hasFile("/moved/"+n, "junk")
		d.want(http.StatusCreated, "MOVE", "/moved", "", "Destination", "/e/"+escape(n)) // a directory
		d.hasFile("/e/"+n+"/"+n, "junk")
		d.want(http.StatusCreated, "COPY", target, "", "Destination", "/kept")
		d.want(http.StatusNoContent, "DELETE", target, "")
		d.isAbsent("/d/" + n)
		d.put("/d/"+n, "junk")
		d.want(http.StatusNoContent, "MOVE", target, "", "Destination", "/kept")
		d.hasFile("/kept", "junk")
	}
	d := newJunkDrive(t, davfs.JunkReject)
	for _, n := range otherNames {
		d.want(http.StatusCreated, "PUT", "/e/"+escape(n), n)
		d.hasFile("/e/"+n, n)
	}
	d.want(http.StatusNotFound, "MOVE", "/absent", "", "Destination", "/._x")
}

// What is refused costs the tree nothing, and what is not refused nothing more.
func TestRejectedJunkBudget(t *testing.T) {
	m := new(treetest.Mem)
	tree := davfs.WithJunk(m, davfs.JunkReject)
	ctx := t.Context()
	tree.Put(ctx, "/f", strings.NewReader("f"), davfs.PutOptions{})
	m.Calls()
	if _, err := tree.Put(ctx, "/._f", failing{t}, davfs.PutOptions{}); err == nil {
		t.Error("junk is put")
	}
	tree.Mkdir(ctx, "/._f", nil)
	if got := m.Calls(); len(got) > 0 {
		t.Errorf("what is refused costs %v", got)
	}
	tree.Copy(ctx, "/f", "/g", nil)
	tree.Rename(ctx, "/f", "/h", nil)
	if got := fmt.Sprint(m.Calls()); got != "map[Copy:1 Rename:1]" {
		t.Errorf("a Copy and a Rename cost %v", got)
	}
}

// failing is a content that must not be read.
type failing struct{ *testing.T }

func (f failing) Read([]byte) (int, error) {
	f.Error("what is refused is read")
	return 0, fs.ErrClosed
}

// A tree that fails is no answer about the source.
func TestRejectingFailure(t *testing.T) {
	ctx := context.Background()
	for _, f := range failures {
		m := new(treetest.Mem)
		d := &drive{t, &davfs.Handler{Tree: davfs.WithJunk(m, davfs.JunkReject)}, m}
		d.put("/f", "f")
		for method, dst := range map[string]string{"Stat": "/._f", "Copy": "/g", "Rename": "/g", "": "/g"} {
			m.Fail(method, f.err)
			if method != "Rename" {
				if _, err := d.Tree.Copy(ctx, "/f", dst, nil); err != f.err {
					t.Errorf("%q in %s: Copy says %v", f.err, method, err)
				}
			}
			if method != "Copy" {
				if err := d.Tree.Rename(ctx, "/f", dst, nil); err != f.err {
					t.Errorf("%q in %s: Rename says %v", f.err, method, err)
				}
			}
			d.hasFile("/f", "f")
			if got := d.members("/"); got != "f" {
				t.Errorf("members %q", got)
			}
		}
	}
}
