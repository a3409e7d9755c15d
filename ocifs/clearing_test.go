package ocifs_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// gate holds requests until it is opened, and counts those that it holds.
type gate struct {
	open chan struct{}
	held atomic.Int32
}

// hold makes requests that match wait at a gate, so many of them, or all if times is zero.
func (f *fake) hold(match registrytest.Match, times int) *gate {
	g := &gate{open: make(chan struct{})}
	f.Fail(match, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
		g.held.Add(1)
		defer g.held.Add(-1)
		select {
		case <-g.open:
			serve(w, r)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}, times)
	return g
}

// fill makes a directory with n members past the protocol.
func (f *fake) fill(tree *ocifs.FS, dir string, n int) {
	f.Helper()
	f.must(tree.Mkdir(f.Context(), dir, nil))
	f.must(put(f.Context(), tree, dir+"/m", "content"))
	manifest := f.Manifest(dir[1:], "m")
	for i := range n - 1 {
		f.PutManifest(dir[1:], fmt.Sprintf("m%05d", i), "", manifest)
	}
}

// TestRemoveAllAnswersFirst: a directory is gone when its marker is, however many members it has and however the
// registry removes; they go behind the answer, and a directory of that name is made when they are gone.
func TestRemoveAllAnswersFirst(t *testing.T) {
	for name, d := range map[string]registrytest.Defects{
		"tags": {}, "digests": {NoTagDelete: http.StatusBadRequest}, "tombstones": {NoDelete: true},
	} {
		n := 1000
		if name == "tags" {
			n = 10_000
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, d, func(f *fake) {
				ctx, tree := f.Context(), f.tree()
				f.fill(tree, "/d", n)
				behind := f.hold(registrytest.Match{Path: "^/v2/d/"}, 0)
				f.ResetCounts()
				start := time.Now()
				f.must(tree.RemoveAll(ctx, "/d", nil))
				if time.Since(start) > 0 { // of the bubble's clock: it has waited for the gate
					f.Error("the answer waits for the members")
				}
				synctest.Wait()
				if got := len(f.Requests()); got > 12 {
					f.Errorf("%d requests at the answer: %q", got, f.Requests())
				}
				if got := len(f.tagsOf("d")); got != n {
					f.Errorf("%d members are left behind a closed gate, want %d", got, n)
				}
				if got := f.names(f.tree(), "/"); len(got) != 0 {
					f.Errorf("there is %q at the answer", got)
				}
				var made atomic.Bool
				done := make(chan error)
				go func() {
					err := tree.Mkdir(ctx, "/d", nil)
					made.Store(true)
					done <- err
				}()
				f.must(tree.Mkdir(ctx, "/e", nil)) // others do not wait
				synctest.Wait()
				if made.Load() {
					f.Error("the directory is made again before the members of the old one are gone")
				}
				close(behind.open)
				f.must(<-done)
				f.must(put(ctx, tree, "/d/m00001", "new"))
				f.settle()
				if got := f.tagsOf("d"); !slices.Equal(got, []string{"m00001"}) {
					f.Errorf("in the new directory are %d tags: %.5q", len(got), got)
				}
			})
		})
	}
}

// TestCloseEndsClearing: when the process ends what is not cleared is left, and goes when the directory is made again.
func TestCloseEndsClearing(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.fill(tree, "/d", 50)
		behind := f.hold(registrytest.Match{Method: "DELETE", Path: "^/v2/d/", Skip: 20}, 0)
		f.must(tree.RemoveAll(ctx, "/d", nil))
		synctest.Wait() // it has begun
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := tree.Mkdir(short, "/d", nil); classOf(err) != davfs.ClassTimeout {
			f.Errorf("Mkdir that waits for the clearing: error %v", err)
		}
		if err := tree.Close(short); err == nil {
			f.Error("Close does not say that something is left")
		}
		if n := len(f.Tags("d")); n == 0 || n > 30 {
			f.Errorf("%d of 50 members are left", n)
		}
		f.Heal()
		synctest.Wait() // for the registry to hear of the end of what was on its way
		left := len(f.Tags("d"))
		close(behind.open)
		time.Sleep(10 * time.Minute)
		if n := len(f.Tags("d")); n != left {
			f.Errorf("after Close %d members more are removed", left-n)
		}
		f.must(tree.Mkdir(ctx, "/e", nil))
		f.must(put(ctx, tree, "/e/f", "x"))
		f.must(tree.RemoveAll(ctx, "/e", nil)) // by itself now
		if n := len(f.Tags("e")); n != 0 {
			f.Errorf("after Close RemoveAll leaves %d tags", n)
		}
		f.must(f.tree().Mkdir(ctx, "/d", nil))
		if got := f.names(f.tree(), "/d"); len(got) != 0 {
			f.Errorf("%d members came back", len(got))
		}
	})
}

// TestClearingSeesAnotherServer: while one server clears, another makes the directory again. What it is told to store
// there stays.
func TestClearingSeesAnotherServer(t *testing.T) {
	for name, d := range map[string]registrytest.Defects{"tags": {}, "tombstones": {NoDelete: true}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, d, func(f *fake) {
				f.change = func(o *ocifs.Options) { o.Parallel = 4 }
				ctx, a := f.Context(), f.tree()
				f.fill(a, "/d", 40)
				removal := "DELETE"
				if d.NoDelete {
					removal = "PUT"
				}
				late := f.hold(registrytest.Match{Method: removal, Path: "^/v2/d/manifests/m", Skip: 4}, 1)
				f.must(a.RemoveAll(ctx, "/d", nil))
				synctest.Wait()
				if late.held.Load() == 0 {
					t.Fatal("the clearing is not at the gate")
				}
				b := f.tree()
				f.must(b.Mkdir(ctx, "/d", nil))
				for i := range 5 {
					f.must(put(ctx, b, fmt.Sprintf("/d/m%05d", 30+i), "new"))
				}
				close(late.open)
				f.settle()
				if got := f.names(f.tree(), "/d"); len(got) != 5 {
					t.Errorf("of 5 new members there are %q", got)
				}
			})
		})
	}
}

// TestClearingInTurn: a directory whose clearing has not begun is made again without waiting for that of others.
func TestClearingInTurn(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		const n = 20
		for i := range n {
			f.fill(tree, fmt.Sprint("/d", i), 3)
		}
		others := f.hold(registrytest.Match{Path: "^/v2/d[0-9]/"}, 0)
		for i := range n {
			f.must(tree.RemoveAll(ctx, fmt.Sprint("/d", i), nil))
		}
		synctest.Wait()
		f.must(tree.Mkdir(ctx, "/d19", nil))
		f.must(put(ctx, tree, "/d19/m", "new"))
		close(others.open)
		f.settle()
		for i := range n {
			want := 0
			if i == 19 {
				want = 1
			}
			if got := f.tagsOf(fmt.Sprint("d", i)); len(got) != want {
				f.Errorf("in d%d are %q, want %d", i, got, want)
			}
		}
	})
}

// TestCopyWaitsForClearing: a copy into the place of a removed directory, or of one removed below it before, holds what
// was copied, all of it and nothing else.
func TestCopyWaitsForClearing(t *testing.T) {
	for _, repo := range []string{"d", "d/sub"} {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			ctx, tree := f.Context(), f.tree()
			for _, dir := range []string{"/d", "/d/sub", "/src", "/src/sub"} {
				f.must(tree.Mkdir(ctx, dir, nil))
				for i := range 3 {
					f.must(put(ctx, tree, fmt.Sprintf("%s/%d%s", dir, i, dir[1:2]), "of "+dir))
					f.must(put(ctx, tree, fmt.Sprintf("%s/%d", dir, i), "of "+dir))
				}
			}
			behind := f.hold(registrytest.Match{Method: "DELETE", Path: "^/v2/" + repo + "/manifests/"}, 4)
			if repo == "d/sub" {
				f.must(tree.RemoveAll(ctx, "/d/sub", nil))
			}
			f.must(tree.RemoveAll(ctx, "/d", nil))
			done := make(chan error)
			go func() { done <- tree.Rename(ctx, "/src", "/d", nil) }()
			synctest.Wait()
			close(behind.open)
			f.must(<-done)
			f.settle()
			got := f.snapshot(f.tree(), "/d")
			if len(got) != 13 {
				f.Errorf("%d members: %v", len(got), got)
			}
			for name, content := range got {
				if !strings.HasSuffix(name, "/") && !strings.HasPrefix(content, "of /src") {
					f.Errorf("%s is %q", name, content)
				}
			}
		})
	}
}

// TestNestedOrphans: what a crash left under a removed directory does not come back with it, nor with one below it.
func TestNestedOrphans(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		for _, dir := range []string{"/a", "/a/b", "/a/b/c"} {
			f.must(tree.Mkdir(ctx, dir, nil))
			f.must(put(ctx, tree, dir+"/old", "old"))
		}
		// b is removed and its clearing dies, then a is, and its own dies.
		f.Fail(registrytest.Match{Method: "DELETE", Path: "^/v2/a/(b/|manifests/old)"}, registrytest.Status(403, "DENIED"), 0)
		f.must(tree.RemoveAll(ctx, "/a/b", nil))
		f.must(tree.RemoveAll(ctx, "/a", nil))
		f.settle()
		f.Heal()
		if n := len(f.Tags("a")) + len(f.Tags("a/b")) + len(f.Tags("a/b/c")); n < 4 {
			t.Fatalf("%d orphans, the faults have not left enough", n)
		}

		g := f.fork(registrytest.Defects{})
		defer g.close()
		for _, dir := range []string{"/src", "/src/b"} {
			f.must(g.tree().Mkdir(ctx, dir, nil))
			f.must(put(ctx, g.tree(), dir+"/new", "new"))
		}
		f.must(copyTo(ctx, g.tree(), "/src", "/a"))
		if got := g.snapshot(g.tree(), "/a"); len(got) != 3 {
			f.Errorf("a copy to their place holds %v", got)
		}

		tree = f.tree()
		for _, dir := range []string{"/a", "/a/b", "/a/b/c"} {
			f.must(tree.Mkdir(ctx, dir, nil))
			if got := f.names(f.tree(), dir); len(got) != 0 {
				f.Errorf("%s holds %q when it is made", dir, got)
			}
		}
	})
}

// TestRemoveAllLeavesNothing: nothing of a removed or moved tree is left in the registry, however deep, and nothing of
// what a directory replaced.
func TestRemoveAllLeavesNothing(t *testing.T) {
	for _, op := range changes {
		if !strings.HasPrefix(op.name, "RemoveAll") && !strings.HasPrefix(op.name, "Rename") {
			continue
		}
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			f.world()
			f.must(op.do(f.Context(), f.tree()))
			f.settle()
			files, hidden := len(f.snapshot(f.tree(), "/")), 0
			if f.Manifest("x.root", "t") != nil && f.Manifest("x.root", "_d.t") != nil {
				hidden = 1 // under /t
			}
			if got := len(f.state()); got != files+hidden {
				t.Errorf("%s leaves %d tags, there are %d names: %q", op.name, got, files+hidden, slices.Sorted(maps.Keys(f.state())))
			}
		})
	}
}
