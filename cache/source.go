package cache

import (
	"context"
	"fmt"
	"hash"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// tailBytes at the end of a blob are handed out when all of it has been verified, so that nobody takes a damaged blob
// for whole.
const tailBytes = 64 << 10

// source reads at the registry without keeping. While reads follow each other from the start it verifies them.
type source struct {
	ctx   context.Context
	desc  ocispec.Descriptor
	fetch Fetch

	in     *stream
	hash   hash.Hash // nil if the stream did not begin at the start
	offset int64     // of the next byte to hand out from in, which may be further
	tail   []byte    // the last bytes, verified
}

// ReadAt fills p from offset, unless there is an error.
func (s *source) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		if offset == s.desc.Size {
			return n, io.EOF
		}
		if start := s.desc.Size - int64(len(s.tail)); offset >= start && s.tail != nil {
			m := copy(p[n:], s.tail[offset-start:])
			n, offset = n+m, offset+int64(m)
			continue
		}
		m, err := s.next(p[n:], offset)
		n, offset = n+m, offset+int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// next reads some bytes at offset, or the tail.
func (s *source) next(p []byte, offset int64) (int, error) {
	if s.in == nil || offset != s.offset {
		s.Close()
		s.in, s.offset, s.hash = newStream(s.ctx, s.desc, s.fetch, offset), offset, nil
		if offset == 0 {
			s.hash = s.desc.Digest.Algorithm().Hash()
		}
	}
	if s.hash == nil {
		m, err := s.in.Read(p)
		s.offset += int64(m)
		return m, err
	}
	if before := s.desc.Size - tailBytes - offset; before > 0 {
		m, err := s.in.Read(p[:min(int64(len(p)), before)])
		s.hash.Write(p[:m])
		s.offset += int64(m)
		return m, err
	}
	tail := make([]byte, s.desc.Size-offset)
	if _, err := io.ReadFull(s.in, tail); err != nil {
		s.Close()
		return 0, err
	}
	s.hash.Write(tail)
	sum := s.hash.Sum(nil)
	s.Close()
	if fmt.Sprintf("%x", sum) != s.desc.Digest.Encoded() {
		return 0, fmt.Errorf("the registry sends other bytes than those of %s", s.desc.Digest)
	}
	s.tail = tail
	return 0, nil
}

// Close ends the request.
func (s *source) Close() error {
	if s.in == nil {
		return nil
	}
	err := s.in.Close()
	s.in = nil
	return err
}
