package ocifs

import (
	"context"
	"sync"
)

// background is what runs behind the answers. It ends with FS.Close.
type background struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func (b *background) init() { b.ctx, b.cancel = context.WithCancel(context.Background()) }

// behind starts do, unless the tree is closed.
func (f *FS) behind(do func(ctx context.Context)) bool {
	b := &f.background
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.running.Go(func() { do(b.ctx) })
	}
	return !b.closed
}

// Close ends what runs in the background; what others should know of directories is written within ctx. Calls that are
// under way are not waited for. An FS can be used after it, but nothing runs behind it any more.
func (f *FS) Close(ctx context.Context) error {
	b := &f.background
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	b.mu.Unlock()
	if closed {
		return nil
	}
	b.cancel()
	b.running.Wait()
	f.bundleAll(ctx)
	return ctx.Err()
}
