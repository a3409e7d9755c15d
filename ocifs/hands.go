package ocifs

import (
	"context"
	"sync"
	"sync/atomic"
)

// hands bound how many requests an operation has under way, wherever in a tree they come from: each takes one for its
// time. Whoever holds one never waits for another, so that they cannot all wait for each other.
type hands chan struct{}

func (f *FS) hands() hands { return make(hands, f.parallel) }

// do calls work when a hand is free.
func (h hands) do(ctx context.Context, work func() error) error {
	select {
	case h <- struct{}{}:
	case <-ctx.Done():
		return failure(context.Cause(ctx), "wait for the registry")
	}
	defer func() { <-h }()
	return work()
}

// each calls do for every item, at most f.parallel at once, stops at the first error and gives it.
func each[T any](ctx context.Context, f *FS, items []T, do func(ctx context.Context, i int, item T) error) error {
	return eachBy(ctx, f.hands(), items, do)
}

// eachBy is each with hands that others use too.
func eachBy[T any](ctx context.Context, h hands, items []T, do func(ctx context.Context, i int, item T) error) error {
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var begun atomic.Int64
	for range min(cap(h), len(items)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(begun.Add(1)) - 1
				if i >= len(items) {
					return
				}
				if err := h.do(ctx, func() error { return do(ctx, i, items[i]) }); err != nil {
					cancel(err) // the first one stands
				}
			}
		})
	}
	wg.Wait()
	err := context.Cause(ctx)
	if outer.Err() != nil && err == context.Cause(outer) { // the caller's end came before any error
		return failure(outer.Err(), "wait for the registry")
	}
	return err
}

// A walk goes through a tree of directories with several legs at once, and does what it finds to do there with as many
// hands as the operation has: a tree of many small directories is as parallel as one large one. It needs memory for the
// directories that its legs stand in. After the first failure nothing more is begun, and what has begun comes to its end,
// so that what has failed is known.
type walk struct {
	hands hands
	began stamp         // of FS.lists
	legs  chan struct{} // beside the first one
	wg    sync.WaitGroup

	mu     sync.Mutex
	failed map[string]error // by name
	first  error
}

func (f *FS) newWalk(h hands) *walk {
	return &walk{hands: h, began: f.lists.ask(), legs: make(chan struct{}, cap(h)/2)}
}

// within gives a walk of its own through a part of the tree, with the same hands and legs.
func (w *walk) within() *walk { return &walk{hands: w.hands, began: w.began, legs: w.legs} }

// do calls work, one request after the other about name, as soon as there is a free hand, and does not wait for it.
func (w *walk) do(ctx context.Context, name string, work func() error) {
	if w.over() {
		return
	}
	select {
	case w.hands <- struct{}{}:
	case <-ctx.Done():
		w.fail(name, failure(context.Cause(ctx), "wait for the registry"))
		return
	}
	w.wg.Go(func() {
		defer func() { <-w.hands }()
		if !w.over() {
			w.fail(name, work())
		}
	})
}

// enter calls work, which goes through the directory name: by another leg if one is free, else at once. work holds no
// hand while it waits for one.
func (w *walk) enter(name string, work func() error) {
	if w.over() {
		return
	}
	select {
	case w.legs <- struct{}{}:
		w.wg.Go(func() {
			defer func() { <-w.legs }()
			w.fail(name, work())
		})
	default:
		w.fail(name, work())
	}
}

func (w *walk) fail(name string, err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == nil {
		w.first, w.failed = err, map[string]error{}
	}
	w.failed[name] = err
}

// failAll takes over the failures of a walk within this one.
func (w *walk) failAll(within *walk) {
	for name, err := range within.failed {
		w.fail(name, err)
	}
}

func (w *walk) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first != nil
}

// wait waits for all that has begun and gives the first failure.
func (w *walk) wait() error {
	w.wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}
