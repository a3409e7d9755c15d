package admin

import (
	"context"
	"errors"
	"sync"
	"time"
)

// How long the registry has to answer, and for how long its answer is good: whatever asks us, and however often, the
// registry hears one question in that time.
const (
	readyTimeout = 5 * time.Second
	readyFor     = 3 * time.Second
)

var errStopping = errors.New("ocidav is stopping")

// readiness keeps the answer to whether the registry can be reached.
type readiness struct {
	ask func(ctx context.Context) error

	mu    sync.Mutex // held while the registry is asked, so that the others wait for that answer
	asked time.Time
	err   error
}

// check does not go by the context of one who asks, for the others wait for the same answer.
func (r *readiness) check() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.asked.IsZero() && time.Since(r.asked) < readyFor {
		return r.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	r.err = r.ask(ctx)
	r.asked = time.Now()
	return r.err
}
