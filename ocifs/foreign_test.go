package ocifs_test

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/davfs"
	"ocidav/ocifs/registrytest"
)

// gallery is a directory with artifacts that others pushed: one that is a file, and some that are not.
func (f *fake) gallery() {
	f.Helper()
	tree, ctx := f.tree(), f.Context()
	f.must(tree.Mkdir(ctx, "/d", nil))
	f.must(put(ctx, tree, "/d/ours", "ours"))
	f.pushForeign("d", "report.pdf", "report.pdf")
	f.pushForeign("d", "_.my_20file.txt", "my file.txt")
	f.pushForeign("d", "image", "", "", "")
	f.pushForeign("d", "chart", "chart-1.0.tgz") // the title is not what the tag spells
	f.pushForeign("d", "untitled", "")
	f.pushForeign("d", "_x.reserved", "_x.reserved")
	f.PutManifest("d", "index", ocispec.MediaTypeImageIndex,
		[]byte(`{"schemaVersion":2,"mediaType":"`+ocispec.MediaTypeImageIndex+`","manifests":[]}`))
	f.PutManifest("d", "_d.marker", "", []byte(`{"schemaVersion":2,"config":{"digest":"x"},"layers":[]}`))
}

// foreignTags are those that ocidav does not take for files.
var foreignTags = []string{"image", "chart", "untitled", "_x.reserved", "index", "_d.marker"}

// TestForeignArtifacts: an artifact of a single titled layer is a file; all others are directories that can only be read,
// those without a proper name excepted.
func TestForeignArtifacts(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.gallery()
		before, ctx, tree := f.state(), f.Context(), f.tree()
		shown := f.snapshot(tree, "/")
		want := map[string]string{
			"/d/": "", "/d/ours": "ours", "/d/report.pdf": "content of report.pdf", "/d/my file.txt": "content of my file.txt",
			"/d/chart/": "", "/d/chart/chart-1.0.tgz": "content of chart-1.0.tgz",
			"/d/image/": "", "/d/image/layer-1.txt": "content of ", "/d/image/layer-2.txt": "content of ", "/d/image/layer-3.txt": "content of ",
			"/d/image/manifest.json": digestOf(string(f.Manifest("d", "image"))).String(),
			"/d/untitled/":           "", "/d/untitled/layer-1.txt": "content of ",
			"/d/untitled/manifest.json": digestOf(string(f.Manifest("d", "untitled"))).String(),
			"/d/index/":                 "", "/d/index/manifest.json": string(f.Manifest("d", "index")),
		}
		delete(shown, "/d/index/image.tar")
		if !maps.Equal(shown, want) {
			f.Errorf("shown are %v, want %v", shown, want)
		}
		for _, name := range []string{
			"/d/image", "/d/chart", "/d/untitled", "/d/index", "/d/image/new", "/d/image/layer-1.txt", "/d/image/manifest.json", "/d/chart/a/b",
		} {
			for what, err := range map[string]error{
				"Put":            put(ctx, tree, name, "x"),
				"Mkdir":          tree.Mkdir(ctx, name, nil),
				"Copy":           copyTo(ctx, tree, "/d/ours", name),
				"Rename":         tree.Rename(ctx, "/d/ours", name, nil),
				"RemoveAll":      tree.RemoveAll(ctx, "/d/image/layer-1.txt", nil),
				"out of it":      tree.Rename(ctx, "/d/image/layer-1.txt", "/moved", nil),
				"as a whole":     tree.Rename(ctx, "/d/image", "/moved", nil),
				"Copy of it":     copyTo(ctx, tree, "/d/image", "/copied"),
				"of a made file": copyTo(ctx, tree, "/d/image/manifest.json", "/copied"),
				"PatchProps":     tree.PatchProps(ctx, name, davfs.PropPatch{Set: property("x")}),
			} {
				if !errors.Is(err, fs.ErrPermission) {
					f.Errorf("%s %s: error %v, want %v", what, name, err, fs.ErrPermission)
				}
			}
		}
		for what, err := range map[string]error{
			"Put": put(ctx, tree, "/d/marker", "x"), "Mkdir": tree.Mkdir(ctx, "/d/marker", nil),
		} {
			if !errors.Is(err, fs.ErrPermission) {
				f.Errorf("%s where the marker is somebody's: error %v, want %v", what, err, fs.ErrPermission)
			}
		}
		if err := tree.PatchProps(ctx, "/d/report.pdf", davfs.PropPatch{Set: property("x")}); !errors.Is(err, fs.ErrPermission) {
			f.Errorf("PatchProps of somebody's file: error %v, want %v", err, fs.ErrPermission)
		}
		if !maps.Equal(f.state(), before) {
			f.Error("something has changed in the registry")
		}
	})
}

// TestForeignFiles: what is shown as a file is written to as one.
func TestForeignFiles(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.gallery()
		ctx, tree := f.Context(), f.tree()
		f.must(copyTo(ctx, tree, "/d/report.pdf", "/copy.pdf"))
		f.must(put(ctx, tree, "/d/report.pdf", "new"))
		f.must(tree.RemoveAll(ctx, "/d/my file.txt", nil))
		want := map[string]string{
			"/d/": "", "/d/ours": "ours", "/d/report.pdf": "new", "/copy.pdf": "content of report.pdf",
		}
		got := f.snapshot(f.tree(), "/")
		for _, name := range []string{"image", "chart", "untitled", "index"} {
			maps.DeleteFunc(got, func(n, _ string) bool { return strings.HasPrefix(n, "/d/"+name+"/") })
		}
		if !maps.Equal(got, want) {
			f.Errorf("shown are %v, want %v", got, want)
		}
		if !f.HasBlob("d", digestOf("content of report.pdf")) {
			f.Error("somebody's blob is gone")
		}
	})
}

// TestForeignInDirectories: a directory that holds others' artifacts can be removed, which leaves them, and copied
// without them, but not moved.
func TestForeignInDirectories(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.gallery()
		ctx, before := f.Context(), f.state()
		f.must(f.tree().Mkdir(ctx, "/up", nil))
		g := f.fork(registrytest.Defects{})
		if err := f.tree().Rename(ctx, "/d", "/moved", nil); !errors.Is(err, fs.ErrPermission) {
			f.Errorf("Rename of a directory with images: error %v, want %v", err, fs.ErrPermission)
		}
		for name, manifest := range before {
			if f.state()[name] != manifest {
				f.Errorf("the refused Rename has changed %s", name)
			}
		}

		f.must(copyTo(ctx, f.tree(), "/d", "/copy"))
		if got, want := f.names(f.tree(), "/copy"), []string{"my file.txt", "ours", "report.pdf"}; !slices.Equal(got, want) {
			f.Errorf("the copy holds %q, want %q", got, want)
		}
		f.must(f.tree().RemoveAll(ctx, "/d", nil))
		for _, tag := range slices.Concat(foreignTags, []string{"report.pdf"}) {
			if f.Manifest("d", tag) == nil {
				f.Errorf("RemoveAll has removed somebody's %s", tag)
			}
		}
		f.settle()
		if f.Manifest("d", "ours") != nil {
			f.Error("RemoveAll has left our file")
		}

		// As a target it disappears, and what others pushed stays in its place.
		g.must(g.tree().Rename(ctx, "/up", "/d", nil))
		for _, tag := range foreignTags {
			if g.Manifest("d", tag) == nil {
				f.Errorf("Rename over it has removed somebody's %s", tag)
			}
		}
	})
}

// TestSignedFiles: what refers to a manifest by its digest is not shown, and neither its file nor its directory is bound to
// the place by it.
func TestSignedFiles(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.must(tree.Mkdir(ctx, "/d", nil))
		f.must(tree.Mkdir(ctx, "/d/below", nil))
		f.must(put(ctx, tree, "/d/f", "content"))
		f.must(put(ctx, tree, "/d/below/f", "content"))
		referrers := strings.Replace(string(digest.FromBytes(f.Manifest("d", "f"))), ":", "-", 1)
		for _, repo := range []string{"d", "d/below"} {
			f.PutManifest(repo, referrers, ocispec.MediaTypeImageIndex,
				[]byte(`{"schemaVersion":2,"mediaType":"`+ocispec.MediaTypeImageIndex+`","manifests":[]}`))
			f.pushForeign(repo, referrers+".sig", "")
			f.pushForeign(repo, referrers+".att", referrers+".att") // even where the title fits the tag
		}
		want := map[string]string{"/d/": "", "/d/f": "content", "/d/below/": "", "/d/below/f": "content"}
		if got := f.snapshot(f.tree(), "/"); !maps.Equal(got, want) {
			f.Errorf("shown are %v, want %v", got, want)
		}
		before := f.state()
		f.must(f.tree().Rename(ctx, "/d", "/e", nil))
		want = map[string]string{"/e/": "", "/e/f": "content", "/e/below/": "", "/e/below/f": "content"}
		if got := f.snapshot(f.tree(), "/"); !maps.Equal(got, want) {
			f.Errorf("after the move are shown %v, want %v", got, want)
		}
		f.settle()
		for name, manifest := range before {
			if strings.Contains(name, ":sha256-") && f.state()[name] != manifest {
				f.Errorf("the move has changed %s", name)
			}
		}
	})
}

// TestSharedManifest: somebody's tag on one of our manifests is theirs, whatever becomes of the file.
func TestSharedManifest(t *testing.T) {
	for name, d := range map[string]registrytest.Defects{
		"delete": {}, "digest": {NoTagDelete: 405}, "tombstone": {NoDelete: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, d, func(f *fake) {
				ctx, tree := f.Context(), f.tree()
				f.must(put(ctx, tree, "/f", "content"))
				manifest := f.Manifest("x.root", "f")
				f.PutManifest("x.root", "v1", "", manifest)
				f.must(tree.RemoveAll(ctx, "/f", nil))
				f.must(put(ctx, tree, "/f", "other"))
				f.must(tree.RemoveAll(ctx, "/f", nil))
				if string(f.Manifest("x.root", "v1")) != string(manifest) {
					f.Error("the tag v1 has another manifest, or none")
				}
				if got := f.tagsOf("x.root"); !slices.Equal(got, []string{"v1"}) {
					f.Errorf("left are the tags %q", got)
				}
			})
		})
	}
}
