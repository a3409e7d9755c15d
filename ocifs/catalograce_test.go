package ocifs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"testing"
	"time"

	"ocidav/ocifs/registrytest"
)

// TestCatalogIsToldMeanwhile: what is told to have changed while the registry is asked is not buried by the answer, be it a new
// repository or something new in one that was dead.
func TestCatalogIsToldMeanwhile(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.discovering("")
		ctx, tree := f.Context(), f.tree()
		f.must(tree.Mkdir(ctx, "/dead", nil))
		f.must(put(ctx, tree, "/dead/f", "x"))
		f.must(tree.RemoveAll(ctx, "/dead", nil))
		f.settle()
		time.Sleep(time.Hour)
		for repo, question := range map[string]string{"new": "/_catalog", "dead": "/dead/tags/list"} {
			before := f.names(tree, "/")
			time.Sleep(time.Hour)
			f.Fail(registrytest.Match{Path: question}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
				serve(w, r)
				f.pushForeign(repo, "v1", "a", "b")
				tree.Forget(repo, "v1")
			}, 1)
			f.names(tree, "/") // may or may not show it
			want := append(before, repo)
			slices.Sort(want)
			if got := f.names(tree, "/"); !slices.Equal(got, want) {
				f.Errorf("%s: shown are %q, want %q", repo, got, want)
			}
		}
	})
}

// TestCatalogAsksAtOnce: however many repositories others have, and however many tombstones a removed directory has left, they are
// asked about some at a time and not one after the other.
func TestCatalogAsksAtOnce(t *testing.T) {
	const n, latency = 320, 10 * time.Millisecond
	quick := func(f *fake, what string, do func()) {
		f.Helper()
		f.ResetCounts()
		began := time.Now()
		do()
		if took, most := time.Since(began), (2*n/16+10)*latency; took > most { // the bubble's time: rounds of requests
			f.Errorf("%s takes %s for %d requests, want %s at most", what, took, len(f.Requests()), most)
		}
	}
	inBubble(t, registrytest.Defects{Latency: latency}, func(f *fake) {
		f.discovering("")
		for i := range n {
			f.pushForeign(fmt.Sprint("repo-", i), "v1", "a", "b")
		}
		quick(f, "a listing of many repositories", func() {
			if got := f.names(f.tree(), "/"); len(got) != n {
				f.Errorf("%d of %d are shown", len(got), n)
			}
		})
	})
	inBubble(t, registrytest.Defects{Latency: latency, NoDelete: true}, func(f *fake) {
		f.discovering("")
		ctx, tree := f.Context(), f.tree()
		f.fill(tree, "/d", n)
		f.must(tree.RemoveAll(ctx, "/d", nil))
		f.settle()
		quick(f, "a look at a removed directory", func() {
			if _, err := f.tree().Stat(ctx, "/d"); !errors.Is(err, fs.ErrNotExist) {
				f.Error(err)
			}
		})
	})
}

// TestCatalogOfOtherRegistries: zot lists nothing behind a name that is no repository; and a registry that gives the same page again
// and again is left.
func TestCatalogOfOtherRegistries(t *testing.T) {
	for what, fault := range map[string]func(*fake) registrytest.Fault{
		"nothing behind": func(f *fake) registrytest.Fault {
			return func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
				if last := r.URL.Query().Get("last"); last != "" && !slices.Contains(f.Repositories(), last) {
					fmt.Fprint(w, `{"repositories":[]}`)
					return
				}
				serve(w, r)
			}
		},
		"the same": func(f *fake) registrytest.Fault {
			return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
				w.Header().Set("Link", `</v2/_catalog?n=2&last=x>; rel="next"`)
				fmt.Fprint(w, `{"repositories":["beside","team/charts/app"]}`)
			}
		},
	} {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			f.pushForeign("team/charts/app", "v1", "a", "b")
			f.pushForeign("beside", "v1", "a", "b")
			f.discovering("team")
			f.Fail(registrytest.Match{Path: "/_catalog"}, fault(f), 0)
			if got := f.names(f.tree(), "/"); !slices.Equal(got, []string{"charts"}) {
				f.Errorf("%s: shown are %q", what, got)
			}
			if n := f.Count("GET catalog"); n > 2 {
				f.Errorf("%s: it is asked for %d times", what, n)
			}
		})
	}
}
