package cache

import (
	"context"
	"sync"

	"github.com/opencontainers/go-digest"
)

// group lets callers that want the same at the same time have it done once. It runs apart from them, each leaves with
// its own context, and it ends when the last has left. The zero value is ready.
type group[T any] struct {
	mu sync.Mutex
	in map[digest.Digest]*call[T]
}

type call[T any] struct {
	waiting int // guarded by the group
	cancel  context.CancelFunc
	done    chan struct{} // closed when the rest is set
	value   T
	err     error
}

func (g *group[T]) do(ctx context.Context, key digest.Digest, f func(context.Context) (T, error)) (T, error) {
	g.mu.Lock()
	c, ok := g.in[key]
	if !ok {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c = &call[T]{cancel: cancel, done: make(chan struct{})}
		if g.in == nil {
			g.in = map[digest.Digest]*call[T]{}
		}
		g.in[key] = c
		go func() {
			c.value, c.err = f(own)
			g.mu.Lock()
			g.forget(key, c)
			g.mu.Unlock()
			cancel()
			close(c.done)
		}()
	}
	c.waiting++
	g.mu.Unlock()
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.waiting--; c.waiting == 0 {
		g.forget(key, c) // who comes now must not join what ends
		c.cancel()
	}
	var none T
	return none, ctx.Err()
}

// forget takes c out, unless another has its place. The caller holds mu.
func (g *group[T]) forget(key digest.Digest, c *call[T]) {
	if g.in[key] == c {
		delete(g.in, key)
	}
}
