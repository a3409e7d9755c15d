package cache

import (
	"fmt"
	"hash"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// marks is how many states of the hash are kept, for readers that must go on at the registry.
const marks = 32

// prefix is the hash of a blob's first blocks. It is fed while they pass in their order, so that a blob that was read
// from its start is verified when its last block is there.
type prefix struct {
	desc ocispec.Descriptor

	mu     sync.Mutex
	epoch  int // counts the restarts: bytes from before one are not fed after it
	blocks int
	hash   hash.Hash
	marks  [marks]hash.Hash // after block number i, for i mod marks
}

func newPrefix(desc ocispec.Descriptor) prefix { return prefix{desc: desc} }

// feed takes a block, if it is the next.
func (p *prefix) feed(block int, data []byte, epoch int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if block != p.blocks || epoch != p.epoch {
		return
	}
	if p.hash == nil {
		p.hash = p.desc.Digest.Algorithm().Hash()
	}
	p.hash.Write(data)
	p.blocks++
	p.marks[p.blocks%marks] = clone(p.hash)
}

// at gives the hash of the first blocks, to be written on; nil if it is not known any more.
func (p *prefix) at(blocks int) hash.Hash {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case blocks == 0:
		return p.desc.Digest.Algorithm().Hash()
	case blocks > p.blocks || blocks <= p.blocks-marks || p.marks[blocks%marks] == nil:
		return nil
	}
	return clone(p.marks[blocks%marks])
}

// restart forgets all.
func (p *prefix) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch++
	p.blocks, p.hash, p.marks = 0, nil, [marks]hash.Hash{}
}

// state says how many blocks were fed, and in which epoch.
func (p *prefix) state() (blocks, epoch int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.blocks, p.epoch
}

// fits says whether the blocks, all of them, have the digest.
func (p *prefix) fits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hash != nil && sumIs(p.hash, p.desc)
}

func sumIs(h hash.Hash, desc ocispec.Descriptor) bool {
	return fmt.Sprintf("%x", h.Sum(nil)) == desc.Digest.Encoded()
}

// clone is a hash with the same state; nil if it has no way to give one.
func clone(h hash.Hash) hash.Hash {
	if c, ok := h.(hash.Cloner); ok {
		if d, err := c.Clone(); err == nil {
			return d
		}
	}
	return nil
}
