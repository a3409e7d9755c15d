package ocifs_test

import (
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
