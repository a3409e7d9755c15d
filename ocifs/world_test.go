package ocifs_test

import (
	"context"
	"encoding/xml"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// large is content that waits in a file, not in memory, while it is uploaded.
var large = noiseOf(1<<20 + 17)

func noiseOf(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{7}).Read(b)
	return string(b)
}

func property(value string) []davfs.Property {
	return []davfs.Property{{XMLName: xml.Name{Space: "urn:x", Local: "of"}, InnerXML: []byte(value)}}
}

// world fills an empty registry with what the operations below work on.
func (f *fake) world() {
	f.Helper()
	tree, ctx := f.tree(), f.Context()
	for _, dir := range []string{"/d", "/d/sub", "/d/empty"} {
		f.must(tree.Mkdir(ctx, dir, nil))
	}
	// Under the directory /t there is a file that a crash left: nobody sees it, and it must stay so.
	f.must(put(ctx, tree, "/t", "hidden"))
	f.Fail(registrytest.Match{Method: "PUT DELETE", Path: "/x.root/manifests/t$"}, registrytest.Status(403, "DENIED"), 0)
	f.must(copyTo(ctx, tree, "/d/empty", "/t"))
	f.Heal()
	if f.Manifest("x.root", "t") == nil {
		f.Fatal("there is no file under /t")
	}
	for name, content := range map[string]string{
		"/f": "f", "/g": "g", "/d/a": "a", "/d/b c": "b", "/d/sub/c": "c", "/t/old": "old", "/t/a": "old a",
	} {
		f.must(put(ctx, tree, name, content))
	}
	f.must(tree.PatchProps(ctx, "/d/a", davfs.PropPatch{Set: property("a")}))
	f.must(tree.PatchProps(ctx, "/d", davfs.PropPatch{Set: property("d")}))
}

// operation is a call that a test makes go wrong.
type operation struct {
	name string
	do   func(ctx context.Context, tree *ocifs.FS) error
}

// changes are the operations that write. All of them can be called on the world, each on its own.
var changes = []operation{
	{"Put new", func(ctx context.Context, t *ocifs.FS) error { return put(ctx, t, "/d/new", "new") }},
	{"Put empty", func(ctx context.Context, t *ocifs.FS) error { return put(ctx, t, "/new", "") }},
	{"Put over", func(ctx context.Context, t *ocifs.FS) error { return put(ctx, t, "/d/a", "new") }},
	{"Put large over", func(ctx context.Context, t *ocifs.FS) error { return put(ctx, t, "/f", large[1:]) }},
	{"Mkdir", func(ctx context.Context, t *ocifs.FS) error { return t.Mkdir(ctx, "/d/new", nil) }},
	{"Copy file", func(ctx context.Context, t *ocifs.FS) error { return copyTo(ctx, t, "/d/a", "/new") }},
	{"Copy file over", func(ctx context.Context, t *ocifs.FS) error { return copyTo(ctx, t, "/d/a", "/g") }},
	{"Copy directory", func(ctx context.Context, t *ocifs.FS) error { return copyTo(ctx, t, "/d", "/new") }},
	{"Copy directory over file", func(ctx context.Context, t *ocifs.FS) error { return copyTo(ctx, t, "/d", "/g") }},
	{"Copy directory over directory", func(ctx context.Context, t *ocifs.FS) error { return copyTo(ctx, t, "/d", "/t") }},
	{"Copy file over directory", func(ctx context.Context, t *ocifs.FS) error { return copyTo(ctx, t, "/f", "/t") }},
	{"Rename file", func(ctx context.Context, t *ocifs.FS) error { return t.Rename(ctx, "/f", "/d/new", nil) }},
	{"Rename file over", func(ctx context.Context, t *ocifs.FS) error { return t.Rename(ctx, "/f", "/g", nil) }},
	{"Rename directory", func(ctx context.Context, t *ocifs.FS) error { return t.Rename(ctx, "/d", "/new", nil) }},
	{"Rename directory over file", func(ctx context.Context, t *ocifs.FS) error { return t.Rename(ctx, "/d", "/g", nil) }},
	{"Rename directory over directory", func(ctx context.Context, t *ocifs.FS) error {
		return t.Rename(ctx, "/d", "/t", nil)
	}},
	{"RemoveAll file", func(ctx context.Context, t *ocifs.FS) error { return t.RemoveAll(ctx, "/f", nil) }},
	{"RemoveAll directory", func(ctx context.Context, t *ocifs.FS) error { return t.RemoveAll(ctx, "/d", nil) }},
	{"PatchProps", func(ctx context.Context, t *ocifs.FS) error {
		return t.PatchProps(ctx, "/d/a", davfs.PropPatch{Set: property("new")})
	}},
	{"PatchProps directory", func(ctx context.Context, t *ocifs.FS) error {
		return t.PatchProps(ctx, "/d", davfs.PropPatch{Remove: []xml.Name{{Space: "urn:x", Local: "of"}}})
	}},
}

// questions are the operations that only read.
var questions = []operation{
	{"Stat", func(ctx context.Context, t *ocifs.FS) error { _, err := t.Stat(ctx, "/d/sub/c"); return err }},
	{"Stat absent", func(ctx context.Context, t *ocifs.FS) error { _, err := t.Stat(ctx, "/absent"); return err }},
	{"ReadDir", func(ctx context.Context, t *ocifs.FS) error { _, err := t.ReadDir(ctx, "/d"); return err }},
	{"ReadDir root", func(ctx context.Context, t *ocifs.FS) error { _, err := t.ReadDir(ctx, "/"); return err }},
	{"read", func(ctx context.Context, t *ocifs.FS) error { _, err := read(ctx, t, "/d/a"); return err }},
	{"Props", func(ctx context.Context, t *ocifs.FS) error {
		fi, err := t.Stat(ctx, "/d/a")
		if err == nil {
			_, err = t.Props(ctx, "/d/a", fi)
		}
		return err
	}},
}

func copyTo(ctx context.Context, tree *ocifs.FS, src, dst string) error {
	_, err := tree.Copy(ctx, src, dst, nil)
	return err
}

// read gives the content of name.
func read(ctx context.Context, tree *ocifs.FS, name string) (string, error) {
	fi, err := tree.Stat(ctx, name)
	if err != nil {
		return "", err
	}
	file, err := tree.Open(ctx, name, fi)
	if err != nil {
		return "", err
	}
	defer file.Close()
	b, err := io.ReadAll(file)
	return string(b), err
}

// snapshot walks a tree: for every name a line that tells content and properties; those of directories end in a slash.
func (f *fake) snapshot(tree *ocifs.FS, dir string) map[string]string {
	f.Helper()
	all := map[string]string{}
	list, err := tree.ReadDir(f.Context(), dir)
	f.must(err)
	for _, fi := range list {
		name := strings.TrimSuffix(dir, "/") + "/" + fi.Name()
		props, err := tree.Props(f.Context(), name, fi)
		f.must(err)
		said := ""
		for _, p := range props {
			said += " " + p.XMLName.Local + "=" + string(p.InnerXML)
		}
		if fi.IsDir() {
			all[name+"/"] = said
			maps.Copy(all, f.snapshot(tree, name))
			continue
		}
		content, err := read(f.Context(), tree, name)
		f.must(err)
		if len(content) > 100 {
			content = digestOf(content).String()
		}
		all[name] = content + said
	}
	return all
}

// under gives what of a snapshot is the name, or under it.
func under(all map[string]string, name string) map[string]string {
	part := map[string]string{}
	for n, said := range all {
		if n == name || strings.HasPrefix(n, name+"/") {
			part[n] = said
		}
	}
	return part
}

// tops gives the names in the root that one of the snapshots has.
func tops(snapshots ...map[string]string) []string {
	names := map[string]bool{}
	for _, all := range snapshots {
		for n := range all {
			top, _, _ := strings.Cut(n[1:], "/")
			names["/"+top] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
