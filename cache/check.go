package cache

import (
	"context"
	"time"
)

// check compares a block that a former process has kept with its sum. The caller has put it into checking.
func (c *content) check(block int) {
	buf := takeBuffer()
	defer buf.give()
	data := buf.bytes[:c.length(block)]
	_, epoch := c.digest.state()
	sum, err := c.readBlock(block, data)
	c.mu.Lock()
	delete(c.checking, block)
	good := err == nil && c.state[block] == stored && sum == c.sums[block]
	if good {
		c.state[block] = checked
		c.stored--
	} else if c.state[block] == stored {
		c.loseLocked(block, err)
	}
	c.tellLocked()
	verified := c.verified
	c.mu.Unlock()
	if good && !verified {
		c.digest.feed(block, data, epoch)
	}
}

// readBlock reads a block from the disk, whatever it is.
func (c *content) readBlock(block int, data []byte) (sum uint32, err error) {
	c.mu.Lock()
	err = c.openLocked()
	file := c.file
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if _, err := file.ReadAt(data, c.offset(block)); err != nil {
		return 0, err
	}
	return checksum(data), nil
}

// adopt hashes a whole blob that has no map, and gives it one.
func (c *content) adopt(ctx context.Context) error {
	c.mu.Lock()
	c.users++
	c.mu.Unlock()
	c.cache.store.pinAgain(c.entry)
	defer c.cache.store.unpin(c.entry)
	defer c.leave()
	buf := takeBuffer()
	defer buf.give()
	verifier := c.desc.Digest.Verifier()
	sums := make([]uint32, c.blocks)
	for i := range sums {
		if err := ctx.Err(); err != nil {
			return err
		}
		data := buf.bytes[:c.length(i)]
		sum, err := c.readBlock(i, data)
		if err != nil {
			return err
		}
		verifier.Write(data)
		sums[i] = sum
	}
	if !verifier.Verified() {
		return errDamaged
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sums, c.unmapped, c.verified, c.absent = sums, false, true, 0
	for i := range c.state {
		c.state[i] = checked
	}
	if c.cache.store.recharge(c.entry, chargeOf(c.desc, c.desc.Size)) {
		if err := c.writeSumsLocked(); err != nil {
			c.cache.log.warn("blobs are not kept, but passed through", c.desc.Digest, err)
		}
	}
	return nil
}

// checkRest checks the blocks of a whole blob that nobody has read yet, so that it can be sent by the kernel. It takes
// half of one processor at most, does one blob at a time, and ends when the blob is closed.
func (c *content) checkRest() {
	defer func() {
		c.mu.Lock()
		c.resting = false
		c.leaveLocked()
		c.mu.Unlock()
		c.cache.store.unpin(c.entry)
	}()
	select {
	case c.cache.checks <- struct{}{}:
	case <-c.cache.ctx.Done():
		return
	}
	defer func() { <-c.cache.checks }()
	for block := range c.blocks {
		begun := time.Now()
		c.mu.Lock()
		end := c.users <= 1 || !c.verified
		mine := !end && c.state[block] == stored && !c.checking[block]
		if mine {
			c.checking[block] = true
		}
		c.mu.Unlock()
		if end {
			return
		}
		if !mine {
			continue
		}
		c.check(block)
		select {
		case <-time.After(time.Since(begun)):
		case <-c.cache.ctx.Done():
			return
		}
	}
}
