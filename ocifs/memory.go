package ocifs

import (
	"context"
	"sync"
)

// memory bounds the bytes that the content of all Puts takes of it on its way. Each Put takes what it needs to go on
// before it reads, and waits for that with its context; what would only make it faster it gets while less than half is
// taken. So nobody who has begun waits for another, and who waits gets it in the order of arrival.
type memory struct {
	max int64

	mu      sync.Mutex
	used    int64
	waiting []*claim
}

type claim struct {
	n   int64
	got chan struct{} // closed when it has been granted
}

// take takes n bytes, or all there is if that is less, and says how many.
func (m *memory) take(ctx context.Context, n int64) (int64, error) {
	n = min(n, m.max)
	m.mu.Lock()
	if len(m.waiting) == 0 && m.used+n <= m.max {
		m.used += n
		m.mu.Unlock()
		return n, nil
	}
	c := &claim{n, make(chan struct{})}
	m.waiting = append(m.waiting, c)
	m.mu.Unlock()
	select {
	case <-c.got:
		return n, nil
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, w := range m.waiting {
		if w == c {
			m.waiting = append(m.waiting[:i:i], m.waiting[i+1:]...)
			m.grantLocked() // it may have stood in the way of a smaller one
			return 0, failure(ctx.Err(), "wait for memory to receive content")
		}
	}
	m.used -= n // it has just been granted
	m.grantLocked()
	return 0, failure(ctx.Err(), "wait for memory to receive content")
}

// try takes n bytes if less than half is taken then, so that nobody waits for it either.
func (m *memory) try(n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used+n > m.max/2 {
		return false
	}
	m.used += n
	return true
}

// give gives n bytes back. Less than zero are taken whether there are so many or not; the next ones wait for them.
func (m *memory) give(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= n
	m.grantLocked()
}

func (m *memory) grantLocked() {
	for len(m.waiting) > 0 && m.used+m.waiting[0].n <= m.max {
		m.used += m.waiting[0].n
		close(m.waiting[0].got)
		m.waiting = m.waiting[1:]
	}
}
