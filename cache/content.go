package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// errDisk is a failure of the local disk, or that it has no room: whoever meets it reads at the registry.
var errDisk = errors.New("the cache's disk")

// blockState says what is known of a block.
type blockState uint8

const (
	absent  blockState = iota
	stored             // by a former process: its sum is compared before it is read
	checked            // that, or written by this process
)

// content is a large blob in blocks on the disk, and what is on its way there.
type content struct {
	cache  *Cache
	entry  *entry
	desc   ocispec.Descriptor
	blocks int
	slots  *slots

	writing sync.RWMutex // held for writing while all blocks are thrown away; before mu
	losses  atomic.Int64 // counts when blocks were lost: a file that was opened before is not read any more

	hollow atomic.Bool // when nobody uses it: there is nothing in it

	mu        sync.Mutex
	changed   chan struct{} // closed, and another made, when something happens that somebody waits for
	waiting   int
	users     int // blobs, transfers and checks; at zero the files are closed
	file      *os.File
	sumsFile  *os.File
	loaded    bool
	unmapped  bool      // it is whole, but has no map: it must be hashed
	summing   bool      // it is whole and good, and its sums are not known yet
	broken    error     // for a while nothing more can be kept
	mended    time.Time // when that is over
	state     []blockState
	sums      []uint32 // of a verified blob also those of blocks that are absent again
	absent    int
	stored    int
	verified  bool
	suspect   bool // the registry has sent wrong bytes
	wrong     int  // how often: sums of another number are those of other bytes
	rangeless bool // the registry has no ranges
	wants     map[*want]struct{}
	transfers []*transfer
	checking  map[int]bool
	settling  bool
	resting   bool // checkRest runs

	digest prefix
}

func newContent(c *Cache, e *entry, desc ocispec.Descriptor) *content {
	n := blocksOf(desc.Size)
	return &content{
		cache: c, entry: e, desc: desc, blocks: n, slots: newSlots(maxBlobFetches), changed: make(chan struct{}),
		wants: map[*want]struct{}{}, checking: map[int]bool{}, digest: newPrefix(desc),
	}
}

// offset is where a block begins, or the blob ends.
func (c *content) offset(block int) int64 { return min(int64(block)*blockBytes, c.desc.Size) }

func (c *content) length(block int) int { return int(c.offset(block+1) - c.offset(block)) }

// room is what the blocks [from, to) take on the disk.
func (c *content) room(from, to int) int64 { return pages(c.offset(to) - c.offset(from)) }

// heldFrom is where the part begins that is not handed out of an unverified blob.
func (c *content) heldFrom() int64 { return max(0, min(c.offset(c.blocks-1), c.desc.Size-tailBytes)) }

// enter is for each that uses the content, leave when it does no more. The error says that the files are of no use.
func (c *content) enter(ctx context.Context) error {
	c.mu.Lock()
	c.users++
	err := c.loadLocked()
	unmapped := c.unmapped
	c.mu.Unlock()
	if err == nil && unmapped {
		_, err = c.cache.hashing.do(ctx, c.desc.Digest, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, c.adopt(ctx)
		})
	}
	if err != nil {
		c.leave()
	}
	return err
}

func (c *content) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaveLocked()
}

func (c *content) leaveLocked() {
	if c.users--; c.users > 0 {
		return
	}
	for _, f := range []*os.File{c.file, c.sumsFile} {
		if f != nil {
			f.Close()
		}
	}
	c.file, c.sumsFile, c.broken = nil, nil, nil
	c.hollow.Store(c.absent == c.blocks)
}

// loadLocked learns from the map which blocks there are.
func (c *content) loadLocked() error {
	if c.loaded {
		return nil
	}
	if err := c.openLocked(); err != nil {
		return err
	}
	c.state, c.absent = make([]blockState, c.blocks), c.blocks
	partial := c.entry.partial
	b, err := os.ReadFile(c.sumsFile.Name())
	if err == nil {
		c.sums, err = decodeSums(b, c.desc.Size)
	}
	switch {
	case err == nil:
	case partial:
		c.sums = make([]uint32, c.blocks)
		if err := c.writeSumsLocked(); err != nil {
			return err
		}
	default:
		c.unmapped, c.loaded = true, true
		return nil
	}
	for i, sum := range c.sums {
		if sum != 0 {
			c.state[i] = stored
			c.absent--
			c.stored++
		}
	}
	c.verified = !partial && c.absent == 0
	c.loaded = true
	return nil
}

// openLocked opens the files, unless that is done. A whole blob's must have the right size, a partial one's gets it.
func (c *content) openLocked() error {
	if c.file != nil {
		return nil
	}
	file, sums, err := c.cache.store.openFiles(c.entry)
	if err != nil {
		return err
	}
	i, err := file.Stat()
	if err == nil && i.Size() != c.desc.Size {
		if c.entry.partial || c.loaded { // lost blocks are filled in again
			err = file.Truncate(c.desc.Size)
		} else {
			err = fmt.Errorf("it has %d bytes: %w", i.Size(), errDamaged)
		}
	}
	if err != nil {
		file.Close()
		sums.Close()
		return err
	}
	c.file, c.sumsFile = file, sums
	if c.loaded && i.Size() < c.desc.Size {
		c.loseLocked(int(i.Size()/blockBytes), io.EOF)
	}
	return nil
}

func (c *content) writeSumsLocked() error {
	if err := c.openLocked(); err != nil {
		return err
	}
	b := encodeSums(c.desc.Size, c.sums)
	if _, err := c.cache.store.writeAt(c.sumsFile, b, 0); err != nil {
		return err
	}
	return c.sumsFile.Truncate(int64(len(b))) // last, so that a map of the right length was written whole
}

// trustedLocked: all of it is there, verified, and checked by this process.
func (c *content) trustedLocked() bool { return c.verified && c.absent == 0 && c.stored == 0 }

// openTrusted opens the whole, if it can be trusted; nil if not. It is good while losses has that number.
func (c *content) openTrusted() (file *os.File, losses int64) {
	c.mu.Lock()
	trusted := c.trustedLocked()
	losses = c.losses.Load()
	c.mu.Unlock()
	if !trusted {
		return nil, 0
	}
	f, err := c.cache.store.openTrusted(c.entry)
	if err == nil {
		var i fs.FileInfo
		if i, err = f.Stat(); err == nil && i.Size() == c.desc.Size {
			return f, losses
		}
		f.Close()
	}
	c.cache.log.warn("a cached blob is damaged, it is fetched again", c.desc.Digest, err)
	return nil, 0
}

// brokenTime is for how long a disk is left alone that was full, or failed.
const brokenTime = 10 * time.Second

// breakLocked notes that nothing can be kept, and why.
func (c *content) breakLocked(err error) error {
	c.broken, c.mended = fmt.Errorf("%w: %w", errDisk, err), time.Now().Add(brokenTime)
	c.tellLocked()
	return c.broken
}

func (c *content) brokenLocked() error {
	if c.broken != nil && time.Now().After(c.mended) {
		c.broken = nil
	}
	return c.broken
}

// tellLocked wakes all who wait.
func (c *content) tellLocked() {
	if c.waiting > 0 {
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// waitLocked waits until something has changed. It gives mu up meanwhile.
func (c *content) waitLocked(ctx context.Context) error {
	changed := c.changed
	c.waiting++
	c.mu.Unlock()
	var err error
	select {
	case <-changed:
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.mu.Lock()
	c.waiting--
	return err
}
