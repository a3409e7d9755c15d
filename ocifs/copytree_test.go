package ocifs_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestTreesAreParallel: many small directories are copied with as many requests at once as one large one, and never
// with more.
func TestTreesAreParallel(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.must(tree.Mkdir(ctx, "/src", nil))
		const dirs, files, parallel = 100, 5, 16
		for i := range dirs {
			dir := fmt.Sprint("/src/", i)
			f.must(tree.Mkdir(ctx, dir, nil))
			for j := range files {
				f.must(put(ctx, tree, fmt.Sprintf("%s/%d", dir, j), "content"))
			}
		}
		manifests := f.hold(registrytest.Match{Method: "PUT", Path: "^/v2/dst/"}, 0)
		done := make(chan error)
		go func() { done <- copyTo(ctx, tree, "/src", "/dst") }()
		synctest.Wait()
		if got := manifests.held.Load(); got != parallel {
			t.Errorf("%d manifests are on their way at once, want %d", got, parallel)
		}
		close(manifests.open)
		f.must(<-done)

		f.Heal()
		var now, most atomic.Int32
		f.Fail(registrytest.Match{}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Millisecond)
			serve(w, r)
			now.Add(-1)
		}, 0)
		f.must(copyTo(ctx, f.tree(), "/src", "/dst2"))
		if most.Load() > parallel {
			t.Errorf("%d requests at once, want %d at most", most.Load(), parallel)
		}
		f.must(copyTo(ctx, f.tree(), "/src", "/dst")) // over what is there
		if most.Load() > parallel {
			t.Errorf("%d requests at once, want %d at most", most.Load(), parallel)
		}
		f.Heal()
		want := len(f.snapshot(f.tree(), "/src"))
		for _, dir := range []string{"/dst", "/dst2"} {
			if got := len(f.snapshot(f.tree(), dir)); got != want || want != dirs*(files+1) {
				t.Errorf("%s has %d members, want %d", dir, got, want)
			}
		}
	})
}

// TestCopyIsInNobodysWay: while a directory is copied what lies elsewhere is written, and the source is read.
func TestCopyIsInNobodysWay(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.world()
		slow := f.hold(registrytest.Match{Method: "PUT", Path: "^/v2/new/"}, 0)
		done := make(chan error)
		go func() { done <- copyTo(ctx, tree, "/d", "/new") }()
		synctest.Wait()
		if slow.held.Load() == 0 {
			t.Fatal("the copy is not at the gate")
		}
		f.must(put(ctx, tree, "/other", "x"))
		f.must(put(ctx, tree, "/t/other", "x"))
		f.must(tree.Rename(ctx, "/f", "/t/f", nil))
		f.must(tree.RemoveAll(ctx, "/t", nil))
		f.must(tree.Mkdir(ctx, "/t", nil))
		if got := f.names(tree, "/d"); len(got) != 4 {
			t.Errorf("the source has %q", got)
		}
		close(slow.open)
		f.must(<-done)
	})
}

// TestFailedCopyIsCleared: what a copy has brought that came to no end goes again, and the quota with it.
func TestFailedCopyIsCleared(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.world()
		before := f.state()
		f.Fail(registrytest.Match{Method: "PUT", Path: "/new/sub/manifests/"}, registrytest.Status(507), 0)
		if err := copyTo(f.Context(), f.tree(), "/d", "/new"); err == nil {
			t.Error("the copy succeeds")
		}
		f.settle()
		if !maps.Equal(f.state(), before) {
			t.Errorf("there is %v, want %v", slices.Sorted(maps.Keys(f.state())), slices.Sorted(maps.Keys(before)))
		}
	})
}

// TestPartialError: a directory that takes another's place says which members have failed if anything has changed, and
// only then. The source is as it was.
func TestPartialError(t *testing.T) {
	for name, c := range map[string]struct {
		match registrytest.Match
		want  []string // nil: a single failure
	}{
		"one member":         {registrytest.Match{Method: "PUT", Path: "^/v2/t/manifests/_.b_20c$"}, []string{"/t/b c"}},
		"a directory":        {registrytest.Match{Method: "PUT", Path: "^/v2/t/sub/manifests/c$"}, []string{"/t/sub"}},
		"the properties":     {registrytest.Match{Method: "PUT", Path: "^/v2/x.root/manifests/_d.t$"}, []string{"/t"}},
		"what does not stay": {registrytest.Match{Method: "PUT DELETE", Path: "^/v2/t/manifests/old$"}, []string{"/t/old"}},
		"everything":         {registrytest.Match{Method: "POST PUT DELETE"}, nil},
		"reading it":         {registrytest.Match{Method: "GET", Path: "^/v2/d/sub/tags/list$"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for what, do := range map[string]func(f *fake, tree *ocifs.FS) error{
				"Copy":   func(f *fake, tree *ocifs.FS) error { return copyTo(f.Context(), tree, "/d", "/t") },
				"Rename": func(f *fake, tree *ocifs.FS) error { return tree.Rename(f.Context(), "/d", "/t", nil) },
			} {
				inBubble(t, registrytest.Defects{}, func(f *fake) {
					f.change = func(o *ocifs.Options) { o.Parallel = 1 }
					f.world()
					before, state := f.snapshot(f.tree(), "/d"), f.state()
					f.Fail(c.match, registrytest.Status(403, "DENIED"), 0)
					err := do(f, f.tree())
					f.settle()
					f.Heal()
					var part interface{ Members() map[string]error }
					var got []string
					if errors.As(err, &part) {
						got = slices.Sorted(maps.Keys(part.Members()))
					}
					if err == nil || !slices.Equal(got, c.want) || classOf(err) == "" {
						t.Errorf("%s: members %q failed, want %q: %v", what, got, c.want, err)
					}
					if c.want == nil && !maps.Equal(f.state(), state) {
						t.Errorf("%s: something has changed", what)
					}
					if got := f.snapshot(f.tree(), "/d"); !maps.Equal(got, before) {
						t.Errorf("%s: the source is %v, was %v", what, got, before)
					}
				})
			}
		})
	}
}
