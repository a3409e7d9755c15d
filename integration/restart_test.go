package integration

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fillDrive makes a small tree of all kinds of things.
func fillDrive(d *drive) {
	for _, dir := range []string{"/docs", "/docs/My Docs", "/docs/empty", "/docs/a", "/docs/a/b"} {
		d.mkcol(dir)
	}
	long := "/docs/a/b/" + strings.Repeat("n", 200)
	for i, name := range []string{"/x.txt", "/docs/y.bin", "/docs/My Docs/März 1.txt", "/docs/a/z", long} {
		d.put(name, random(i*300_000))
	}
	d.put("/docs/empty.txt", nil)
}

// TestEmptiedCache restarts the drive with its cache as it was, emptied, and damaged: the cache is nobody's truth.
func TestEmptiedCache(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		fillDrive(d)
		before := d.tree("/")
		d.stop()
		d.start()
		d.wantTree("/", before)

		d.crash()
		if err := os.RemoveAll(d.cache); err != nil {
			t.Fatal(err)
		}
		d.start()
		d.wantTree("/", before)

		d.stop()
		n := damageFiles(t, d.cache)
		d.start()
		d.wantTree("/", before)
		if n == 0 && !b.embedded() { // which needs no copies of what it has itself
			t.Error("there was no file in the cache to damage")
		}

		// Emptied under the running server.
		entries, err := os.ReadDir(d.cache)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			os.RemoveAll(filepath.Join(d.cache, e.Name()))
		}
		d.wantTree("/", before)
		large := random(3 << 20)
		if a := d.try(http.MethodPut, "/large", large); a.status/100 == 2 {
			d.want("/large", large)
		} else if a.status < 500 {
			t.Errorf("PUT without the directories of the cache: %v, want success or a failure", a)
		}
	})
}

// damageFiles changes a byte in every file below dir that has some, and shortens every third.
func damageFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.Walk(dir, func(name string, fi os.FileInfo, err error) error {
		if err != nil || !fi.Mode().IsRegular() || fi.Size() == 0 {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		content[len(content)/2] ^= 1
		if n++; n%3 == 0 {
			content = content[:len(content)/3]
		}
		return os.WriteFile(name, content, fi.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTwoServers runs two drives on one registry: what one writes, the other shows after its freshness, and what both
// write at once is whole.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	b := backend{name: onDeleting, registry: startRegistry(t, true)}
	const freshness = 500 * time.Millisecond
	one, two := b.start(t, "--freshness", freshness.String()), b.start(t, "--freshness", freshness.String())
	soon := func(what string, ok func() bool) {
		t.Helper()
		eventually(t, freshness+2*time.Second, what, ok)
	}
	sameTree := func() {
		t.Helper()
		time.Sleep(freshness + 100*time.Millisecond)
		if a, b := one.tree("/"), two.tree("/"); !maps.Equal(a, b) {
			t.Errorf("one shows %v, the other %v", a, b)
		}
	}
	two.wantAbsent("/f", "/dir") // so that it knows the absence
	content := random(100_000)
	one.put("/f", content)
	one.mkcol("/dir")
	one.put("/dir/g", content)
	soon("the other does not see the file", func() bool {
		return bytes.Equal(two.try(http.MethodGet, "/f", nil).body, content)
	})
	sameTree()

	content = random(200)
	two.put("/f", content)
	soon("the first does not see the new content", func() bool {
		return bytes.Equal(one.try(http.MethodGet, "/f", nil).body, content)
	})
	two.do("MOVE", "/dir", nil, []int{201}, "Destination", two.href("/moved"))
	soon("the first does not see the move", func() bool {
		return one.try(http.MethodGet, "/dir/g", nil).status == 404 && one.try(http.MethodGet, "/moved/g", nil).status == 200
	})
	one.do(http.MethodDelete, "/moved", nil, []int{204})
	soon("the other still shows what was deleted", func() bool {
		return two.try(http.MethodGet, "/moved/g", nil).status == 404
	})
	sameTree()

	// Both write the same names.
	var mu sync.Mutex
	written := map[string]bool{}
	var wg sync.WaitGroup
	for _, d := range []*drive{one, two} {
		wg.Go(func() {
			for i := range 30 {
				content := random(10_000 + i)
				mu.Lock()
				written[digestOf(content)] = true
				mu.Unlock()
				if a := d.try(http.MethodPut, fmt.Sprintf("/both%d", i%3), content); !slices.Contains(made, a.status) {
					t.Errorf("PUT beside another server: %v", a)
				}
			}
		})
	}
	wg.Wait()
	sameTree()
	for i := range 3 {
		if a := one.do(http.MethodGet, fmt.Sprintf("/both%d", i), nil, okay); !written[digestOf(a.body)] {
			t.Errorf("/both%d holds what nobody wrote: %s", i, summary(a))
		}
	}
}
