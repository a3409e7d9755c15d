package ocifs_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestListKeepsUp: what is written here, and what a registry tells of, is put to the list that is known, which is not asked
// for again but for very many changes.
func TestListKeepsUp(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, other := f.Context(), f.tree()
		f.change = func(o *ocifs.Options) { o.Freshness = ocifs.Told }
		tree := f.tree()
		f.must(tree.Mkdir(ctx, "/d", nil))
		f.must(put(ctx, tree, "/d/m", "m"))
		want := map[string]bool{"m": true}
		lists := func(what string, asked int) {
			f.Helper()
			f.ResetCounts()
			if got, names := f.names(tree, "/d"), slices.Sorted(maps.Keys(want)); !slices.Equal(got, names) {
				f.Errorf("%s: listed are %q, want %q", what, got, names)
			}
			if got := f.Count("GET tags"); got != asked {
				f.Errorf("%s: the list is asked for %d times, want %d", what, got, asked)
			}
		}
		lists("Mkdir has asked for it", 0)
		for _, name := range []string{"z", "a", "n"} {
			f.must(put(ctx, tree, "/d/"+name, name))
			want[name] = true
			lists("our file "+name, 0)
		}
		f.must(put(ctx, tree, "/d/a", "another"))
		lists("our file over a file", 0)
		f.must(tree.Mkdir(ctx, "/d/sub", nil))
		want["sub"] = true
		lists("our directory", 0)
		f.must(tree.RemoveAll(ctx, "/d/n", nil))
		delete(want, "n")
		lists("ours is removed", 0)
		f.must(put(ctx, tree, "/d/n", "again"))
		want["n"] = true
		lists("ours is there again", 0)

		f.must(put(ctx, other, "/d/b", "b"))
		tree.Changed("d", "b")
		want["b"] = true
		lists("we are told of a file", 0)
		f.must(other.RemoveAll(ctx, "/d/m", nil))
		tree.Changed("d", "m")
		delete(want, "m")
		lists("we are told of a removal", 0)

		for i := range 2000 {
			tree.Changed("d", fmt.Sprint("gone-", i))
		}
		f.must(put(ctx, tree, "/d/y", "y"))
		want["y"] = true
		lists("very many changes", 1)
		if got := f.Count("GET manifest", "HEAD manifest"); got > 0 {
			f.Errorf("%d questions after what has gone", got)
		}
		lists("after them", 0)
	})
}

// TestListUnderWay: a list that the registry made before a change, and that comes after it, is not kept.
func TestListUnderWay(t *testing.T) {
	for what, told := range map[string]bool{"ours": false, "told": true} {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			ctx, other := f.Context(), f.tree()
			f.change = func(o *ocifs.Options) { o.Freshness = time.Minute }
			f.must(other.Mkdir(ctx, "/d", nil))
			f.must(put(ctx, other, "/d/a", "a"))
			for _, known := range []bool{false, true} {
				tree, name := f.tree(), fmt.Sprintf("known-%v", known)
				if known {
					f.names(tree, "/d")
					time.Sleep(time.Hour)
				}
				open, listed := make(chan struct{}), make(chan struct{})
				f.Fail(registrytest.Match{Path: "/tags/list"}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
					answer := httptest.NewRecorder()
					serve(answer, r)
					<-open
					maps.Copy(w.Header(), answer.Header())
					w.WriteHeader(answer.Code)
					_, _ = w.Write(answer.Body.Bytes())
				}, 1)
				go func() {
					defer close(listed)
					f.names(tree, "/d")
				}()
				synctest.Wait()
				if told {
					f.must(put(ctx, other, "/d/"+name, "b"))
					tree.Changed("d", name)
				} else {
					f.must(put(ctx, tree, "/d/"+name, "b"))
				}
				close(open)
				<-listed
				if got := f.names(tree, "/d"); !slices.Contains(got, name) {
					f.Errorf("%s, %s: listed are %q", what, name, got)
				}
			}
		})
	}
}

// TestListForgetsTheGone: tags that have gone are not asked about for ever, where a list is kept without limit of time.
func TestListForgetsTheGone(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		const n = 3000
		f.change = func(o *ocifs.Options) { o.Freshness = ocifs.Told }
		ctx := f.Context()
		f.fill(f.tree(), "/d", n)
		tree := f.tree()
		f.names(tree, "/d")
		for i := range n - 1 {
			f.must(tree.RemoveAll(ctx, fmt.Sprintf("/d/m%05d", i), nil))
		}
		f.settle()
		tree.Changed("elsewhere", digestOf("something").String()) // after which it is not known any more what is under any tag
		f.ResetCounts()
		if got := f.names(tree, "/d"); !slices.Equal(got, []string{"m"}) {
			f.Errorf("listed are %d", len(got))
		}
		if asked := len(f.Requests()); asked > 1000+10 {
			f.Errorf("%d requests for a directory with one file", asked)
		}
	})
}
