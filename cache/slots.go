package cache

import (
	"context"
	"slices"
	"sync"
)

// Fetches at once: of all blobs, and of one, so that the readers of one do not starve the others.
const (
	maxFetches     = 32
	maxBlobFetches = 4
)

// slots bounds what runs at once. Who comes first is served first.
type slots struct {
	mu      sync.Mutex
	free    int
	queue   []chan struct{}
	crowded chan struct{} // closed while somebody waits
}

func newSlots(n int) *slots { return &slots{free: n, crowded: make(chan struct{})} }

// take waits for a slot, which give gives back.
func (s *slots) take(ctx context.Context) error {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	if len(s.queue) == 0 {
		close(s.crowded)
	}
	s.queue = append(s.queue, mine)
	s.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(s.queue, mine)
	if i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
		s.calmLocked()
	}
	s.mu.Unlock()
	if i < 0 { // it was given to us meanwhile
		s.give()
	}
	return ctx.Err()
}

func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.free++
		return
	}
	close(s.queue[0])
	s.queue = slices.Delete(s.queue, 0, 1)
	s.calmLocked()
}

func (s *slots) calmLocked() {
	if len(s.queue) == 0 {
		s.crowded = make(chan struct{})
	}
}

// crowding gives a channel that is closed when somebody waits: who holds a slot without using it then leaves.
func (s *slots) crowding() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.crowded
}
