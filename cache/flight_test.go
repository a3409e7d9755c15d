package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneFetchForAll(t *testing.T) {
	for _, size := range []int64{1000, large, long} {
		o := &origin{content: noise(size, 1), gate: make(chan struct{})}
		c := newCache(t, t.TempDir(), 1<<30)
		var readers sync.WaitGroup
		for range 32 {
			readers.Go(func() {
				if got, err := read(t.Context(), c, o); err != nil || !bytes.Equal(got, o.content) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
		eventually(t, "all have come", func() bool { return c.Stats().Misses == 32 })
		close(o.gate)
		readers.Wait()
		o.wantFetches(t, o.whole())
	}
}

// TestLeave: a reader leaves with its context; the last one ends the fetch.
func TestLeave(t *testing.T) {
	for _, size := range []int64{1000, large, long} {
		o := &origin{content: noise(size, 2), gate: make(chan struct{})}
		c := newCache(t, t.TempDir(), 1<<30)
		stay, leaveLast := context.WithCancel(t.Context())
		go1, leave := context.WithCancel(t.Context())
		results := make(chan error, 2)
		for _, ctx := range []context.Context{go1, stay} {
			before := c.Stats().Misses
			go func() {
				_, err := read(ctx, c, o)
				results <- err
			}()
			eventually(t, "it reads", func() bool { return c.Stats().Misses > before && o.sent.Load() >= min(size, blockBytes)-1 })
			eventually(t, "it waits", func() bool { return waiting(c, o) == int(c.Stats().Misses) })
		}
		leave()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("the first left with %v", err)
		}
		time.Sleep(10 * time.Millisecond)
		if o.ended.Load() != 0 {
			t.Error("the fetch ended though one waits for it")
		}
		leaveLast()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("the last left with %v", err)
		}
		eventually(t, "the fetch ends", func() bool { return o.ended.Load() == 1 })
		quiet(t, c)
		if s := c.Stats(); s.Bytes != 0 || s.InFlight != 0 || reserved(c) != 0 || incoming(t, c) != 0 {
			t.Errorf("something is left: %+v, %d reserved", s, reserved(c))
		}
		close(o.gate)
		mustRead(t, c, o)
	}
}

// TestWrongBytes: neither kept nor passed through is a damaged blob read to its end.
func TestWrongBytes(t *testing.T) {
	for _, size := range []int64{1, 1000, smallBytes + 1, large} {
		for name, maxBytes := range map[string]int64{"kept": 1 << 30, "passed through": 0} {
			o := &origin{content: noise(size, 3)}
			o.flip.Store(true)
			c := newCache(t, t.TempDir(), maxBytes)
			got, err := read(t.Context(), c, o)
			if err == nil || errors.Is(err, io.EOF) || int64(len(got)) == size {
				t.Errorf("%s: %d of %d bytes, error %v", name, len(got), size, err)
			}
			quiet(t, c)
			if s := c.Stats(); s.Bytes != 0 || reserved(c) != 0 || incoming(t, c) != 0 {
				t.Errorf("%s: a damaged blob is kept", name)
			}
			o.flip.Store(false)
			mustRead(t, c, o)
		}
	}
}

func TestBrokenSource(t *testing.T) {
	for name, maxBytes := range map[string]int64{"kept": 1 << 30, "passed through": 0} {
		for _, size := range []int64{1000, large} {
			o := &origin{content: noise(size, 4)}
			o.cut.Store(size/3 + 1)
			c := newCache(t, t.TempDir(), maxBytes)
			mustRead(t, c, o)
			o.wantFetches(t, 3)

			o = &origin{content: noise(size, 5)}
			o.cut.Store(10) // hopeless
			if _, err := read(t.Context(), c, o); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: error %v", name, err)
			}
			o.wantFetches(t, 1+maxBreaks)

			down := errors.New("down")
			o = &origin{content: noise(size, 6), err: down}
			if _, err := read(t.Context(), c, o); !errors.Is(err, down) {
				t.Errorf("%s: error %v, want the registry's own", name, err)
			}
			o.wantFetches(t, 1)
			o.err = nil
			mustRead(t, c, o)
		}
	}
}

// TestFarAhead: who reads the end of a long blob does not wait for its middle, and fetches one block.
func TestFarAhead(t *testing.T) {
	o := &origin{content: noise(huge, 7)}
	c := newCache(t, t.TempDir(), 1<<30)
	b := o.open1(t, c)
	o.readAt(t, b, huge-5000, 100)
	o.readAt(t, b, huge-4096, 4096)
	o.wantAsked(t, [2]int64{9 << 20, huge})
	o.readAt(t, b, 0, 100)
	o.wantAsked(t, [2]int64{9 << 20, huge}, [2]int64{0, blockBytes})
}

// TestFollow: a reader has what has arrived before the rest has.
func TestFollow(t *testing.T) {
	o := &origin{content: noise(long, 8), gate: make(chan struct{})}
	c := newCache(t, t.TempDir(), 1<<30)
	b, err := c.Open(t.Context(), describe(o.content), o.source())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got := make([]byte, blockBytes-1)
	if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, o.content[:len(got)]) {
		t.Fatal(err)
	}
	close(o.gate)
	rest, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(rest, o.content[len(got):]) {
		t.Fatal(err)
	}
}

// TestComplaints: a full disk is not told of for each blob.
func TestComplaints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := complaints{log: slogTo(&log)}
		for range 100 {
			c.warn("full", "sha256:x", io.ErrShortWrite)
		}
		c.warn("other", "sha256:x", io.ErrShortWrite)
		time.Sleep(2 * time.Minute)
		c.warn("full", "sha256:x", io.ErrShortWrite)
		if n := bytes.Count(log.Bytes(), []byte("\n")); n != 3 {
			t.Errorf("%d lines:\n%s", n, log.String())
		}
	})
}
