package ocifs

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// memoryBytes is the content that waits in memory; what is longer goes to a file or straight into the registry.
const memoryBytes = 1 << 20

// sums are the digests of a content, whole and by parts.
type sums struct {
	whole     digest.Digester
	part      digest.Digester // the first part is the whole so far, and most content has no other
	partBytes int64
	partSize  int64
	parts     []ocispec.Descriptor
}

func newSums(partSize int64) *sums {
	whole := digest.Canonical.Digester()
	return &sums{whole: whole, part: whole, partSize: partSize}
}

// left is how much the part takes that is going on.
func (s *sums) left() int64 { return s.partSize - s.partBytes }

// write takes no more than left; it says whether that was the end of the part.
func (s *sums) write(p []byte) (end bool) {
	_, _ = s.whole.Hash().Write(p) // it never fails
	if s.part != s.whole {
		_, _ = s.part.Hash().Write(p)
	}
	s.partBytes += int64(len(p))
	return s.partBytes == s.partSize
}

// endPart ends the part and describes it; false if it has not begun.
func (s *sums) endPart() (part ocispec.Descriptor, ok bool) {
	if s.partBytes == 0 {
		return part, false
	}
	part = ocispec.Descriptor{MediaType: typeContent, Digest: s.part.Digest(), Size: s.partBytes}
	s.parts = append(s.parts, part)
	s.part, s.partBytes = digest.Canonical.Digester(), 0
	return part, true
}

// receive reads r to its end. Content that does not fit in memory is spooled, or uploaded to repo meanwhile, or both, as
// the registry is. If r fails, its error is in the error's chain as it is; failures of the local disk and of the registry
// are classified. What has come of it is in the registry if f.present says so.
func (f *FS) receive(ctx context.Context, repo string, r io.Reader, hint int64) (_ *spool, err error) {
	s := &spool{room: &f.spoolRoom, budget: &f.memory}
	if s.held, err = f.memory.take(ctx, needs(hint)); err != nil {
		return nil, err
	}
	var head []byte
	end := false
	if hint <= memoryBytes {
		if head, end, err = readHead(ctx, r, hint); err != nil {
			s.Close()
			return nil, err
		}
	}
	sums := newSums(f.partSize)
	if end {
		s.need(int64(cap(head)))
		s.memory, s.size = head, int64(len(head))
		for data := head; len(data) > 0; {
			n := min(int64(len(data)), sums.left())
			if sums.write(data[:n]) {
				sums.endPart()
			}
			data = data[n:]
		}
	} else {
		s.need(int64(len(head)) + 2*ringBytes)
		in := &intake{fs: f, ctx: ctx, repo: repo, spool: s, sums: sums, content: io.MultiReader(bytes.NewReader(head), r)}
		if err := in.run(max(hint, int64(len(head)))); err != nil {
			s.Close()
			return nil, err
		}
		s.need(0)
	}
	sums.endPart()
	s.parts, s.content = sums.parts, sums.whole.Digest()
	return s, nil
}

// needs is the memory without which content cannot be received: what is short waits there, what is not goes through one
// buffer of the part that is going on and one of the part before, and where the length is not known it may be either.
func needs(hint int64) int64 {
	switch {
	case hint > memoryBytes:
		return 2 * ringBytes
	case hint > 0:
		return headBytes(hint)
	}
	return headBytes(memoryBytes) + 2*ringBytes
}

// headBytes is what readHead begins with.
func headBytes(hint int64) int64 { return min(max(hint+1, 4<<10), memoryBytes+1) } // one more, so that the end shows in one read

// readHead reads the content as far as it fits in memory, and says whether that is all of it.
func readHead(ctx context.Context, r io.Reader, hint int64) (head []byte, end bool, err error) {
	head = make([]byte, 0, headBytes(hint))
	for {
		if err := ctx.Err(); err != nil {
			return nil, false, failure(err, "receive content")
		}
		n, err := r.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		switch {
		case err == io.EOF: // the end, and nothing that merely wraps it
			return head, true, nil
		case err != nil:
			return nil, false, fmt.Errorf("receive content: %w", err)
		case len(head) > memoryBytes:
			return head, false, nil
		case len(head) == cap(head):
			grown := make([]byte, len(head), min(4*cap(head), memoryBytes+1))
			copy(grown, head)
			head = grown
		}
	}
}
