package cache

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// tailBytes at the end of a blob, at least, are handed out when all of it has been verified, so that nobody takes a
// damaged blob for whole.
const tailBytes = 64 << 10

// source reads at the registry without keeping. It verifies what it hands out from the start; other reads go unverified.
type source struct {
	ctx  context.Context
	desc ocispec.Descriptor
	src  Source

	in    *stream // its offset is that of the next byte
	hash  hash.Hash
	front int64  // of what is hashed; all before has been handed out
	tail  []byte // the last bytes, verified

	resume, until int64 // what was handed out before proceed, and is read again first
	proof         proof
}

func newSource(ctx context.Context, desc ocispec.Descriptor, src Source) *source {
	return &source{ctx: ctx, desc: desc, src: src, hash: desc.Digest.Algorithm().Hash()}
}

// proceed takes over from a reader that has handed out all before front: from the start or a later place where the hash
// is known, the bytes are read once more and must be those that p has the sums of.
func (s *source) proceed(front int64, p proof, c *content) {
	s.front, s.until, s.proof = front, front, p
	block := min(int(front/blockBytes), len(p.blocks))
	if h := c.digest.at(block); h != nil && slices.Equal(p.blocks[:block], c.sums[:block]) {
		s.hash, s.resume = h, int64(block)*blockBytes
	}
}

// ReadAt fills p from offset, unless there is an error.
func (s *source) ReadAt(p []byte, offset int64) (n int, err error) {
	if err := s.catchUp(); err != nil {
		return 0, err
	}
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

// catchUp reads again what was handed out before proceed.
func (s *source) catchUp() error {
	if s.resume >= s.until {
		return nil
	}
	buf := takeBuffer()
	defer buf.give()
	for s.resume < s.until {
		block := int(s.resume / blockBytes)
		data := buf.bytes[:min(blockBytes, s.until-s.resume)]
		if err := s.readFull(data, s.resume); err != nil {
			return err
		}
		if block < len(s.proof.blocks) {
			if len(data) == blockBytes && checksum(data) != s.proof.blocks[block] {
				return s.errWrong()
			}
		} else if end := s.proof.end - s.resume; end > 0 && crc32.Checksum(data[:min(end, int64(len(data)))], castagnoli) != s.proof.part {
			return s.errWrong()
		}
		s.hash.Write(data)
		s.resume += int64(len(data))
	}
	return nil
}

func (s *source) errWrong() error {
	return fmt.Errorf("%w than those of %s", errOther, s.desc.Digest)
}

// next reads some bytes at offset, or the tail.
func (s *source) next(p []byte, offset int64) (int, error) {
	if offset != s.front {
		if ahead := s.front - offset; ahead > 0 {
			p = p[:min(int64(len(p)), ahead)]
		}
		return s.read(p, offset)
	}
	if before := s.desc.Size - tailBytes - offset; before > 0 {
		n, err := s.read(p[:min(int64(len(p)), before)], offset)
		s.hash.Write(p[:n])
		s.front += int64(n)
		return n, err
	}
	tail := make([]byte, s.desc.Size-offset)
	if err := s.readFull(tail, offset); err != nil {
		return 0, err
	}
	h := clone(s.hash) // should the caller try again
	if h == nil {
		h = s.hash
	}
	h.Write(tail)
	s.Close()
	if !sumIs(h, s.desc) {
		return 0, s.errWrong()
	}
	s.tail = tail
	return 0, nil
}

// read reads at the registry: first to the end of the block, and when that was read, all that follows.
func (s *source) read(p []byte, offset int64) (int, error) {
	if s.in == nil || s.in.offset != offset || s.in.end == offset {
		end := s.desc.Size
		if s.in == nil || s.in.offset != offset {
			end = min(end, (offset/blockBytes+1)*blockBytes)
		}
		s.Close()
		s.in = newStream(s.ctx, s.desc, s.src, offset, end)
	}
	return s.in.Read(p)
}

func (s *source) readFull(p []byte, offset int64) error {
	for n := 0; n < len(p); {
		m, err := s.read(p[n:], offset+int64(n))
		if err != nil {
			s.Close()
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		n += m
	}
	return nil
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
