package cache

import (
	"context"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A registry that breaks off in the middle of a blob is asked for the rest, maxBreaks times without breakBytes between
// them. That fetch fails at all is not repeated here: it has its own retries.
const (
	maxBreaks  = 3
	breakBytes = 1 << 20
)

// stream reads the bytes [offset, end) of a blob at the registry. It opens with the first Read, or with open.
type stream struct {
	ctx         context.Context
	desc        ocispec.Descriptor
	src         Source
	offset, end int64 // offset is that of the next byte
	body        io.ReadCloser
	breaks      int
	broken      int64 // offset of the last break
}

func newStream(ctx context.Context, desc ocispec.Descriptor, src Source, offset, end int64) *stream {
	return &stream{ctx: ctx, desc: desc, src: src, offset: offset, end: end, broken: offset}
}

// open sends the request and says where the body begins, which is at the offset or at 0.
func (s *stream) open() (start int64, err error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	body, start, err := s.src.Fetch(s.ctx, s.offset, s.end)
	if err != nil {
		return 0, err
	}
	if start != s.offset && start != 0 {
		body.Close()
		return 0, fmt.Errorf("asked for bytes from %d, the registry sends those from %d", s.offset, start)
	}
	s.body = body
	return start, nil
}

func (s *stream) Read(p []byte) (int, error) {
	p = p[:min(int64(len(p)), s.end-s.offset)]
	if len(p) == 0 {
		if s.offset == s.end {
			return 0, io.EOF
		}
		return 0, nil
	}
	for {
		if err := s.ctx.Err(); err != nil {
			return 0, err
		}
		if s.body == nil {
			start, err := s.open()
			if err != nil {
				return 0, err
			}
			if _, err := io.CopyN(io.Discard, contextReader{s.ctx, s.body}, s.offset-start); err != nil {
				if err := s.breakOff(err); err != nil {
					return 0, err
				}
				continue
			}
		}
		n, err := s.body.Read(p)
		s.offset += int64(n)
		if n > 0 || err == nil {
			return n, nil // what err was, the next Read meets again
		}
		if err := s.breakOff(err); err != nil {
			return 0, err
		}
	}
}

// breakOff ends a broken body. The error says that there were too many.
func (s *stream) breakOff(err error) error {
	s.Close()
	if s.offset-s.broken >= breakBytes {
		s.breaks = 0
	}
	s.broken = s.offset
	if s.breaks++; s.breaks <= maxBreaks {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the registry breaks off at byte %d of %d: %w", s.offset, s.desc.Size, err)
}

// Close ends the request. A Read after it makes another.
func (s *stream) Close() error {
	if s.body == nil {
		return nil
	}
	err := s.body.Close()
	s.body = nil
	return err
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
