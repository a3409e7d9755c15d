package ocifs

import (
	"context"
	"sync"
)

// background is what runs behind the answers, apart from clearings. It ends with FS.Close.
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

// end ends what runs, and nothing begins after it.
func (b *background) end() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cancel()
	b.running.Wait()
}

// Close ends what goes on behind the answers. Until ctx ends it waits for tombstones to go and for the places of removed
// directories to be cleared, and writes what the next process and others should know of directories; what is left then are orphans, as after a
// crash. The tree can be used on: RemoveAll then waits by itself.
func (f *FS) Close(ctx context.Context) error {
	defer f.leave(f)
	f.tombstones.close(ctx)
	f.background.end()
	err := f.clearings.close(ctx)
	f.bundleAll(ctx)
	return err
}
