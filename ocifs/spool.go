package ocifs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// memoryBytes is the content that waits in memory; what is longer goes to a file.
const memoryBytes = 1 << 20

// spool holds the content of a Put until the registry has acknowledged its manifest, so that any failure on the way can
// be retried without the client. It knows the digest and size of each part.
type spool struct {
	memory  []byte
	file    *os.File // nil: all is in memory
	size    int64
	content digest.Digest        // of the whole
	parts   []ocispec.Descriptor // the layers, none for an empty content
}

// sweepSpools removes what a process left that was killed between making a file in dir and taking its name away.
func sweepSpools(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, "spool-*")) // the pattern is good
	for _, name := range left {
		_ = os.Remove(name)
	}
}

// receive reads r to its end, in parts of partSize bytes at most. If r fails, its error is in the error's chain as it is;
// a failure of the local disk is classified.
func receive(ctx context.Context, r io.Reader, sizeHint, partSize int64, dir string) (_ *spool, err error) {
	s := &spool{}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	whole := digest.Canonical.Digester()
	part := whole // the first part is the whole so far, and most content has no other
	var partBytes int64
	endPart := func() {
		if partBytes > 0 {
			s.parts = append(s.parts, ocispec.Descriptor{MediaType: typeContent, Digest: part.Digest(), Size: partBytes})
			part, partBytes = digest.Canonical.Digester(), 0
		}
	}
	buf := make([]byte, 256<<10)
	if sizeHint > 0 && sizeHint < int64(len(buf)) {
		buf = buf[:sizeHint+1] // one more, so that the end shows in one read
	}
	for done := false; !done; {
		if err := ctx.Err(); err != nil {
			return nil, failure(err, "receive content")
		}
		n, err := r.Read(buf)
		switch {
		case err == io.EOF: // the end, and nothing that merely wraps it
			done = true
		case err != nil:
			return nil, fmt.Errorf("receive content: %w", err)
		}
		for data := buf[:n]; len(data) > 0; {
			piece := data[:min(int64(len(data)), partSize-partBytes)]
			whole.Hash().Write(piece)
			if part != whole {
				part.Hash().Write(piece)
			}
			if err := s.write(piece, dir); err != nil {
				return nil, failure(err, "spool content")
			}
			partBytes += int64(len(piece))
			if partBytes == partSize {
				endPart()
			}
			data = data[len(piece):]
		}
	}
	endPart()
	s.content = whole.Digest()
	return s, nil
}

func (s *spool) write(p []byte, dir string) error {
	s.size += int64(len(p))
	if s.file == nil {
		if len(s.memory)+len(p) <= memoryBytes {
			s.memory = append(s.memory, p...)
			return nil
		}
		file, err := os.CreateTemp(dir, "spool-*")
		if err != nil {
			return err
		}
		_ = os.Remove(file.Name()) // gone after a crash too; where an open file cannot be removed, Close does it
		s.file = file
		if _, err := file.Write(s.memory); err != nil {
			return err
		}
		s.memory = nil
	}
	_, err := s.file.Write(p)
	return err
}

// open gives the bytes of the part that begins at offset; it can be called again for another try.
func (s *spool) open(offset, size int64) io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.memory[offset : offset+size])
	}
	return io.NewSectionReader(s.file, offset, size)
}

// Close gives back the space.
func (s *spool) Close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	_ = os.Remove(s.file.Name())
	s.file = nil
	return err
}
