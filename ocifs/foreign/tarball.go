package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// A tarball is an open archive. What is read of it asks for the blobs that lie in the range, one at a time: the last one
// stays open. It keeps the context of Open, because Content has no other place for it.
type tarball struct {
	ctx     context.Context
	src     Source
	archive *archive

	mu       sync.Mutex // ReadAt may be called on several goroutines
	offset   int64
	member   *member // whose content is open
	content  Content
	from, to int64 // what was announced
	closed   bool
}

// sequential is what a Content may have beside its methods.
type sequential interface{ Sequential(from, to int64) }

// Sequential tells that a range will be read in order.
func (t *tarball) Sequential(from, to int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.from, t.to = from, to
	t.announceLocked()
}

// announceLocked hands on to the open blob what it has of the announced range.
func (t *tarball) announceLocked() {
	if s, ok := t.content.(sequential); ok {
		start := t.member.start + t.member.header
		if from, to := max(t.from-start, 0), min(t.to-start, t.member.size); from < to {
			s.Sequential(from, to)
		}
	}
}

func (t *tarball) Read(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.readLocked(p, t.offset)
	t.offset += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (t *tarball) ReadAt(p []byte, offset int64) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.readLocked(p, offset)
}

func (t *tarball) readLocked(p []byte, offset int64) (int, error) {
	switch {
	case t.closed:
		return 0, fs.ErrClosed
	case offset < 0:
		return 0, fmt.Errorf("read %s at %d: %w", nameArchive, offset, fs.ErrInvalid)
	}
	n := 0
	for i := t.archive.at(offset); n < len(p) && offset < t.archive.length(); i++ {
		part := p[n:min(int64(len(p)), int64(n)+t.archive.length()-offset)]
		if i < len(t.archive.members) {
			m := &t.archive.members[i]
			part = part[:min(int64(len(part)), m.end()-offset)]
			if read, err := t.readMemberLocked(m, part, offset-m.start); err != nil {
				return n + read, fmt.Errorf("read %s of %s: %w", m.path(), nameArchive, err)
			}
		} else {
			clear(part)
		}
		n += len(part)
		offset += int64(len(part))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readMemberLocked fills p, which ends within m, from offset in m. It says how much it has filled if it fails.
func (t *tarball) readMemberLocked(m *member, p []byte, offset int64) (n int, err error) {
	if offset < m.header {
		n = copy(p, m.headerBytes()[offset:])
	}
	if at := offset + int64(n) - m.header; n < len(p) && at < m.size {
		part := p[n:min(int64(len(p)), int64(n)+m.size-at)]
		read, err := t.readContentLocked(m, part, at)
		if n += read; err != nil {
			return n, err
		}
	}
	clear(p[n:])
	return len(p), nil
}

// readContentLocked reads where the last read ended without a jump: that is what a blob can be verified by.
func (t *tarball) readContentLocked(m *member, p []byte, offset int64) (int, error) {
	if m.body != nil {
		return copy(p, m.body[offset:]), nil
	}
	if t.member != m {
		if err := t.leaveLocked(); err != nil {
			return 0, err
		}
		c, err := t.open(m)
		if err != nil {
			return 0, failed(err, "open")
		}
		t.member, t.content = m, c
		t.announceLocked()
	}
	n := 0
	_, err := t.content.Seek(offset, io.SeekStart)
	if err == nil {
		n, err = io.ReadFull(t.content, p)
	}
	if err != nil {
		t.leaveLocked() // the next read begins anew
		return n, failed(endsEarly(err), "at byte %d", offset+int64(n))
	}
	return n, nil
}

func (t *tarball) open(m *member) (Content, error) {
	if !m.manifest {
		return t.src.Blob(t.ctx, m.descriptor())
	}
	return openManifest(t.ctx, t.src, m.descriptor())
}

// leaveLocked closes what is open.
func (t *tarball) leaveLocked() error {
	c := t.content
	t.member, t.content = nil, nil
	if c == nil {
		return nil
	}
	return c.Close()
}

func (t *tarball) Seek(offset int64, whence int) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += t.offset
	case io.SeekEnd:
		offset += t.archive.length()
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek %s to %d: %w", nameArchive, offset, fs.ErrInvalid)
	}
	t.offset = offset
	return offset, nil
}

func (t *tarball) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return fs.ErrClosed
	}
	t.closed = true
	return t.leaveLocked()
}

// made is content in memory.
type made struct{ *bytes.Reader }

func (made) Close() error { return nil }
