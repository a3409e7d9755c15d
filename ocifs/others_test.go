package ocifs_test

import (
	"errors"
	"io/fs"
	"maps"
	"testing"
	"time"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestOthersWrites: what an OCI client or a second server pushes, moves to another manifest or deletes is seen after Freshness:
// by who looks at a name, and by the listing of a small directory, which asks for all of it in one round; bundling_test.go has
// large ones. What is not there is remembered as long, and who looks at one name never reads the list of its directory for it.
func TestOthersWrites(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		const freshness = 2 * time.Second
		ctx := f.Context()
		f.change = func(o *ocifs.Options) { o.Freshness = freshness }
		tree, other := f.tree(), f.tree()
		f.must(other.Mkdir(ctx, "/d", nil))
		for _, name := range []string{"kept", "overwritten", "retagged", "removed"} {
			f.must(put(ctx, other, "/d/"+name, "old"))
		}
		sizes := func(what string, want map[string]int64, budget int) {
			f.Helper()
			f.ResetCounts()
			if got := f.sizes(tree); !maps.Equal(got, want) {
				f.Errorf("%s: %v, want %v", what, got, want)
			}
			f.budget(what, budget)
		}
		before := map[string]int64{"kept": 3, "overwritten": 3, "retagged": 3, "removed": 3}
		sizes("first: the name, the list, the files", before, 2+1+4)
		f.ResetCounts()
		if _, err := tree.Stat(ctx, "/d/pushed"); !errors.Is(err, fs.ErrNotExist) {
			f.Error(err)
		}
		f.budget("what a fresh list does not have", 0)

		f.must(put(ctx, other, "/d/overwritten", "by a server"))
		f.must(other.RemoveAll(ctx, "/d/removed", nil))
		f.pushForeign("d", "pushed", "pushed")
		f.pushForeign("d", "retagged", "retagged")
		sizes("at once", before, 0)

		time.Sleep(freshness)
		pushed := int64(len("content of pushed"))
		after := map[string]int64{"kept": 3, "overwritten": 11, "retagged": pushed + 2, "pushed": pushed}
		sizes("after Freshness: the name, the list, HEAD of three, GET of two that have changed and one new", after, 1+1+3+3)

		time.Sleep(freshness)
		f.must(put(ctx, other, "/d/kept", "by a server"))
		f.pushForeign("d", "late", "late")
		f.ResetCounts()
		for name, want := range map[string]int64{"/d/kept": 11, "/d/late": int64(len("content of late")), "/d/pushed": pushed} {
			fi, err := tree.Stat(ctx, name)
			if f.must(err); fi.Size() != want {
				f.Errorf("%s has %d bytes, want %d", name, fi.Size(), want)
			}
		}
		for range 3 {
			if _, err := tree.Stat(ctx, "/d/absent"); !errors.Is(err, fs.ErrNotExist) {
				f.Error(err)
			}
		}
		if n := f.Count("GET tags"); n > 0 {
			f.Errorf("who looks at names reads the list %d times", n)
		}
		f.budget("Stat of four: two tags each, the directory, what has changed", 4*2+1+1)
	})
}
