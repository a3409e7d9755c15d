package cache

import (
	"bytes"
	"errors"
	"fmt"
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
	"time"
)

// spoilBlock damages a block in the first n bodies.
func spoilBlock(block, n int64) func(int64) int {
	return func(fetch int64) int {
		if fetch > n {
			return -1
		}
		return int(block*blockBytes + 77)
	}
}

// TestWrongOnce: wrong bytes are thrown away and all is fetched once more. Who has had some of them fails, who has not
// does not notice.
func TestWrongOnce(t *testing.T) {
	for block := range int64(6) {
		o := &origin{content: noise(long, 1), spoil: spoilBlock(block, 2)} // two requests make a download
		c := newCache(t, t.TempDir(), 1<<30)
		got, err := read(t.Context(), c, o)
		had := !bytes.Equal(got[:min(len(got), long-tailBytes)], o.content[:min(len(got), long-tailBytes)])
		if had && (err == nil || int64(len(got)) > long-tailBytes) {
			t.Errorf("block %d: a damaged download has %d bytes, %v", block, len(got), err)
		} else if !had && (err != nil || !bytes.Equal(got, o.content)) {
			t.Errorf("block %d: %d bytes, %v", block, len(got), err)
		}
		mustRead(t, c, o)
		if n := o.sent.Load(); n > 2*long {
			t.Errorf("block %d: %d bytes were sent of %d", block, n, long)
		}
	}
}

// TestWrongForGood: a registry that keeps sending wrong bytes is asked twice, and nothing of that is kept.
func TestWrongForGood(t *testing.T) {
	o := &origin{content: noise(long, 2)}
	o.flip.Store(true)
	c := newCache(t, t.TempDir(), 1<<30)
	got, err := read(t.Context(), c, o)
	if err == nil || int64(len(got)) > long-tailBytes {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n := o.sent.Load(); n != 2*long {
		t.Errorf("%d bytes were sent of %d", n, long)
	}
	quiet(t, c)
	if s := c.Stats(); s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
	o = &origin{content: noise(1000, 2)}
	o.flip.Store(true)
	if _, err := read(t.Context(), c, o); err == nil {
		t.Error("a small damaged blob is read")
	}
	o.wantFetches(t, 2)
}

// TestTail: the last block is there for who reads nothing else; but when all others are there it must be verified.
func TestTail(t *testing.T) {
	o := &origin{content: noise(long, 3), spoil: spoilBlock(2, 1)}
	c := newCache(t, t.TempDir(), 1<<30)
	b := o.open1(t, c)
	o.readAt(t, o.open1(t, c), long-1000, 1000)
	o.wantAsked(t, [2]int64{5 << 20, long})
	buf := make([]byte, long-tailBytes-1000)
	o.spoil = spoilBlock(2, 2)
	if _, err := b.ReadAt(buf, 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last block to arrive", func() bool { // it was read before it was kept
		k := contentOf(c, o)
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.absent == 0 || k.wrong > 0
	})
	o.readAt(t, o.open1(t, c), long-1000, 1000) // all is there, and wrong: it is fetched once more
	if sent := o.sent.Load(); sent != 2*long {
		t.Errorf("%d bytes were sent of %d: %v", sent, long, o.asked)
	}
	had := !bytes.Equal(buf, o.content[:len(buf)])
	rest := make([]byte, tailBytes+1000)
	if n, err := b.ReadAt(rest, int64(len(buf))); had && err == nil || !had && n < len(rest) {
		t.Errorf("who was given wrong bytes: %v is given the end: %d, %v", had, n, err)
	}
	mustRead(t, c, o)
}

// copyDir copies a directory as it is found: what kill -9 leaves.
func copyDir(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile
		}
		rel, _ := filepath.Rel(from, path)
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestKill: whatever a process leaves that is killed, the next one opens it and reads no wrong byte. Verified blobs are
// not fetched again.
func TestKill(t *testing.T) {
	origins := make([]*origin, 6)
	for i := range origins {
		origins[i] = &origin{content: noise([]int64{5000, large, 2*blockBytes + 200_000}[i%3]+int64(i), byte(i))}
	}
	dir := t.TempDir()
	c := newCache(t, dir, 1<<30)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for {
				select {
				case <-stop:
					return
				default:
				}
				o := origins[r.IntN(len(origins))]
				b, err := c.Open(t.Context(), describe(o.content), o.source())
				if err != nil {
					t.Error(err)
					return
				}
				for range r.IntN(5) {
					_, _ = b.ReadAt(make([]byte, 1+r.IntN(200_000)), r.Int64N(int64(len(o.content))))
				}
				if r.IntN(3) == 0 {
					_, _ = io.Copy(io.Discard, b)
				}
				b.Close()
				if r.IntN(4) == 0 { // begin anew
					if e := c.store.pin(describe(o.content)); e != nil {
						c.store.drop(e)
						c.store.unpin(e)
					}
				}
			}
		})
	}
	for i := range 24 {
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		left := filepath.Join(t.TempDir(), "left")
		copyDir(t, dir, left)
		if i%3 > 0 {
			damageSome(t, left, i%3 == 2)
		}
		next := newCache(t, left, 1<<30)
		for _, o := range origins {
			fresh := &origin{content: o.content}
			whole := false
			if f, err := os.Stat(next.whole(o)); err == nil && i%3 == 0 && f.Size() == int64(len(o.content)) {
				sums, err := os.ReadFile(next.whole(o) + sumsSuffix)
				s, err2 := decodeSums(sums, f.Size())
				whole = err == nil && err2 == nil && !bytes.Contains(encodeSums(0, s)[sumsHead:], []byte{0, 0, 0, 0})
			}
			mustRead(t, next, fresh)
			mustRead(t, next, fresh)
			if whole && fresh.fetches.Load() > 0 {
				t.Errorf("a verified blob of %d bytes is fetched again", len(o.content))
			}
		}
		next.Close()
		os.RemoveAll(left)
	}
	close(stop)
	readers.Wait()
}

// damageSome flips, zeroes or cuts something in some files of a cache's directory; with sums, of the maps too.
func damageSome(t testing.TB, dir string, sums bool) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || e.Name() == lockName || rand.IntN(2) == 0 || strings.HasSuffix(path, sumsSuffix) && !sums {
			return nil
		}
		i, err := e.Info()
		if err != nil || i.Size() == 0 {
			return nil
		}
		at := rand.Int64N(i.Size())
		switch rand.IntN(4) {
		case 0:
			return os.Truncate(path, at)
		case 1:
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return nil
			}
			defer f.Close()
			_, err = f.WriteAt(make([]byte, min(4096, i.Size()-at)), at) // what a power loss does
			return err
		case 2:
			return os.WriteFile(path, noise(i.Size(), 99), 0o600)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil
		}
		defer f.Close()
		b := make([]byte, 1)
		_, _ = f.ReadAt(b, at)
		b[0] ^= 0x10
		_, err = f.WriteAt(b, at)
		return err
	})
}

// TestNoDamagedDownload: over a registry and a disk that both lie at times, over restarts and a cache that is too small,
// no read from the start to the end gives other bytes than the blob's without an error.
func TestNoDamagedDownload(t *testing.T) {
	var whole, failed int
	for seed := range uint64(32) {
		r := rand.New(rand.NewPCG(seed, 7))
		size := []int64{large, blockBytes, 2*blockBytes + 10, 2*blockBytes + 200_000, long}[r.IntN(5)]
		lies := atomic.Int64{} // one body in so many is damaged; zero: none
		lies.Store([]int64{0, 2, 4, 10}[r.IntN(4)])
		var mu sync.Mutex
		o := &origin{content: noise(size, byte(seed)), rangeless: r.IntN(6) == 0}
		if r.IntN(3) == 0 {
			o.cut.Store(700_000 + r.Int64N(900_000))
		}
		o.spoil = func(int64) int {
			mu.Lock()
			defer mu.Unlock()
			if n := lies.Load(); n > 0 && r.Int64N(n) == 0 {
				return int(r.Int64N(size))
			}
			return -1
		}
		random := func(n int64) int64 {
			mu.Lock()
			defer mu.Unlock()
			return r.Int64N(n)
		}
		dir := t.TempDir()
		maxBytes := []int64{1 << 30, 1 << 30, 4 << 20, 0}[r.IntN(4)]
		c := newCache(t, dir, maxBytes)
		if r.IntN(4) == 0 { // the disk is full after a while
			var n atomic.Int64
			c.store.writeAt = func(f *os.File, p []byte, offset int64) (int, error) {
				if n.Add(1) > 6 {
					return 0, syscall.ENOSPC
				}
				return f.WriteAt(p, offset)
			}
		}
		for range 6 {
			var readers sync.WaitGroup
			for range 2 {
				readers.Go(func() { // at random
					b, err := c.Open(t.Context(), describe(o.content), o.source())
					if err != nil {
						return
					}
					defer b.Close()
					for range 5 {
						at := random(size)
						got := make([]byte, 1+random(300_000))
						n, err := b.ReadAt(got, at)
						if lies.Load() == 0 && (err != nil && err != io.EOF || !bytes.Equal(got[:n], o.content[at:at+int64(n)])) && seed%4 != 3 {
							t.Logf("seed %d: at %d: %v", seed, at, err) // from before the registry spoke the truth
						}
					}
				})
			}
			for range 2 {
				readers.Go(func() { // from the start, and now and then a look elsewhere
					b, err := c.Open(t.Context(), describe(o.content), o.source())
					if err != nil {
						return
					}
					defer b.Close()
					rest, same := o.content, true
					p, look := make([]byte, 400_000), make([]byte, 1000)
					for {
						n, err := b.Read(p[:1+random(400_000)])
						same = same && bytes.HasPrefix(rest, p[:n])
						rest = rest[min(n, len(rest)):]
						if random(8) == 0 {
							_, _ = b.ReadAt(look, random(size))
						}
						if err == io.EOF {
							break
						}
						if err != nil {
							mu.Lock()
							failed++
							mu.Unlock()
							return
						}
					}
					mu.Lock()
					whole++
					mu.Unlock()
					if !same || len(rest) > 0 {
						t.Errorf("seed %d: a damaged download completes", seed)
					}
				})
			}
			readers.Wait()
			if random(3) == 0 {
				c.Close()
				damageSome(t, dir, true)
				c = newCache(t, dir, maxBytes)
			}
		}
		lies.Store(0)
		o.cut.Store(0)
		if _, err := read(t.Context(), c, o); err != nil { // it may have had wrong blocks from before
			mustRead(t, c, o)
		}
		c.Close()
	}
	t.Logf("%d whole, %d failed", whole, failed)
	if whole == 0 || failed == 0 {
		t.Errorf("%d whole, %d failed: that proves nothing", whole, failed)
	}
}

// damagedBlock gives the directory of a cache that has the whole blob, and on the disk another third block.
func damagedBlock(t *testing.T, o *origin) (dir string) {
	t.Helper()
	dir = t.TempDir()
	c := newCache(t, dir, 1<<30)
	mustRead(t, c, o)
	quiet(t, c)
	c.Close()
	f, err := os.OpenFile(c.whole(o), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("damage"), 2<<20+500)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestBlockRepaired: of a whole blob with a damaged block that block is fetched, and the log says so once.
func TestBlockRepaired(t *testing.T) {
	o := &origin{content: noise(long, 4)}
	dir := damagedBlock(t, o)
	var log bytes.Buffer
	c, err := New(Options{Dir: dir, MaxBytes: 1 << 30, Log: slogTo(&log)})
	if err != nil {
		t.Fatal(err)
	}
	mustRead(t, c, o)
	mustRead(t, c, o)
	quiet(t, c)
	o.wantAsked(t, blocks(0, 1), [2]int64{1 << 20, long}, blocks(2, 3))
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d lines:\n%s", n, &log)
	}
	c.Close()
	c = newCache(t, dir, 1<<30)
	mustRead(t, c, o)
	o.wantFetches(t, 3)
}

// TestOldDirectory: a blob without a map is hashed when it is opened first, and has one then.
func TestOldDirectory(t *testing.T) {
	dir := t.TempDir()
	o := &origin{content: noise(long, 5)}
	d := describe(o.content).Digest.Encoded()
	path := filepath.Join(dir, blobsFolder, "sha256", d[:2], d)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, o.content, 0o600)); err != nil {
		t.Fatal(err)
	}
	c := newCache(t, dir, 1<<30)
	mustRead(t, c, o)
	quiet(t, c)
	o.wantFetches(t, 0)
	b, err := os.ReadFile(path + sumsSuffix)
	if err != nil {
		t.Fatal(err)
	}
	if sums, err := decodeSums(b, long); err != nil || sums[0] != checksum(o.content[:blockBytes]) {
		t.Error(fmt.Sprint(sums), err)
	}
}

// TestDemoted: a block of a whole blob that comes back with another sum is no part of a verified blob.
func TestDemoted(t *testing.T) {
	o := &origin{content: noise(long, 6)}
	dir := damagedBlock(t, o)
	o.spoil = spoilBlock(2, 3)
	c := newCache(t, dir, 1<<30)
	got, err := read(t.Context(), c, o)
	if err == nil && !bytes.Equal(got, o.content) {
		t.Error("a damaged download completes")
	}
	mustRead(t, c, o)
}

// TestDistrust: wrong blocks of a blob that can never be whole, because the disk is full, do not stay.
func TestDistrust(t *testing.T) {
	o := &origin{content: noise(long, 8), spoil: spoilBlock(0, 1)}
	c := newCache(t, t.TempDir(), 1<<30)
	var n atomic.Int64
	c.store.writeAt = func(f *os.File, p []byte, offset int64) (int, error) {
		if n.Add(1) > 5 {
			return 0, syscall.ENOSPC
		}
		return f.WriteAt(p, offset)
	}
	if got, err := read(t.Context(), c, o); err == nil || int64(len(got)) > long-tailBytes {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	mustRead(t, c, o)
}
