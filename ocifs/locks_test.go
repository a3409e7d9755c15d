package ocifs

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// try says whether names could be locked now; if so they are held.
func try(l *locks, names ...string) (unlock func(), ok bool) {
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan func(), 1)
	go func() {
		unlock, err := l.lock(ctx, names...)
		if err != nil {
			unlock = nil
		}
		got <- unlock
	}()
	synctest.Wait()
	cancel()
	unlock = <-got
	return unlock, unlock != nil
}

func TestLocksMeet(t *testing.T) {
	for _, c := range []struct {
		held, wanted string
		free         bool
	}{
		{"/a", "/a", false}, {"/a", "/b", true}, {"/a", "/a/b", false}, {"/a/b", "/a", false}, {"/a", "/ab", true},
		{"/a/b", "/a/c", true}, {"/a/b/c", "/a", false}, {"/a", "/a/b/c", false}, {"/", "/a/b", false}, {"/a/b", "/", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var l locks
			unlock, ok := try(&l, c.held)
			if !ok {
				t.Fatalf("%s is not free in the beginning", c.held)
			}
			second, ok := try(&l, c.wanted)
			if ok != c.free {
				t.Errorf("%s is held: %s is free: %v, want %v", c.held, c.wanted, ok, c.free)
			}
			if ok {
				second()
			}
			unlock()
			unlock() // once is enough, twice is harmless
			third, ok := try(&l, c.wanted)
			if !ok {
				t.Fatalf("%s is not free after all", c.wanted)
			}
			third()
			if len(l.held)+len(l.under)+len(l.waiting) > 0 {
				t.Errorf("left are %v, %v, %d waiting", l.held, l.under, len(l.waiting))
			}
		})
	}
}

// TestLocksOrder: who came first goes first, who meets nobody does not wait, and two names are taken at once.
func TestLocksOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l locks
		var mu sync.Mutex
		var order string
		var wg sync.WaitGroup
		first, _ := try(&l, "/a")
		for _, w := range []struct {
			mark  string
			names []string
		}{{"1", []string{"/a", "/b"}}, {"2", []string{"/b/x"}}, {"3", []string{"/"}}, {"4", []string{"/c"}}} {
			wg.Go(func() {
				unlock, err := l.lock(t.Context(), w.names...)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order += w.mark
				mu.Unlock()
				unlock()
			})
			synctest.Wait()
		}
		if order != "" {
			t.Errorf("%s went before those that came earlier", order)
		}
		if unlock, ok := try(&l, "/free"); ok {
			unlock()
			t.Error("a name in the root is free, and somebody waits for the root")
		}
		first()
		wg.Wait()
		if order != "1234" {
			t.Errorf("the order is %s, want that of arrival", order)
		}
	})
}

// TestLocksCancelled: a waiter that leaves is in nobody's way.
func TestLocksCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l locks
		first, _ := try(&l, "/a")
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { _, err := l.lock(ctx, "/a", "/b"); gone <- err }()
		synctest.Wait()
		if unlock, ok := try(&l, "/b"); ok {
			unlock()
			t.Error("/b is free, and an earlier one waits for it")
		}
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if unlock, ok := try(&l, "/b"); !ok {
			t.Error("/b is not free")
		} else {
			unlock()
		}
		first()
		if _, err := l.lock(ctx, "/a"); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestLocksExclude is for the race detector, and for deadlocks.
func TestLocksExclude(t *testing.T) {
	var l locks
	var inside [3]atomic.Int32
	names := [][]string{{"/a"}, {"/a/b"}, {"/c", "/a/b/d"}, {"/c"}, {"/c", "/a"}}
	meets := [][]int{{0}, {0}, {0, 1}, {1}, {0, 1}}
	var wg sync.WaitGroup
	for i := range names {
		wg.Go(func() {
			for range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				unlock, err := l.lock(ctx, names[i]...)
				if err != nil {
					t.Error(err)
				}
				for _, m := range meets[i] {
					if n := inside[m].Add(1); n != 1 {
						t.Errorf("%d hold %d at once", n, m)
					}
				}
				for _, m := range meets[i] {
					inside[m].Add(-1)
				}
				unlock()
				cancel()
			}
		})
	}
	wg.Wait()
}
