package cache

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	large = 3*tailBytes + 12345     // more than smallBytes, and no round number
	long  = 5*blockBytes + 12345    // of some blocks, the last one shorter than what is held
	huge  = 9<<20 + 3*tailBytes + 7 // longer than what is read ahead at first
)

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
	content   []byte
	rangeless bool                   // it sends all, whatever it is asked for
	err       error                  // of every fetch
	cut       atomic.Int64           // bytes after which a body breaks off; zero: never
	flip      atomic.Bool            // the last byte is wrong
	spoil     func(n int64) (at int) // says which byte of the blob is damaged in the body of fetch n; negative: none
	gate      chan struct{}          // a body that was begun waits for it before its last byte
	delay     time.Duration          // before a body comes
	local     string                 // name of a file

	fetches, sent, ended, open, most atomic.Int64
	mu                               sync.Mutex
	asked                            [][2]int64
}

func (o *origin) source() Source {
	s := Source{Fetch: o.fetch}
	if o.local != "" {
		s.Local = func(context.Context) (*os.File, error) { return os.Open(o.local) }
	}
	return s
}

type body struct {
	io.Reader
	o      *origin
	closed atomic.Bool
}

func (b *body) Close() error {
	if !b.closed.Swap(true) {
		b.o.ended.Add(1)
		b.o.open.Add(-1)
	}
	return nil
}

func (o *origin) fetch(ctx context.Context, from, to int64) (io.ReadCloser, int64, error) {
	n := o.fetches.Add(1)
	o.mu.Lock()
	o.asked = append(o.asked, [2]int64{from, to})
	o.mu.Unlock()
	if o.err != nil {
		return nil, 0, o.err
	}
	most := o.open.Add(1)
	for m := o.most.Load(); most > m && !o.most.CompareAndSwap(m, most); m = o.most.Load() {
	}
	if o.delay > 0 {
		select {
		case <-time.After(o.delay):
		case <-ctx.Done():
			o.open.Add(-1)
			return nil, 0, ctx.Err()
		}
	}
	if from < 0 || from >= to || to > int64(len(o.content)) {
		panic("a range that is none")
	}
	content := o.content
	if o.flip.Load() {
		content = bytes.Clone(content)
		content[len(content)-1] ^= 1
	}
	if o.spoil != nil {
		if at := o.spoil(n); at >= 0 {
			content = bytes.Clone(content)
			content[at] ^= 4
		}
	}
	if o.rangeless {
		from, to = 0, int64(len(content))
	}
	content = content[from:to]
	var r io.Reader = bytes.NewReader(content)
	if cut := o.cut.Load(); cut > 0 && cut < int64(len(content)) {
		r = io.MultiReader(bytes.NewReader(content[:cut]), iotest.ErrReader(io.ErrUnexpectedEOF))
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
	return &body{Reader: io.TeeReader(contextReader{ctx, r}, counter{&o.sent}), o: o}, from, nil
}

// wantAsked compares what was asked for, in its order.
func (o *origin) wantAsked(t testing.TB, want ...[2]int64) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Equal(o.asked, want) {
		t.Fatalf("asked for %v, want %v", o.asked, want)
	}
}

func (o *origin) wantFetches(t testing.TB, n int64) {
	t.Helper()
	if got := o.fetches.Load(); got != n {
		o.mu.Lock()
		defer o.mu.Unlock()
		t.Fatalf("%d fetches, want %d: %v", got, n, o.asked)
	}
}

// whole is how many fetches a read from the start to the end takes.
func (o *origin) whole() int64 {
	if len(o.content) > blockBytes {
		return 2
	}
	return 1
}

type readerFunc func() (int, error)

func (f readerFunc) Read([]byte) (int, error) { return f() }

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

// newCache is New without memory: what is kept lies on the disk, and is read there.
func newCache(t testing.TB, dir string, maxBytes int64) *Cache {
	t.Helper()
	c := newHotCache(t, dir, maxBytes)
	c.hot.max, c.behind.max = 0, 0
	return c
}

func newHotCache(t testing.TB, dir string, maxBytes int64) *Cache {
	t.Helper()
	c, err := New(Options{Dir: dir, MaxBytes: maxBytes, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (o *origin) open1(t testing.TB, c *Cache) Blob {
	t.Helper()
	b, err := c.Open(t.Context(), describe(o.content), o.source())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// readAt reads n bytes at an offset and compares them.
func (o *origin) readAt(t testing.TB, b io.ReaderAt, at, n int64) {
	t.Helper()
	got := make([]byte, n)
	if m, err := b.ReadAt(got, at); err != nil && !(err == io.EOF && at+n == int64(len(o.content))) || !bytes.Equal(got, o.content[at:at+n]) {
		t.Fatalf("%d of %d bytes at %d: %v", m, n, at, err)
	}
}

// read opens and reads a blob whole.
func read(ctx context.Context, c *Cache, o *origin) ([]byte, error) {
	b, err := c.Open(ctx, describe(o.content), o.source())
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

// eventually waits for what happens behind.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 5000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("not in time: " + what)
}

// quiet waits until nothing runs behind.
func quiet(t testing.TB, c *Cache) {
	t.Helper()
	eventually(t, "nothing is on its way", func() bool {
		if c.Stats().InFlight > 0 {
			return false
		}
		c.store.mu.Lock()
		defer c.store.mu.Unlock()
		for _, e := range c.store.blobs.kept.Values() {
			if e.users > 0 {
				return false
			}
		}
		return true
	})
}

// reserved is what is charged to nothing that is kept.
func reserved(c *Cache) (n int64) {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	for _, a := range []*account{&c.store.blobs, &c.store.manifests} {
		n += a.used
		for _, e := range a.kept.Values() {
			n -= e.charge
		}
	}
	return n
}

// waiting is how many readers wait for the registry.
func waiting(c *Cache, o *origin) int {
	c.small.mu.Lock()
	defer c.small.mu.Unlock()
	if w, ok := c.small.in[describe(o.content).Digest]; ok {
		return w.waiting
	}
	if e := contentOf(c, o); e != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.waiting
	}
	return 0
}

// contentOf is what the cache knows of a large blob; nil for nothing.
func contentOf(c *Cache, o *origin) *content {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	if e, ok := c.store.blobs.kept.Peek(describe(o.content).Digest); ok {
		return e.content
	}
	return nil
}

// whole is where a whole blob lies.
func (c *Cache) whole(o *origin) string { return c.store.path(blobsFolder, describe(o.content).Digest) }

func incoming(t testing.TB, c *Cache) int {
	t.Helper()
	l, err := os.ReadDir(c.store.root + "/" + incomingFolder)
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}

func slogTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
