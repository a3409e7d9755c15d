package integration

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// diary is what a writer knows of its files: the content that was acknowledged last, and what it has tried since, which
// may have become the content too.
type diary struct {
	acknowledged map[string][32]byte
	tried        map[string][][32]byte
	deleted      map[string]bool // a deletion was tried since
}

func newDiary() *diary {
	return &diary{map[string][32]byte{}, map[string][][32]byte{}, map[string]bool{}}
}

// write puts and sometimes deletes files until the server is gone.
func (y *diary) write(d *drive, dir string) {
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s/%d", dir, i%7)
		if i%11 == 10 {
			y.deleted[name] = true
			a := d.try(http.MethodDelete, name, nil)
			if a.err != nil {
				return
			}
			if a.status == http.StatusNoContent {
				delete(y.acknowledged, name)
				delete(y.tried, name)
				delete(y.deleted, name)
			}
			continue
		}
		size := rand.IntN(20_000)
		if i%5 == 4 {
			size = 1<<20 + rand.IntN(1<<20) // spooled
		}
		content := random(size)
		sum := sha256.Sum256(content)
		y.tried[name] = append(y.tried[name], sum)
		a := d.try(http.MethodPut, name, content)
		if a.err != nil {
			return
		}
		if slices.Contains(made, a.status) {
			y.acknowledged[name] = sum
			delete(y.tried, name)
			delete(y.deleted, name)
		}
	}
}

// settle compares the diary with what is there, and takes that for acknowledged.
func (y *diary) settle(d *drive, dir string) (files int) {
	d.t.Helper()
	for i := range 7 {
		name := fmt.Sprintf("%s/%d", dir, i)
		a := d.try(http.MethodGet, name, nil)
		sum := sha256.Sum256(a.body)
		known, wasThere := y.acknowledged[name]
		switch {
		case a.err == nil && a.status == http.StatusNotFound:
			if wasThere && !y.deleted[name] {
				d.t.Errorf("%s was acknowledged and is gone", name)
			}
			delete(y.acknowledged, name)
		case a.err != nil || a.status != http.StatusOK:
			d.t.Errorf("GET %s: %s", name, summary(a))
		case (wasThere && sum == known) || slices.Contains(y.tried[name], sum):
			files++
			y.acknowledged[name] = sum
		default:
			d.t.Errorf("%s has %d bytes that nobody wrote there", name, len(a.body))
		}
		delete(y.tried, name)
		delete(y.deleted, name)
	}
	return files
}

// TestCrash kills the server at random moments under parallel writers: what was acknowledged is whole, all else is
// whole or absent, and nothing piles up.
func TestCrash(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		rounds := 6
		if testing.Short() {
			rounds = 2
		}
		d := b.start(t)
		writers := make([]*diary, 4)
		for i := range writers {
			writers[i] = newDiary()
			d.mkcol(fmt.Sprintf("/w%d", i))
		}
		for range rounds {
			var wg sync.WaitGroup
			for i, y := range writers {
				wg.Go(func() { y.write(d, fmt.Sprintf("/w%d", i)) })
			}
			time.Sleep(200*time.Millisecond + rand.N(time.Second))
			d.crash()
			wg.Wait()
			d.start()
			files := 0
			for i, y := range writers {
				files += y.settle(d, fmt.Sprintf("/w%d", i))
			}
			if got := len(d.tree("/")); got != files+len(writers) {
				t.Errorf("%d files by name, %d resources by listing, want %d", files, got, files+len(writers))
			}
			d.wantNoSpool()
		}
	})
}

// TestCrashInMove kills the server while directories are renamed: each is in one place, whole, or in both, and a
// repeated request comes to the end.
func TestCrashInMove(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
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
