package cache

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var sizes = []int64{1, smallBytes, smallBytes + 1, tailBytes*2 - 1, large, blockBytes, blockBytes + 1, long, huge}

func TestMissThenHitThenRestart(t *testing.T) {
	for _, size := range sizes {
		o := &origin{content: noise(size, 1)}
		dir := t.TempDir()
		c := newCache(t, dir, 1<<30)
		mustRead(t, c, o)
		o.wantFetches(t, o.whole())
		quiet(t, c)
		if s := c.Stats(); s.Bytes != chargeOf(describe(o.content), size) {
			t.Errorf("%d bytes are charged with %d", size, s.Bytes)
		}
		mustRead(t, c, o)
		if s := c.Stats(); s.Hits != 1 || s.Misses != 1 {
			t.Errorf("%+v, want a hit and a miss", s)
		}
		c.Close()
		c = newCache(t, dir, 1<<30)
		mustRead(t, c, o)
		mustRead(t, c, o)
		o.wantFetches(t, o.whole())
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
				b, err := c.Open(t.Context(), describe(o.content), o.source())
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
				if err := damage(c.whole(o)); err != nil {
					t.Fatal(err)
				}
				c = newCache(t, dir, 1<<30)
				mustRead(t, c, o)
				o.wantFetches(t, 2)
				if name != "a directory" || size > smallBytes { // which stays, and costs a fetch each time
					mustRead(t, c, o)
					o.wantFetches(t, 2)
				}
			})
		}
	}
}

// A file that is cut while it is open is finished from the registry.
func TestTruncatedWhileOpen(t *testing.T) {
	for _, size := range []int64{large, long} {
		o := &origin{content: noise(size, 4)}
		c := newCache(t, t.TempDir(), 1<<30)
		mustRead(t, c, o)
		quiet(t, c)
		b, other := o.open1(t, c), o.open1(t, c)
		if err := os.Truncate(c.whole(o), size/2); err != nil {
			t.Fatal(err)
		}
		o.readAt(t, other, size-100, 100) // what is fetched for this must not leave a hole that is believed
		if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, o.content) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		mustRead(t, c, o)
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
	c := newCache(t, dir, 5000)
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
		if err := os.Chtimes(c.whole(o), at, at); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	c = newCache(t, dir, 1<<20)
	mustRead(t, c, all[0]) // now the most recent, also for the next process
	c.Close()
	c = newCache(t, dir, 10_000)
	for i, fetches := range []int64{1, 2, 2, 1} {
		if i == 1 || i == 2 {
			continue
		}
		mustRead(t, c, all[i])
		all[i].wantFetches(t, fetches)
	}
	if s := c.Stats(); s.Evicted != 2 || s.Bytes != 2*pageBytes {
		t.Errorf("%+v, want two evicted", s)
	}
}

func TestAdd(t *testing.T) {
	for _, size := range []int64{1, 10, large, long} {
		o := &origin{content: noise(size, 7)}
		desc := describe(o.content)
		c := newCache(t, t.TempDir(), 1<<24)
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
		if reserved(c) != 0 || incoming(t, c) != 0 {
			t.Errorf("%d bytes reserved, %d files on their way", reserved(c), incoming(t, c))
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
		if _, err := c.Open(t.Context(), desc, (&origin{}).source()); err == nil {
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
	for _, size := range []int64{100, large, long, huge} {
		o := &origin{content: noise(size, 8)}
		c := newCache(t, t.TempDir(), 1<<30)
		c.store.writeAt = func(_ *os.File, p []byte, offset int64) (int, error) {
			f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
			if err != nil {
				return 0, err
			}
			defer f.Close()
			return f.WriteAt(p, offset)
		}
		if err := c.Add(t.Context(), describe(o.content), bytes.NewReader(o.content)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Add on a full disk: %v", err)
		}
		mustRead(t, c, o)
		mustRead(t, c, o)
		quiet(t, c)
		if s := c.Stats(); s.Bytes != 0 || reserved(c) != 0 || s.InFlight != 0 {
			t.Errorf("%+v, %d reserved", s, reserved(c))
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
	quiet(t, c)
	if reserved(c) != 0 {
		t.Errorf("%d bytes reserved", reserved(c))
	}
}

func FuzzPath(f *testing.F) {
	s := &directory{root: f.TempDir()}
	blobs := filepath.Join(s.root, blobsFolder)
	f.Add(s.path(blobsFolder, describe(nil).Digest)[len(blobs)+1:])
	f.Add("sha512/ab/../../../x")
	f.Add("sha256/e3/E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855")
	f.Fuzz(func(t *testing.T, rel string) {
		path := blobs + "/" + rel
		d, ok := s.digestOf(blobsFolder, path)
		if ok && (s.path(blobsFolder, d) != path || d.Validate() != nil) {
			t.Errorf("%q is taken for %s at %q", path, d, s.path(blobsFolder, d))
		}
	})
}

func FuzzSums(f *testing.F) {
	f.Add(encodeSums(long, make([]uint32, blocksOf(long))), int64(long))
	f.Add([]byte(sumsMagic), int64(1))
	f.Add(make([]byte, sumOffset(0)), int64(0))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if size < 0 || size > 1<<40 {
			return
		}
		sums, err := decodeSums(b, size)
		if err == nil && !bytes.Equal(encodeSums(size, sums), b) {
			t.Errorf("%x is read as %x", b, sums)
		}
	})
}

// TestEmptied: files that vanish under a running process are fetched again, whoever has them open.
func TestEmptied(t *testing.T) {
	for _, size := range []int64{100, large, 2*blockBytes - 100, long} {
		for _, again := range []bool{false, true} { // checked by this process, or not yet
			o := &origin{content: noise(size, 11)}
			dir := t.TempDir()
			c := newCache(t, dir, 1<<30)
			mustRead(t, c, o)
			quiet(t, c)
			if again {
				c.Close()
				c = newCache(t, dir, 1<<30)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				os.RemoveAll(filepath.Join(dir, e.Name()))
			}
			for range 3 {
				mustRead(t, c, o)
				quiet(t, c)
			}
			mustRead(t, c, &origin{content: noise(size, 12)})
		}
	}
}

// TestPlainDigest: what is not looked at by Digest.Validate is valid.
func TestPlainDigest(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 4)
	if !isPlain(digest.Digest("sha256:" + hex)) {
		t.Error("a plain digest is not taken for one")
	}
	for _, d := range []string{"", hex, "sha256", "sha256:", "sha256:" + hex[1:], "sha256:" + hex + "0", "sha256:" + strings.ToUpper(hex),
		"sha512:" + hex, "SHA256:" + hex, "sha256:/../../" + hex[7:], "sha256:" + hex[:63] + "g", "sha256:" + hex[:63] + "\x00"} {
		if isPlain(digest.Digest(d)) {
			t.Errorf("%q is taken for a plain digest", d)
		}
		if _, err := newCache(t, t.TempDir(), 1<<20).Open(t.Context(), ocispec.Descriptor{Digest: digest.Digest(d), Size: 1}, Source{}); err == nil {
			t.Errorf("%q is opened", d)
		}
	}
}
