package ocifs_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

const (
	spareRow   = 8 // pushes before the first session is opened for the next
	spareRound = 100 * time.Millisecond
)

// inRow runs test in a bubble, where an answer of the registry takes 100 ms, on a directory that is there.
func inRow(t *testing.T, test func(f *fake, tree *ocifs.FS, puts func(from, to int) []int)) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, registrytest.Defects{Latency: spareRound}, func(o *ocifs.Options) { o.Freshness = time.Minute })
		tree := f.tree()
		f.must(tree.Mkdir(f.Context(), "/d", nil))
		f.must(put(f.Context(), tree, "/d/first", "the first"))
		f.names(tree, "/d") // what is absent is known
		time.Sleep(10 * time.Second)
		f.ResetCounts()
		test(f, tree, func(from, to int) (rounds []int) {
			f.Helper()
			for i := from; i < to; i++ {
				start := time.Now()
				f.must(put(f.Context(), tree, fmt.Sprint("/d/f", i), fmt.Sprint("content ", i)))
				rounds = append(rounds, int(time.Since(start)/spareRound))
			}
			return rounds
		})
	})
}

// TestSpares: in a row of short files each costs a round trip less, since its session is there already, and what was opened
// for nothing is given up.
func TestSpares(t *testing.T) {
	inRow(t, func(f *fake, tree *ocifs.FS, puts func(from, to int) []int) {
		got := fmt.Sprint(puts(0, 12))
		if want := fmt.Sprint([]int{3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2}); got != want {
			f.Errorf("round trips %v, want %v", got, want)
		}
		time.Sleep(500 * time.Millisecond) // the last spare's answer
		if n := f.Count("POST upload"); n != 13 {
			f.Errorf("%d sessions for 12 files, want one more", n)
		}
		if f.Uploads() != 1 {
			f.Errorf("%d sessions wait", f.Uploads())
		}
		f.settled("after the row")
		if n := f.Count("DELETE upload"); n != 1 {
			f.Errorf("%d sessions are given up", n)
		}
		// The row is over, and a new one begins.
		if got := puts(20, 22); got[0] < 3 || got[1] < 3 {
			f.Errorf("after the row, round trips %v", got)
		}
		if f.Uploads() != 0 {
			f.Error("two files are a row")
		}
	})
}

// TestSpareRefused: who is refused a session for the next file has not lost this one, and does not ask for another at once.
func TestSpareRefused(t *testing.T) {
	inRow(t, func(f *fake, tree *ocifs.FS, puts func(from, to int) []int) {
		rule := f.Fail(registrytest.Match{Method: "POST", Skip: spareRow}, registrytest.Status(http.StatusForbidden, "DENIED"), 1)
		got := fmt.Sprint(puts(0, 2*spareRow+1))
		if want := fmt.Sprint(slices.Concat(slices.Repeat([]int{3}, 2*spareRow), []int{2})); got != want {
			f.Errorf("round trips %v, want %v", got, want)
		}
		if rule.Hits() != 1 {
			f.Error("no session was refused")
		}
	})
}

// TestSparesEnd: no session is left when the tree is closed, also one that is just opened.
func TestSparesEnd(t *testing.T) {
	for _, wait := range []time.Duration{0, 3 * time.Second} {
		inRow(t, func(f *fake, tree *ocifs.FS, puts func(from, to int) []int) {
			puts(0, spareRow)
			time.Sleep(wait)
			if wait > 0 && f.Uploads() != 1 {
				f.Errorf("%d sessions wait", f.Uploads())
			}
			f.must(tree.Close(f.Context()))
			f.settled(fmt.Sprint("closed after ", wait))
			f.must(put(f.Context(), tree, "/d/late", "after the end"))
			puts(20, 30)
			f.settled("after Close")
			if n := f.Count("POST upload"); n != spareRow+1+11 {
				f.Errorf("%d sessions were opened", n)
			}
		})
	}
}

// TestSparesFail: whatever becomes of a session that waits, or of the question for one, no file fails for it.
func TestSparesFail(t *testing.T) {
	inRow(t, func(f *fake, tree *ocifs.FS, puts func(from, to int) []int) {
		puts(0, spareRow)
		time.Sleep(500 * time.Millisecond)
		f.DropUploads() // the registry was restarted
		if got := fmt.Sprint(puts(20, 23)); got != fmt.Sprint([]int{4, 2, 2}) {
			f.Errorf("the session has vanished: round trips %v, want one more", got)
		}
	})
	for name, fault := range map[string]registrytest.Fault{
		"503":   registrytest.Status(http.StatusServiceUnavailable, "UNAVAILABLE"),
		"401":   registrytest.Status(http.StatusUnauthorized, "UNAUTHORIZED"),
		"403":   registrytest.Status(http.StatusForbidden, "DENIED"),
		"reset": registrytest.ResetBefore,
		"cut":   registrytest.ResetAfter,
	} {
		t.Run(name, func(t *testing.T) {
			inRow(t, func(f *fake, tree *ocifs.FS, puts func(from, to int) []int) {
				puts(0, spareRow)
				time.Sleep(500 * time.Millisecond)
				f.Fail(registrytest.Match{Method: "PUT", Path: "/blobs/uploads/"}, fault, 1)
				puts(20, 23)
				f.Fail(registrytest.Match{Method: "POST", Path: "/blobs/uploads/"}, fault, 1)
				puts(30, 35)
				f.Heal()
				time.Sleep(time.Minute)
				if names := f.names(f.tree(), "/d"); len(names) != 1+spareRow+3+5 {
					f.Errorf("there are %d files: %s", len(names), strings.Join(names, " "))
				}
			})
		})
	}
}

// TestSparesOnce: many that come at once do not share a session.
func TestSparesOnce(t *testing.T) {
	inRow(t, func(f *fake, tree *ocifs.FS, puts func(from, to int) []int) {
		puts(0, spareRow)
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() { f.must(put(f.Context(), tree, fmt.Sprint("/d/p", i), strings.Repeat("p", i+1))) })
		}
		wg.Wait()
		f.settled("all at once")
		for i := range 16 {
			if got, err := read(f.Context(), f.tree(), fmt.Sprint("/d/p", i)); got != strings.Repeat("p", i+1) {
				f.Errorf("p%d is %q, %v", i, got, err)
			}
		}
	})
}
