package ocifs_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// busy has a user wait for the registry until he leaves.
func (f *fake) busy(tree *ocifs.FS) (leave func()) {
	f.Heal()
	user := f.hold(registrytest.Match{Method: "PUT", Path: "/manifests/slow$"}, 0)
	done := make(chan error)
	go func() { done <- put(f.Context(), tree, "/slow", "content") }()
	time.Sleep(time.Second)
	if user.held.Load() != 1 {
		f.Fatal("no user waits")
	}
	return func() {
		close(user.open)
		f.must(<-done)
	}
}

const eachTakes = 10 * time.Millisecond // a turn is two of these, one after the other, and a rest of 160 ms

// slow is a registry that takes its time.
var slow = registrytest.Defects{Latency: eachTakes}

// TestClearingGivesWay: what removes behind the answers leaves the registry to users while there are any, and does not stop.
// When they have gone it goes on at once, and when one waits for it.
func TestClearingGivesWay(t *testing.T) {
	inBubble(t, slow, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.fill(tree, "/d", 80)
		f.fill(tree, "/e", 80)
		leave := f.busy(tree)
		f.must(tree.RemoveAll(ctx, "/d", nil))
		time.Sleep(2 * time.Second)
		if n := 80 - len(f.tagsOf("d")); n < 32 || n > 48 {
			f.Errorf("beside a user %d members are removed in 2 s, want some 44", n)
		}
		leave()
		time.Sleep(time.Second)
		if n := len(f.tagsOf("d")); n > 0 {
			f.Errorf("%d members are left a second after the last user", n)
		}

		leave = f.busy(tree)
		f.must(tree.RemoveAll(ctx, "/e", nil))
		time.Sleep(500 * time.Millisecond)
		start := time.Now()
		f.must(tree.Mkdir(ctx, "/e", nil))
		if took := time.Since(start); took > time.Second {
			f.Errorf("who waits for a clearing waits %v", took)
		}
		leave()
	})
}

// TestCloseHurries: at the end of the process nothing gives way.
func TestCloseHurries(t *testing.T) {
	inBubble(t, slow, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.fill(tree, "/d", 80)
		leave := f.busy(tree)
		f.must(tree.RemoveAll(ctx, "/d", nil))
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		f.must(tree.Close(ctx))
		leave()
		if took := time.Since(start); took > time.Second || len(f.tagsOf("d")) > 0 {
			f.Errorf("Close takes %v and leaves %d members", took, len(f.tagsOf("d")))
		}
	})
}

// TestClearingsBeside: what one clearing asks the registry is nothing that another gives way to.
func TestClearingsBeside(t *testing.T) {
	inBubble(t, slow, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.fill(tree, "/d", 80)
		f.fill(tree, "/e", 80)
		list := f.hold(registrytest.Match{Method: "GET", Path: "^/v2/e/tags/list"}, 0)
		f.must(tree.RemoveAll(ctx, "/e", nil))
		f.must(tree.RemoveAll(ctx, "/d", nil))
		time.Sleep(1500 * time.Millisecond)
		if n := len(f.tagsOf("d")); list.held.Load() != 1 || n > 0 {
			f.Errorf("beside another clearing (%d) %d members are left", list.held.Load(), n)
		}
		close(list.open)
	})
}

// TestBacklogHurries: where very much is removed none gives way, or RemoveAll would have to wait.
func TestBacklogHurries(t *testing.T) {
	inBubble(t, slow, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		const n = 130
		for i := range n {
			f.fill(tree, fmt.Sprint("/d", i), 1)
		}
		leave := f.busy(tree)
		for i := range n {
			f.must(tree.RemoveAll(ctx, fmt.Sprint("/d", i), nil))
		}
		time.Sleep(5 * time.Second)
		left := 0
		for i := range n {
			left += len(f.tagsOf(fmt.Sprint("d", i)))
		}
		if left > 0 {
			f.Errorf("of %d directories %d are left", n, left)
		}
		leave()
	})
}

// TestTurnIsFresh: however long a clearing gives way, what it removes follows the answer that the directory is still gone.
func TestTurnIsFresh(t *testing.T) {
	inBubble(t, slow, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.fill(tree, "/d", 40)
		var mu sync.Mutex
		var asked time.Time
		removed := 0
		leave := f.busy(tree)
		f.Fail(registrytest.Match{}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			mu.Lock()
			if strings.HasSuffix(r.URL.Path, "/manifests/_d.d") {
				asked = time.Now()
			}
			if r.Method == "DELETE" && strings.HasPrefix(r.URL.Path, "/v2/d/") {
				removed++
				if old := time.Since(asked); old > 2*eachTakes {
					f.Errorf("%s is removed %v after the answer", r.URL.Path, old)
				}
			}
			mu.Unlock()
			serve(w, r)
		}, 0)
		f.must(tree.RemoveAll(ctx, "/d", nil))
		time.Sleep(10 * time.Second)
		leave()
		f.settle()
		if removed != 40 {
			f.Errorf("%d of 40 are removed", removed)
		}
	})
}
