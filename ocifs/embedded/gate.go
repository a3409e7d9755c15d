//go:build !noembed

package embedded

import (
	"context"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	holdPatience = 250 * time.Millisecond // how long writers wait for those inside to leave, at most
	holdPause    = time.Second            // before the next try; each time longer
	longestPause = time.Minute
)

// A gate is what every change to the tree passes, on the short way from the end of its request's body to its answer. A
// collection holds it for the moments in which it removes something, and has it note what passes meanwhile. Readers
// have nothing to do with it.
type gate struct {
	mu     sync.Mutex
	inside int
	held   bool
	opened chan struct{}              // closed when the hold ends
	empty  chan struct{}              // closed when a hold has begun and nobody is inside
	noted  map[digest.Digest]struct{} // nil: nobody wants to know
}

// enter waits while the gate is held.
func (g *gate) enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		if !g.held {
			g.inside++
			g.mu.Unlock()
			return nil
		}
		opened := g.opened
		g.mu.Unlock()
		select {
		case <-opened:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.held {
		close(g.empty)
	}
}

// hold keeps writers out while do runs. Those who are inside and do not come out, a large upload that is being synced
// for one, are not waited for with the others standing in a row: all go on, and it is tried again later.
func (g *gate) hold(ctx context.Context, do func()) error {
	for pause := holdPause; ; pause = min(2*pause, longestPause) {
		if g.close() {
			defer g.open()
			do()
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (g *gate) close() bool {
	g.mu.Lock()
	g.held, g.opened, g.empty = true, make(chan struct{}), make(chan struct{})
	if g.inside == 0 {
		close(g.empty)
	}
	empty := g.empty
	g.mu.Unlock()
	select {
	case <-empty:
		return true
	case <-time.After(holdPatience):
	}
	select {
	case <-empty: // just in time
		return true
	default:
		g.open()
		return false
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = false
	close(g.opened)
}

// note says that content is being used. The caller is inside.
func (g *gate) note(digests ...digest.Digest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.noted == nil {
		return
	}
	for _, d := range digests {
		g.noted[d] = struct{}{}
	}
}

func (g *gate) noting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.noted != nil
}

func (g *gate) isNoted(d digest.Digest) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.noted[d]
	return ok
}

// watch begins to note, and unwatch ends it. Who was inside when it began has left.
func (g *gate) watch(ctx context.Context) error {
	return g.hold(ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.noted = map[digest.Digest]struct{}{}
	})
}

func (g *gate) unwatch() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.noted = nil
}
