package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxCopies is how many files are copied, or wait for that, at once: each keeps the space of its writer.
const maxCopies = 4

var errBusy = errors.New("others are being copied")

// take keeps a large blob that lies in a file, hashed by its writer. Where the file can get a second name it is there at
// once and nothing is copied; elsewhere it is copied behind the caller, and there after that.
func (c *Cache) take(ctx context.Context, desc ocispec.Descriptor, file *os.File) error {
	i, err := file.Stat()
	if err == nil && (!i.Mode().IsRegular() || i.Size() != desc.Size) {
		err = fmt.Errorf("its file has %d bytes: %w", i.Size(), errDamaged)
	}
	if err != nil {
		return fmt.Errorf("blob %s: %w", desc.Digest, err)
	}
	a, room := c.store.accountOf(desc), chargeOf(desc, desc.Size)
	if !c.store.reserve(a, room) {
		return fmt.Errorf("blob %s: %w", desc.Digest, errNoRoom)
	}
	if i.Mode().Perm()&0o600 == 0o600 { // the cache mends what it keeps
		var name string
		if name, err = c.store.receive(func(name string) error { return c.store.link(file, name) }); err == nil {
			if err = c.keepTaken(desc, name); err != nil {
				c.store.release(a, room)
			}
			return err
		}
	}
	started, err := c.copyBehind(desc, file)
	if err == nil && !started {
		err = c.store.write(desc, contextReader{ctx, io.NewSectionReader(file, 0, desc.Size)})
	}
	if err != nil {
		c.store.release(a, room)
	}
	return err
}

// keepTaken makes an entry of a file in incoming, and of its reserved room.
func (c *Cache) keepTaken(desc ocispec.Descriptor, name string) error {
	var e *entry
	err := c.store.keep(desc, name, nil, func(made *entry) {
		e = made
		e.content = newContent(c, e, desc)
		e.content.takeAll()
	})
	if err != nil {
		_ = os.Remove(name)
		return err
	}
	if e != nil {
		c.running.Go(func() {
			select {
			case c.mapping <- struct{}{}:
				defer func() { <-c.mapping }()
				e.content.mapTaken()
			case <-c.ctx.Done():
			}
		})
	}
	return nil
}

// copyBehind begins to copy a file whose room is reserved; false if it can only be read, for it needs a descriptor of
// its own.
func (c *Cache) copyBehind(desc ocispec.Descriptor, file *os.File) (bool, error) {
	own, err := reopen(file)
	if err != nil {
		return false, nil
	}
	select {
	case c.copies <- struct{}{}:
	default:
		own.Close()
		return false, fmt.Errorf("blob %s: %w", desc.Digest, errBusy)
	}
	c.running.Go(func() {
		defer func() { <-c.copies }()
		defer own.Close()
		name, err := c.copyFile(desc, own)
		if err == nil {
			err = c.keepTaken(desc, name)
		}
		if err != nil {
			c.store.release(c.store.accountOf(desc), chargeOf(desc, desc.Size))
			if c.ctx.Err() == nil {
				c.log.warn("a written blob is not kept", desc.Digest, err)
			}
		}
	})
	return true, nil
}

// copyBytes is what is copied between two looks at the end of the cache.
const copyBytes = 64 << 20

// copyFile copies to a file in incoming. The kernel does it, and where the file system can, without copying.
func (c *Cache) copyFile(desc ocispec.Descriptor, from *os.File) (name string, err error) {
	var to *os.File
	name, err = c.store.receive(func(name string) (err error) { to, err = c.store.create(name); return err })
	if err != nil {
		return "", err
	}
	for n, m := int64(0), int64(0); err == nil && n < desc.Size; n += m {
		if err = c.ctx.Err(); err == nil {
			m, err = io.CopyN(to, from, min(copyBytes, desc.Size-n))
		}
	}
	if e := to.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = os.Remove(name)
	}
	return name, err
}

// takeAll makes a new content that of a whole blob whose blocks are good, though their sums are not known yet.
func (c *content) takeAll() {
	c.state, c.sums = make([]blockState, c.blocks), make([]uint32, c.blocks)
	for i := range c.state {
		c.state[i] = checked
	}
	c.loaded, c.verified, c.summing = true, true, true
}

// mapTaken gives a taken blob its map. Should it not come to that, the next process hashes the blob.
func (c *content) mapTaken() {
	if !c.cache.store.pinThere(c.entry) {
		return
	}
	c.mu.Lock()
	c.users++
	c.mu.Unlock()
	defer c.cache.store.unpin(c.entry)
	defer c.leave()
	buf := takeBuffer()
	defer buf.give()
	sums := make([]uint32, c.blocks)
	for i := range sums {
		if c.cache.ctx.Err() != nil {
			return
		}
		sum, err := c.readBlock(i, buf.bytes[:c.length(i)])
		if err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.summing {
				c.loseLocked(i, err)
				c.tellLocked()
			}
			return
		}
		sums[i] = sum
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.summing { // it was damaged meanwhile
		return
	}
	c.sums, c.summing = sums, false
	if err := c.writeSumsLocked(); err != nil {
		c.cache.log.warn("blobs are not kept, but passed through", c.desc.Digest, err)
	}
}
