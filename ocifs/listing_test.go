package ocifs_test

import (
	"fmt"
	"testing"
	"time"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestLargeDirectory: what a large directory costs, in requests and in rounds of them at 40 ms each, over a registry that gives
// lists of tags whole and over one that gives them in pages.
func TestLargeDirectory(t *testing.T) {
	const round = 40 * time.Millisecond
	for name, c := range map[string]struct {
		defects registrytest.Defects
		n       int
		pages   int
	}{
		"distribution 2.8": {registrytest.Defects{IgnorePaging: true, NoTagDelete: 400, Latency: round}, 2_000, 1},
		"in pages":         {registrytest.Defects{Latency: round}, 2_000, 3}, // as for up to 11,000
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, c.defects, func(f *fake) {
				f.change = func(o *ocifs.Options) { o.Freshness = 2 * time.Second }
				ctx, n := f.Context(), c.n
				first := f.machine(f.TempDir())
				f.must(first.Mkdir(ctx, "/d", nil))
				for i := range n {
					f.pushForeign("d", fmt.Sprint(i), fmt.Sprint(i))
				}
				list := func(what string, tree *ocifs.FS, want, budget int, most time.Duration) {
					f.Helper()
					f.ResetCounts()
					began := time.Now()
					if got := f.names(tree, "/d"); len(got) != want {
						f.Errorf("%s: %d members, want %d", what, len(got), want)
					}
					if took := time.Since(began); took > most {
						f.Errorf("%s takes %v by rounds, want %v at most", what, took, most)
					}
					f.budget(what, budget)
				}
				time.Sleep(time.Minute) // what it knows by its own Mkdir is old by then
				list("cold: the name, the list, the manifests", first, n, 1+c.pages+n, time.Duration(n/16+4+c.pages)*round)
				f.must(first.Close(ctx))

				next := f.machine(f.TempDir())
				list("cold on a new machine: the name, the list, the index", next, n, 2+c.pages+2, 1500*time.Millisecond)
				time.Sleep(5 * time.Minute) // until what the index has said is asked for
				f.pushForeign("d", "new", "new")
				list("what is known: the name, the list, what is new", next, n+1, 1+c.pages+1, 1500*time.Millisecond)
				f.ResetCounts()
				time.Sleep(10 * time.Second)
				if asked := len(f.Requests()); asked < 100 || asked > 500 {
					f.Errorf("%d questions behind in ten seconds, want 50 in a second at most", asked)
				}
			})
		})
	}
}

// TestRevalidationBudget: a directory of ten pages of files that is known is listed again by its list of names and by the
// question whether it is there still. Where the registry gives no long pages the directory index makes another one.
func TestRevalidationBudget(t *testing.T) {
	const page, n = 200, 10 * 200 // as 10,000 are where a page has 1,000
	for name, c := range map[string]struct {
		noIndex bool
		pages   int
	}{"files alone": {true, n / page}, "with the index": {false, n/page + 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, registrytest.Defects{PageSize: page}, func(f *fake) {
				f.change = func(o *ocifs.Options) { o.Freshness, o.NoIndex = 2*time.Second, c.noIndex }
				tree := f.machine(f.TempDir())
				f.must(tree.Mkdir(f.Context(), "/d", nil))
				for i := range n {
					f.pushForeign("d", fmt.Sprint(i), fmt.Sprint(i))
				}
				time.Sleep(time.Minute) // what it knows by its own Mkdir is old by then
				f.names(tree, "/d")
				time.Sleep(time.Hour) // until its bundle is written, and no answer is fresh
				f.ResetCounts()
				if got := len(f.names(tree, "/d")); got != n {
					f.Errorf("%d members, want %d", got, n)
				}
				f.budget("what is known: the list and the marker", c.pages+1)
			})
		})
	}
}
