package ocifs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

func count(b *bundles, repo string) (n int, err error) {
	err = b.read(repo, func(bundled) error { n++; return nil })
	return n, err
}

func TestBundles(t *testing.T) {
	b := &bundles{dir: t.TempDir(), host: "r", limit: 1 << 30}
	if n, err := count(b, "a"); n != 0 || err != nil {
		t.Errorf("none: %d, %v", n, err)
	}
	for _, n := range []int{3, 5, 0} {
		if err := b.write("a", slices.Values(members(n))); err != nil {
			t.Fatal(err)
		}
		if got, err := count(b, "a"); got != n || err != nil {
			t.Errorf("%d: %d, %v", n, got, err)
		}
	}
	if n, err := count(&bundles{dir: b.dir, host: "another"}, "a"); n != 0 || err != nil {
		t.Errorf("of another registry: %d, %v", n, err)
	}

	// One that is written from the one before, as an update is.
	if err := b.write("a", slices.Values(members(4))); err != nil {
		t.Fatal(err)
	}
	err := b.write("a", func(yield func(bundled) bool) {
		_ = b.read("a", func(m bundled) error {
			if m.tag != "file-2.txt" {
				yield(m)
			}
			return nil
		})
	})
	if n, e := count(b, "a"); n != 3 || err != nil || e != nil {
		t.Errorf("after an update: %d, %v, %v", n, err, e)
	}

	if err := b.keep("a", bytes.NewReader(pack(t, "a", members(7)))); err != nil {
		t.Error(err)
	}
	if n, err := count(b, "a"); n != 7 || err != nil {
		t.Errorf("kept: %d, %v", n, err)
	}

	// A damaged one is none, and gone.
	if err := os.Truncate(b.path("a"), 20); err != nil {
		t.Fatal(err)
	}
	if _, err := count(b, "a"); !errors.Is(err, errBundle) {
		t.Errorf("damaged: %v", err)
	}
	if n, err := count(b, "a"); n != 0 || err != nil {
		t.Errorf("damaged, again: %d, %v", n, err)
	}
}

func TestBundlesAreBounded(t *testing.T) {
	b := &bundles{dir: t.TempDir(), host: "r", limit: 1 << 30}
	write := func(repo string, age time.Duration) int64 {
		t.Helper()
		if err := b.write(repo, slices.Values(members(50))); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(b.path(repo), then, then); err != nil {
			t.Fatal(err)
		}
		i, err := os.Stat(b.path(repo))
		if err != nil {
			t.Fatal(err)
		}
		return i.Size()
	}
	left := filepath.Join(b.dir, "new-1"+bundleSuffix)
	foreign := filepath.Join(b.dir, "foreign")
	for _, name := range []string{left, foreign} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, time.Now(), time.Now().Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	size := write("0", 9*time.Minute)
	b.limit = size*3 + size/2
	for i := 1; i < 6; i++ {
		write(fmt.Sprint(i), time.Duration(9-i)*time.Minute)
	}
	for i := range 6 {
		n, err := count(b, fmt.Sprint(i))
		if want := i >= 3; err != nil || (n > 0) != want {
			t.Errorf("bundle %d: %d members, %v", i, n, err)
		}
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("what a killed process left is still there")
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a foreign file: %v", err)
	}
}

// TestBundlesInParallel has several write and read one: each finds a whole one.
func TestBundlesInParallel(t *testing.T) {
	b := &bundles{dir: t.TempDir(), host: "r", limit: 1 << 30}
	if err := b.write("a", slices.Values(members(10))); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if err := b.write("a", slices.Values(members(10))); err != nil {
					t.Error(err)
				}
				if n, err := count(b, "a"); n != 10 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			}
		})
	}
	wg.Wait()
}
