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

// stream reads a blob's bytes at the registry, from an offset to the end as the descriptor has it. It opens with the
// first Read.
type stream struct {
	ctx    context.Context
	desc   ocispec.Descriptor
	fetch  Fetch
	offset int64 // of the next byte
	body   io.ReadCloser
	breaks int
	broken int64 // offset of the last break
}

func newStream(ctx context.Context, desc ocispec.Descriptor, fetch Fetch, offset int64) *stream {
	return &stream{ctx: ctx, desc: desc, fetch: fetch, offset: offset, broken: offset}
}

func (s *stream) Read(p []byte) (int, error) {
	p = p[:min(int64(len(p)), s.desc.Size-s.offset)]
	if len(p) == 0 {
		if s.offset == s.desc.Size {
			return 0, io.EOF
		}
		return 0, nil
	}
	for {
		if err := s.ctx.Err(); err != nil {
			return 0, err
		}
		if s.body == nil {
			var err error
			if s.body, err = s.fetch(s.ctx, s.offset); err != nil {
				return 0, err
			}
		}
		n, err := s.body.Read(p)
		s.offset += int64(n)
		if n > 0 || err == nil {
			return n, nil // what err was, the next Read meets again
		}
		s.Close()
		if s.offset-s.broken >= breakBytes {
			s.breaks = 0
		}
		s.broken = s.offset
		if s.breaks++; s.breaks > maxBreaks {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, fmt.Errorf("the registry breaks off at byte %d of %d: %w", s.offset, s.desc.Size, err)
		}
	}
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
