package cache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What is to be kept and small waits in memory until there is a quiet moment: to make a file costs a tenth of a millisecond, and
// four times that beside a registry that is busy with its own. Who writes a thousand small files has his answers first, and so
// has who lists ten thousand: all their manifests fit.
// What there is no room for is written at once, and so is what was fetched. A crash costs the cache what was waiting.
const (
	behindBytes = 16 << 20
	quietTime   = time.Second // without another one
	longestWait = time.Minute // of the first
)

// behind is what waits to be written to the directory. Its room there is reserved. The zero value writes nothing behind.
type behind struct {
	max int64

	mu      sync.Mutex
	waiting map[digest.Digest]pending
	used    int64 // bytes of memory
	first   time.Time
	last    time.Time
	running bool
}

type pending struct {
	desc ocispec.Descriptor
	data []byte
}

func newBehind(max int64) *behind {
	return &behind{max: max, waiting: map[digest.Digest]pending{}}
}

// get gives a blob that waits. The slice is shared.
func (b *behind) get(desc ocispec.Descriptor) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w, ok := b.waiting[desc.Digest]
	return w.data, ok && w.desc.Size == desc.Size
}

// addSmall keeps a small blob that is at hand.
func (c *Cache) addSmall(ctx context.Context, desc ocispec.Descriptor, r io.Reader) error {
	data := make([]byte, desc.Size+1) // one more than there should be
	n, err := io.ReadFull(contextReader{ctx, r}, data)
	switch {
	case err != io.ErrUnexpectedEOF && err != io.EOF && err != nil:
		return err
	case int64(n) != desc.Size || !fits(desc.Digest, data[:n]):
		return fmt.Errorf("blob %s: %w", desc.Digest, errDamaged)
	}
	data = data[:n]
	c.hot.put(desc, data)
	if c.later(desc, data) {
		return nil
	}
	return c.write(desc, bytes.NewReader(data))
}

// later has a verified blob written later; false if there is no room for that.
func (c *Cache) later(desc ocispec.Descriptor, data []byte) bool {
	b := c.behind
	a, room, charge := c.store.accountOf(desc), chargeOf(desc, desc.Size), hotCharge(data)
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.waiting[desc.Digest]; ok {
		return true
	}
	if b.used+charge > b.max || c.ctx.Err() != nil || !c.store.reserve(a, room) {
		return false
	}
	now := time.Now()
	if len(b.waiting) == 0 {
		b.first = now
	}
	b.waiting[desc.Digest], b.last = pending{desc, data}, now
	b.used += charge
	if !b.running {
		b.running = true
		c.running.Go(c.writeBehind)
	}
	return true
}

// writeBehind waits for a quiet moment and writes what waits, until nothing does.
func (c *Cache) writeBehind() {
	b := c.behind
	for {
		b.mu.Lock()
		if len(b.waiting) == 0 {
			b.running = false
			b.mu.Unlock()
			return
		}
		pause := min(time.Until(b.last.Add(quietTime)), time.Until(b.first.Add(longestWait)))
		b.mu.Unlock()
		if pause > 0 {
			select {
			case <-time.After(pause):
				continue
			case <-c.ctx.Done(): // Close waits for it
			}
		}
		c.writeWaiting()
	}
}

// writeWaiting writes what waits now.
func (c *Cache) writeWaiting() {
	b := c.behind
	b.mu.Lock()
	all := make([]pending, 0, len(b.waiting))
	for _, w := range b.waiting {
		all = append(all, w)
	}
	b.first = time.Now()
	b.mu.Unlock()
	for _, w := range all {
		if err := c.store.write(w.desc, bytes.NewReader(w.data)); err != nil {
			c.store.release(c.store.accountOf(w.desc), chargeOf(w.desc, w.desc.Size))
			c.log.warn("blobs are not kept, but passed through", w.desc.Digest, err)
		}
		b.mu.Lock()
		delete(b.waiting, w.desc.Digest)
		b.used -= hotCharge(w.data)
		b.mu.Unlock()
	}
}
