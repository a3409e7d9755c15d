package cache

import (
	"hash/crc32"
	"slices"
)

// proof is the sums of what a reader has handed out from the start while the blob was not verified: with them it can
// tell later whether those were the bytes that were verified, wherever each of them came from.
type proof struct {
	blocks []uint32
	part   uint32 // sum of the bytes of the next block
	end    int64  // of what the sums are of
}

// add takes bytes at offset, in one block, that were handed out.
func (p *proof) add(data []byte, offset, size int64) {
	if offset < p.end { // covered already
		data = data[min(int64(len(data)), p.end-offset):]
		offset = p.end
	}
	if len(data) == 0 || offset != p.end {
		return
	}
	p.part = crc32.Update(p.part, castagnoli, data)
	p.end += int64(len(data))
	if p.end%blockBytes == 0 || p.end == size {
		p.blocks = append(p.blocks, max(1, p.part))
		p.part = 0
	}
}

// cover takes the sums of a verified blob for what was read of its file before front.
func (p *proof) cover(sums []uint32, front, size int64) {
	if n := blocksOf(front); n > len(p.blocks) && front > p.end {
		p.blocks = append(slices.Clone(p.blocks), sums[len(p.blocks):n]...)
		p.part, p.end = 0, min(int64(n)*blockBytes, size)
	}
}

// proves says whether what b has handed out from the start are the verified bytes.
func (c *content) proves(b *blob) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.provesLocked(b)
}

func (c *content) provesLocked(b *blob) bool {
	b.mu.Lock()
	p := b.proof
	b.mu.Unlock()
	if losses := c.losses.Load(); c.verified && b.proven == losses+1 {
		return true
	}
	if !c.verified || !slices.Equal(p.blocks, c.sums[:len(p.blocks)]) {
		return false
	}
	if start := int64(len(p.blocks)) * blockBytes; p.end > start {
		if c.openLocked() != nil {
			return false
		}
		buf := takeBuffer()
		defer buf.give()
		part := buf.bytes[:p.end-start]
		if _, err := c.file.ReadAt(part, start); err != nil || crc32.Checksum(part, castagnoli) != p.part {
			return false
		}
	}
	b.proven = c.losses.Load() + 1 // all that it reads from now on is verified
	return true
}
