package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func blocks(from, to int64) [2]int64 { return [2]int64{from * blockBytes, to * blockBytes} }

// TestExactRanges: a read fetches its blocks and no others, in one request for those that are neighbours.
func TestExactRanges(t *testing.T) {
	o := &origin{content: noise(20<<20+5, 1)}
	c := newCache(t, t.TempDir(), 1<<30)
	b := o.open1(t, c)
	o.readAt(t, b, 3<<20+100, 1000)
	quiet0(t, c)
	o.readAt(t, b, 3<<20, blockBytes)
	o.wantAsked(t, blocks(3, 4))
	o.readAt(t, b, 5<<20-1, 3<<20) // blocks 4 to 7
	o.wantAsked(t, blocks(3, 4), blocks(4, 8))
	o.readAt(t, b, 2<<20, 8<<20) // 2 and 8 to 9 are missing
	o.wantAsked(t, blocks(3, 4), blocks(4, 8), blocks(2, 3), blocks(8, 10))
	o.readAt(t, b, 20<<20, 5)
	if o.asked[4] != [2]int64{20 << 20, 20<<20 + 5} {
		t.Errorf("the last block is asked for by %v", o.asked[4])
	}
	if s := c.Stats(); s.Fetched != o.sent.Load() {
		t.Errorf("%d bytes were fetched, %d sent", s.Fetched, o.sent.Load())
	}
}

// quiet0 waits until no fetch runs.
func quiet0(t testing.TB, c *Cache) {
	t.Helper()
	eventually(t, "the fetches end", func() bool { return c.Stats().InFlight == 0 })
}

// TestOneFetchPerBlock: 64 readers of the same blocks, one fetch of each.
func TestOneFetchPerBlock(t *testing.T) {
	o := &origin{content: noise(12<<20, 2), delay: 20 * time.Millisecond}
	c := newCache(t, t.TempDir(), 1<<30)
	var readers sync.WaitGroup
	for i := range 64 {
		readers.Go(func() {
			b, err := c.Open(t.Context(), describe(o.content), o.source())
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			r := rand.New(rand.NewPCG(uint64(i), 0))
			for _, block := range r.Perm(11) {
				at := int64(block)*blockBytes + r.Int64N(900_000)
				got := make([]byte, 100_000)
				if _, err := b.ReadAt(got, at); err != nil || !bytes.Equal(got, o.content[at:at+100_000]) {
					t.Errorf("at %d: %v", at, err)
				}
			}
		})
	}
	readers.Wait()
	quiet0(t, c)
	if o.sent.Load() > 12<<20 {
		t.Errorf("%d bytes were sent of %d: %v", o.sent.Load(), len(o.content), o.asked)
	}
	if n := o.most.Load(); n > 4 {
		t.Errorf("%d fetches of one blob at once", n)
	}
}

// TestBoundedFetches: of many blobs no more than maxFetches at once, and who waits for one leaves with its context.
func TestBoundedFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, t.TempDir(), 1<<30)
		ctx, cancel := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for i := range 2 * 32 {
			readers.Go(func() {
				_, err := read(ctx, c, &origin{content: noise(large, byte(i)), delay: time.Hour})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
			})
		}
		synctest.Wait()
		if n := c.slots.free; n != 0 {
			t.Errorf("%d slots are free", n)
		}
		if n := len(c.slots.queue); n != 32 {
			t.Errorf("%d wait", n)
		}
		cancel()
		readers.Wait()
		synctest.Wait()
		if n := c.slots.free; n != maxFetches || len(c.slots.queue) != 0 {
			t.Errorf("%d slots are free, %d wait", n, len(c.slots.queue))
		}
		c.Close()
	})
}

// TestReadAhead: a reader in sequence has the next blocks fetched, 2 to 16 of them, and a slow one holds the stream back.
func TestReadAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{content: noise(64<<20, 3)}
		c := newCache(t, t.TempDir(), 1<<30)
		b, err := c.Open(t.Context(), describe(o.content), o.source())
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 64<<10)
		read := func(n int) {
			for range n * 16 {
				if _, err := io.ReadFull(b, buf); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		read(1)
		o.wantAsked(t, blocks(0, 1))
		for _, want := range []int64{3, 6, 11, 20, 21, 22} { // the block read, and 2, 4, 8, 16 from it on
			if _, err := io.ReadFull(b, buf); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := (o.sent.Load() + blockBytes - 1) / blockBytes; got != want {
				t.Errorf("%d blocks were sent, want %d", got, want)
			}
			for range 15 {
				if _, err := io.ReadFull(b, buf); err != nil {
					t.Fatal(err)
				}
			}
		}
		o.wantAsked(t, blocks(0, 1), blocks(1, 64))
		time.Sleep(idleTime / 2)
		synctest.Wait()
		if o.open.Load() != 1 {
			t.Error("the stream did not wait for its reader")
		}
		time.Sleep(idleTime)
		synctest.Wait()
		if o.open.Load() != 0 {
			t.Error("the stream waits for ever")
		}
		read(1) // it goes on where it was
		for range 56 {
			read(1)
		}
		if n := o.fetches.Load(); n != 3 {
			t.Errorf("%d fetches: %v", n, o.asked)
		}
		if o.sent.Load() != 64<<20 {
			t.Errorf("%d bytes sent", o.sent.Load())
		}
		b.Close()
		c.Close()
	})
}

// TestStreamEnds: with its reader, without taking the rest of the blob.
func TestStreamEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, leave := range map[string]func(Blob, context.CancelFunc){
			"close": func(b Blob, _ context.CancelFunc) { b.Close() },
			"context": func(b Blob, cancel context.CancelFunc) {
				cancel()
				b.Close()
			},
		} {
			o := &origin{content: noise(64<<20, 4)}
			c := newCache(t, t.TempDir(), 1<<30)
			ctx, cancel := context.WithCancel(t.Context())
			b, err := c.Open(ctx, describe(o.content), o.source())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(b, make([]byte, 3<<20)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(b, make([]byte, 3<<20)); err != nil {
				t.Fatal(err)
			}
			leave(b, cancel)
			synctest.Wait()
			if o.open.Load() != 0 || c.Stats().InFlight != 0 {
				t.Errorf("%s: %d requests are left", name, o.open.Load())
			}
			if sent := o.sent.Load(); sent > 24<<20 {
				t.Errorf("%s: %d bytes were sent", name, sent)
			}
			cancel()
			c.Close()
		}
	})
}

// TestUnwantedEnds: a fetch that nobody waits for any more ends, also one of a registry that says nothing.
func TestUnwantedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{content: noise(long, 5), gate: make(chan struct{})}
		c := newCache(t, t.TempDir(), 1<<30)
		b, err := c.Open(t.Context(), describe(o.content), o.source())
		if err != nil {
			t.Fatal(err)
		}
		o.readAt(t, b, 0, 1000)
		b.Close()
		synctest.Wait()
		if o.open.Load() != 1 {
			t.Error("the block is not taken to its end")
		}
		time.Sleep(idleTime + time.Second)
		synctest.Wait()
		if o.open.Load() != 0 {
			t.Error("a fetch that nobody wants waits for ever")
		}
		c.Close()
	})
}

// TestBytesAsTheyCome: the first bytes of a block are handed out before its last have come.
func TestBytesAsTheyCome(t *testing.T) {
	o := &origin{content: noise(long, 6), gate: make(chan struct{})}
	c := newCache(t, t.TempDir(), 1<<30)
	b := o.open1(t, c)
	o.readAt(t, b, 2<<20+50_000, 900_000)
	close(o.gate)
}

// TestRangeless: of a registry without ranges one stream serves all misses, and nothing that it sends is thrown away.
func TestRangeless(t *testing.T) {
	o := &origin{content: noise(huge, 7), rangeless: true, delay: 5 * time.Millisecond}
	c := newCache(t, t.TempDir(), 1<<30)
	b := o.open1(t, c)
	o.readAt(t, b, 5<<20, 1000)
	var readers sync.WaitGroup
	for i := range 16 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 0))
			for range 10 {
				at := r.Int64N(huge - 1000)
				got := make([]byte, 1000)
				if _, err := b.ReadAt(got, at); err != nil || !bytes.Equal(got, o.content[at:at+1000]) {
					t.Errorf("at %d: %v", at, err)
				}
			}
		})
	}
	readers.Wait()
	mustRead(t, c, o)
	o.wantFetches(t, 1)
	if o.sent.Load() != huge {
		t.Errorf("%d bytes were sent of %d", o.sent.Load(), huge)
	}
}

// TestLocal: a local source is read where it lies, and nothing of it is kept.
func TestLocal(t *testing.T) {
	for _, size := range []int64{100, large, long} {
		dir := t.TempDir()
		o := &origin{content: noise(size, 8), local: filepath.Join(dir, "local")}
		if err := os.WriteFile(o.local, o.content, 0o600); err != nil {
			t.Fatal(err)
		}
		c := newCache(t, filepath.Join(dir, "cache"), 1<<30)
		mustRead(t, c, o)
		b := o.open1(t, c)
		f := b.(interface{ File() *os.File }).File()
		if f == nil {
			t.Fatal("there is no file")
		}
		if got, err := io.ReadAll(io.NewSectionReader(f, 0, size+1)); err != nil || !bytes.Equal(got, o.content) {
			t.Errorf("the file has %d bytes, %v", len(got), err)
		}
		if s := c.Stats(); s.Bytes != 0 || s.Hits+s.Misses != 0 {
			t.Errorf("%+v", s)
		}
		o.wantFetches(t, 0)
		b.Close()
		if b.(interface{ File() *os.File }).File() != nil {
			t.Error("a closed blob has a file")
		}
		if err := os.Truncate(o.local, size-1); err != nil {
			t.Fatal(err)
		}
		mustRead(t, c, o)
		o.wantFetches(t, o.whole())
		os.Remove(o.local)
		o.content = noise(size, 9)
		mustRead(t, c, o)
	}
}

// TestFile: there is one when all has been verified and checked, and it is the blob's own.
func TestFile(t *testing.T) {
	o := &origin{content: noise(long, 10)}
	dir := t.TempDir()
	file := func(b Blob) *os.File { return b.(interface{ File() *os.File }).File() }
	c := newCache(t, dir, 1<<30)
	b := o.open1(t, c)
	o.readAt(t, b, 0, long-tailBytes-blockBytes)
	if file(b) != nil {
		t.Error("there is a file of an unverified blob")
	}
	o.readAt(t, b, 0, long)
	first := file(b)
	if first == nil || first == file(o.open1(t, c)) || first != file(b) {
		t.Errorf("file %v", first)
	}
	b.Close()
	c.Close()
	c = newCache(t, dir, 1<<30)
	b = o.open1(t, c)
	eventually(t, "the blocks are checked", func() bool { return file(b) != nil })
	if got, err := io.ReadAll(file(b)); err != nil || !bytes.Equal(got, o.content) {
		t.Errorf("the file has %d bytes, %v", len(got), err)
	}
	o.wantFetches(t, 2)
}

// TestLeaveAtOnce: when the last that waits for a block leaves with its context, its fetch ends.
func TestLeaveAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{content: noise(long, 11), gate: make(chan struct{})}
		c := newCache(t, t.TempDir(), 1<<30)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = read(ctx, c, o) }()
		synctest.Wait()
		if o.open.Load() != 1 {
			t.Fatal("it does not read")
		}
		cancel()
		synctest.Wait()
		if o.open.Load() != 0 {
			t.Error("the fetch goes on")
		}
		time.Sleep(2 * idleTime)
		c.Close()
	})
}

// TestBusy: a fetch that has brought its last block is in nobody's way.
func TestBusy(t *testing.T) {
	c := &content{transfers: []*transfer{{next: 1, end: 1}, {next: 3, end: 5}, {next: 7, end: 9, stream: true}}}
	for block, want := range []bool{3: true, 4: true, 7: true, 9: false} {
		if got := c.busyLocked(block, nil); got != want {
			t.Errorf("block %d: %v", block, got)
		}
	}
}

// TestFairness: a fifth reader in sequence of one blob does not wait for the others to end.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{content: noise(120<<20, 12), delay: time.Second}
		c := newCache(t, t.TempDir(), 1<<30)
		var readers sync.WaitGroup
		for i := range int64(6) {
			readers.Go(func() {
				b, err := c.Open(t.Context(), describe(o.content), o.source())
				if err != nil {
					t.Error(err)
					return
				}
				defer b.Close()
				if _, err := b.Seek(i*20<<20, io.SeekStart); err != nil {
					t.Error(err)
				}
				for range 19 {
					if _, err := io.ReadFull(b, make([]byte, blockBytes/2)); err != nil {
						t.Error(err)
					}
					if n := c.Stats().InFlight; n > 12 {
						t.Errorf("%d fetches", n)
					}
				}
			})
		}
		readers.Wait()
		time.Sleep(2 * idleTime)
		c.Close()
	})
}

// TestLingers: a stream makes way when it has had its share and others wait.
func TestLingers(t *testing.T) {
	c := &content{cache: &Cache{slots: newSlots(1)}, slots: newSlots(1)}
	stream := &transfer{content: c, stream: true, filled: fairBlocks}
	if stream.lingers() {
		t.Error("nobody waits, but it makes way")
	}
	if err := c.slots.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() { _ = c.slots.take(t.Context()) }()
	eventually(t, "the stream makes way", stream.lingers)
	if (&transfer{content: c, stream: true, filled: fairBlocks - 1}).lingers() {
		t.Error("a stream that has begun makes way")
	}
}

// TestRangelessAtOnce: several that find out at the same time that there are no ranges agree on one stream.
func TestRangelessAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{content: noise(huge, 13), rangeless: true, delay: time.Second}
		c := newCache(t, t.TempDir(), 1<<30)
		b, err := c.Open(t.Context(), describe(o.content), o.source())
		if err != nil {
			t.Fatal(err)
		}
		var readers sync.WaitGroup
		for i := range int64(4) {
			readers.Go(func() {
				got := make([]byte, 1000)
				if _, err := b.ReadAt(got, (2*i+1)<<20); err != nil || !bytes.Equal(got, o.content[(2*i+1)<<20:][:1000]) {
					t.Error(err)
				}
			})
		}
		readers.Wait()
		synctest.Wait()
		if n := o.sent.Load(); n > 8<<20 {
			t.Errorf("%d bytes were sent", n)
		}
		b.Close()
		c.Close()
	})
}

// TestBlobBound: the reads of one blob have maxBlobFetches requests at once, and the rest when those are done.
func TestBlobBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{content: noise(40<<20, 14), delay: time.Second}
		c := newCache(t, t.TempDir(), 1<<30)
		b, err := c.Open(t.Context(), describe(o.content), o.source())
		if err != nil {
			t.Fatal(err)
		}
		var readers sync.WaitGroup
		for i := range int64(12) {
			readers.Go(func() {
				got := make([]byte, 1000)
				if _, err := b.ReadAt(got, 3*i<<20); err != nil || !bytes.Equal(got, o.content[3*i<<20:][:1000]) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := o.open.Load(); n != maxBlobFetches {
			t.Errorf("%d requests at once", n)
		}
		readers.Wait()
		synctest.Wait()
		o.wantFetches(t, 12)
		b.Close()
		c.Close()
	})
}

// TestRangelessAgain: of a registry that is known to have no ranges the readers that come later have one stream too.
func TestRangelessAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{content: noise(huge, 15), rangeless: true, delay: time.Second}
		c := newCache(t, t.TempDir(), 1<<30)
		b, err := c.Open(t.Context(), describe(o.content), o.source())
		if err != nil {
			t.Fatal(err)
		}
		o.readAt(t, b, 4<<20, 100) // which tells that there are none
		time.Sleep(2 * idleTime)   // its stream ends
		o.wantFetches(t, 1)
		var readers sync.WaitGroup
		for i := range int64(3) {
			readers.Go(func() {
				got := make([]byte, 1000)
				if _, err := b.ReadAt(got, (6+i)<<20); err != nil || !bytes.Equal(got, o.content[(6+i)<<20:][:1000]) {
					t.Error(err)
				}
			})
		}
		readers.Wait()
		time.Sleep(2 * idleTime)
		o.wantFetches(t, 2)
		b.Close()
		c.Close()
	})
}
