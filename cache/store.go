package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
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

	mu               sync.Mutex
	blobs, manifests account
	evicted          int64
}

// account is the entries of one kind and their bytes. Two of them, so that many manifests do not push blobs out, and a
// long blob does not push out all manifests.
type account struct {
	folder    string
	max, used int64 // bytes on the disk, also those that are promised to what is on its way
	kept      *simplelru.LRU[digest.Digest, *entry]
}

// entry is a blob in the directory. The store's mu guards it, but for content, which has its own.
type entry struct {
	digest  digest.Digest
	account *account
	partial bool  // it lies in partialFolder
	size    int64 // of the blob; of a partial one that this process has not opened, of nothing
	charge  int64 // to the account
	users   int   // who have it open: it is not evicted
	gone    bool  // removed, but for those who have it open
	stamped time.Time
	content *content // of a large one that has been opened
}

func openStore(dir string, maxBytes int64, log *complaints) (*store, error) {
	forManifests := min(maxBytes/8, 1<<30)
	s := &store{
		directory: directory{root: dir}, log: log,
		create:    func(name string) (*os.File, error) { return os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) },
		writeAt:   func(f *os.File, p []byte, offset int64) (int, error) { return f.WriteAt(p, offset) },
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

// shrinkLocked removes the least recently used until no more than n bytes are charged, and says whether that was so.
// What is open stays.
func (s *store) shrinkLocked(a *account, n int64) bool {
	for tries := a.kept.Len(); a.used > n; tries-- {
		d, e, ok := a.kept.GetOldest()
		if !ok || tries <= 0 {
			return false
		}
		if e.users > 0 {
			a.kept.Get(d) // it is in use, so it is recent
			continue
		}
		s.removeLocked(e)
		s.evicted++
	}
	return true
}

// removeLocked takes a blob away. Its charge is given back when nobody has it open.
func (s *store) removeLocked(e *entry) {
	if e.gone {
		return
	}
	e.gone = true
	e.account.kept.Remove(e.digest)
	if e.users == 0 {
		e.account.used -= e.charge
	}
	if err := s.unlink(e.folder(), e.digest); err != nil {
		s.log.warn("a cached blob cannot be removed", e.digest, err)
	}
}

func (e *entry) folder() string {
	if e.partial {
		return partialFolder
	}
	return e.account.folder
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

// openFiles opens a large blob's file and its map.
func (s *store) openFiles(e *entry) (file, sums *os.File, err error) {
	s.mu.Lock() // or else it could be removed, and another begin in its place
	defer s.mu.Unlock()
	if e.gone {
		return nil, nil, fs.ErrNotExist
	}
	path := s.path(e.folder(), e.digest)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, err
	}
	if file, err = s.create(path); err != nil {
		return nil, nil, err
	}
	if sums, err = s.create(path + sumsSuffix); err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, sums, nil
}

// openTrusted opens a large blob's file for one reader. Should the blob be removed meanwhile and another come to its
// place, that is whole and verified too.
func (s *store) openTrusted(e *entry) (*os.File, error) {
	s.mu.Lock()
	gone, folder := e.gone, e.folder()
	s.mu.Unlock()
	if gone {
		return nil, fs.ErrNotExist
	}
	return os.Open(s.path(folder, e.digest))
}

// reserve makes room for n bytes, to be given back by release, or to become an entry's charge; false if there is none.
func (s *store) reserve(a *account, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reserveLocked(a, n)
}

func (s *store) reserveLocked(a *account, n int64) bool {
	if a.max <= 0 || n > a.max || !s.shrinkLocked(a, a.max-n) {
		return false
	}
	a.used += n
	return true
}

func (s *store) release(a *account, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.used -= n
}

// kept makes n reserved bytes part of an entry's charge.
func (s *store) kept(e *entry, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.charge += n
}

// recharge sets what an entry takes; false if there is no room for that much more.
func (s *store) recharge(e *entry, charge int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rechargeLocked(e, charge)
}

func (s *store) rechargeLocked(e *entry, charge int64) bool {
	more := charge - e.charge
	if more > 0 && !s.reserveLocked(e.account, more) {
		return false
	}
	e.account.used += min(more, 0)
	e.charge = charge
	return true
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

// readWhole reads a small blob that is pinned.
func (s *store) readWhole(e *entry, desc ocispec.Descriptor) ([]byte, error) {
	file, err := os.Open(s.path(e.account.folder, e.digest))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data := make([]byte, desc.Size+1) // one more than there should be
	n, err := io.ReadFull(file, data)
	if err != io.ErrUnexpectedEOF && err != io.EOF || int64(n) != desc.Size {
		return nil, fmt.Errorf("it has another size: %w", errDamaged)
	}
	return data[:n], nil
}

// write takes in a blob whose room is reserved; it is the entry's then. If it fails, the room is still reserved. A large
// blob's sums come with it.
func (s *store) write(desc ocispec.Descriptor, r io.Reader) error {
	name := s.incoming()
	file, err := s.create(name)
	if err != nil {
		return err
	}
	sums, err := s.fill(file, desc, r)
	if e := file.Close(); err == nil {
		err = e // some file systems tell of a full disk only now
	}
	if err == nil {
		err = s.keep(desc, name, sums)
	}
	if err != nil {
		_ = os.Remove(name)
	}
	return err
}

func (s *store) fill(file *os.File, desc ocispec.Descriptor, r io.Reader) (sums []uint32, err error) {
	v := desc.Digest.Verifier()
	block := make([]byte, min(desc.Size+1, blockBytes)) // one more than there should be
	for offset := int64(0); ; {
		n, err := io.ReadFull(r, block)
		if n > 0 {
			if _, err := s.writeAt(file, block[:n], offset); err != nil {
				return nil, err
			}
			v.Write(block[:n])
			sums = append(sums, checksum(block[:n]))
			offset += int64(n)
		}
		switch {
		case offset > desc.Size:
			return nil, fmt.Errorf("blob %s: %w", desc.Digest, errDamaged)
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			if offset != desc.Size || !v.Verified() {
				return nil, fmt.Errorf("blob %s: %w", desc.Digest, errDamaged)
			}
			return sums, nil
		case err != nil:
			return nil, err
		}
	}
}

// keep makes an entry of a verified file, and of its reserved room.
func (s *store) keep(desc ocispec.Descriptor, name string, sums []uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accountOf(desc)
	if e, ok := a.kept.Peek(desc.Digest); ok {
		if !e.partial || e.users > 0 { // it has come, or is about to
			a.used -= chargeOf(desc, desc.Size)
			return os.Remove(name)
		}
		s.removeLocked(e)
	}
	path := s.path(a.folder, desc.Digest)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	e := &entry{digest: desc.Digest, account: a, size: desc.Size, charge: chargeOf(desc, desc.Size), stamped: time.Now()}
	if !isSmall(desc) {
		if err := os.WriteFile(path+sumsSuffix, encodeSums(desc.Size, sums), 0o600); err != nil {
			_ = os.Remove(path + sumsSuffix)
			return err
		}
	}
	if err := os.Rename(name, path); err != nil {
		_ = os.Remove(path + sumsSuffix)
		return err
	}
	a.kept.Add(desc.Digest, e)
	return nil
}

// complete moves a partial blob, verified now, to its place.
func (s *store) complete(e *entry, desc ocispec.Descriptor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rechargeLocked(e, chargeOf(desc, desc.Size))
	if e.gone || !e.partial {
		return nil
	}
	from, to := s.path(partialFolder, e.digest), s.path(e.account.folder, e.digest)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	e.partial = false
	// Without its map, should this fail or the process end here, the blob is hashed when it is opened next.
	return os.Rename(from+sumsSuffix, to+sumsSuffix)
}

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
