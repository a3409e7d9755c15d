package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// kept counts the blobs on the disk.
func kept(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	for _, folder := range []string{blobsFolder, manifestsFolder} {
		files, err := filepath.Glob(filepath.Join(dir, folder, "*", "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		n += len(files)
	}
	return n
}

// blobOf gives a blob of n bytes, one for each number.
func blobOf(n, number int) *origin {
	content := noise(int64(n), byte(number))
	copy(content, fmt.Sprint(number))
	return &origin{content: content}
}

func (o *origin) check(t *testing.T, c *Cache) {
	t.Helper()
	b, err := c.Open(t.Context(), describe(o.content), o.source())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, o.content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func add(t *testing.T, c *Cache, o *origin) {
	t.Helper()
	if err := c.Add(t.Context(), describe(o.content), bytes.NewReader(o.content)); err != nil {
		t.Fatal(err)
	}
}

// TestAddedBehind: what is added is there at once, and on the disk when it has been quiet, or has waited for long, or is too
// much, or the cache is closed.
func TestAddedBehind(t *testing.T) {
	t.Run("quiet", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			c := newHotCache(t, dir, 1<<30)
			o := blobOf(4000, 1)
			add(t, c, o)
			if n := kept(t, dir); n != 0 {
				t.Errorf("%d blobs are on the disk at once", n)
			}
			o.check(t, c)
			time.Sleep(quietTime + time.Millisecond)
			synctest.Wait()
			if n := kept(t, dir); n != 1 {
				t.Errorf("%d blobs are on the disk after a quiet time", n)
			}
			if n := o.fetches.Load(); n != 0 {
				t.Errorf("%d fetches", n)
			}
		})
	})
	t.Run("manifests of a large directory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			c := newHotCache(t, dir, 10<<30)
			const n, each = 10_000, 3 * time.Millisecond // which takes longer than a listing should
			for i := range n {
				o := blobOf(800, i)
				desc := describe(o.content)
				desc.MediaType = ocispec.MediaTypeImageManifest
				if err := c.Add(t.Context(), desc, bytes.NewReader(o.content)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(each)
			}
			if n := kept(t, dir); n != 0 {
				t.Errorf("%d files are made while a directory is listed", n)
			}
			time.Sleep(quietTime)
			synctest.Wait()
			if got := kept(t, dir); got != n {
				t.Errorf("%d manifests are on the disk after that, want %d", got, n)
			}
		})
	})
	t.Run("never quiet", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			c := newHotCache(t, dir, 1<<30)
			for i := range int(2 * longestWait / quietTime * 2) {
				add(t, c, blobOf(100, i))
				time.Sleep(quietTime / 2)
			}
			if n := kept(t, dir); n == 0 {
				t.Error("nothing is on the disk though it has waited for long")
			}
		})
	})
	t.Run("too much", func(t *testing.T) {
		dir := t.TempDir()
		c := newHotCache(t, dir, 1<<30)
		c.behind.max = 100_000
		for i := range 100 {
			add(t, c, blobOf(4000, i))
			c.behind.mu.Lock()
			used := c.behind.used
			c.behind.mu.Unlock()
			if used > c.behind.max {
				t.Fatalf("%d bytes wait", used)
			}
		}
		if n := kept(t, dir); n < 50 {
			t.Errorf("%d of 100 blobs are on the disk", n)
		}
	})
	t.Run("closed", func(t *testing.T) {
		dir := t.TempDir()
		c := newHotCache(t, dir, 1<<30)
		o := blobOf(4000, 1)
		add(t, c, o)
		c.Close()
		second := newHotCache(t, dir, 1<<30)
		o.check(t, second)
		if n := o.fetches.Load(); n != 0 {
			t.Errorf("%d fetches", n)
		}
	})
	t.Run("fetched", func(t *testing.T) {
		dir := t.TempDir()
		c := newHotCache(t, dir, 1<<30)
		blobOf(4000, 1).check(t, c)
		if n := kept(t, dir); n != 1 {
			t.Errorf("%d blobs are on the disk, after which a kill would have it fetched again", n)
		}
	})
	t.Run("manifest", func(t *testing.T) {
		c := newHotCache(t, t.TempDir(), 1<<30)
		content := noise(500, 1)
		desc := describe(content)
		desc.MediaType = ocispec.MediaTypeImageManifest
		for range 2 {
			if err := c.Add(t.Context(), desc, bytes.NewReader(content)); err != nil {
				t.Fatal(err)
			}
		}
		b, err := c.Open(t.Context(), desc, Source{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

// TestFits: a blob is what its digest says by any algorithm.
func TestFits(t *testing.T) {
	data := noise(800, 1)
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
		d := a.FromBytes(data)
		if !fits(d, data) || fits(d, data[1:]) || fits(a.FromString("other"), data) {
			t.Errorf("%s: data fits %v, less of it %v, other data %v", a, fits(d, data), fits(d, data[1:]), fits(a.FromString("other"), data))
		}
	}
}

// TestAddedBehindWrong: what is not the blob is refused at once.
func TestAddedBehindWrong(t *testing.T) {
	c := newHotCache(t, t.TempDir(), 1<<30)
	desc := describe(noise(4000, 1))
	for name, r := range map[string]io.Reader{
		"other": bytes.NewReader(noise(4000, 2)), "short": bytes.NewReader(noise(3999, 1)), "long": bytes.NewReader(noise(4001, 1)),
	} {
		if err := c.Add(t.Context(), desc, r); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.Hold(desc, noise(4000, 2))
	if _, ok := c.hot.get(desc); ok {
		t.Error("wrong bytes are in memory")
	}
}

// TestAddedBehindFullDisk: a full disk costs what waited, and gives its room back.
func TestAddedBehindFullDisk(t *testing.T) {
	dir := t.TempDir()
	c := newHotCache(t, dir, 1<<30)
	c.store.writeAt = func(*os.File, []byte, int64) (int, error) { return 0, syscall.ENOSPC }
	add(t, c, blobOf(4000, 1))
	if got := c.Stats().Bytes; got == 0 {
		t.Error("no room is reserved for what waits")
	}
	c.Close()
	if got := c.Stats().Bytes; got != 0 {
		t.Errorf("%d bytes are charged for nothing", got)
	}
}

// TestHotIsBounded: memory is bounded, and the least recently used go first.
func TestHotIsBounded(t *testing.T) {
	c := newHotCache(t, t.TempDir(), 1<<30)
	first := blobOf(hotBlobBytes, -1)
	add(t, c, first)
	for i := range 2 * hotBytes / hotBlobBytes {
		add(t, c, blobOf(hotBlobBytes, i))
		if i%10 == 0 {
			first.check(t, c)
		}
		if c.hot.used > hotBytes {
			t.Fatalf("%d bytes are held", c.hot.used)
		}
	}
	if _, ok := c.hot.get(describe(first.content)); !ok {
		t.Error("what is used often is not held")
	}
	sum := int64(0)
	for _, data := range c.hot.kept.Values() {
		sum += hotCharge(data)
	}
	if sum != c.hot.used {
		t.Errorf("%d bytes are held, and %d counted", sum, c.hot.used)
	}
	if off := newHotCache(t, t.TempDir(), 0); off.hot.max != 0 || off.behind.max != 0 {
		t.Error("a cache that is off holds something")
	}
}

// TestHotLocal: a small file of a local source is read once, a damaged one each time.
func TestHotLocal(t *testing.T) {
	for name, damaged := range map[string]bool{"good": false, "damaged": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := newHotCache(t, dir, 1<<30)
			content := noise(4000, 1)
			path := filepath.Join(t.TempDir(), "blob")
			lies := bytes.Clone(content)
			if damaged {
				lies[7] ^= 1
			}
			if err := os.WriteFile(path, lies, 0o600); err != nil {
				t.Fatal(err)
			}
			opened := 0
			src := Source{Local: func(context.Context) (*os.File, error) { opened++; return os.Open(path) }}
			for range 3 {
				b, err := c.Open(t.Context(), describe(content), src)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(b)
				b.Close()
				if err != nil || !bytes.Equal(got, lies) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
			if want := map[bool]int{false: 1, true: 3}[damaged]; opened != want {
				t.Errorf("opened %d times, want %d", opened, want)
			}
			if n := kept(t, dir); n != 0 {
				t.Errorf("%d blobs of a local source are on the disk", n)
			}
		})
	}
}
