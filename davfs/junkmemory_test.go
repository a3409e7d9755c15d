package davfs_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// shows checks a content as a client sees it; "" is a file that is not there.
func (d *drive) shows(name, content string) {
	d.Helper()
	if content == "" {
		d.want(http.StatusNotFound, "GET", name, "")
	} else if w := d.want(http.StatusOK, "GET", name, ""); w.Body.String() != content {
		d.Errorf("%s holds %.40q, want %.40q", name, w.Body, content)
	}
}

// lists gives the names in a directory as a client sees them.
func (d *drive) lists(name string) string {
	d.Helper()
	w := d.want(http.StatusMultiStatus, "PROPFIND", name, findLive, "Depth", "1")
	var s []string
	for _, h := range strings.Split(w.Body.String(), "<D:href>")[2:] {
		h, _, _ = strings.Cut(strings.TrimPrefix(h, strings.TrimSuffix(name, "/")+"/"), "<")
		s = append(s, h)
	}
	return strings.Join(s, " ")
}

// Finder writes a file, its AppleDouble, and what it knows about the directory.
func TestFinder(t *testing.T) {
	d := newJunkDrive(t, davfs.JunkMemory)
	d.want(http.StatusNotFound, "PROPFIND", "/d/._f", findLive, "Depth", "0")
	d.want(http.StatusCreated, "PUT", "/d/._f", "")
	token := d.lock("/d/._f")
	d.want(http.StatusLocked, "PUT", "/d/._f", "double")
	d.want(http.StatusNoContent, "PUT", "/d/._f", "double", "If", "("+token+")")
	d.want(http.StatusNoContent, "UNLOCK", "/d/._f", "", "Lock-Token", token)
	d.want(http.StatusCreated, "PUT", "/d/.DS_Store", "store")
	w := d.want(http.StatusOK, "GET", "/d/._f", "")
	sum := sha256.Sum256([]byte("double"))
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`
	if w.Body.String() != "double" || w.Header().Get("ETag") != etag {
		t.Errorf("GET gives %q, %v, want the ETag %s", w.Body, w.Header(), etag)
	}
	d.want(http.StatusNotModified, "GET", "/d/._f", "", "If-None-Match", etag)
	if w := d.want(http.StatusPartialContent, "GET", "/d/._f", "", "Range", "bytes=1-2"); w.Body.String() != "ou" {
		t.Errorf("a range gives %q", w.Body)
	}
	if got := d.lists("/d"); got != ".DS_Store ._f f g" {
		t.Errorf("the listing is %s", got)
	}
	w = d.want(http.StatusMultiStatus, "PROPFIND", "/d/._f", findLive, "Depth", "0")
	if !has(w, ">6<") || !has(w, etag[1:len(etag)-1]) {
		t.Errorf("PROPFIND: %s", w.Body)
	}
	if w := d.want(http.StatusOK, "GET", "/d", ""); !has(w, `href="/d/._f"`) {
		t.Errorf("the page is %s", w.Body)
	}
	if got := d.members("/d"); got != "f g" {
		t.Errorf("the tree has %s", got)
	}

	// Moved along with its file, with its directory, copied, and gone with it.
	d.want(http.StatusCreated, "MOVE", "/d/f", "", "Destination", "/d/h")
	d.want(http.StatusCreated, "MOVE", "/d/._f", "", "Destination", "/d/._h")
	if got := d.lists("/d"); got != ".DS_Store ._h g h" {
		t.Errorf("after MOVE the listing is %s", got)
	}
	d.want(http.StatusCreated, "MOVE", "/d", "", "Destination", "/m")
	d.shows("/d/._h", "")
	d.want(http.StatusCreated, "COPY", "/m", "", "Destination", "/c")
	for _, dir := range []string{"/m", "/c"} {
		d.shows(dir+"/._h", "double")
		d.shows(dir+"/.DS_Store", "store")
		if got := d.lists(dir); got != ".DS_Store ._h g h" {
			t.Errorf("%s lists %s", dir, got)
		}
	}
	d.want(http.StatusNoContent, "DELETE", "/m/._h", "")
	d.want(http.StatusNotFound, "DELETE", "/m/._h", "")
	d.shows("/m/._h", "")
	d.want(http.StatusNoContent, "DELETE", "/c", "")
	d.want(http.StatusCreated, "MKCOL", "/c", "")
	if got := d.lists("/c"); got != "" {
		t.Errorf("a new directory has %s", got)
	}
	d.want(http.StatusCreated, "MKCOL", "/d", "")
	if got := d.lists("/d"); got != "" {
		t.Errorf("a new directory at an old place has %s", got)
	}
	if n, _ := davfs.JunkFiles(d.Tree); n != 1 {
		t.Errorf("%d files are in memory, want /m/.DS_Store alone", n)
	}

	// Another process, or this one after a restart.
	d.Handler = &davfs.Handler{Tree: davfs.WithJunk(d.tree, davfs.JunkMemory)}
	d.shows("/m/.DS_Store", "")
	if got := d.lists("/m"); got != "g h" {
		t.Errorf("after a restart there is %s", got)
	}
}

// A small junk file costs the tree a look at its directory and its name, and nothing else.
func TestJunkBudget(t *testing.T) {
	d := newJunkDrive(t, davfs.JunkMemory)
	for _, c := range []struct {
		code                               int
		method, target, body, depth, calls string
	}{
		{201, "PUT", "/d/._f", "1", "", "Stat:2"},
		{204, "PUT", "/d/._f", "2", "", "Stat:2"},
		{200, "GET", "/d/._f", "", "", "Stat:1"},
		{200, "HEAD", "/d/._f", "", "", "Stat:1"},
		{207, "PROPFIND", "/d/._f", "", "0", "Stat:1"},
		{207, "PROPPATCH", "/d/._f", patchBody, "", "Stat:2"}, // the engine's, and the one of the change
		{204, "DELETE", "/d/._f", "", "", "Stat:3"},           // and whether there is another under it
		{201, "PUT", "/d/._f", "1", "", "Stat:2"},
		{207, "PROPFIND", "/d", findDead, "1", "Props:3 ReadDir:1 Stat:1"}, // from here on as without the policy
		{207, "PROPFIND", "/d", findLive, "1", "ReadDir:1 Stat:1"},
		{201, "PUT", "/d/new", "x", "", "Put:1"},
		{200, "GET", "/d/new", "", "", "Open:1 Read:1 Stat:1"},
		{207, "PROPPATCH", "/d/new", patchBody, "", "PatchProps:1 Stat:1"},
		{204, "DELETE", "/d/new", "", "", "RemoveAll:1 Stat:1"},
	} {
		d.tree.Calls()
		d.want(c.code, c.method, c.target, c.body, "Depth", c.depth)
		if got := fmt.Sprint(d.tree.Calls()); got != "map["+c.calls+"]" {
			t.Errorf("%s %s costs %s, want %s", c.method, c.target, got, c.calls)
		}
	}
	var names []string
	d.tree.Before(func(method, name string) { names = append(names, method+" "+name) })
	d.want(http.StatusCreated, "PUT", "/d/._n", "1")
	d.tree.Before(nil)
	if !slices.Equal(names, []string{"Stat /d", "Stat /d/._n"}) {
		t.Errorf("PUT asks the tree %v", names)
	}
}

func (d *drive) stat(name string) fs.FileInfo {
	d.Helper()
	fi, err := d.Tree.Stat(context.Background(), name)
	if err != nil {
		d.Fatal(err)
	}
	return fi
}

func (d *drive) props(name string) string {
	d.Helper()
	l, err := d.Tree.Props(context.Background(), name, d.stat(name))
	if err != nil {
		d.Fatal(err)
	}
	var s []string
	for _, p := range l {
		s = append(s, p.XMLName.Local+"="+string(p.InnerXML))
	}
	slices.Sort(s)
	return strings.Join(s, " ")
}

func property(local, inner string) davfs.Property {
	return davfs.Property{XMLName: xml.Name{Space: "urn:x", Local: local}, InnerXML: []byte(inner)}
}

var (
	junkMod   = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	junkBirth = time.Date(1999, 8, 7, 6, 5, 4, 0, time.UTC)
)

// full puts a file that has all that a file can have.
func full(t *testing.T, tree davfs.Tree, name, content string) {
	t.Helper()
	_, err := tree.Put(t.Context(), name, strings.NewReader(content), davfs.PutOptions{
		ModTime: junkMod, ContentType: "text/x-own", Checksums: func() []string { return []string{"MD5:" + content} },
	})
	if err == nil {
		err = tree.PatchProps(t.Context(), name, davfs.PropPatch{
			Set: []davfs.Property{property("of", content)}, BirthTime: junkBirth,
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// hasFull checks for what full has put, or for another content in its place.
func (d *drive) hasFull(name, content string) {
	d.Helper()
	d.shows(name, content)
	fi := d.stat(name)
	i, ok := fi.(interface {
		BirthTime() time.Time
		Checksums() []string
		ContentType(context.Context) (string, error)
	})
	if !ok {
		d.Fatalf("%T lacks a method", fi)
	}
	ctype, _ := i.ContentType(context.Background())
	got := fmt.Sprint(fi.Name(), fi.Size(), fi.ModTime(), i.BirthTime(), i.Checksums(), ctype, d.props(name))
	want := fmt.Sprint(name[strings.LastIndex(name, "/")+1:], len(content), junkMod, junkBirth, []string{"MD5:" + content},
		"text/x-own", "of="+content)
	if got != want {
		d.Errorf("%s is %s, want %s", name, got, want)
	}
}

// Files go from memory to the tree and back, with all that they have, over whatever is there.
func TestJunkGoesEverywhere(t *testing.T) {
	for _, method := range []string{"COPY", "MOVE"} {
		for _, src := range []string{"/d/._memory", "/d/._tree", "/d/._shadow", "/d/plain"} {
			for _, dst := range []string{
				"/e/._new", "/e/._memory", "/e/._tree", "/e/._shadow", "/e/._dir", "/e/new", "/e/plain", "/e/dir",
			} {
				d := newJunkDrive(t, davfs.JunkMemory)
				full(t, d.tree, "/d/._shadow", "in the shadow")
				d.tree.PatchProps(t.Context(), "/d/._shadow", davfs.PropPatch{Set: []davfs.Property{property("old", "x")}})
				full(t, d.tree, "/e/._shadow", "in the shadow")
				full(t, d.tree, "/e/plain", "replaced")
				for _, dir := range []string{"/e/._dir", "/e/dir"} {
					d.mkdir(dir)
					full(t, d.Tree, dir+"/._m", "member")
				}
				if src == "/d/._tree" || src == "/d/plain" {
					full(t, d.tree, src, "moved")
				} else {
					if src == "/d/._shadow" { // of a birth and properties of its own
						d.want(http.StatusNoContent, "PUT", src, "moved")
						d.Tree.PatchProps(t.Context(), src, davfs.PropPatch{Remove: []xml.Name{{Space: "urn:x", Local: "old"}}})
					}
					full(t, d.Tree, src, "moved")
				}
				full(t, d.tree, "/e/._tree", "replaced")
				full(t, d.Tree, "/e/._memory", "replaced")
				full(t, d.Tree, "/e/._shadow", "replaced")

				code := http.StatusNoContent
				if strings.HasSuffix(dst, "new") {
					code = http.StatusCreated
				}
				d.want(code, method, src, "", "Destination", dst)
				d.hasFull(dst, "moved")
				if method == "COPY" {
					d.hasFull(src, "moved")
				} else {
					d.shows(src, "")
					d.isAbsent(src) // nothing comes to light later either
					if got := d.lists("/d"); got != "f g" && got != "._shadow f g" {
						t.Errorf("%s %s %s leaves %s", method, src, dst, got)
					}
				}
				d.want(http.StatusNoContent, "DELETE", dst, "")
				d.shows(dst, "")
				d.isAbsent(dst)
				if strings.HasSuffix(dst, "dir") {
					d.want(http.StatusCreated, "MKCOL", dst, "")
					if got := d.lists(dst); got != "" {
						t.Errorf("%s %s %s leaves a member of the directory that it replaced: %s", method, src, dst, got)
					}
				}
				if t.Failed() {
					t.Fatalf("%s %s to %s", method, src, dst)
				}
			}
		}
	}
}

// Junk that is too large is the tree's, and keeps what it had when it was not.
func TestLargeJunk(t *testing.T) {
	d := newJunkDrive(t, davfs.JunkMemory)
	most := strings.Repeat("x", 1<<20)
	d.want(http.StatusCreated, "PUT", "/e/._f", most)
	d.shows("/e/._f", most)
	d.isAbsent("/e/._f")
	d.want(http.StatusNoContent, "PUT", "/e/._f", most+"y")
	d.shows("/e/._f", most+"y")
	d.hasFile("/e/._f", most+"y")
	d.want(http.StatusNoContent, "PUT", "/e/._f", "small") // which shadows it
	d.shows("/e/._f", "small")
	d.hasFile("/e/._f", most+"y")
	if got := d.lists("/e"); got != "._f" {
		t.Errorf("the listing is %s", got)
	}

	full(t, d.Tree, "/e/._g", "small")
	puts := 0
	d.tree.Before(func(method, _ string) {
		if method == "Put" {
			puts++
			d.shows("/e/._g", "small") // until the tree has the other
		}
	})
	d.want(http.StatusNoContent, "PUT", "/e/._g", most+"z", "Content-Type", "text/x-own")
	d.tree.Before(nil)
	d.hasFile("/e/._g", most+"z")
	if got := d.props("/e/._g"); got != "of=small" {
		t.Errorf("the properties are now %q", got)
	}
	if b := d.stat("/e/._g").(interface{ BirthTime() time.Time }).BirthTime(); !b.Equal(junkBirth) {
		t.Errorf("born %v, want %v", b, junkBirth)
	}
	if puts != 2 {
		t.Errorf("the tree has got %d files, want the small one and the large one", puts)
	}

	// And a small one keeps what the large one had.
	d.want(http.StatusNoContent, "PUT", "/e/._g", "again")
	if got := d.props("/e/._g"); got != "of=small" {
		t.Errorf("the properties are now %q", got)
	}
	if b := d.stat("/e/._g").(interface{ BirthTime() time.Time }).BirthTime(); !b.Equal(junkBirth) {
		t.Errorf("born %v, want %v", b, junkBirth)
	}
}

// So is a file whose properties are.
func TestLargeProperties(t *testing.T) {
	d := newJunkDrive(t, davfs.JunkMemory)
	full(t, d.Tree, "/e/._f", "content")
	asked := 0
	err := d.Tree.PatchProps(t.Context(), "/e/._f", davfs.PropPatch{
		Set:   []davfs.Property{property("large", strings.Repeat("x", 65<<10))},
		Check: func(old fs.FileInfo) error { asked++; return nil },
	})
	if err != nil || asked != 1 {
		t.Fatalf("PatchProps: %v, the Check was asked %d times", err, asked)
	}
	d.hasFile("/e/._f", "content")
	if n, _ := davfs.JunkFiles(d.Tree); n != 0 {
		t.Error("it is in memory too")
	}
	if err := d.Tree.PatchProps(t.Context(), "/e/._f", davfs.PropPatch{
		Remove: []xml.Name{{Space: "urn:x", Local: "large"}},
	}); err != nil {
		t.Fatal(err)
	}
	d.hasFull("/e/._f", "content")
}

// Memory has an end; what was written longest ago goes first.
func TestJunkBounds(t *testing.T) {
	m := new(treetest.Mem)
	tree := davfs.NewJunkMemory(m, davfs.IsJunk, 1<<20, 64<<10, 64<<20, 4)
	d := &drive{t, &davfs.Handler{Tree: tree}, m}
	for i := range 4 {
		d.want(http.StatusCreated, "PUT", fmt.Sprintf("/._%d", i), "x")
	}
	d.want(http.StatusOK, "GET", "/._1", "") // reading is no writing
	d.want(http.StatusNoContent, "PUT", "/._0", "y")
	d.want(http.StatusMultiStatus, "PROPPATCH", "/._2", patchBody)
	d.want(http.StatusCreated, "COPY", "/._3", "", "Destination", "/._4")
	if got := d.lists("/"); got != "._0 ._2 ._3 ._4" {
		t.Errorf("a fifth file leaves %s", got)
	}
	d.want(http.StatusCreated, "PUT", "/._5", "x")
	d.want(http.StatusCreated, "MOVE", "/._5", "", "Destination", "/._6")
	if got := d.lists("/"); got != "._0 ._2 ._4 ._6" {
		t.Errorf("a sixth file leaves %s", got)
	}
	// What goes from memory leaves the tree's own to be seen, as a restart does.
	d.put("/._0", "of the tree")
	d.shows("/._0", "y")
	d.want(http.StatusCreated, "PUT", "/._7", "x")
	d.shows("/._0", "of the tree")

	// By weight; names, properties and checksums have one too.
	m = new(treetest.Mem)
	tree = davfs.NewJunkMemory(m, davfs.IsJunk, 1<<20, 64<<10, 64<<10, 1000)
	d = &drive{t, &davfs.Handler{Tree: tree}, m}
	bounded := func(what string) {
		t.Helper()
		n, weight := davfs.JunkFiles(tree)
		if weight > 64<<10 || n == 0 {
			t.Errorf("%s: %d files weigh %d bytes", what, n, weight)
		}
	}
	long := strings.Repeat("n", 250)
	for i := range 200 {
		d.want(http.StatusCreated, "PUT", fmt.Sprintf("/._%03d", i), strings.Repeat("x", 1000))
		bounded("contents")
	}
	if n, _ := davfs.JunkFiles(tree); n < 40 || n > 64 {
		t.Errorf("64 KiB hold %d files of 1000 bytes", n)
	}
	d.mkdir("/" + long)
	d.want(http.StatusCreated, "MOVE", "/._199", "", "Destination", "/"+long+"/._199")
	for i := range 5 {
		d.want(http.StatusCreated, "COPY", "/"+long, "", "Destination", fmt.Sprintf("/%d", i)+long[1:])
		bounded("copies")
	}
	for i := range 200 {
		name := fmt.Sprintf("/._p%03d", i)
		full(t, tree, name, "x")
		if err := tree.PatchProps(t.Context(), name, davfs.PropPatch{
			Set: []davfs.Property{property("p", strings.Repeat("x", 2000))},
		}); err != nil {
			t.Fatal(err)
		}
		bounded("properties")
	}
	for i := range 200 {
		err := tree.RemoveAll(t.Context(), fmt.Sprintf("/._p%03d", i), nil)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	// A single one for which there is no room is nevertheless kept.
	large := strings.Repeat("x", 70<<10)
	d.want(http.StatusCreated, "PUT", "/._large", large)
	d.hasFile("/._large", large)
	d.want(http.StatusNoContent, "DELETE", "/"+long, "")
	for i := range 5 {
		d.want(http.StatusNoContent, "DELETE", fmt.Sprintf("/%d", i)+long[1:], "")
	}
	for i := range 200 {
		tree.RemoveAll(t.Context(), fmt.Sprintf("/._%03d", i), nil)
	}
	if n, weight := davfs.JunkFiles(tree); n != 0 || weight != 0 {
		t.Errorf("an empty memory has %d files that weigh %d bytes", n, weight)
	}
}

// A directory that is moved keeps the age of its members; one that is copied has new ones.
func TestJunkAge(t *testing.T) {
	for method, want := range map[string]string{"MOVE": "| ._3 ._4 ._5", "COPY": "._1 ._2 | ._5"} {
		m := new(treetest.Mem)
		d := &drive{t, &davfs.Handler{Tree: davfs.NewJunkMemory(m, davfs.IsJunk, 1<<20, 64<<10, 64<<20, 3)}, m}
		d.mkdir("/d")
		d.mkdir("/e")
		for _, n := range []string{"/d/._1", "/d/._2", "/e/._3"} {
			d.want(http.StatusCreated, "PUT", n, "x")
		}
		d.want(http.StatusCreated, method, "/d", "", "Destination", "/m")
		if method == "MOVE" {
			d.want(http.StatusCreated, "PUT", "/e/._4", "x")
		}
		d.want(http.StatusCreated, "PUT", "/e/._5", "x")
		if got := strings.TrimSpace(d.lists("/m") + " | " + d.lists("/e")); got != want {
			t.Errorf("after %s there is %s, want %s", method, got, want)
		}
	}
}

func TestNeverIndex(t *testing.T) {
	const name = "/.metadata_never_index"
	d := newJunkDrive(t, davfs.JunkMemory)
	for _, method := range []string{"GET", "HEAD"} {
		if w := d.want(http.StatusOK, method, name, ""); w.Body.Len() != 0 {
			t.Errorf("%s gives %q", method, w.Body)
		}
	}
	d.want(http.StatusMultiStatus, "PROPFIND", name, "", "Depth", "0")
	d.want(http.StatusNotFound, "GET", "/d"+name, "")
	d.want(http.StatusNotFound, "GET", name+"/x", "")
	if got := d.lists("/"); got != "d/ e/ top" {
		t.Errorf("the listing is %s", got)
	}
	d.want(http.StatusNotFound, "DELETE", name, "")
	for _, f := range failures {
		d.tree.Fail("Stat", f.err)
		d.want(f.code, "GET", name, "")
		d.tree.Heal()
	}
	d.want(http.StatusCreated, "PUT", name, "own")
	d.hasFile(name, "own")
	d.shows(name, "own")
	for _, policy := range []davfs.Junk{davfs.JunkStore, davfs.JunkReject} {
		newJunkDrive(t, policy).want(http.StatusNotFound, "GET", name, "")
	}
}

// What stands in the way of any file stands in the way of one in memory.
func TestJunkConflicts(t *testing.T) {
	d := newJunkDrive(t, davfs.JunkMemory)
	d.mkdir("/d/._dir")
	d.want(http.StatusCreated, "PUT", "/d/._f", "x")
	large := strings.Repeat("x", 1<<20+1)
	for _, body := range []string{"x", large} {
		d.want(http.StatusConflict, "PUT", "/absent/._f", body)
		d.want(http.StatusConflict, "PUT", "/top/._f", body)
		d.want(http.StatusConflict, "PUT", "/d/._f/._g", body)
		d.want(http.StatusMethodNotAllowed, "PUT", "/d/._dir", body)
	}
	d.want(http.StatusMethodNotAllowed, "MKCOL", "/d/._f", "")
	d.want(http.StatusConflict, "MKCOL", "/d/._f/dir", "")
	d.want(http.StatusNotFound, "PROPFIND", "/d/._f/x", "", "Depth", "0")
	for _, method := range []string{"COPY", "MOVE"} {
		d.want(http.StatusConflict, method, "/d/._f", "", "Destination", "/absent/._f")
		d.want(http.StatusConflict, method, "/d/._f", "", "Destination", "/top/._f")
		d.want(http.StatusConflict, method, "/d/f", "", "Destination", "/d/._f/f")
		d.want(http.StatusForbidden, method, "/d/._f", "", "Destination", "/d/._f")
		d.want(http.StatusForbidden, method, "/d/._f", "", "Destination", "/d/._f/x")
		d.want(http.StatusForbidden, method, "/d/._f", "", "Destination", "/d")
		d.want(http.StatusPreconditionFailed, method, "/d/f", "", "Destination", "/d/._f", "Overwrite", "F")
		d.want(http.StatusPreconditionFailed, method, "/d/._f", "", "Destination", "/d/f", "Overwrite", "F")
	}
	if _, err := d.Tree.ReadDir(t.Context(), "/d/._f"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("ReadDir of a file: %v", err)
	}
	for _, dst := range []string{"/d/._f", "/d/._f/x", "/d/._f/._x", "/d", "/"} {
		_, err := d.Tree.Copy(t.Context(), "/d/._f", dst, nil)
		again := d.Tree.Rename(t.Context(), "/d/._f", dst, nil)
		if !errors.Is(err, fs.ErrInvalid) || !errors.Is(again, fs.ErrInvalid) {
			t.Errorf("Copy and Rename to %s: %v, %v", dst, err, again)
		}
	}
	d.isAbsent("/d/._f") // nothing of it has gone to the tree
	d.want(http.StatusPreconditionFailed, "PUT", "/d/._f", "y", "If-None-Match", "*")
	d.want(http.StatusPreconditionFailed, "PUT", "/d/._f", large, "If-Match", `"other"`)
	d.shows("/d/._f", "x")
	if got := d.lists("/d"); got != "._dir/ ._f f g" {
		t.Errorf("the listing is %s", got)
	}
	// The directory was removed by others: what is in memory is not there, and does not come back with the next one.
	if err := d.tree.RemoveAll(t.Context(), "/d", nil); err != nil {
		t.Fatal(err)
	}
	d.shows("/d/._f", "")
	d.want(http.StatusNotFound, "DELETE", "/d/._f", "")
	d.want(http.StatusNotFound, "PROPPATCH", "/d/._f", patchBody)
	d.want(http.StatusNotFound, "MOVE", "/d/._f", "", "Destination", "/e/._f")
	d.want(http.StatusNotFound, "PROPFIND", "/d", "", "Depth", "1")
	d.put("/d", "now a file")
	d.shows("/d/._f", "")
	d.want(http.StatusNotFound, "DELETE", "/d/._f", "")
	d.want(http.StatusNoContent, "DELETE", "/d", "")
	d.want(http.StatusCreated, "MKCOL", "/d", "")
	if got := d.lists("/d"); got != "" {
		t.Errorf("the new directory has %s", got)
	}
}

// Removing a file in memory removes a directory of the tree under it never, which others may have made.
func TestDirectoryInTheShadow(t *testing.T) {
	d := newJunkDrive(t, davfs.JunkMemory)
	d.want(http.StatusCreated, "PUT", "/d/._f", "x")
	d.mkdir("/d/._f")
	d.put("/d/._f/member", "of others")
	d.want(http.StatusNoContent, "DELETE", "/d/._f", "")
	d.hasFile("/d/._f/member", "of others")

	d.want(http.StatusCreated, "PUT", "/d/._g", "x")
	d.put("/d/._g", "of the tree")
	d.tree.Before(func(method, name string) {
		if method == "RemoveAll" {
			d.tree.Before(nil)
			d.tree.RemoveAll(context.Background(), name, nil)
			d.mkdir(name)
			d.put(name+"/member", "of others")
		}
	})
	d.want(http.StatusConflict, "DELETE", "/d/._g", "")
	d.hasFile("/d/._g/member", "of others")
}

// What was opened, or only described, stays what it was.
func TestJunkKeepsItsContent(t *testing.T) {
	d := newJunkDrive(t, davfs.JunkMemory)
	d.want(http.StatusCreated, "PUT", "/d/._f", "before")
	fi := d.stat("/d/._f")
	ctx, cancel := context.WithCancel(t.Context())
	f, err := d.Tree.Open(ctx, "/d/._f", fi)
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(f, make([]byte, 2))
	for _, body := range []string{"after", strings.Repeat("x", 1<<20+1)} {
		d.want(http.StatusNoContent, "PUT", "/d/._f", body)
		later, err := d.Tree.Open(ctx, "/d/._f", fi)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(later); err != nil || string(b) != "before" {
			t.Errorf("the old FileInfo gives %.20q, %v", b, err)
		}
	}
	d.want(http.StatusNoContent, "DELETE", "/d/._f", "")
	if b, err := io.ReadAll(f); err != nil || string(b) != "fore" {
		t.Errorf("a reader of the old content gets %q, %v", b, err)
	}
	cancel()
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Read after the end: %v", err)
	}
	if _, err := f.(io.ReaderAt).ReadAt(make([]byte, 1), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("ReadAt after the end: %v", err)
	}
}

// All spellings of a name are one, of a directory on the way too.
func TestJunkOfSpellings(t *testing.T) {
	const nfc, nfd = "/caf\u00e9", "/cafe\u0301"
	d := newJunkDrive(t, davfs.JunkMemory)
	d.mkdir(nfc)
	put := func(name, content string) {
		t.Helper()
		if _, err := d.Tree.Put(t.Context(), name, strings.NewReader(content), davfs.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put(nfd+"/._e\u0301", "1")
	d.shows(nfc+"/._\u00e9", "1")
	put(nfc+"/._\u00e9", "2")
	d.shows(nfd+"/._e\u0301", "2")
	if l, err := d.Tree.ReadDir(t.Context(), nfc); err != nil || len(l) != 1 {
		t.Errorf("the directory holds %v, %v", l, err)
	}
	if err := d.Tree.Rename(t.Context(), nfc, nfd, nil); err != nil {
		t.Fatal(err)
	}
	d.shows(nfc+"/._\u00e9", "2")
	if err := d.Tree.Rename(t.Context(), nfc, "/moved", nil); err != nil {
		t.Fatal(err)
	}
	d.shows("/moved/._e\u0301", "2")
	if _, err := d.Tree.Copy(t.Context(), "/moved/._e\u0301", "/moved/._\u00e9", nil); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a copy onto itself in another spelling: %v", err)
	}
	if err := d.Tree.RemoveAll(t.Context(), "/moved/._\u00e9", nil); err != nil {
		t.Fatal(err)
	}
	if n, _ := davfs.JunkFiles(d.Tree); n != 0 {
		t.Errorf("%d files are left in memory", n)
	}
}
