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

// local is an open blob of a local source. Of all blobs it is opened most often, and needs least.
type local struct {
	ctx  context.Context
	desc ocispec.Descriptor
	idle *idle

	reading sync.Mutex
	offset  int64 // of Read; the descriptor's own is File's

	mu   sync.Mutex
	file *os.File // nil: closed
}

func (l *local) Read(p []byte) (int, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	n, err := l.ReadAt(p, l.offset)
	l.offset += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// ReadAt is io.ReaderAt's.
func (l *local) ReadAt(p []byte, offset int64) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	p, end, err := within(l.desc, p, offset)
	if err != nil {
		return 0, err
	}
	file := l.opened()
	if file == nil {
		return 0, fs.ErrClosed
	}
	n, err := file.ReadAt(p, offset)
	switch {
	case n == len(p):
		return n, end
	case err == io.EOF: // it is shorter than when it was opened
		err = io.ErrUnexpectedEOF
	case errors.Is(err, fs.ErrClosed):
		return n, fs.ErrClosed
	}
	return n, fmt.Errorf("read the local file of blob %s: %w", l.desc.Digest, err)
}

func (l *local) Seek(offset int64, whence int) (int64, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	return seek(l.desc, &l.offset, offset, whence)
}

// within gives the part of p that the blob fills from offset on, and what ReadAt says when it has: io.EOF at the end.
func within(desc ocispec.Descriptor, p []byte, offset int64) (part []byte, end, err error) {
	switch rest := desc.Size - offset; {
	case offset < 0:
		return nil, nil, fmt.Errorf("read blob %s at %d: %w", desc.Digest, offset, fs.ErrInvalid)
	case rest <= 0:
		return nil, nil, io.EOF
	case int64(len(p)) > rest:
		return p[:rest], io.EOF, nil
	}
	return p, nil, nil
}

// seek is io.Seeker's on the offset at.
func seek(desc ocispec.Descriptor, at *int64, offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += *at
	case io.SeekEnd:
		offset += desc.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in blob %s to %d: %w", desc.Digest, offset, fs.ErrInvalid)
	}
	*at = offset
	return offset, nil
}

// File gives the descriptor, to be seeked and sent by the kernel. With the blob's end it is somebody else's.
func (l *local) File() *os.File {
	if l.ctx.Err() != nil {
		return nil
	}
	return l.opened()
}

// opened gives the file; nil if the blob is closed. Who reads it at an offset may go on while others have it.
func (l *local) opened() *os.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file
}

func (l *local) Close() error {
	l.mu.Lock()
	file := l.file
	l.file = nil
	l.mu.Unlock()
	if file == nil {
		return fs.ErrClosed
	}
	if l.desc.Size <= hotBlobBytes { // it is in memory, or damaged
		return file.Close()
	}
	return l.idle.give(l.desc.Digest, file)
}
