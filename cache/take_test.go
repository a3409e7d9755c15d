package cache

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// handed is a content in a file of its writer, as Add takes it.
type handed struct {
	io.Reader
	file *os.File
}

func (h handed) File() *os.File { return h.file }

// write makes a file with the content of o: "nameless" has no name, "removed" has lost its own, "named" has it still.
func (o *origin) write(t testing.TB, kind, dir string) handed {
	t.Helper()
	flags, name := os.O_RDWR|os.O_CREATE|os.O_EXCL, filepath.Join(dir, "spool")
	if kind == "nameless" {
		flags, name = os.O_RDWR|tmpFile(), dir
	}
	f, err := os.OpenFile(name, flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(o.content); err != nil { // the offset is at the end then
		t.Fatal(err)
	}
	if kind == "removed" {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	return handed{readerFunc(func() (int, error) { return 0, errors.New("it is read") }), f}
}

// tmpFile is Linux's O_TMPFILE, of which O_DIRECTORY is a part.
func tmpFile() int {
	switch runtime.GOARCH {
	case "arm", "arm64", "ppc64", "ppc64le":
		return 0x400000 | 0x4000
	}
	return 0x400000 | 0x10000
}

// mapped waits until a taken blob is there and has its map.
func mapped(t testing.TB, c *Cache, o *origin) {
	t.Helper()
	eventually(t, "the blob has a map", func() bool {
		e := contentOf(c, o)
		if e == nil {
			return false
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		return !e.summing
	})
	quiet(t, c)
}

func (c *Cache) mapOf(t testing.TB, o *origin) []byte {
	t.Helper()
	b, err := os.ReadFile(c.whole(o) + sumsSuffix)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (o *origin) sums() []byte {
	var sums []uint32
	for b := o.content; len(b) > 0; b = b[min(blockBytes, len(b)):] {
		sums = append(sums, checksum(b[:min(blockBytes, len(b))]))
	}
	return encodeSums(int64(len(o.content)), sums)
}

// TestTake: the file of a writer becomes the cache's, without a copy where it can have a name, and the blob is as good
// as one that was fetched, also for the next process.
func TestTake(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("files without a name are Linux's")
	}
	for _, kind := range []string{"nameless", "named", "removed"} {
		t.Run(kind, func(t *testing.T) {
			o, dir := &origin{content: noise(long, 21)}, t.TempDir()
			c := newCache(t, dir, 1<<30)
			h := o.write(t, kind, t.TempDir())
			if err := c.Add(t.Context(), describe(o.content), h); err != nil {
				t.Fatal(err)
			}
			own, _ := h.file.Stat()
			h.file.Close()
			if kind != "removed" { // it is there at once, whole and trusted
				if b := o.open1(t, c).(*blob); b.File() == nil {
					t.Error("it cannot be sent by the kernel")
				} else if i, err := b.File().Stat(); err != nil || !os.SameFile(i, own) {
					t.Error("it was copied", err)
				} else {
					b.Close()
				}
			}
			mapped(t, c, o)
			mustRead(t, c, o)
			if got := c.mapOf(t, o); !bytes.Equal(got, o.sums()) {
				t.Errorf("its map is %x", got)
			}
			if s := c.Stats(); s.Bytes != chargeOf(describe(o.content), long) || s.Misses != 0 || reserved(c) != 0 || incoming(t, c) != 0 {
				t.Errorf("%+v, %d reserved, %d files on their way", s, reserved(c), incoming(t, c))
			}
			c.Close()
			c = newCache(t, dir, 1<<30)
			mustRead(t, c, o)
			o.wantFetches(t, 0)
		})
	}
}

// TestTakeFromElsewhere: a file on another file system is copied.
func TestTakeFromElsewhere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("files without a name are Linux's")
	}
	c := newCache(t, t.TempDir(), 1<<30)
	o := &origin{content: noise(long, 22)}
	elsewhere, err := os.MkdirTemp("/dev/shm", "ocidav-test-")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(elsewhere)
	h := o.write(t, "nameless", elsewhere)
	if err := c.store.link(h.file, filepath.Join(c.store.root, "x")); !errors.Is(err, syscall.EXDEV) {
		t.Skipf("/dev/shm is no other file system: %v", err)
	}
	if err := c.Add(t.Context(), describe(o.content), h); err != nil {
		t.Fatal(err)
	}
	h.file.Close()
	mapped(t, c, o)
	mustRead(t, c, o)
	o.wantFetches(t, 0)
}

// TestTakeRefused: what is not taken leaves nothing.
func TestTakeRefused(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, c *Cache, h handed){
		"short": func(t *testing.T, c *Cache, h handed) {
			if err := h.file.Truncate(long - 1); err != nil {
				t.Fatal(err)
			}
		},
		"closed":  func(t *testing.T, c *Cache, h handed) { h.file.Close() },
		"no room": func(t *testing.T, c *Cache, h handed) { c.store.blobs.max = long },
		"too many copies": func(t *testing.T, c *Cache, h handed) {
			c.store.link = func(*os.File, string) error { return syscall.EXDEV }
			for range maxCopies {
				c.copies <- struct{}{}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := &origin{content: noise(long, 23)}
			c := newCache(t, t.TempDir(), 1<<30)
			h := o.write(t, "named", t.TempDir())
			prepare(t, c, h)
			if err := c.Add(t.Context(), describe(o.content), h); err == nil {
				t.Error("it is kept")
			}
			if s := c.Stats(); s.Bytes != 0 || incoming(t, c) != 0 {
				t.Errorf("%+v, %d files on their way", s, incoming(t, c))
			}
		})
	}
}

// TestTakeFailsBehind: a copy that fails after Add gives its room back.
func TestTakeFailsBehind(t *testing.T) {
	o := &origin{content: noise(long, 24)}
	c := newCache(t, t.TempDir(), 1<<30)
	c.store.link = func(*os.File, string) error { return syscall.EXDEV }
	c.store.create = func(name string) (*os.File, error) { return os.OpenFile(name, os.O_RDONLY|os.O_CREATE, 0o600) }
	_ = c.Add(t.Context(), describe(o.content), o.write(t, "named", t.TempDir()))
	eventually(t, "the room is given back", func() bool { return c.Stats().Bytes == 0 })
	if incoming(t, c) != 0 {
		t.Error("a file is left")
	}
}

// TestTakenWithoutMap: a blob whose map has not come yet can be read, cut, removed, and left to the next process.
func TestTakenWithoutMap(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only there a file is taken as it is")
	}
	start := func(t *testing.T) (*Cache, *origin) {
		o := &origin{content: noise(long, 25)}
		c := newCache(t, t.TempDir(), 1<<30)
		c.mapping <- struct{}{} // somebody else's map comes first
		if err := c.Add(t.Context(), describe(o.content), o.write(t, "named", t.TempDir())); err != nil {
			t.Fatal(err)
		}
		return c, o
	}
	t.Run("cut", func(t *testing.T) {
		c, o := start(t)
		b := o.open1(t, c)
		got := make([]byte, long)
		if _, err := io.ReadFull(b, got[:2*blockBytes+5]); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(c.whole(o), blockBytes+5); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(b, got[2*blockBytes+5:]); err != nil || !bytes.Equal(got, o.content) {
			t.Error("other bytes", err)
		}
		b.Close()
		<-c.mapping
		mustRead(t, c, o)
		quiet(t, c)
		if !bytes.Equal(c.mapOf(t, o), o.sums()) {
			t.Error("the map has other sums")
		}
	})
	t.Run("cut before it is mapped", func(t *testing.T) {
		c, o := start(t)
		if err := os.Truncate(c.whole(o), blockBytes+5); err != nil {
			t.Fatal(err)
		}
		<-c.mapping
		c.mapping <- struct{}{} // after the one that waited
		quiet(t, c)             // it found nothing that is good, and left nothing
		<-c.mapping
		mustRead(t, c, o)
	})
	t.Run("removed", func(t *testing.T) {
		c, o := start(t)
		c.store.drop(contentOf(c, o).entry)
		<-c.mapping
		c.mapping <- struct{}{} // after the one that waited
		quiet(t, c)
		if n := reserved(c); n != 0 || diskBytes(c.store.root) != 0 {
			t.Errorf("%d bytes are reserved, %d on the disk", n, diskBytes(c.store.root))
		}
	})
	for name, sums := range map[string][]byte{"left": nil, "left with an empty map": {}, "left with half a map": []byte(sumsMagic)} {
		t.Run(name, func(t *testing.T) {
			c, o := start(t)
			c.Close()
			if sums != nil {
				if err := os.WriteFile(c.whole(o)+sumsSuffix, sums, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c = newCache(t, c.store.root, 1<<30)
			mustRead(t, c, o)
			quiet(t, c)
			o.wantFetches(t, 0)
			if !bytes.Equal(c.mapOf(t, o), o.sums()) {
				t.Error("the map has other sums")
			}
		})
	}
}

// TestIncomingRemoved: the folder for what comes is made again.
func TestIncomingRemoved(t *testing.T) {
	c := newCache(t, t.TempDir(), 1<<30)
	for i, size := range []int64{100, long, long} {
		if err := os.RemoveAll(filepath.Join(c.store.root, incomingFolder)); err != nil {
			t.Fatal(err)
		}
		o := &origin{content: noise(size, byte(30+i))}
		var r io.Reader = bytes.NewReader(o.content)
		if i == 2 {
			r = o.write(t, "named", t.TempDir())
		}
		if err := c.Add(t.Context(), describe(o.content), r); err != nil {
			t.Error(err)
		}
		mustRead(t, c, o)
		o.wantFetches(t, 0)
	}
}
