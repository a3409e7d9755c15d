package cache

import (
	"errors"
	"fmt"
	"io"
)

var (
	errDamaged = errors.New("the bytes do not have the digest")
	errOther   = errors.New("the registry sends other bytes")
)

func (c *content) errWrong() error {
	return fmt.Errorf("%w than those of %s", errOther, c.desc.Digest)
}

// loseLocked notes that a block is not what it should be. It is fetched again when somebody wants it; a verified blob is
// that still if then the block has its old sum.
func (c *content) loseLocked(block int, err error) {
	if err == nil {
		err = errDamaged
	}
	c.cache.log.warn("a block of a cached blob is damaged, it is fetched again", c.desc.Digest, err)
	c.losses.Add(1)
	last := block
	if errors.Is(err, io.EOF) {
		last = c.blocks - 1 // the file ends here, and would have a hole when it grows again
	}
	if c.summing { // nothing tells the good ones
		block, last = 0, c.blocks-1
		c.summing, c.verified = false, false
	}
	for ; block <= last; block++ {
		switch c.state[block] {
		case absent:
			continue
		case stored:
			c.stored--
		}
		c.state[block] = absent
		c.absent++
		if !c.verified {
			c.sums[block] = 0
		}
		if c.openLocked() == nil {
			_, _ = c.cache.store.writeAt(c.sumsFile, encodeSum(0), sumOffset(block))
		}
	}
	if !c.verified {
		c.digest.restart()
	}
}

// settleLocked begins to verify the blob, whose blocks are all there.
func (c *content) settleLocked() {
	if c.settling || c.verified || c.absent > 0 || c.cache.ctx.Err() != nil {
		return
	}
	c.settling = true
	c.users++
	c.cache.store.pinAgain(c.entry)
	c.cache.running.Go(func() {
		err := c.settle()
		c.writing.Lock()
		defer c.writing.Unlock()
		c.mu.Lock()
		c.settling = false
		if errors.Is(err, errDamaged) {
			c.cache.log.warn("the registry sends other bytes than those of the digest", c.desc.Digest, err)
			c.discardLocked()
		}
		c.tellLocked()
		c.leaveLocked()
		c.mu.Unlock()
		c.cache.store.unpin(c.entry)
	})
}

// settle verifies the blob and puts it to the whole ones. errDamaged: it does not have the digest.
func (c *content) settle() error {
	if err := c.hashRest(); err != nil {
		return err
	}
	if !c.digest.fits() {
		return errDamaged
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.absent > 0 {
		return nil // a block was lost meanwhile
	}
	err := c.writeSumsLocked() // some may not have been written while they were doubtful
	if err == nil {
		err = c.cache.store.complete(c.entry, c.desc)
	}
	if err != nil { // this process knows it, and the next can do all again
		c.cache.log.warn("a verified blob cannot be put to the others", c.desc.Digest, err)
	}
	c.verified, c.suspect = true, false
	return nil
}

// hashRest feeds the digest with what it has not seen yet.
func (c *content) hashRest() error {
	buf := takeBuffer()
	defer buf.give()
	for {
		block, epoch := c.digest.state()
		if block == c.blocks {
			return nil
		}
		if err := c.cache.ctx.Err(); err != nil {
			return err
		}
		data := buf.bytes[:c.length(block)]
		sum, err := c.readBlock(block, data)
		c.mu.Lock()
		switch {
		case c.state[block] == absent:
			err = errDisk
		case err != nil || sum != c.sums[block]:
			c.loseLocked(block, err)
			err = errDisk
		case c.state[block] == stored:
			c.state[block] = checked
			c.stored--
		}
		c.mu.Unlock()
		if err != nil {
			return err
		}
		c.digest.feed(block, data, epoch)
	}
}

// distrust throws all blocks away for a reader that went on by itself, and found that what it was handed was wrong: with
// a full disk the blob may never be whole, to find that out.
func (c *content) distrust() {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.verified && c.absent < c.blocks {
		c.cache.log.warn("the registry sends other bytes than those of the digest", c.desc.Digest, errDamaged)
		c.discardLocked()
		c.tellLocked()
	}
}

// discardLocked throws all blocks away: the registry has sent wrong bytes, and nobody knows where. The caller holds
// writing too, so that no block from before comes in later.
func (c *content) discardLocked() {
	c.wrong++
	c.losses.Add(1)
	c.suspect = true
	c.verified = false
	c.digest.restart()
	for _, t := range c.transfers {
		t.cancel()
	}
	c.sums = make([]uint32, c.blocks) // readers have the old ones
	clear(c.state)
	c.absent, c.stored = c.blocks, 0
	err := c.openLocked()
	if err == nil {
		err = c.writeSumsLocked()
	}
	if err == nil {
		err = c.file.Truncate(0)
	}
	if err == nil {
		err = c.file.Truncate(c.desc.Size)
	}
	if err != nil {
		c.breakLocked(err)
		c.cache.store.drop(c.entry)
		return
	}
	c.cache.store.recharge(c.entry, chargeOf(c.desc, 0))
}
