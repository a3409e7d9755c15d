package cache

// reading is one call of a blob's ReadAt.
type reading struct {
	blob   *blob
	want   want
	alone  bool // so long that it is no reason to read more
	waited *transfer
}

// startReading is for a call that reads n bytes.
func (b *blob) startReading(at int64, n int) *reading {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &reading{blob: b, want: want{int(at / blockBytes), blocksOf(at + int64(n))}}
	r.alone = n >= sequenceBytes && (at != b.next || b.run < sequenceBytes)
	return r
}

// moveLocked tells the content where the reader is, and reads ahead of one in sequence.
func (r *reading) moveLocked(at int64) {
	b, c, block := r.blob, r.blob.content, int(at/blockBytes)
	b.mu.Lock()
	inSequence := at == b.next && b.run >= sequenceBytes && !r.alone
	b.mu.Unlock()
	switch {
	case !inSequence && b.ahead.to > 0:
		delete(c.wants, &b.ahead)
		b.ahead = want{}
	case inSequence && (b.ahead.to == 0 || block != b.ahead.from):
		n := minAhead
		if b.ahead.to > 0 {
			n = min(maxAhead, 2*(b.ahead.to-b.ahead.from))
		}
		b.ahead = want{block, block + n}
		c.wants[&b.ahead] = struct{}{}
		c.tellLocked()
	}
	if inSequence {
		c.readAheadLocked(b)
	}
}

// readAheadLocked begins a stream if what a reader will want is not on its way.
func (c *content) readAheadLocked(b *blob) {
	if c.brokenLocked() != nil || c.cache.ctx.Err() != nil || b.ctx.Err() != nil {
		return
	}
	end := b.streamEnd(b.ahead.from)
	for block := b.ahead.from; block < min(b.ahead.to, end); block++ {
		if c.state[block] == absent {
			if c.carrierLocked(block) == nil && !c.busyLocked(block, nil) {
				c.startLocked(b.ctx, b.src, block, end, true)
			}
			return
		}
	}
}

func (r *reading) end() {
	c := r.blob.content
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.wants, &r.want)
}

// read fills some of p, which lies within a block. errDisk: the registry must be asked by the reader itself.
func (r *reading) read(p []byte, at int64) (int, error) {
	b, c := r.blob, r.blob.content
	block := int(at / blockBytes)
	c.mu.Lock()
	defer c.mu.Unlock()
	r.moveLocked(at)
	for {
		if held := c.heldFrom(); !c.verified && at < held {
			p = p[:min(int64(len(p)), held-at)]
		}
		if c.heldLocked(b, at) {
			if err := r.verifyLocked(); err != nil {
				return 0, err
			}
			if b.fromStart(at) && !c.provesLocked(b) {
				return 0, c.errWrong()
			}
		}
		switch c.state[block] {
		case checked:
			if err := c.openLocked(); err != nil {
				c.loseLocked(block, err)
				_ = c.breakLocked(err)
				continue
			}
			if c.state[block] != checked { // the file was cut, or is another
				continue
			}
			file := c.file
			c.mu.Unlock()
			n, err := file.ReadAt(p, at)
			c.mu.Lock()
			if n > 0 {
				return n, nil
			}
			c.loseLocked(block, err)
		case stored:
			if !c.checking[block] {
				c.checking[block] = true
				c.mu.Unlock()
				c.check(block)
				c.mu.Lock()
			} else if err := c.waitLocked(b.ctx); err != nil {
				return 0, err
			}
		case absent:
			if at < c.heldFrom() || c.looseLocked(b, at) {
				if n := c.arrivingLocked(p, at); n > 0 {
					return n, nil
				}
			}
			if err := r.awaitLocked(block); err != nil {
				return 0, err
			}
		}
	}
}

// arrivingLocked copies what has arrived of a block that is not there yet. It gives mu up meanwhile.
func (c *content) arrivingLocked(p []byte, at int64) int {
	block := int(at / blockBytes)
	for _, t := range c.transfers {
		if from := int(at % blockBytes); t.wrong == c.wrong && t.next == block && t.buf != nil && t.have > from {
			buf, have := t.buf, t.have
			buf.share()
			c.mu.Unlock()
			n := copy(p, buf.bytes[from:have])
			buf.give()
			c.mu.Lock()
			return n
		}
	}
	return 0
}

// awaitLocked waits for something to happen to an absent block, which is fetched if nobody does that yet. The error is
// that of the fetch that it waited for.
func (r *reading) awaitLocked(block int) error {
	b, c := r.blob, r.blob.content
	if t := r.waited; t != nil && t.ended && t.err != nil {
		r.waited = nil
		return t.err
	}
	if err := c.brokenLocked(); err != nil {
		return err
	}
	if c.cache.ctx.Err() != nil {
		return errDisk
	}
	r.wantLocked(r.want)
	t := c.carrierLocked(block)
	if t == nil && !c.busyLocked(block, nil) {
		end := r.want.to
		stream := block >= b.ahead.from && block < b.ahead.to
		if stream {
			end = b.streamEnd(block)
		}
		t = c.startLocked(b.ctx, b.src, block, end, stream)
	}
	if t != nil {
		r.waited = t
	}
	if err := c.waitLocked(b.ctx); err != nil {
		delete(c.wants, &r.want)
		delete(c.wants, &b.ahead)
		c.pruneLocked(true)
		return err
	}
	return nil
}

// wantLocked tells the transfers what is wanted, once: readers that woke each other would do nothing else.
func (r *reading) wantLocked(w want) {
	c := r.blob.content
	if _, told := c.wants[&r.want]; told && r.want == w {
		return
	}
	r.want = w
	c.wants[&r.want] = struct{}{}
	c.tellLocked()
}

// heldLocked says whether the bytes at an offset must wait until the blob is verified: the last ones, of a reader that
// has read all before them, or if all others are there.
func (c *content) heldLocked(b *blob, at int64) bool {
	if at < c.heldFrom() {
		return false
	}
	if b.fromStart(at) {
		return !c.verified || !c.provesLocked(b)
	}
	return !c.verified && (c.absent == 0 || c.suspect)
}

// looseLocked says whether the bytes at the end need not even wait until their block is on the disk: other blocks are
// absent too, and the reader has not begun at the start.
func (c *content) looseLocked(b *blob, at int64) bool {
	return !c.verified && !c.suspect && c.absent > 1 && !b.fromStart(at)
}

func (b *blob) fromStart(at int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return at <= b.front
}

// verifyLocked waits until the blob is verified, for which all of it is fetched. Wrong bytes are fetched once more.
func (r *reading) verifyLocked() error {
	b, c := r.blob, r.blob.content
	before := r.want
	defer func() { r.want = before }()
	for !c.verified {
		if c.wrong-b.wrong > 1 {
			return c.errWrong()
		}
		if c.absent > 0 {
			block := 0
			for c.state[block] != absent {
				block++
			}
			r.wantLocked(want{block, c.blocks})
			if err := r.awaitLocked(block); err != nil {
				return err
			}
			continue
		}
		if c.cache.ctx.Err() != nil {
			return errDisk
		}
		c.settleLocked()
		if err := c.waitLocked(b.ctx); err != nil {
			return err
		}
	}
	return nil
}
