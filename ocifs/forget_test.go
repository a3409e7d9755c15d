package ocifs_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestForget: what a notification tells of is asked for by whoever wants to know it next, and only that; a notification that
// has nothing to do with the tree changes nothing.
func TestForget(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx := f.Context()
		f.change = func(o *ocifs.Options) { o.Prefix = "team/drive" }
		other, tree := f.tree(), f.tree()
		f.must(other.Mkdir(ctx, "/d", nil))
		for _, name := range []string{"/d/1", "/d/2", "/d/3"} {
			f.must(put(ctx, other, name, "old"))
		}
		look := func(what string, names []string, want map[string]string, budget int) {
			f.Helper()
			f.ResetCounts()
			if got := f.names(tree, "/d"); !slices.Equal(got, names) {
				f.Errorf("%s: there are %q, want %q", what, got, names)
			}
			for name, size := range want {
				fi, err := tree.Stat(ctx, name)
				if f.must(err); fi.Size() != int64(len(size)) {
					f.Errorf("%s: %s has %d bytes, want those of %q", what, name, fi.Size(), size)
				}
			}
			f.budget(what, budget)
		}
		old := map[string]string{"/d/1": "old", "/d/2": "old", "/d/3": "old"}
		look("first: the name, the list, the files", []string{"1", "2", "3"}, old, 2+1+3)
		f.must(put(ctx, other, "/d/1", "overwritten"))
		f.must(put(ctx, other, "/d/2", "overwritten"))
		f.must(put(ctx, other, "/d/4", "new"))
		f.must(other.RemoveAll(ctx, "/d/3", nil))
		look("not told of", []string{"1", "2", "3"}, old, 0)
		for _, repo := range []string{"", "d", "team", "team/drive2/d", "team/drive/d2", strings.Repeat("x", 300)} {
			tree.Forget(repo, "1")
			tree.Forget(repo, "")
		}
		tree.Forget("team/drive/d", strings.Repeat("1", 200))
		look("told of others", []string{"1", "2", "3"}, old, 0)

		tree.Forget("team/drive/d", "1")
		f.budget("Forget", 0)
		now := map[string]string{"/d/1": "overwritten", "/d/2": "old", "/d/4": "new"}
		look("told of one tag: the list, the tag, the new one", []string{"1", "2", "4"}, now, 1+1+1)

		tree.Forget("team/drive/d", "sha256:"+strings.Repeat("0", 64))
		now["/d/2"] = "overwritten"
		look("told of a digest: the list, all that is known, what was overwritten", []string{"1", "2", "4"}, now, 1+3+1)

		f.must(other.RemoveAll(ctx, "/d", nil))
		tree.Forget("team/drive", "_d.d")
		if _, err := tree.Stat(ctx, "/d"); !errors.Is(err, fs.ErrNotExist) {
			f.Errorf("the directory that is gone is %v", err)
		}
	})
}

// TestForgetMany: that something has changed in a large directory costs its next listing the names; what stands under them is
// asked for behind, and by whoever looks at it.
func TestForgetMany(t *testing.T) {
	inBubble(t, registrytest.Defects{PageSize: 100}, func(f *fake) {
		f.many(f.TempDir())
		tree, other := f.machine(f.TempDir()), f.tree()
		f.listed("first", tree, nil)
		time.Sleep(time.Minute) // until what the index has said is asked for
		f.must(put(f.Context(), other, "/d/7", "overwritten"))
		f.must(put(f.Context(), other, "/d/9", "overwritten"))
		f.must(other.RemoveAll(f.Context(), "/d/8", nil))
		tree.Forget("d", "")
		fi, err := tree.Stat(f.Context(), "/d/9")
		if f.must(err); fi.Size() != 11 {
			f.Errorf("who looks at it sees %d bytes", fi.Size())
		}
		f.ResetCounts()
		f.listed("at once", tree, map[string]int64{"8": -1, "9": 11})
		f.budget("ReadDir: the list", manyFiles/100)
		time.Sleep(time.Minute)
		f.listed("after all has been asked", tree, map[string]int64{"8": -1, "9": 11, "7": 11})
	})
}
