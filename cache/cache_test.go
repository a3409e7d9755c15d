package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const large = 3*tailBytes + 12345 // more than smallBytes, and no round number

func noise(n int64, seed byte) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func describe(b []byte) ocispec.Descriptor {
	return ocispec.Descriptor{Digest: digest.FromBytes(b), Size: int64(len(b))}
}

// origin is a registry with one blob, and with defects.
type origin struct {
	content []byte
	err     error         // of every fetch
	cut     int           // bytes after which a body breaks off; zero: never
	flip    bool          // the last byte is wrong
	gate    chan struct{} // a body that was begun waits for it before its last byte
	fetches atomic.Int64
	sent    atomic.Int64
	ended   atomic.Int64 // bodies closed
}

type body struct {
	io.Reader
	o *origin
}

func (b body) Close() error { b.o.ended.Add(1); return nil }

func (o *origin) fetch(ctx context.Context, offset int64) (io.ReadCloser, error) {
	o.fetches.Add(1)
	if o.err != nil {
		return nil, o.err
	}
	content := bytes.Clone(o.content)
	if o.flip {
		content[len(content)-1] ^= 1
	}
	content = content[offset:]
	var r io.Reader = bytes.NewReader(content)
	if o.cut > 0 && o.cut < len(content) {
		r = io.MultiReader(bytes.NewReader(content[:o.cut]), iotest.ErrReader(io.ErrUnexpectedEOF))
	}
	if o.gate != nil {
		held := func() (int, error) {
			select {
			case <-o.gate:
				return 0, io.EOF
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		r = io.MultiReader(bytes.NewReader(content[:len(content)-1]), readerFunc(held), bytes.NewReader(content[len(content)-1:]))
	}
	return body{io.TeeReader(contextReader{ctx, r}, counter{&o.sent}), o}, nil
}

type readerFunc func() (int, error)

func (f readerFunc) Read([]byte) (int, error) { return f() }

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

func newCache(t testing.TB, dir string, maxBytes int64) *Cache {
	t.Helper()
	c, err := New(Options{Dir: dir, MaxBytes: maxBytes, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// read opens and reads a blob whole.
func read(ctx context.Context, c *Cache, o *origin) ([]byte, error) {
	b, err := c.Open(ctx, describe(o.content), o.fetch)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return io.ReadAll(b)
}

func mustRead(t testing.TB, c *Cache, o *origin) {
	t.Helper()
	got, err := read(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, o.content) {
		t.Fatalf("got %d bytes that differ from the %d of the blob", len(got), len(o.content))
	}
}

func (o *origin) wantFetches(t testing.TB, n int64) {
	t.Helper()
	if got := o.fetches.Load(); got != n {
		t.Fatalf("%d fetches, want %d", got, n)
	}
}

// eventually waits for what happens behind.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("not in time: " + what)
}

func incoming(t testing.TB, c *Cache) int {
	t.Helper()
	l, err := os.ReadDir(c.store.incoming())
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}

var sizes = []int64{1, smallBytes, smallBytes + 1, tailBytes*2 - 1, large, aheadBytes + large}

func TestMissThenHitThenRestart(t *testing.T) {
	for _, size := range sizes {
		o := &origin{content: noise(size, 1)}
		dir := t.TempDir()
		c := newCache(t, dir, 1<<30)
		mustRead(t, c, o)
		o.wantFetches(t, 1)
		eventually(t, "the blob is kept", func() bool { return c.Stats().Bytes == size && c.Stats().InFlight == 0 })
		mustRead(t, c, o)
		if s := c.Stats(); s.Hits != 1 || s.Misses != 1 {
			t.Errorf("%+v, want a hit and a miss", s)
		}
		c.Close()
		c = newCache(t, dir, 1<<30)
		mustRead(t, c, o)
		mustRead(t, c, o)
		o.wantFetches(t, 1)
	}
}

// TestEmpty: what has no bytes needs no fetch.
func TestEmpty(t *testing.T) {
	o := &origin{}
	for range 2 {
		c := newCache(t, t.TempDir(), 1<<20)
		mustRead(t, c, o)
	}
	o.wantFetches(t, 0)
}

func TestReaders(t *testing.T) {
	for _, size := range sizes[:5] {
		for name, maxBytes := range map[string]int64{"kept": 1 << 30, "passed through": 0} {
			o := &origin{content: noise(size, 2)}
			c := newCache(t, t.TempDir(), maxBytes)
			for range 2 { // a flight, then a file
				b, err := c.Open(t.Context(), describe(o.content), o.fetch)
				if err != nil {
					t.Fatal(err)
				}
				if err := iotest.TestReader(b, o.content); err != nil {
					t.Errorf("%s, %d bytes: %v", name, size, err)
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
				if size > smallBytes {
					if _, err := b.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
						t.Errorf("read after Close: %v", err)
					}
					if err := b.Close(); !errors.Is(err, fs.ErrClosed) {
						t.Errorf("Close after Close: %v", err)
					}
				}
			}
		}
	}
}

func TestDamageOnDisk(t *testing.T) {
	for _, size := range []int64{1000, large} {
		for name, damage := range map[string]func(path string) error{
			"another byte": func(path string) error {
				b, _ := os.ReadFile(path)
				b[len(b)/2] ^= 1
				return os.WriteFile(path, b, 0o600)
			},
			"truncated": func(path string) error { return os.Truncate(path, size/2) },
			"longer":    func(path string) error { return os.Truncate(path, size+1) },
			"empty":     func(path string) error { return os.Truncate(path, 0) },
			"gone":      os.Remove,
			"a directory": func(path string) error {
				os.Remove(path)
				return os.MkdirAll(filepath.Join(path, "x"), 0o700)
			},
		} {
			t.Run(name, func(t *testing.T) {
				o := &origin{content: noise(size, 3)}
				dir := t.TempDir()
				c := newCache(t, dir, 1<<30)
				mustRead(t, c, o)
				c.Close()
				if err := damage(c.store.path(describe(o.content).Digest)); err != nil {
					t.Fatal(err)
				}
				c = newCache(t, dir, 1<<30)
				mustRead(t, c, o)
				o.wantFetches(t, 2)
				c.Close()
				if name != "a directory" { // which stays, and costs a fetch each time
					mustRead(t, c, o)
					o.wantFetches(t, 2)
				}
			})
		}
	}
}

// A file that is cut while it is open is finished from the registry.
func TestTruncatedWhileOpen(t *testing.T) {
	o := &origin{content: noise(large, 4)}
	c := newCache(t, t.TempDir(), 1<<30)
	mustRead(t, c, o)
	c.running.Wait()
	b, err := c.Open(t.Context(), describe(o.content), o.fetch)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := os.Truncate(c.store.path(describe(o.content).Digest), large/2); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, o.content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestForeignFilesStay(t *testing.T) {
	dir := t.TempDir()
	d := describe([]byte("x")).Digest.Encoded()
	foreign := []string{"notes.txt", "blobs/readme", "blobs/sha256/ab/" + d, "blobs/sha256/" + d[:2] + "/" + d + ".tmp", "blobs/md5/ab/abc",
		"incoming/other"}
	for _, name := range foreign {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o700)
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := filepath.Join(dir, "incoming", "blob-123")
	if err := os.WriteFile(left, []byte("of a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCache(t, dir, 100)
	if s := c.Stats(); s.Bytes != 0 {
		t.Errorf("foreign files are counted: %+v", s)
	}
	mustRead(t, c, &origin{content: noise(90, 5)})
	mustRead(t, c, &origin{content: noise(91, 6)})
	for _, name := range foreign {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a crash left is still there: %v", err)
	}
}

func TestRecencySurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	c := newCache(t, dir, 1<<20)
	var all []*origin
	for i := range byte(4) {
		o := &origin{content: noise(1000, i)}
		all = append(all, o)
		mustRead(t, c, o)
		at := time.Now().Add(time.Duration(i)*time.Minute - time.Hour)
		if err := os.Chtimes(c.store.path(describe(o.content).Digest), at, at); err != nil {
			t.Fatal(err)
		}
	}
	c = newCache(t, dir, 1<<20)
	mustRead(t, c, all[0]) // now the most recent, also for the next process
	c = newCache(t, dir, 2500)
	for i, fetches := range []int64{1, 2, 2, 1} {
		if i == 1 || i == 2 {
			continue
		}
		mustRead(t, c, all[i])
		all[i].wantFetches(t, fetches)
	}
	if s := c.Stats(); s.Evicted != 2 || s.Bytes != 2000 {
		t.Errorf("%+v, want two evicted", s)
	}
}

// TestBudget: many readers of more than fits. The files never have more than the bound, and all read rightly.
func TestBudget(t *testing.T) {
	const bound = 8 * large
	dir := t.TempDir()
	c := newCache(t, dir, bound)
	origins := make([]*origin, 24)
	for i := range origins {
		size := int64(large)
		if i%3 == 0 {
			size = 5000
		}
		origins[i] = &origin{content: noise(size, byte(i))}
	}
	stop := make(chan struct{})
	var watch, readers sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			c.store.mu.Lock() // a walk is no snapshot otherwise
			n := diskBytes(dir)
			c.store.mu.Unlock()
			if n > bound {
				t.Errorf("%d bytes on the disk, the bound is %d", n, bound)
				return
			}
		}
	})
	for i := range 64 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 0))
			for range 20 {
				o := origins[r.IntN(len(origins))]
				if got, err := read(t.Context(), c, o); err != nil || !bytes.Equal(got, o.content) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
		})
	}
	readers.Wait()
	close(stop)
	watch.Wait()
	c.Close()
	if s := c.Stats(); s.Bytes != diskBytes(dir) || s.InFlight != 0 || c.store.reserved != 0 || incoming(t, c) != 0 {
		t.Errorf("%+v with %d reserved, but %d bytes on the disk", s, c.store.reserved, diskBytes(dir))
	}
}

func diskBytes(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if i, err := e.Info(); err == nil {
				n += i.Size()
			}
		}
		return nil
	})
	return n
}

func TestAdd(t *testing.T) {
	for _, size := range []int64{1, 10, large} {
		o := &origin{content: noise(size, 7)}
		desc := describe(o.content)
		c := newCache(t, t.TempDir(), 1<<20)
		for name, r := range map[string]io.Reader{
			"short": bytes.NewReader(o.content[:size-1]), "long": bytes.NewReader(append(bytes.Clone(o.content), 1)),
			"failing": iotest.ErrReader(io.ErrUnexpectedEOF),
		} {
			if err := c.Add(t.Context(), desc, r); err == nil {
				t.Errorf("%d bytes: a %s content is kept", size, name)
			}
		}
		if err := c.Add(t.Context(), desc, bytes.NewReader(o.content)); err != nil {
			t.Error(err)
		}
		if err := c.Add(t.Context(), desc, iotest.ErrReader(errors.New("read"))); err != nil {
			t.Errorf("again: %v", err)
		}
		mustRead(t, c, o)
		o.wantFetches(t, 0)
		if c.store.reserved != 0 || incoming(t, c) != 0 {
			t.Errorf("%d bytes reserved, %d files on their way", c.store.reserved, incoming(t, c))
		}
	}
	c := newCache(t, t.TempDir(), 100)
	if err := c.Add(t.Context(), describe(noise(101, 1)), bytes.NewReader(noise(101, 1))); err == nil {
		t.Error("a blob that does not fit is kept")
	}
}

func TestBadDescriptors(t *testing.T) {
	c := newCache(t, t.TempDir(), 1<<20)
	hex := describe(nil).Digest.Encoded()
	for _, desc := range []ocispec.Descriptor{
		{}, {Digest: "sha256:../../../../etc/passwd"}, {Digest: "sha256:abc"}, {Digest: "md5:d41d8cd98f00b204e9800998ecf8427e"},
		{Digest: digest.Digest("sha256:" + hex[:63] + "/")}, {Digest: digest.Digest("sha256:" + hex), Size: -1},
	} {
		if _, err := c.Open(t.Context(), desc, (&origin{}).fetch); err == nil {
			t.Errorf("Open of %+v", desc)
		}
		if err := c.Add(t.Context(), desc, bytes.NewReader(nil)); err == nil {
			t.Errorf("Add of %+v", desc)
		}
	}
}

// TestFullDisk writes to the device that is always full.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	for _, size := range []int64{100, large, aheadBytes + large} {
		o := &origin{content: noise(size, 8)}
		c := newCache(t, t.TempDir(), 1<<30)
		c.store.create = func() (*os.File, error) {
			name := filepath.Join(c.store.incoming(), "blob-full") // not the device's own name, which would be removed
			if err := os.Symlink("/dev/full", name); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, err
			}
			return os.OpenFile(name, os.O_RDWR, 0)
		}
		if err := c.Add(t.Context(), describe(o.content), bytes.NewReader(o.content)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Add on a full disk: %v", err)
		}
		mustRead(t, c, o)
		mustRead(t, c, o)
		c.running.Wait()
		if s := c.Stats(); s.Bytes != 0 || c.store.reserved != 0 || s.InFlight != 0 {
			t.Errorf("%+v, %d reserved", s, c.store.reserved)
		}
		if incoming(t, c) != 0 {
			t.Error("a file is left")
		}
	}
}

func TestNoDirectory(t *testing.T) {
	below := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(below, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: filepath.Join(below, "cache"), MaxBytes: 1}); err == nil {
		t.Error("New below a file succeeds")
	}
	dir := t.TempDir()
	c := newCache(t, dir, 1<<30)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{100, large} {
		mustRead(t, c, &origin{content: noise(size, 9)})
	}
	if c.store.reserved != 0 {
		t.Errorf("%d bytes reserved", c.store.reserved)
	}
}

func FuzzPath(f *testing.F) {
	s := &store{dir: f.TempDir()}
	good := s.path(describe(nil).Digest)
	f.Add(good[len(s.blobs())+1:])
	f.Add("sha512/ab/../../../x")
	f.Add("sha256/e3/E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855")
	f.Fuzz(func(t *testing.T, rel string) {
		path := s.blobs() + "/" + rel
		d, ok := s.digestOf(path)
		if ok && (s.path(d) != path || d.Validate() != nil) {
			t.Errorf("%q is taken for %s at %q", path, d, s.path(d))
		}
	})
}

func BenchmarkSmallHit(b *testing.B) {
	o := &origin{content: noise(4096, 1)}
	c := newCache(b, b.TempDir(), 1<<30)
	mustRead(b, c, o)
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		mustRead(b, c, o)
	}
}

// BenchmarkLarge compares a cold and a warm read with what both must do: hash it, and read the file.
func BenchmarkLarge(b *testing.B) {
	o := &origin{content: noise(64<<20, 1)}
	desc := describe(o.content)
	run := func(name string, do func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(desc.Size)
			b.ReportAllocs()
			for b.Loop() {
				do(b)
			}
		})
	}
	c := newCache(b, b.TempDir(), 1<<30)
	buf := make([]byte, 32<<10)
	drain := func(b *testing.B, r io.Reader) {
		if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf); err != nil || n != desc.Size {
			b.Fatal(n, err)
		}
	}
	open := func(b *testing.B) {
		f, err := c.Open(b.Context(), desc, o.fetch)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		drain(b, f)
	}
	run("hash", func(b *testing.B) { digest.FromBytes(o.content) })
	run("cold", func(b *testing.B) { open(b); c.running.Wait(); c.store.drop(desc.Digest) })
	if err := c.Add(b.Context(), desc, bytes.NewReader(o.content)); err != nil {
		b.Fatal(err)
	}
	run("warm", open)
	run("file", func(b *testing.B) {
		f, err := os.Open(c.store.path(desc.Digest))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		drain(b, f)
	})
}

func slogTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
