package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// aheadBytes is how far ahead of what has arrived a reader waits; from there on it asks the registry by itself.
const aheadBytes = 8 << 20

// blob is an open blob that is not small. It reads what is on the disk, or follows what is on its way there, or goes to
// the registry by itself.
type blob struct {
	ctx   context.Context
	cache *Cache
	desc  ocispec.Descriptor
	fetch Fetch

	mu     sync.Mutex
	offset int64    // of Read
	file   *os.File // the whole, verified
	flight *flight
	source *source
	alone  bool // the disk is of no help
	closed bool
}

func (b *blob) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.readAt(p, b.offset)
	b.offset += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// ReadAt is io.ReaderAt's. Calls at the same time wait for each other.
func (b *blob) ReadAt(p []byte, offset int64) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.readAt(p, offset)
}

func (b *blob) readAt(p []byte, offset int64) (int, error) {
	switch {
	case b.closed:
		return 0, fs.ErrClosed
	case offset < 0:
		return 0, fmt.Errorf("read blob %s at %d: %w", b.desc.Digest, offset, fs.ErrInvalid)
	case offset >= b.desc.Size:
		return 0, io.EOF
	}
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	end := error(nil)
	if rest := b.desc.Size - offset; int64(len(p)) > rest {
		p, end = p[:rest], io.EOF
	}
	n, err := b.readDisk(p, offset)
	if n < len(p) && err == nil {
		if b.source == nil {
			b.source = &source{ctx: b.ctx, desc: b.desc, fetch: b.fetch}
		}
		var m int
		m, err = b.source.ReadAt(p[n:], offset+int64(n))
		n += m
	}
	if err == nil {
		err = end
	}
	return n, err
}

// readDisk reads from the disk what it can; less without an error means that the registry must be asked.
func (b *blob) readDisk(p []byte, offset int64) (int, error) {
	if b.file != nil {
		n, err := b.file.ReadAt(p, offset)
		if n == len(p) {
			return n, nil
		}
		b.cache.damaged(b.desc, err)
		b.file.Close()
		b.file, b.alone = nil, true
		return n, nil
	}
	if b.flight == nil && !b.alone && offset <= aheadBytes {
		b.flight = b.cache.join(b.ctx, b.desc, b.fetch)
		b.alone = b.flight == nil
	}
	if b.flight == nil || b.flight.distance(offset) > aheadBytes {
		return 0, nil
	}
	n, err := b.flight.readAt(b.ctx, p, offset)
	if errors.Is(err, errDisk) {
		b.cache.leave(b.flight)
		b.flight, b.alone, err = nil, true, nil
	}
	return n, err
}

func (b *blob) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += b.offset
	case io.SeekEnd:
		offset += b.desc.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in blob %s to %d: %w", b.desc.Digest, offset, fs.ErrInvalid)
	}
	b.offset = offset
	return offset, nil
}

func (b *blob) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return fs.ErrClosed
	}
	b.closed = true
	if b.flight != nil {
		b.cache.leave(b.flight)
	}
	var errs [2]error
	if b.file != nil {
		errs[0] = b.file.Close()
	}
	if b.source != nil {
		errs[1] = b.source.Close()
	}
	return errors.Join(errs[:]...)
}
