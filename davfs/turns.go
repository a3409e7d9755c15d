package davfs

import (
	"context"
	"slices"
	"sync"
)

// turns puts changes of names in order: whoever has the turn for a name has it for everything under it too. It is given
// in the order of arrival, all names of a change at once, so nobody starves and nobody waits for each other. The zero
// value is ready.
type turns struct {
	mu    sync.Mutex
	queue []*turn // those who have it and those who wait
}

type turn struct {
	names []string
	alone bool // it does not keep the directories around its names from changing
	done  chan struct{}
}

// take waits for the turn and gives the function that ends it. The wait ends with ctx.
func (t *turns) take(ctx context.Context, alone bool, names ...string) (end func(), err error) {
	n := &turn{names, alone, make(chan struct{})}
	t.mu.Lock()
	var ahead []*turn
	for _, o := range t.queue {
		if n.meets(o) {
			ahead = append(ahead, o)
		}
	}
	t.queue = append(t.queue, n)
	t.mu.Unlock()
	end = func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.queue = slices.DeleteFunc(t.queue, func(o *turn) bool { return o == n })
		close(n.done)
	}
	for _, o := range ahead {
		select {
		case <-o.done:
		case <-ctx.Done():
			end()
			return nil, ctx.Err()
		}
	}
	return end, nil
}

func (t *turn) meets(o *turn) bool {
	for _, a := range t.names {
		for _, b := range o.names {
			if a == b || !t.alone && !o.alone && (within(a, b) || within(b, a)) {
				return true
			}
		}
	}
	return false
}
