package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// stampAfter is how old a file's modification time may grow while the blob is in use: recency is for restarts, and a
// system call for each hit would be too much for it.
const stampAfter = 10 * time.Minute

// store is the directory and the account of its bytes.
type store struct {
	dir string
	max int64
	log *complaints

	create func() (*os.File, error) // opens a file for a blob that is on its way

	mu       sync.Mutex
	kept     *simplelru.LRU[digest.Digest, *entry]
	bytes    int64 // of kept
	reserved int64 // for what is on its way
	evicted  int64
}

// entry is a file in blobs.
type entry struct {
	size     int64
	verified bool // hashed by this process
	stamped  time.Time
}

func openStore(dir string, maxBytes int64, log *complaints) (*store, error) {
	kept, err := simplelru.NewLRU[digest.Digest, *entry](math.MaxInt, nil) // bytes are the bound, not their number
	if err != nil {
		return nil, err
	}
	s := &store{dir: dir, max: maxBytes, log: log, kept: kept}
	s.create = func() (*os.File, error) { return os.CreateTemp(s.incoming(), "blob-*") }
	for _, d := range []string{s.blobs(), s.incoming()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	left, err := filepath.Glob(filepath.Join(s.incoming(), "blob-*"))
	if err != nil {
		return nil, err
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil {
			return nil, err
		}
	}
	return s, s.load()
}

func (s *store) blobs() string    { return filepath.Join(s.dir, "blobs") }
func (s *store) incoming() string { return filepath.Join(s.dir, "incoming") }

func (s *store) path(d digest.Digest) string {
	hex := d.Encoded()
	return filepath.Join(s.blobs(), d.Algorithm().String(), hex[:2], hex)
}

// digestOf reads path's result back.
func (s *store) digestOf(path string) (digest.Digest, bool) {
	rel, err := filepath.Rel(s.blobs(), path)
	if err != nil {
		return "", false
	}
	d := digest.NewDigestFromEncoded(digest.Algorithm(filepath.Dir(filepath.Dir(rel))), filepath.Base(rel))
	return d, d.Validate() == nil && s.path(d) == path
}

// load makes entries of the files that are there, the oldest first.
func (s *store) load() error {
	type found struct {
		digest digest.Digest
		entry
	}
	var all []found
	err := filepath.WalkDir(s.blobs(), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		d, ours := s.digestOf(path)
		if !ours || !e.Type().IsRegular() {
			return nil
		}
		i, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		all = append(all, found{d, entry{size: i.Size(), stamped: i.ModTime()}})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(a.stamped.Compare(b.stamped), cmp.Compare(a.digest, b.digest))
	})
	for _, f := range all {
		s.kept.Add(f.digest, &f.entry)
		s.bytes += f.size
	}
	s.shrink(s.max)
	return nil
}

// shrink removes the least recently used until the kept ones have at most n bytes. The caller holds mu.
func (s *store) shrink(n int64) {
	for s.bytes > n {
		d, _, ok := s.kept.GetOldest()
		if !ok {
			return
		}
		s.remove(d)
		s.evicted++
	}
}

// remove takes a file away. The caller holds mu.
func (s *store) remove(d digest.Digest) {
	e, ok := s.kept.Peek(d)
	if !ok {
		return
	}
	s.kept.Remove(d)
	s.bytes -= e.size
	if err := os.Remove(s.path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.warn("a cached blob cannot be removed", d, err)
	}
}

func (s *store) drop(d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(d)
}

// touch says whether a blob is kept, and makes it the most recent.
func (s *store) touch(desc ocispec.Descriptor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.use(desc) != nil
}

// use is touch for one that holds mu. A file of another size is damaged, and removed.
func (s *store) use(desc ocispec.Descriptor) *entry {
	e, ok := s.kept.Get(desc.Digest)
	if !ok {
		return nil
	}
	if e.size != desc.Size {
		s.remove(desc.Digest)
		return nil
	}
	if now := time.Now(); now.Sub(e.stamped) > stampAfter {
		e.stamped = now
		_ = os.Chtimes(s.path(desc.Digest), now, now) // for the next process only
	}
	return e
}

// open opens a kept blob's file; nil if there is none. verified: this process has hashed it.
func (s *store) open(desc ocispec.Descriptor) (file *os.File, verified bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.use(desc)
	if e == nil {
		return nil, false
	}
	file, err := os.Open(s.path(desc.Digest))
	if err == nil {
		var i fs.FileInfo
		if i, err = file.Stat(); err == nil && i.Size() == desc.Size {
			return file, e.verified
		}
		file.Close()
	}
	s.log.warn("a cached blob cannot be used, it is fetched again", desc.Digest, err)
	s.remove(desc.Digest)
	return nil, false
}

// verify hashes a kept blob's file.
func (s *store) verify(ctx context.Context, desc ocispec.Descriptor) error {
	file, verified := s.open(desc)
	if file == nil || verified {
		return nil
	}
	defer file.Close()
	v := desc.Digest.Verifier()
	if _, err := io.Copy(v, contextReader{ctx, file}); err != nil {
		return err
	}
	if !v.Verified() {
		return errDamaged
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.kept.Peek(desc.Digest); ok {
		e.verified = true
	}
	return nil
}

// reserve makes room for n bytes, which release or keep gives back; false if there cannot be.
func (s *store) reserve(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.max <= 0 || n > s.max-s.reserved {
		return false
	}
	s.shrink(s.max - s.reserved - n)
	s.reserved += n
	return true
}

func (s *store) release(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved -= n
}

// write takes in a blob whose room is reserved. If it fails, the room is still reserved.
func (s *store) write(desc ocispec.Descriptor, r io.Reader) error {
	file, err := s.create()
	if err != nil {
		return err
	}
	v := desc.Digest.Verifier()
	n, err := io.Copy(io.MultiWriter(file, v), io.LimitReader(r, desc.Size+1))
	if e := file.Close(); err == nil {
		err = e // some file systems tell of a full disk only now
	}
	if err == nil && (n != desc.Size || !v.Verified()) {
		err = fmt.Errorf("blob %s: %w", desc.Digest, errDamaged)
	}
	if err == nil {
		err = s.keep(desc, file.Name())
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// keep makes an entry of a verified file, and of its reserved room.
func (s *store) keep(desc ocispec.Descriptor, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.kept.Peek(desc.Digest); ok {
		_ = os.Remove(name)
	} else {
		path := s.path(desc.Digest)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.Rename(name, path); err != nil {
			return err
		}
		s.kept.Add(desc.Digest, &entry{size: desc.Size, verified: true, stamped: time.Now()})
		s.bytes += desc.Size
	}
	s.reserved -= desc.Size
	return nil
}

func (s *store) stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Evicted: s.evicted, Bytes: s.bytes}
}
