package cache

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// blob is an open blob that is not small and no local source's. It reads a file that can be trusted, or the blocks of a
// content, or goes to the registry by itself.
type blob struct {
	ctx     context.Context
	cache   *Cache
	desc    ocispec.Descriptor
	src     Source
	content *content // nil: nothing is kept

	reading sync.Mutex // one Read at a time
	alone   sync.Mutex // one at a time reads at the registry by itself
	source  *source    // guarded by alone

	mu     sync.Mutex
	offset int64    // of Read
	file   *os.File // the whole, trusted while content.losses are losses
	losses int64
	stale  []*os.File // those that were trusted
	closed bool
	open   int   // reads that run: the last to end closes the file
	parted bool  // what was handed out from the start is continued by source alone
	next   int64 // offset after the last read
	run    int64 // bytes before next that were read in sequence, or announced
	until  int64 // where an announced sequence ends; zero: it is not known
	front  int64 // all bytes before it have been handed out
	proof  proof

	// guarded by content.mu
	ahead  want  // of a reader in sequence
	wrong  int   // content.wrong when it was opened
	proven int64 // content.losses, and one, when the proof was good: what follows is of verified blocks
}

func (b *blob) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	b.mu.Lock()
	offset := b.offset
	b.mu.Unlock()
	n, err := b.ReadAt(p, offset)
	b.mu.Lock()
	b.offset = offset + int64(n)
	b.mu.Unlock()
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// ReadAt is io.ReaderAt's.
func (b *blob) ReadAt(p []byte, offset int64) (n int, err error) {
	file, err := b.begin()
	if err != nil {
		return 0, err
	}
	defer b.end()
	p, end, err := within(b.desc, p, offset)
	if err != nil {
		return 0, err
	}
	if file != nil {
		n, err = file.ReadAt(p, offset)
		if b.content.losses.Load() != b.losses {
			n, err = 0, errDamaged // it may have a hole now
		}
		b.passed(p[:n], offset, false)
		if n == len(p) {
			return n, end
		}
		b.lost(file, offset+int64(n), err)
	}
	if n < len(p) {
		var m int
		m, err = b.readBlocks(p[n:], offset+int64(n))
		n += m
	}
	if err == nil {
		err = end
	}
	return n, err
}

// begin is for each read: the trusted file, if there is one, stays open until end.
func (b *blob) begin() (*os.File, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, fs.ErrClosed
	}
	if err := b.ctx.Err(); err != nil {
		return nil, err
	}
	b.open++
	return b.file, nil
}

func (b *blob) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open--; b.open == 0 && b.closed {
		_ = b.closeFilesLocked()
	}
}

func (b *blob) closeFilesLocked() error {
	files := b.stale
	if b.file != nil {
		files = append(files, b.file)
	}
	b.file, b.stale = nil, nil
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// passed notes what was handed out; doubtful: of a file that was not trusted.
func (b *blob) passed(p []byte, offset int64, doubtful bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	end := offset + int64(len(p))
	if offset != b.next {
		b.run, b.until = 0, 0
	}
	b.next, b.run = end, b.run+int64(len(p))
	if offset <= b.front && end > b.front {
		if doubtful {
			b.proof.add(p[b.front-offset:], b.front, b.desc.Size)
		}
		b.front = end
	}
}

// lost is for a trusted file that cannot be read at offset. What is missing is fetched.
func (b *blob) lost(file *os.File, offset int64, err error) {
	b.content.mu.Lock()
	defer b.content.mu.Unlock()
	b.mu.Lock()
	if b.file == file {
		b.stale, b.file = append(b.stale, file), nil
		if !b.content.summing { // or else they are as good as its writer said
			b.proof.cover(b.content.sums, b.front, b.desc.Size)
		}
	}
	b.mu.Unlock()
	if b.content.losses.Load() == b.losses {
		b.content.loseLocked(int(offset/blockBytes), err)
	}
}

// readBlocks fills p without a trusted file.
func (b *blob) readBlocks(p []byte, offset int64) (n int, err error) {
	var r *reading
	for n < len(p) {
		at := offset + int64(n)
		part := p[n:min(len(p), n+int(blockBytes-at%blockBytes))]
		m, err := 0, errDisk
		if b.content != nil && !b.isParted() {
			if r == nil {
				r = b.startReading(at, len(p)-n)
				defer r.end()
			}
			m, err = r.read(part, at)
		}
		if errors.Is(err, errDisk) {
			m, err = b.readAlone(part, at)
		}
		b.passed(part[:m], at, true)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (b *blob) isParted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.parted
}

// readAlone reads at the registry without keeping. A reader that began at the start stays there, because only so can it
// verify the rest together with what it has handed out.
func (b *blob) readAlone(p []byte, offset int64) (int, error) {
	b.alone.Lock()
	defer b.alone.Unlock()
	if b.source == nil {
		b.source = newSource(b.ctx, b.desc, b.src)
	}
	if b.content != nil {
		b.content.mu.Lock()
		b.mu.Lock()
		if !b.parted && offset <= b.front {
			b.source.proceed(b.front, b.proof, b.content)
			b.parted = true
		}
		b.mu.Unlock()
		b.content.mu.Unlock()
	}
	n, err := b.source.ReadAt(p, offset)
	if errors.Is(err, errOther) && b.content != nil {
		b.content.distrust()
	}
	return n, err
}

// Sequential tells that [from, to) will be read next, one byte after the other. If that is as long as what shows a reader in
// sequence, it is one from the start, and its stream ends there.
func (b *blob) Sequential(from, to int64) {
	if to-from < sequenceBytes {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next, b.run, b.until = from, sequenceBytes, to
}

// streamEnd is the block before which a stream ends that brings block to b.
func (b *blob) streamEnd(block int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if end := blocksOf(b.until); end > block {
		return end
	}
	return b.content.blocks
}

func (b *blob) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return seek(b.desc, &b.offset, offset, whence)
}

// File gives a descriptor of the blob's own on the whole content, to be seeked and sent by the kernel; nil if there is
// none yet. It is closed with the blob.
func (b *blob) File() *os.File {
	file, err := b.begin()
	if err != nil {
		return nil
	}
	defer b.end()
	if file != nil || b.content == nil || b.isParted() {
		return file
	}
	file, losses := b.content.openTrusted()
	if file == nil {
		return nil
	}
	if !b.content.proves(b) {
		file.Close()
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file != nil { // another call was faster
		file.Close()
	} else {
		b.file, b.losses = file, losses
	}
	return b.file
}

func (b *blob) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return fs.ErrClosed
	}
	b.closed = true
	var errs [2]error
	if b.open == 0 { // or else the last read closes them
		errs[0] = b.closeFilesLocked()
	}
	b.mu.Unlock()
	if b.content != nil {
		b.content.depart(b)
	}
	b.alone.Lock()
	defer b.alone.Unlock()
	if b.source != nil {
		errs[1] = b.source.Close()
	}
	return errors.Join(errs[:]...)
}

// depart is Close for the content: the stream that reads ahead ends now, and a block on its way has some time.
func (c *content) depart(b *blob) {
	c.mu.Lock()
	delete(c.wants, &b.ahead)
	c.pruneLocked(false)
	if len(c.transfers) > 0 {
		time.AfterFunc(idleTime, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.pruneLocked(true)
		})
	}
	c.tellLocked()
	c.leaveLocked()
	c.mu.Unlock()
	c.cache.store.unpin(c.entry)
}
