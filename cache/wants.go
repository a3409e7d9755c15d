package cache

// Read-ahead of a reader in sequence, in blocks: it begins when sequenceBytes were read and doubles with each block.
const (
	sequenceBytes = 1 << 20
	minAhead      = 2
	maxAhead      = 16
)

// want is a range of blocks [from, to) that somebody reads now, or will soon.
type want struct{ from, to int }

func (c *content) wantedLocked(block int) bool {
	for w := range c.wants {
		if w.from <= block && block < w.to {
			return true
		}
	}
	return false
}

// wantedAfterLocked says whether an absent block from there on is wanted: a stream of all must first pass what is before.
func (c *content) wantedAfterLocked(block int) bool {
	for w := range c.wants {
		for b := max(block, w.from); b < min(w.to, c.blocks); b++ {
			if c.state[b] == absent {
				return true
			}
		}
	}
	return false
}

// busyLocked says whether another transfer than t fills a block, or will without waiting for readers.
func (c *content) busyLocked(block int, t *transfer) bool {
	for _, o := range c.transfers {
		if o != t && o.wrong == c.wrong && block >= o.next && block < o.end && (block == o.next || !o.stream) {
			return true
		}
	}
	return false
}

// carrierLocked gives the transfer that will bring a block that is wanted; nil if none will.
func (c *content) carrierLocked(block int) *transfer {
	for _, t := range c.transfers {
		if t.wrong != c.wrong || t.ctx.Err() != nil || block < t.next || block >= t.end {
			continue
		}
		if t.rewound || c.rangeless || !t.stream && block == t.next {
			return t
		}
		b := t.next
		if t.buf != nil && b < block {
			b++ // it is on its way, wanted or not
		}
		for b < block && c.wantedLocked(b) && c.state[b] == absent {
			b++
		}
		if b == block {
			return t
		}
	}
	return nil
}

// pruneLocked ends the transfers that nobody wants any more. Those that are within a block finish it, unless all do.
func (c *content) pruneLocked(now bool) {
	for _, t := range c.transfers {
		if !now && !t.stream {
			continue
		}
		wanted := false
		for w := range c.wants {
			wanted = wanted || w.from < t.end && w.to > t.next
		}
		if !wanted {
			t.cancel()
		}
	}
}
