package cache

// keep puts a block into the files: first the bytes, then the sum.
func (t *transfer) keep(block int, data []byte, epoch int) error {
	c := t.content
	sum := checksum(data)
	t.filled++
	c.writing.RLock()
	defer c.writing.RUnlock()
	c.mu.Lock()
	doubtful := c.verified && c.sums[block] != sum // and believed with all others, when they have been hashed
	if c.state[block] == absent && t.wrong == c.wrong {
		if err := c.openLocked(); err != nil {
			defer c.mu.Unlock()
			return c.breakLocked(err)
		}
		c.mu.Unlock()
		err := t.write(block, data, sum, doubtful)
		if err == nil {
			t.feed(block, data, epoch)
		}
		c.mu.Lock()
		if err != nil {
			defer c.mu.Unlock()
			c.cache.log.warn("blobs are not kept, but passed through", c.desc.Digest, err)
			return c.breakLocked(err)
		}
		if doubtful {
			c.verified = false
			c.digest.restart()
		}
		c.haveLocked(t, block, sum)
	}
	t.next++
	t.buf.give()
	t.buf = nil
	c.settleLocked()
	c.tellLocked()
	c.mu.Unlock()
	return nil
}

// feed has a block hashed while the next one arrives: for a fast registry that is most of the work.
func (t *transfer) feed(block int, data []byte, epoch int) {
	if t.fed != nil {
		<-t.fed
	}
	buf, fed := t.buf, make(chan struct{})
	t.fed = fed
	buf.share()
	t.content.cache.running.Go(func() {
		t.content.digest.feed(block, data, epoch)
		buf.give()
		close(fed)
	})
}

func (t *transfer) write(block int, data []byte, sum uint32, doubtful bool) error {
	c, store := t.content, t.content.cache.store
	if _, err := store.writeAt(c.file, data, c.offset(block)); err != nil || doubtful {
		return err
	}
	_, err := store.writeAt(c.sumsFile, encodeSum(sum), sumOffset(block))
	return err
}

// haveLocked notes that a block is there.
func (c *content) haveLocked(t *transfer, block int, sum uint32) {
	c.sums[block], c.state[block] = sum, checked
	c.absent--
	room := c.room(block, block+1)
	t.paid -= room
	c.cache.store.kept(c.entry, room)
	if c.verified && c.absent == 0 {
		c.cache.store.recharge(c.entry, chargeOf(c.desc, c.desc.Size))
	}
}
