package integration

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestKillSweep kills the server at random moments under clients that change all kinds of things: what was acknowledged is
// there, all else is old or new and whole, every directory can be listed, and nothing piles up. 100 kills in all, or ten
// where it has to be short.
func TestKillSweep(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		kills := map[string]int{onEmbedded: 50, onDeleting: 40, onKeeping: 15}[b.name]
		if testing.Short() {
			kills /= 10
		}
		d := b.start(t)
		load := startLoad(t, d, 4)
		load.late = b.name != onEmbedded // there the registry dies with the server
		for n := range kills {
			if n > 0 {
				load.resume()
			}
			time.Sleep(rand.N(250 * time.Millisecond))
			d.crash()
			load.stop()
			d.start()
			load.settle()
			d.wantNoSpool()
			if t.Failed() {
				t.Fatalf("after kill %d", n+1)
			}
		}
		t.Logf("%d kills, %d changes acknowledged", kills, load.acknowledged())
	})
}

// TestCrashInMove kills the server while directories are renamed: each is in one place, whole, or in both, and a
// repeated request comes to the end.
func TestCrashInMove(t *testing.T) {
	eachLayout(t, func(t *testing.T, b backend) {
		d := b.start(t)
		d.mkcol("/0")
		d.mkcol("/0/sub")
		members := 24
		for i := range members {
			d.put(fmt.Sprintf("/0/%d", i), []byte(strconv.Itoa(i)))
			if i%2 == 0 {
				d.put(fmt.Sprintf("/0/sub/%d", i), []byte(strconv.Itoa(i)))
			}
		}
		rounds := 6
		if testing.Short() {
			rounds = 2
		}
		for round := range rounds {
			src, dst := fmt.Sprintf("/%d", round), fmt.Sprintf("/%d", round+1)
			done := make(chan answer)
			go func() { done <- d.try("MOVE", src, nil, "Destination", d.href(dst)) }()
			time.Sleep(rand.N(time.Duration(20*(round+1)) * time.Millisecond))
			d.crash()
			a := <-done
			d.start()
			there := d.names("/")
			if !slices.Contains(there, dst[1:]) {
				if a.err == nil && a.status == http.StatusCreated {
					t.Fatalf("an acknowledged MOVE to %s is not there: %q", dst, there)
				}
				wantMembers(d, src, members)
				d.do("MOVE", src, nil, []int{http.StatusCreated}, "Destination", d.href(dst))
			} else if slices.Contains(there, src[1:]) { // it was copied, and not removed yet
				wantMembers(d, src, members)
				wantMembers(d, dst, members)
				d.do("MOVE", src, nil, []int{http.StatusNoContent}, "Destination", d.href(dst))
			}
			wantMembers(d, dst, members)
			d.wantAbsent(src, src+"/1", src+"/sub", src+"/sub/0")
		}
	})
}

func wantMembers(d *drive, dir string, members int) {
	d.t.Helper()
	if got := len(d.tree(dir)); got != members+members/2+1 {
		d.t.Fatalf("%s has %d members at all depths, want %d", dir, got, members+members/2+1)
	}
	for i := range members {
		want := []byte(strconv.Itoa(i))
		if a := d.try(http.MethodGet, fmt.Sprintf("%s/%d", dir, i), nil); !bytes.Equal(a.body, want) {
			d.t.Errorf("%s/%d: %v", dir, i, a)
		}
	}
}
