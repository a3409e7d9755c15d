package ocifs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

const manyFiles = 300 // more than a directory index needs

// machine gives a tree that keeps what it knows in dir, as a process on one machine does.
func (f *fake) machine(dir string) *ocifs.FS {
	f.Helper()
	change := f.change
	defer func() { f.change = change }()
	f.change = func(o *ocifs.Options) {
		if change != nil {
			change(o)
		}
		o.IndexDir = dir
	}
	return f.tree()
}

// many makes the directory /d of manyFiles, by a tree that is then closed.
func (f *fake) many(dir string) {
	f.Helper()
	tree := f.machine(dir)
	f.must(tree.Mkdir(f.Context(), "/d", nil))
	for i := range manyFiles {
		f.must(put(f.Context(), tree, fmt.Sprintf("/d/%d", i), fmt.Sprint("content ", i)))
	}
	f.must(tree.Close(f.Context()))
	f.ResetCounts()
}

// sizes gives the members of /d with their sizes.
func (f *fake) sizes(tree *ocifs.FS) map[string]int64 {
	f.Helper()
	list, err := tree.ReadDir(f.Context(), "/d")
	f.must(err)
	all := map[string]int64{}
	for _, m := range list {
		all[m.Name()] = m.Size()
	}
	return all
}

// listed checks that a listing of /d is that of many, but for what differs: sizes by name, none for a name that is not there.
func (f *fake) listed(what string, tree *ocifs.FS, differs map[string]int64) {
	f.Helper()
	got := f.sizes(tree)
	want := map[string]int64{}
	for i := range manyFiles {
		want[fmt.Sprint(i)] = int64(len(fmt.Sprint("content ", i)))
	}
	for name, size := range differs {
		if want[name] = size; size < 0 {
			delete(want, name)
		}
	}
	for name, size := range want {
		if n, ok := got[name]; !ok || n != size {
			f.Errorf("%s: %s has %d bytes (listed: %t), want %d", what, name, n, ok, size)
			return
		}
	}
	if len(got) != len(want) {
		f.Errorf("%s: %d members, want %d", what, len(got), len(want))
	}
}

const pages = manyFiles/100 + 1

// TestRevalidation: a listing of what is known asks for the names and for nothing else; what others have changed in
// between shows when it has been asked for behind, at a bounded rate, and what they made and removed at once.
func TestRevalidation(t *testing.T) {
	inBubble(t, registrytest.Defects{PageSize: 100}, func(f *fake) {
		ctx := f.Context()
		f.change = func(o *ocifs.Options) { o.Freshness = 2 * time.Second }
		f.many(f.TempDir())
		tree := f.machine(f.TempDir())
		f.listed("first", tree, nil)
		time.Sleep(time.Minute) // until what the index has said is asked for
		other := f.tree()
		f.must(put(ctx, other, "/d/7", "overwritten"))
		f.must(put(ctx, other, "/d/new", "new"))
		f.must(other.RemoveAll(ctx, "/d/8", nil))
		time.Sleep(time.Minute)
		f.ResetCounts()
		f.listed("at once", tree, map[string]int64{"new": 3, "8": -1})
		f.budget("ReadDir of what is known: the name, the list, what is new", 2+pages+1)
		time.Sleep(time.Second)
		if n := len(f.Requests()); n < 20 || n > 60 {
			f.Errorf("%d questions in the background in a second", n)
		}
		time.Sleep(time.Minute)
		f.ResetCounts()
		f.listed("after all has been asked", tree, map[string]int64{"new": 3, "8": -1, "7": 11})

		// Whoever opens a name asks about it.
		f.must(put(ctx, other, "/d/9", "overwritten too"))
		time.Sleep(time.Minute)
		fi, err := tree.Stat(ctx, "/d/9")
		if f.must(err); fi.Size() != 15 {
			f.Errorf("Stat tells an older answer: %d bytes", fi.Size())
		}
	})
}

// TestFreshnessZero: who wants each name asked each time gets that.
func TestFreshnessZero(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.many(f.TempDir())
		f.change = func(o *ocifs.Options) { o.Freshness = 0 }
		tree := f.machine(f.TempDir())
		f.listed("first", tree, nil)
		f.must(put(f.Context(), f.tree(), "/d/7", "overwritten"))
		f.listed("at once", tree, map[string]int64{"7": 11})
	})
}

// TestNextProcess: what one process knew the next one knows, and so does the next machine.
func TestNextProcess(t *testing.T) {
	inBubble(t, registrytest.Defects{PageSize: 100}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.Freshness = 2 * time.Second }
		dir := f.TempDir()
		f.many(dir)
		f.must(put(f.Context(), f.tree(), "/d/7", "overwritten"))
		time.Sleep(time.Minute)
		f.ResetCounts()
		next := f.machine(dir)
		f.listed("next process", next, nil)
		f.budget("ReadDir by the next process: the name, the list", 2+pages)
		time.Sleep(time.Minute)
		overwritten := map[string]int64{"7": 11}
		f.listed("next process, after all has been asked", next, overwritten) // and the index has been written again

		machine := f.TempDir()
		f.ResetCounts()
		f.listed("next machine", f.machine(machine), overwritten)
		f.budget("ReadDir by the next machine: the name, the list, the index", 2+pages+2)
		f.ResetCounts()
		f.listed("next process there", f.machine(machine), overwritten)
		f.budget("ReadDir by the next process there", 2+pages)
	})
}

// TestIndexIsNoMember: nobody sees the index, it is in nobody's way, and it goes with its directory.
func TestIndexIsNoMember(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, dir := f.Context(), f.TempDir()
		f.many(dir)
		if !strings.Contains(string(f.Manifest("d", "_i.index")), "vnd.ocidav.index.v1") {
			f.Fatal("there is no index")
		}
		tree := f.machine(dir)
		f.must(tree.Rename(ctx, "/d", "/e", nil))
		f.must(tree.Rename(ctx, "/e", "/d", nil))
		f.listed("moved to and fro", tree, nil)
		f.must(tree.Mkdir(ctx, "/other", nil))
		f.must(tree.Rename(ctx, "/other", "/d", nil)) // over it
		if names := f.names(tree, "/d"); len(names) > 0 {
			f.Errorf("after all: %q", names)
		}
		f.must(tree.RemoveAll(ctx, "/d", nil))
		f.settle()
		for _, repo := range f.Repositories() {
			if tags := f.tagsOf(repo); len(tags) > 0 {
				f.Errorf("left in %s: %q", repo, tags)
			}
		}
	})
}

// TestIndexIsAHint: an index that is gone, damaged, old, another's or a lie costs time and changes no listing.
func TestIndexIsAHint(t *testing.T) {
	for name, spoil := range map[string]func(f *fake){
		"phantom": func(f *fake) { f.Phantom("d", "_i.index") },
		"foreign": func(f *fake) { f.pushForeign("d", "_i.index", "x") },
		"garbage": func(f *fake) { f.PutManifest("d", "_i.index", "", []byte("{}")) },
		"blob lost": func(f *fake) {
			f.Fail(registrytest.Match{Path: "/d/blobs/"}, registrytest.Status(http.StatusNotFound, "BLOB_UNKNOWN"), 0)
		},
		"blob damaged": func(f *fake) { f.Fail(registrytest.Match{Path: "/d/blobs/"}, registrytest.Garble, 0) },
		"registry says 500": func(f *fake) {
			f.Fail(registrytest.Match{Path: "/manifests/_i.index"}, registrytest.Status(http.StatusInternalServerError), 0)
		},
		"another directory's": func(f *fake) {
			tree := f.machine(f.TempDir())
			f.must(tree.Mkdir(f.Context(), "/e", nil))
			for i := range manyFiles {
				f.must(put(f.Context(), tree, fmt.Sprintf("/e/%d", i), "e"))
			}
			f.must(tree.Close(f.Context()))
			f.copyIndex("e", "d")
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", ""), func(t *testing.T) {
			t.Parallel()
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				f.many(f.TempDir())
				spoil(f)
				f.listed(name, f.machine(f.TempDir()), nil)
			})
		})
	}
}

// copyIndex puts the index of one repository into another.
func (f *fake) copyIndex(from, to string) {
	manifest := f.Manifest(from, "_i.index")
	var m ocispec.Manifest
	f.must(json.Unmarshal(manifest, &m))
	for _, desc := range append(m.Layers, m.Config) {
		f.PutBlob(to, f.Blob(desc.Digest))
	}
	f.PutManifest(to, "_i.index", "", manifest)
}

// TestIndexOnTwoServers: two that write one directory and its index hurt nobody.
func TestIndexOnTwoServers(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.Freshness = 2 * time.Second }
		f.many(f.TempDir())
		a, b := f.machine(f.TempDir()), f.machine(f.TempDir())
		differs := map[string]int64{}
		for i := range 30 {
			name := fmt.Sprintf("/d/%d", i)
			tree := a
			if i%2 > 0 {
				tree = b
			}
			if i%3 == 0 {
				f.must(tree.RemoveAll(f.Context(), name, nil))
				differs[name[3:]] = -1
			} else {
				f.must(put(f.Context(), tree, name, "x"))
				differs[name[3:]] = 1
			}
			time.Sleep(7 * time.Second) // now and then an index is written
		}
		time.Sleep(time.Minute)
		f.must(a.Close(f.Context()))
		f.must(b.Close(f.Context()))
		last := f.machine(f.TempDir())
		f.sizes(last)
		time.Sleep(2 * time.Minute)
		f.listed("after both", last, differs)
	})
}

// TestNoIndex: none is pushed where none is wanted, where the directory is small, or where the registry refuses it,
// which is asked once.
func TestNoIndex(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx := f.Context()
		f.change = func(o *ocifs.Options) { o.NoIndex = true }
		f.many(f.TempDir())
		if f.Manifest("d", "_i.index") != nil {
			f.Error("an index is pushed, though none is wanted")
		}
		f.change = nil
		tree := f.machine(f.TempDir())
		f.sizes(tree)
		f.must(tree.Mkdir(ctx, "/small", nil))
		for i := range 100 {
			f.must(put(ctx, tree, fmt.Sprintf("/small/%d", i), "x"))
		}
		time.Sleep(time.Minute)
		if f.Manifest("small", "_i.index") != nil {
			f.Error("a small directory gets an index")
		}
		rule := f.Fail(registrytest.Match{Method: "PUT", Path: "/manifests/_i.index"}, registrytest.Status(http.StatusForbidden, "DENIED"), 0)
		for range 3 {
			f.must(put(ctx, tree, "/d/new", "new"))
			time.Sleep(time.Minute)
		}
		if rule.Hits() != 1 {
			f.Errorf("the registry has refused %d times", rule.Hits())
		}
	})
}

// TestBundleIsWrittenLate: a copy of many files is one bundle, and not one that waits for ever.
func TestBundleIsWrittenLate(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.many(f.TempDir())
		f.ResetCounts()
		tree := f.machine(f.TempDir())
		f.sizes(tree)
		for i := range 400 {
			f.must(put(f.Context(), tree, "/d/new", fmt.Sprint(i)))
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		indexes := 0
		for _, r := range f.Requests() {
			if strings.Contains(r, "PUT") && strings.Contains(r, "_i.index") {
				indexes++
			}
		}
		if indexes < 2 || indexes > 3 {
			f.Errorf("%d indexes in seven minutes of writing, want two or three", indexes)
		}
	})
}

// TestClosedTree: a closed tree goes on, with nothing behind it.
func TestClosedTree(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		dir := f.TempDir()
		f.many(dir)
		tree := f.machine(dir)
		f.must(tree.Close(f.Context()))
		f.listed("closed", tree, nil)
		f.must(put(context.Background(), tree, "/d/1", "content 1"))
		f.must(tree.Close(f.Context()))
		if left, _ := filepath.Glob(filepath.Join(dir, "new-*")); len(left) > 0 {
			f.Errorf("left: %q", left)
		}
		fi, err := tree.Stat(f.Context(), "/d/1")
		f.must(err)
		file, err := tree.Open(f.Context(), "/d/1", fi)
		f.must(err)
		defer file.Close()
		if data, err := io.ReadAll(file); err != nil || string(data) != "content 1" {
			f.Errorf("%q, %v", data, err)
		}
		_ = os.RemoveAll(dir)
		f.listed("without its directory", f.machine(dir), nil)
	})
}
