package cache

import (
	"os"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// A file that is read in many ranges, a request for each, would be opened and closed for each, which costs more than all
// else that is done for one. So what was closed stays open for a moment, so many of them.
const (
	idleFiles = 32
	idleFor   = time.Second
)

// idle holds files of local sources that were closed a moment ago. Each is that of one reader at a time, so that its
// offset is his. One that was removed or replaced meanwhile is read, and takes its room, for that moment more.
type idle struct {
	mu     sync.Mutex
	kept   []idleFile // the last closed is the last
	timer  *time.Timer
	closed bool
}

type idleFile struct {
	digest digest.Digest
	file   *os.File
	since  time.Time
}

// take gives one of the blob's files; nil if there is none. It is the caller's.
func (i *idle) take(d digest.Digest) *os.File {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := len(i.kept) - 1; n >= 0; n-- {
		if k := i.kept[n]; k.digest == d {
			i.kept = slices.Delete(i.kept, n, n+1)
			return k.file
		}
	}
	return nil
}

// give takes over a file that nobody reads any more.
func (i *idle) give(d digest.Digest, file *os.File) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return file.Close()
	}
	if len(i.kept) == idleFiles {
		i.dropLocked(1)
	}
	i.kept = append(i.kept, idleFile{d, file, time.Now()})
	if len(i.kept) > 1 {
		return nil // the timer runs
	}
	if i.timer == nil {
		i.timer = time.AfterFunc(idleFor, i.expire)
	} else {
		i.timer.Reset(idleFor)
	}
	return nil
}

// expire closes what nobody has taken for idleFor.
func (i *idle) expire() {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := 0
	for n < len(i.kept) && time.Since(i.kept[n].since) >= idleFor {
		n++
	}
	i.dropLocked(n)
	if len(i.kept) > 0 {
		i.timer.Reset(idleFor - time.Since(i.kept[0].since))
	}
}

// close closes all, and from now on what is given.
func (i *idle) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	i.dropLocked(len(i.kept))
}

// dropLocked closes the n that were given first.
func (i *idle) dropLocked(n int) {
	for _, k := range i.kept[:n] {
		_ = k.file.Close() // nothing was written
	}
	i.kept = slices.Delete(i.kept, 0, n)
}
