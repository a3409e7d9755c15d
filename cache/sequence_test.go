package cache

import (
	"io"
	"os"
	"testing"
	"testing/synctest"
)

// announced opens the blob for a reader that says what it will read.
func (o *origin) announced(t testing.TB, c *Cache, from, to int64) Blob {
	t.Helper()
	b := o.open1(t, c)
	b.(interface{ Sequential(from, to int64) }).Sequential(from, to)
	if _, err := b.Seek(from, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSequential: what is announced comes in one request, which ends where the announcement does; a slow reader holds it
// back, and one that leaves early, or goes elsewhere, ends it.
func TestSequential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{content: noise(64<<20, 3)}
		size := int64(len(o.content))
		c := newCache(t, t.TempDir(), 1<<30)
		defer c.Close()
		buf := make([]byte, 32<<10)

		b := o.announced(t, c, 0, size)
		if _, err := io.ReadFull(b, buf); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if sent := o.sent.Load(); sent != minAhead*blockBytes {
			t.Errorf("%d bytes were sent to a reader of %d, want %d", sent, len(buf), minAhead*blockBytes)
		}
		b.Close()
		synctest.Wait()
		if o.open.Load() != 0 {
			t.Error("the request does not end with its reader")
		}
		o.wantAsked(t, [2]int64{0, size})

		b = o.announced(t, c, 10<<20+100, 14<<20+200) // a range
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{io.LimitReader(b, 4<<20+100)}, buf); err != nil {
			t.Fatal(err)
		}
		b.Close()
		synctest.Wait()
		o.wantAsked(t, [2]int64{0, size}, blocks(10, 15))

		b = o.announced(t, c, 20<<20, size)
		o.readAt(t, b, 40<<20, 1000) // it reads something else
		b.Close()
		b = o.announced(t, c, 30<<20, 30<<20+100_000) // too short to be a sequence
		if _, err := io.ReadFull(b, buf); err != nil {
			t.Fatal(err)
		}
		b.Close()
		synctest.Wait()
		o.wantAsked(t, [2]int64{0, size}, blocks(10, 15), blocks(40, 41), blocks(30, 31))
	})
}

// TestSequentialWhole: a GET of a whole blob is one request, and its end waits for the verification as ever.
func TestSequentialWhole(t *testing.T) {
	o := &origin{content: noise(long, 4)}
	c := newCache(t, t.TempDir(), 1<<30)
	b := o.announced(t, c, 0, long)
	drain(t, b, long)
	b.Close()
	o.wantAsked(t, [2]int64{0, long})
	if !contentOf(c, o).verified {
		t.Error("it was read to its end before it was verified")
	}
	o = &origin{content: noise(long, 5)}
	o.flip.Store(true)
	got, err := io.ReadAll(o.announced(t, c, 0, long))
	if err == nil || int64(len(got)) > long-tailBytes {
		t.Errorf("wrong bytes: %d of them, %v", len(got), err)
	}
}

// TestTailAtOnce: the end of a blob of which nobody has read the rest need not wait for the disk.
func TestTailAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{content: noise(long, 6)}
		c := newCache(t, t.TempDir(), 1<<30)
		defer c.Close()
		b := o.open1(t, c)
		defer b.Close()
		read, write := make(chan struct{}), c.store.writeAt
		c.store.writeAt = func(f *os.File, p []byte, offset int64) (int, error) {
			if offset == 5<<20 {
				<-read
			}
			return write(f, p, offset)
		}
		o.readAt(t, b, long-1000, 1000) // or else nothing moves any more
		close(read)
		synctest.Wait()
		o.readAt(t, b, 0, long)
	})
}
