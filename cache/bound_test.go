package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// diskBytes is what the files of a directory take.
func diskBytes(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if i, err := e.Info(); err == nil {
				n += allocated(i)
			}
		}
		return nil
	})
	return n
}

// TestBudget: 64 readers of more than fits, whole, in parts, and leaving in the middle. The files never take more than
// the bound, and all read rightly.
func TestBudget(t *testing.T) {
	const bound = 14 << 20
	dir := t.TempDir()
	c := newCache(t, dir, bound)
	origins := make([]*origin, 24)
	for i := range origins {
		size := []int64{5000, large, 2*blockBytes + 1000, long}[i%4]
		origins[i] = &origin{content: noise(size, byte(i))}
	}
	stop := make(chan struct{})
	var watch, readers sync.WaitGroup
	watch.Go(func() {
		for most := int64(0); ; {
			select {
			case <-stop:
				t.Logf("%d bytes at most", most)
				return
			default:
			}
			c.store.mu.Lock() // a walk is no snapshot otherwise
			n := diskBytes(dir)
			charged := c.store.blobs.used + c.store.manifests.used
			c.store.mu.Unlock()
			if most = max(most, n); n > bound || n > charged {
				t.Errorf("%d bytes on the disk, %d charged, the bound is %d", n, charged, bound)
				return
			}
		}
	})
	var spools [64]string
	for i := range spools {
		spools[i] = t.TempDir()
	}
	for i := range 64 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 0))
			for range 8 {
				o := origins[r.IntN(len(origins))]
				if r.IntN(4) == 0 { // from a writer, who may find no room
					h := o.write(t, []string{"nameless", "removed"}[i%2], spools[i])
					_ = c.Add(t.Context(), describe(o.content), h)
					h.file.Close()
				}
				ctx, cancel := context.WithCancel(t.Context())
				b, err := c.Open(ctx, describe(o.content), o.source())
				if err != nil {
					t.Error(err)
					cancel()
					return
				}
				switch r.IntN(3) {
				case 0:
					if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, o.content) {
						t.Errorf("%d bytes of %d, %v", len(got), len(o.content), err)
					}
				case 1:
					at := r.Int64N(int64(len(o.content)))
					got := make([]byte, 1+r.IntN(300_000))
					if n, err := b.ReadAt(got, at); err != nil && err != io.EOF || !bytes.Equal(got[:n], o.content[at:at+int64(n)]) {
						t.Errorf("%d bytes at %d, %v", n, at, err)
					}
				case 2:
					_, _ = io.ReadFull(b, make([]byte, r.IntN(len(o.content))))
					cancel()
				}
				b.Close()
				cancel()
			}
		})
	}
	readers.Wait()
	close(stop)
	watch.Wait()
	quiet(t, c)
	if n := reserved(c); n != 0 || incoming(t, c) != 0 {
		t.Errorf("%d bytes are reserved, %d files on their way", n, incoming(t, c))
	}
	if s := c.Stats(); s.InFlight != 0 || s.Evicted == 0 {
		t.Errorf("%+v", s)
	}
}

// TestOpenStays: what is open is not evicted; when all is in use the next blob is passed through.
func TestOpenStays(t *testing.T) {
	a, b := &origin{content: noise(long, 1)}, &origin{content: noise(long, 2)}
	c := newCache(t, t.TempDir(), 8<<20)
	mustRead(t, c, a)
	quiet(t, c)
	open := a.open1(t, c)
	mustRead(t, c, b)
	quiet0(t, c)
	a.readAt(t, open, 0, long)
	a.wantFetches(t, 2)
	if s := c.Stats(); s.Evicted != 0 {
		t.Errorf("%+v", s)
	}
	open.Close()
	mustRead(t, c, b)
	quiet(t, c)
	n := b.fetches.Load()
	mustRead(t, c, b)
	b.wantFetches(t, n)
	if s := c.Stats(); s.Evicted != 1 {
		t.Errorf("%+v", s)
	}
}

// TestManifestsApart: manifests do not push blobs out, nor blobs manifests.
func TestManifestsApart(t *testing.T) {
	const bound = 16 << 20
	c := newCache(t, t.TempDir(), bound)
	manifest := func(o *origin) {
		t.Helper()
		desc := describe(o.content)
		desc.MediaType = ocispec.MediaTypeImageManifest
		b, err := c.Open(t.Context(), desc, o.source())
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
	}
	first, blob := &origin{content: noise(3000, 1)}, &origin{content: noise(long, 2)}
	manifest(first)
	mustRead(t, c, blob)
	for i := range 4 {
		mustRead(t, c, &origin{content: noise(long, byte(10+i))})
		quiet(t, c)
	}
	manifest(first)
	first.wantFetches(t, 1)
	mustRead(t, c, blob)
	quiet(t, c)
	n := blob.fetches.Load()
	for i := range 600 {
		manifest(&origin{content: noise(4000+int64(i), byte(i))})
	}
	mustRead(t, c, blob)
	blob.wantFetches(t, n)
	if n := c.store.manifests.used; n > bound/8 || n < bound/8-2*pageBytes {
		t.Errorf("manifests take %d bytes", n)
	}
	big := &origin{content: noise(300_000, 3)} // a large one is read whole too
	manifest(big)
	manifest(big)
	big.wantFetches(t, 1)
}

// TestSharedDirectory: the second process says so once and keeps nothing; the first goes on.
func TestSharedDirectory(t *testing.T) {
	dir := t.TempDir()
	o := &origin{content: noise(large, 1)}
	first := newCache(t, dir, 1<<30)
	mustRead(t, first, o)
	var log bytes.Buffer
	second, err := New(Options{Dir: dir, MaxBytes: 1 << 30, Log: slogTo(&log)})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		mustRead(t, second, o)
	}
	o.wantFetches(t, 4)
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || second.Stats().Bytes != 0 {
		t.Errorf("%d lines, %+v:\n%s", n, second.Stats(), &log)
	}
	second.Close()
	mustRead(t, first, o)
	o.wantFetches(t, 4)
	first.Close()
	mustRead(t, newCache(t, dir, 1<<30), o)
	o.wantFetches(t, 4)
}

// TestNothingKept: with no bytes allowed there are none.
func TestNothingKept(t *testing.T) {
	dir := t.TempDir()
	c := newCache(t, dir, 0)
	for _, size := range sizes {
		o := &origin{content: noise(size, 1)}
		mustRead(t, c, o)
		mustRead(t, c, o)
		o.wantFetches(t, 2*o.whole())
	}
	if n := diskBytes(dir); n != 0 {
		t.Errorf("%d bytes are kept", n)
	}
}

// TestDiskFails: full at some moment of a download, or read-only: the download goes on, and the log says so once.
func TestDiskFails(t *testing.T) {
	for name, errno := range map[string]error{"full": syscall.ENOSPC, "read-only": syscall.EROFS} {
		for after := range int64(12) {
			o := &origin{content: noise(huge, 1)}
			var log bytes.Buffer
			c, err := New(Options{Dir: t.TempDir(), MaxBytes: 1 << 30, Log: slogTo(&log)})
			if err != nil {
				t.Fatal(err)
			}
			var n atomic.Int64
			c.store.writeAt = func(f *os.File, p []byte, offset int64) (int, error) {
				if n.Add(1) > 2*after {
					return 0, errno
				}
				return f.WriteAt(p, offset)
			}
			if after == 0 {
				c.store.create = func(string) (*os.File, error) { return nil, errno }
			}
			mustRead(t, c, o)
			if n := strings.Count(log.String(), "level=WARN"); after < 9 && n == 0 || n > 2 {
				t.Errorf("%s after %d: %d lines:\n%s", name, after, n, &log)
			}
			if sent := o.sent.Load(); sent > 2*huge {
				t.Errorf("%s after %d: %d bytes were sent of %d", name, after, sent, huge)
			}
			quiet0(t, c)
			mustRead(t, c, &origin{content: noise(100, 2)})
			c.Close()
			if n := reserved(c); n != 0 {
				t.Errorf("%s after %d: %d bytes are reserved", name, after, n)
			}
		}
	}
}

// TestUnusable: a directory that may not be written is no reason not to read.
func TestUnusable(t *testing.T) {
	if !readOnly(&fs.PathError{Op: "mkdir", Path: "x", Err: syscall.EROFS}) {
		t.Error("EROFS is not seen")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	unprivileged(t)
	c, err := New(Options{Dir: dir, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{content: noise(large, 1)}
	if got, err := read(t.Context(), c, o); err != nil || !bytes.Equal(got, o.content) {
		t.Error(errors.Join(err))
	}
}
