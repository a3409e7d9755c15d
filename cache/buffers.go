package cache

import (
	"sync"
	"sync/atomic"
)

// buffer holds a block while it arrives or is checked. It is used again when all who read it are done.
type buffer struct {
	bytes []byte
	users atomic.Int32
}

var buffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, blockBytes)} }}

func takeBuffer() *buffer {
	b := buffers.Get().(*buffer)
	b.users.Store(1)
	return b
}

func (b *buffer) share() { b.users.Add(1) }

func (b *buffer) give() {
	if b.users.Add(-1) == 0 {
		buffers.Put(b)
	}
}
