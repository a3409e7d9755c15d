package cache

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// BenchmarkSmallHit is a warm GET of a small file: compare it with what it must do, to read a file and to hash it.
func BenchmarkSmallHit(b *testing.B) {
	o := &origin{content: noise(4096, 1)}
	c := newCache(b, b.TempDir(), 1<<30)
	mustRead(b, c, o)
	desc, src, buf := describe(o.content), o.source(), make([]byte, 4096)
	b.Run("cache", func(b *testing.B) {
		b.SetBytes(4096)
		b.ReportAllocs()
		for b.Loop() {
			r, err := c.Open(b.Context(), desc, src)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(r, buf); err != nil {
				b.Fatal(err)
			}
			r.Close()
		}
	})
	b.Run("file", func(b *testing.B) {
		b.SetBytes(4096)
		b.ReportAllocs()
		path := c.whole(o)
		for b.Loop() {
			data, err := os.ReadFile(path)
			if err != nil || digest.FromBytes(data) != desc.Digest {
				b.Fatal(err)
			}
		}
	})
}

// drain reads as net/http does.
func drain(b testing.TB, r io.Reader, want int64) {
	buf := make([]byte, 32<<10)
	if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf); err != nil || n != want {
		b.Fatal(n, err)
	}
}

// BenchmarkLarge compares a cold and a warm read with what both must do: hash it, and read the file. Cold is also
// compared with reading the source itself.
func BenchmarkLarge(b *testing.B) {
	for name, delay := range map[string]time.Duration{"": 0, " 40ms": 40 * time.Millisecond} {
		o := &origin{content: noise(64<<20, 1), delay: delay}
		desc := describe(o.content)
		run := func(what string, do func(b *testing.B)) {
			b.Run(what+name, func(b *testing.B) {
				b.SetBytes(desc.Size)
				b.ReportAllocs()
				for b.Loop() {
					do(b)
				}
			})
		}
		c := newCache(b, b.TempDir(), 1<<30)
		open := func(b *testing.B) {
			f, err := c.Open(b.Context(), desc, o.source())
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			drain(b, f, desc.Size)
		}
		run("source", func(b *testing.B) {
			r, _, err := o.fetch(b.Context(), 0, desc.Size)
			if err != nil {
				b.Fatal(err)
			}
			drain(b, r, desc.Size)
			r.Close()
		})
		run("cold", func(b *testing.B) {
			open(b)
			quiet(b, c)
			e := c.store.pin(desc)
			c.store.drop(e)
			c.store.unpin(e)
		})
		if delay > 0 {
			continue
		}
		run("hash", func(*testing.B) { digest.FromBytes(o.content) })
		if err := c.Add(b.Context(), desc, bytes.NewReader(o.content)); err != nil {
			b.Fatal(err)
		}
		mustRead(b, c, o) // checks the blocks
		run("warm", open)
		path := c.whole(o)
		run("file", func(b *testing.B) {
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			drain(b, f, desc.Size)
		})
	}
}

// BenchmarkRandom reads 64 KiB at random places of a warm blob, opened each time, in parallel.
func BenchmarkRandom(b *testing.B) {
	o := &origin{content: noise(256<<20, 1)}
	desc, src := describe(o.content), o.source()
	c := newCache(b, b.TempDir(), 1<<30)
	if err := c.Add(b.Context(), desc, bytes.NewReader(o.content)); err != nil {
		b.Fatal(err)
	}
	mustRead(b, c, o)
	run := func(name string, open func() (Blob, error)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(64 << 10)
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(p *testing.PB) {
				buf := make([]byte, 64<<10)
				for p.Next() {
					r, err := open()
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := r.ReadAt(buf, rand.Int64N(desc.Size-64<<10)); err != nil {
						b.Error(err)
					}
					r.Close()
				}
			})
		})
	}
	run("cache", func() (Blob, error) { return c.Open(b.Context(), desc, src) })
	path := c.whole(o)
	run("file", func() (Blob, error) { return os.Open(path) })
}
