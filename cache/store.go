package cache

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// stampAfter is how old a file's modification time may grow while the blob is in use: recency is for restarts, and a
// system call for each hit would be too much for it.
const stampAfter = 10 * time.Minute

// pageBytes is what a file system gives at once.
const pageBytes = 4 << 10

// store is the account of what the directory holds.
type store struct {
	directory
	log *complaints

	create  func(name string) (*os.File, error)                   // os.OpenFile for writing, but for tests
	writeAt func(f *os.File, p []byte, offset int64) (int, error) // os.File.WriteAt, but for tests
	link    func(f *os.File, name string) error                   // linkFile, but for tests

	mu               sync.Mutex
	blobs, manifests account
	evicted          int64
}

func openStore(dir string, maxBytes int64, log *complaints) (*store, error) {
	forManifests := min(maxBytes/8, 1<<30)
	s := &store{
		directory: directory{root: dir}, log: log,
		create:    func(name string) (*os.File, error) { return os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) },
		writeAt:   func(f *os.File, p []byte, offset int64) (int, error) { return f.WriteAt(p, offset) },
		link:      linkFile,
		blobs:     account{folder: blobsFolder, max: maxBytes - forManifests},
		manifests: account{folder: manifestsFolder, max: forManifests},
	}
	for _, a := range []*account{&s.blobs, &s.manifests} {
		var err error
		if a.kept, err = simplelru.NewLRU[digest.Digest, *entry](math.MaxInt, nil); err != nil { // bytes are the bound
			return nil, err
		}
	}
	err := s.prepare()
	if errors.Is(err, errShared) || errors.Is(err, fs.ErrPermission) || readOnly(err) {
		log.warn("the cache directory cannot be used, nothing is kept", "", err)
		s.blobs.max, s.manifests.max = 0, 0
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	s.load()
	return s, nil
}

// load makes entries of the files that are there, the oldest first.
func (s *store) load() {
	for _, f := range s.scan() {
		a := &s.blobs
		if f.folder == manifestsFolder {
			a = &s.manifests
		}
		e := &entry{
			digest: f.digest, account: a, partial: f.folder == partialFolder, size: f.size, charge: f.allocated, stamped: f.modified,
		}
		if other, ok := a.kept.Peek(f.digest); ok { // whole and partial: a crash came between two steps
			if e.partial {
				_ = s.unlink(e.folder(), e.digest)
				continue
			}
			s.removeLocked(other)
		}
		a.kept.Add(f.digest, e)
		a.used += e.charge
	}
	s.shrinkLocked(&s.blobs, s.blobs.max)
	s.shrinkLocked(&s.manifests, s.manifests.max)
}

func (s *store) drop(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(e)
}

// accountOf says where a blob is kept.
func (s *store) accountOf(desc ocispec.Descriptor) *account {
	if isManifest(desc) {
		return &s.manifests
	}
	return &s.blobs
}

// pin gives the entry of a whole blob, if there is one, to be given back by unpin; until then it is not evicted. Blobs that an
// older ocidav has kept lie all in one place.
func (s *store) pin(desc ocispec.Descriptor) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.pinLocked(desc)
	if e != nil && e.partial {
		e.users--
		return nil
	}
	return e
}

func (s *store) pinLocked(desc ocispec.Descriptor) *entry {
	e, ok := s.accountOf(desc).kept.Get(desc.Digest)
	if !ok {
		if e, ok = s.blobs.kept.Get(desc.Digest); !ok {
			return nil
		}
	}
	if e.partial && e.content == nil {
		e.size = desc.Size
	}
	if e.size != desc.Size {
		if e.users == 0 {
			s.removeLocked(e)
		}
		return nil
	}
	if now := time.Now(); now.Sub(e.stamped) > stampAfter {
		e.stamped = now
		_ = os.Chtimes(s.path(e.folder(), e.digest), now, now) // for the next process only
	}
	e.users++
	return e
}

// pinLarge is pin for a large blob. A new entry is made if there is none; nil if that would never find room.
func (s *store) pinLarge(c *Cache, desc ocispec.Descriptor) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.pinLocked(desc)
	if e == nil {
		a, charge := s.accountOf(desc), chargeOf(desc, 0)
		if a.kept.Contains(desc.Digest) || chargeOf(desc, desc.Size) > a.max || !s.reserveLocked(a, charge) {
			return nil
		}
		e = &entry{digest: desc.Digest, account: a, partial: true, size: desc.Size, charge: charge, users: 1, stamped: time.Now()}
		a.kept.Add(desc.Digest, e)
	}
	if e.content == nil {
		e.content = newContent(c, e, desc)
	}
	return e
}

// pinAgain is for who works on for one that has pinned.
func (s *store) pinAgain(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.users++
}

// pinThere is pin for an entry that is at hand; false if it was removed.
func (s *store) pinThere(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !e.gone {
		e.users++
	}
	return !e.gone
}

func (s *store) unpin(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.users--
	switch {
	case e.users > 0:
	case e.gone:
		e.account.used -= e.charge
	case e.content != nil && e.content.hollow.Load():
		s.removeLocked(e)
	}
}

// chargeOf is what a blob takes on the disk with n bytes of it: whole pages, and for a large one its map, and what a file
// system writes down of a file with holes (ext4 needs a page for 340 pieces).
func chargeOf(desc ocispec.Descriptor, n int64) int64 {
	if isSmall(desc) {
		return pages(max(n, 1))
	}
	return pages(n) + pages(sumOffset(blocksOf(desc.Size))) + pageBytes*int64(1+blocksOf(desc.Size)/256)
}

func pages(n int64) int64 { return (n + pageBytes - 1) / pageBytes * pageBytes }

// close ends the keeping of more.
func (s *store) close() {
	s.mu.Lock()
	s.blobs.max, s.manifests.max = 0, 0
	s.mu.Unlock()
	s.directory.close()
}

func (s *store) stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Evicted: s.evicted, Bytes: s.blobs.used + s.manifests.used}
}
