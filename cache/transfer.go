package cache

import (
	"context"
	"slices"
	"time"
)

// idleTime is for how long a request waits for its readers.
const idleTime = 5 * time.Second

// transfer is a request at the registry that fills blocks in their order: one for the blocks of a read, or a stream for
// a reader in sequence, which is held back while nobody wants its next block.
type transfer struct {
	content *content
	src     Source
	ctx     context.Context
	cancel  context.CancelFunc
	stream  bool
	wrong   int           // content.wrong when it began
	filled  int           // blocks
	paid    int64         // bytes of room that are reserved
	fed     chan struct{} // closed when the last block has been hashed

	// guarded by content.mu
	next, end int     // next is the block that is being filled
	buf       *buffer // its bytes; nil between two blocks
	have      int     // of them
	rewound   bool    // the registry sends all of the blob
	ended     bool
	err       error
}

// startLocked begins a transfer of the absent blocks from first, up to the first before end that is there or on its way.
func (c *content) startLocked(ctx context.Context, src Source, first, end int, stream bool) *transfer {
	last := first + 1
	for last < end && c.state[last] == absent && !c.busyLocked(last, nil) {
		last++
	}
	if c.rangeless {
		first, last, stream = 0, c.blocks, true
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t := &transfer{
		content: c, src: src, ctx: own, cancel: cancel, stream: stream, wrong: c.wrong, next: first, end: last, rewound: c.rangeless,
	}
	c.transfers = append(c.transfers, t)
	c.users++
	c.cache.store.pinAgain(c.entry)
	stop := context.AfterFunc(c.cache.ctx, cancel)
	c.cache.inFlight.Add(1)
	c.cache.running.Go(func() {
		t.finish(t.run())
		stop()
	})
	return t
}

// finish tells the readers how it ended.
func (t *transfer) finish(err error) {
	c := t.content
	c.cache.inFlight.Add(-1)
	t.refund()
	c.mu.Lock()
	c.transfers = slices.DeleteFunc(c.transfers, func(o *transfer) bool { return o == t })
	if t.buf != nil {
		t.buf.give()
		t.buf = nil
	}
	t.ended, t.err = true, err
	if t.ctx.Err() != nil {
		t.err = nil // it was not wanted any more; who wants it now begins another
	}
	c.tellLocked()
	c.leaveLocked()
	c.mu.Unlock()
	t.cancel()
	c.cache.store.unpin(c.entry)
}

func (t *transfer) run() error {
	c := t.content
	room := c.room(t.next, t.next+1)
	if !t.stream {
		room = c.room(t.next, t.end)
	}
	if !t.pay(room) {
		return t.noRoom()
	}
	for _, s := range []*slots{c.slots, c.cache.slots} {
		if err := s.take(t.ctx); err != nil {
			return err
		}
		defer s.give()
	}
	c.mu.Lock()
	first, end := t.next, t.end
	c.mu.Unlock()
	in := newStream(t.ctx, c.desc, t.src, c.offset(first), c.offset(end))
	defer in.Close()
	start, err := in.open()
	if err != nil {
		return err
	}
	if start < in.offset {
		if !t.rewind() {
			return nil
		}
		in.offset, in.end, in.broken = 0, c.desc.Size, 0
	}
	for {
		keep, err := t.await()
		if err != nil || !keep {
			return err
		}
		if err := t.fill(in); err != nil {
			return err
		}
	}
}

// rewind is for a registry without ranges, whose answer begins at the start. One such stream is enough for all.
func (t *transfer) rewind() bool {
	c := t.content
	t.refund() // for other blocks than those that come
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rangeless = true
	if slices.ContainsFunc(c.transfers, func(o *transfer) bool { return o != t && o.rewound }) {
		return false
	}
	t.next, t.end, t.stream, t.rewound = 0, c.blocks, true, true
	c.tellLocked()
	return true
}

// await waits until somebody wants the next block and there is room for it; false: it is the end.
func (t *transfer) await() (keep bool, err error) {
	c := t.content
	ctx, cancel := t.ctx, context.CancelFunc(nil)
	c.mu.Lock()
	for {
		end := t.next == t.end || t.wrong != c.wrong || c.brokenLocked() != nil || t.lingers()
		there := !end && (c.state[t.next] != absent || c.busyLocked(t.next, t))
		if end || there && !t.rewound {
			break
		}
		if keep = c.wantedLocked(t.next) || t.rewound && c.wantedAfterLocked(t.next); keep || !t.stream {
			break
		}
		if cancel == nil {
			ctx, cancel = t.patience()
		}
		if c.waitLocked(ctx) != nil {
			break
		}
	}
	room := int64(0)
	if keep && c.state[t.next] == absent {
		room = c.room(t.next, t.next+1)
	}
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	if err := t.ctx.Err(); err != nil || !keep {
		return false, err
	}
	if !t.pay(room) {
		return false, t.noRoom()
	}
	return true, nil
}

// fairBlocks is how many blocks a stream brings before it makes way for others that wait.
const fairBlocks = 16

// lingers says whether a stream has had its share and others wait.
func (t *transfer) lingers() bool {
	if !t.stream || t.rewound || t.filled < fairBlocks {
		return false
	}
	select {
	case <-t.content.slots.crowding():
	case <-t.content.cache.slots.crowding():
	default:
		return false
	}
	return true
}

// patience is a context for a transfer that is held back: it ends after a while, or when others wait for a fetch.
func (t *transfer) patience() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(t.ctx, idleTime)
	blob, all := t.content.slots.crowding(), t.content.cache.slots.crowding()
	go func() {
		select {
		case <-blob:
		case <-all:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, cancel
}

// pay reserves room for n bytes, as far as that has not been done.
func (t *transfer) pay(n int64) bool {
	if n <= t.paid {
		return true
	}
	if !t.content.cache.store.reserve(t.content.entry.account, n-t.paid) {
		return false
	}
	t.paid = n
	return true
}

// refund gives back the room that was not used.
func (t *transfer) refund() {
	t.content.cache.store.release(t.content.entry.account, t.paid)
	t.paid = 0
}

func (t *transfer) noRoom() error {
	c := t.content
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.breakLocked(errNoRoom)
}

// fill takes the next block from the registry. Readers see its bytes as they arrive.
func (t *transfer) fill(in *stream) error {
	c := t.content
	buf := takeBuffer()
	c.mu.Lock()
	block := t.next
	t.buf, t.have = buf, 0
	c.mu.Unlock()
	_, epoch := c.digest.state()
	data := buf.bytes[:c.length(block)]
	for have := 0; have < len(data); {
		n, err := in.Read(data[have:])
		if err != nil {
			return err
		}
		c.cache.fetched.Add(int64(n))
		have += n
		c.mu.Lock()
		t.have = have
		c.tellLocked()
		c.mu.Unlock()
	}
	return t.keep(block, data, epoch)
}
