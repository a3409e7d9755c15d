package cache

import (
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/opencontainers/go-digest"
)

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
