package ocifs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// forest makes n directories of three members each, and some files in the root, and gives what each of them holds.
func (f *fake) forest(n int) map[string][]string {
	f.Helper()
	tree, ctx := f.tree(), f.Context()
	all := map[string][]string{"/": {}}
	for i := range n {
		dir := fmt.Sprintf("/d%d", i)
		f.must(tree.Mkdir(ctx, dir, nil))
		all["/"] = append(all["/"], dir[1:])
		for _, name := range []string{"Makefile", "a b", fmt.Sprint("f", i)} {
			f.must(put(ctx, tree, dir+"/"+name, name))
			all[dir] = append(all[dir], name)
		}
	}
	for _, name := range []string{"0", "Z", "_f.x", "f0", "zz", ".hidden"} {
		f.must(put(ctx, tree, "/"+name, name))
		all["/"] = append(all["/"], name)
	}
	for dir := range all {
		slices.Sort(all[dir])
	}
	f.ResetCounts()
	return all
}

// walk lists all directories and compares them.
func (f *fake) holds(what string, tree *ocifs.FS, want map[string][]string) {
	f.Helper()
	for _, dir := range slices.Sorted(maps.Keys(want)) {
		if got := f.names(tree, dir); !slices.Equal(got, want[dir]) {
			f.Errorf("%s: %s holds %q, want %q", what, dir, got, want[dir])
		}
	}
}

// lists counts the requests for lists of tags, and begins a new count.
func (f *fake) lists() int {
	n := 0
	for _, r := range f.Requests() {
		if strings.Contains(r, "/tags/list") {
			n++
		}
	}
	f.ResetCounts()
	return n
}

func flat(o *ocifs.Options) { o.Layout, o.Freshness = ocifs.LayoutFlat, 2*time.Second }

// TestFlatListings: whatever order a registry lists in, and whatever it makes of a last that is no tag, no name is lost:
// not by who has never listed, nor by who knows how it lists, nor while others write.
func TestFlatListings(t *testing.T) {
	for _, order := range []string{"", registrytest.OrderFolded, registrytest.OrderNatural, registrytest.OrderReversed, registrytest.OrderAny} {
		for _, last := range []string{"", registrytest.LastIgnored, registrytest.LastRefused, registrytest.LastNothing} {
			for _, size := range []int{4, 30} { // more than wholePages, and some
				if size != 4 && last != "" && order != "" {
					continue
				}
				t.Run(fmt.Sprintf("order=%s,last=%s,size=%d", order, last, size), func(t *testing.T) {
					t.Parallel()
					inBubble(t, registrytest.Defects{TagOrder: order, LastUnknown: last, PageSize: size}, func(f *fake) {
						f.change = flat
						want, ctx := f.forest(22), f.Context()
						tree := f.tree()
						f.holds("first", tree, want)
						f.holds("in a row", tree, want)
						other := f.tree()
						for i := range 3 {
							time.Sleep(time.Minute)
							dir := fmt.Sprintf("/d%d", i)
							f.must(put(ctx, other, dir+"/New", "new"))
							f.must(other.RemoveAll(ctx, dir+"/Makefile", nil))
							want[dir][0] = "New"
							f.holds("alone", tree, map[string][]string{dir: want[dir], "/": want["/"]})
						}
						f.holds("at the end", f.tree(), want)
						f.must(other.RemoveAll(ctx, "/d7", nil))
						f.settle()
						f.must(f.tree().Mkdir(ctx, "/d7", nil))
						want["/d7"] = []string{}
						f.holds("made again", f.tree(), want)
					})
				})
			}
		}
	}
}

// TestFlatPages: a tree that fits in a page is one question for all who ask within Freshness; of a longer one a directory
// is asked for alone; and a walk costs no more than that, nor than twice the whole list.
func TestFlatPages(t *testing.T) {
	const n = 40 // directories, and 166 tags
	for _, c := range []struct{ size, first, alone, root, walk int }{
		{1000, 1, 1, 1, 1},
		{30, 6, 1, 4, 5 + 6},
		{4, 21, 2, 14, n*2 + 14},
	} {
		t.Run(fmt.Sprint(c.size), func(t *testing.T) {
			inBubble(t, registrytest.Defects{PageSize: c.size}, func(f *fake) {
				f.change = flat
				want := f.forest(n)
				tree := f.tree()
				check := func(what string, most int, dirs map[string][]string) {
					f.Helper()
					time.Sleep(time.Minute)
					f.ResetCounts()
					f.holds(what, tree, dirs)
					if got := f.lists(); got > most {
						f.Errorf("%s: %d pages, want %d at most", what, got, most)
					} else {
						f.Logf("%s: %d pages", what, got)
					}
				}
				one := func(dir string) map[string][]string { return map[string][]string{dir: want[dir]} }
				check("first", c.first+c.alone, one("/d7"))
				check("alone", c.alone, one("/d8"))
				check("root", c.root, one("/"))
				check("walk", c.walk, want)
			})
		})
	}
}

// TestFlatWalks: a directory is removed, made again, copied and moved by one list of all, where that has one page.
func TestFlatWalks(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = flat
		tree, ctx := f.tree(), f.Context()
		for _, dir := range []string{"/a", "/a/b", "/a/b/c", "/a/d", "/a/d/e"} {
			f.must(tree.Mkdir(ctx, dir, nil))
			f.must(put(ctx, tree, dir+"/f", dir))
		}
		f.ResetCounts()
		f.must(copyTo(ctx, tree, "/a", "/copy"))
		if got := f.lists(); got > 1 {
			f.Errorf("Copy takes %d lists", got)
		}
		f.must(tree.RemoveAll(ctx, "/a", nil))
		f.settle()
		if got := f.lists(); got > 1 {
			f.Errorf("RemoveAll takes %d lists", got)
		}
		if _, err := tree.Stat(ctx, "/a/b/f"); !errors.Is(err, fs.ErrNotExist) {
			f.Errorf("after RemoveAll: %v", err)
		}
		if got := f.names(f.tree(), "/copy/b/c"); !slices.Equal(got, []string{"f"}) {
			f.Errorf("the copy holds %q", got)
		}
	})
}

// TestFlatListingsAtOnce: whoever lists a directory while somebody asks for all of them sees it whole.
func TestFlatListingsAtOnce(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = flat
		want := f.forest(12)
		for range 20 {
			tree := f.tree()
			var wg sync.WaitGroup
			for dir, names := range want {
				for range 3 {
					wg.Go(func() {
						time.Sleep(time.Duration(rand.IntN(5)))
						if got := f.names(tree, dir); !slices.Equal(got, names) {
							f.Errorf("%s holds %q, want %q", dir, got, names)
						}
					})
				}
			}
			wg.Wait()
		}
	})
}
