package ocifs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// smallWorld fills an empty registry with what the sweep works on: few requests for each operation, so that all of them
// can be swept.
func (f *fake) smallWorld() {
	f.Helper()
	tree, ctx := f.tree(), f.Context()
	for _, dir := range []string{"/d", "/d/sub", "/t", "/o"} {
		f.must(tree.Mkdir(ctx, dir, nil))
	}
	for name, content := range map[string]string{
		"/f": "f", "/g": "g", "/d/a": "a", "/d/sub/c": "c", "/t/a": "old a", "/t/old": "old", "/o/a": "orphan",
	} {
		f.must(put(ctx, tree, name, content))
	}
	f.must(tree.PatchProps(ctx, "/d/a", davfs.PropPatch{Set: property("a")}))
	// A crash in the removal of /o left its member.
	repo, tag := f.tagOf("/o", "a")
	f.Fail(registrytest.Match{Method: "PUT DELETE", Path: "/" + repo + "/manifests/" + tag}, registrytest.Status(403, "DENIED"), 0)
	_ = tree.RemoveAll(ctx, "/o", nil)
	f.settle() // what it does behind its answer has failed too
	f.Heal()
	if f.Manifest(repo, tag) == nil {
		f.Fatal("there is no orphan in /o")
	}
}

// views remembers what was seen by what the registry held, because few of the thousands of fault points differ in that.
type views struct {
	snapshots, outlines map[string]map[string]string
	done                map[string]bool
	likes               map[string]string // of manifests
}

func newViews() views {
	return views{map[string]map[string]string{}, map[string]map[string]string{}, map[string]bool{}, map[string]string{}}
}

// view is the tree as a process sees it that knows nothing, at this moment.
func (s *sweep) view(g *fake) (snapshot map[string]string, key string) {
	s.Helper()
	now := g.Clone(s.defects)
	key = s.views.likeness(now)
	v, ok := s.views.snapshots[key]
	if !ok {
		frozen := serve(s.T, now, s.change)
		frozen.dir = s.dir
		defer frozen.close()
		v = frozen.snapshot(frozen.tree(), "/")
		s.views.snapshots[key] = v
	}
	return v, key
}

// outlineOf is the outline that a process sees that knows nothing.
func (s *sweep) outlineOf(g *fake, key string) map[string]string {
	s.Helper()
	v, ok := s.views.outlines[key]
	if !ok {
		v = g.outline(g.tree())
		s.views.outlines[key] = v
	}
	return v
}

// passing is what of a manifest differs between two writes of the same.
var passing = regexp.MustCompile(`"(vnd\.ocidav\.write-id|vnd\.ocidav\.birthtime|org\.opencontainers\.image\.created)":"[^"]*",?`)

// likeness is all that a tree can see in the registry, but for times and write-ids.
func (v views) likeness(g *registrytest.Registry) string {
	var b strings.Builder
	for _, repo := range g.Repositories() {
		for _, tag := range g.Tags(repo) {
			data := string(g.Manifest(repo, tag))
			like, ok := v.likes[repo+data]
			if !ok {
				like = passing.ReplaceAllString(data, "")
				for _, d := range blobsOf(data) {
					like += fmt.Sprint(" ", g.HasBlob(repo, d)) // the registry keeps them all
				}
				v.likes[repo+data] = like
			}
			b.WriteString(repo + ":" + tag + " " + like + "\n")
		}
	}
	return b.String()
}

func blobsOf(data string) (all []digest.Digest) {
	var m ocispec.Manifest
	_ = json.Unmarshal([]byte(data), &m)
	for _, l := range append(m.Layers, m.Config) {
		all = append(all, l.Digest)
	}
	return all
}

// outline walks a tree without reading content: for every name its entity-tag.
func (f *fake) outline(tree *ocifs.FS) map[string]string {
	f.Helper()
	all := map[string]string{}
	var walk func(dir string)
	walk = func(dir string) {
		list, err := tree.ReadDir(f.Context(), dir)
		f.must(err)
		for _, fi := range list {
			name := strings.TrimSuffix(dir, "/") + "/" + fi.Name()
			all[name] = etagOf(fi)
			if fi.IsDir() {
				walk(name)
			}
		}
	}
	walk("/")
	for _, name := range append(slices.Sorted(maps.Keys(all)), "/new", "/d/new", "/f", "/g", "/d", "/t", "/o") {
		switch fi, err := tree.Stat(f.Context(), name); {
		case err == nil:
			all["stat "+name] = etagOf(fi)
		default:
			all["stat "+name] = "none"
		}
	}
	return all
}

func etagOf(fi fs.FileInfo) string {
	tag, _ := fi.(interface {
		ETag(context.Context) (string, error)
	}).ETag(context.Background())
	return tag
}
