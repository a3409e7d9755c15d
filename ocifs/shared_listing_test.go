package ocifs_test

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestListingIsShared: several who list a directory at the same time have its names asked for once; when that fails each hears
// of it, or asks by himself, and none waits for one after the other.
func TestListingIsShared(t *testing.T) {
	inBubble(t, registrytest.Defects{Latency: time.Second}, func(f *fake) {
		const clients = 8
		f.change = func(o *ocifs.Options) { o.Freshness = 10 * time.Second }
		tree := f.tree()
		f.must(tree.Mkdir(f.Context(), "/d", nil))
		f.must(put(f.Context(), tree, "/d/1", "1"))
		time.Sleep(time.Minute)
		list := func(want int, most time.Duration) (failed int) {
			f.Helper()
			f.ResetCounts()
			began := time.Now()
			done := make(chan error)
			for range clients {
				go func() {
					_, err := tree.ReadDir(f.Context(), "/d")
					done <- err
				}()
			}
			for range clients {
				if err := <-done; err != nil {
					failed++
				}
			}
			if got := f.Count("GET tags"); got != want {
				f.Errorf("%d clients ask for %d lists, want %d", clients, got, want)
			}
			if took := time.Since(began); took > most {
				f.Errorf("%d clients wait for %v", clients, took)
			}
			return failed
		}
		if failed := list(1, 10*time.Second); failed > 0 {
			f.Errorf("%d fail", failed)
		}
		time.Sleep(time.Minute)
		f.Fail(registrytest.Match{Path: "/tags/list"}, registrytest.Status(http.StatusForbidden, "DENIED"), 0)
		if failed := list(clients, 10*time.Second); failed != clients {
			f.Errorf("%d fail, want all", failed)
		}
	})
}

// TestListingMemory: what is kept of a file is some hundreds of bytes, whether it was listed or written, and a listing makes
// little more of its own. A directory of 100,000 files then fits in the memory of a small machine.
func TestListingMemory(t *testing.T) {
	const n, kept, own = 2_000, 1500, 40 // bytes for each file
	f := newFake(t, registrytest.Defects{IgnorePaging: true}, nil)
	writer := f.tree()
	f.must(writer.Mkdir(f.Context(), "/d", nil))
	for i := range n {
		name := fmt.Sprintf("file-%06d.txt", i)
		f.pushForeign("d", name, name)
	}
	f.settle()
	heap := func() int64 {
		f.ResetCounts()
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	tree := f.tree()
	f.names(tree, "/")
	before := heap()
	f.names(tree, "/d")
	after := heap()
	list, err := tree.ReadDir(f.Context(), "/d")
	f.must(err)
	listed := heap()
	f.Logf("a file takes %d bytes, and %d in a listing", (after-before)/n, (listed-after)/n)
	if after-before > n*kept || listed-after > n*own {
		f.Errorf("a file takes %d bytes, want %d at most, and %d in a listing, want %d", (after-before)/n, kept, (listed-after)/n, own)
	}
	runtime.KeepAlive(list)
}
