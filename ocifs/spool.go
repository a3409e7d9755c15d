package ocifs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// spool holds the content of a Put until the registry has acknowledged its manifest, so that any failure on the way can
// be retried without the client: in memory, or in a file without a name. Of content that went straight into the registry
// it only knows what there is. It has the digest and size of each part.
type spool struct {
	memory  []byte
	file    *os.File // nil: all is in memory, or nothing is here
	named   bool     // it has still its name
	gone    bool     // the content is in the registry alone
	room    *room
	taken   int64 // of the room
	budget  *memory
	held    int64 // of the budget
	stored  int64 // bytes in the file, as the room counts them
	size    int64
	content digest.Digest        // of the whole
	parts   []ocispec.Descriptor // the layers, none for an empty content

	notBefore time.Time // the registry wants to be left alone until then
}

// room bounds the bytes of all spools; the zero value has no bound.
type room struct {
	max    int64
	used   atomic.Int64 // reserved, where there is a bound
	stored atomic.Int64 // written to files
}

// errSpoolFull is the user's to cure: by waiting, or by --spool-size.
var errSpoolFull = errors.New("the uploads that are under way have taken all the room of the spool")

// reserve sees to it that the spool may have n bytes.
func (s *spool) reserve(n int64) error {
	more := n - s.taken
	if more <= 0 || s.room == nil || s.room.max <= 0 {
		return nil
	}
	// A client announces what it likes: more than there is must not be added up, for the sum may not fit in an int64.
	fits := more <= s.room.max
	if fits && s.room.used.Add(more) > s.room.max {
		s.room.used.Add(-more)
		fits = false
	}
	if !fits {
		return &Error{Class: classQuota, Err: fmt.Errorf("%w, %d bytes", errSpoolFull, s.room.max)}
	}
	s.taken = n
	return nil
}

// sweepSpools removes what a process left that was killed between making a file in dir and taking its name away.
func sweepSpools(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, "spool-*")) // the pattern is good
	for _, name := range left {
		_ = os.Remove(name)
	}
}

// create makes the file in dir. It has no name, so that it is gone after a crash too; where an open file cannot be removed,
// Close does it.
func (s *spool) create(dir string) (err error) {
	if s.file, err = unnamedFile(dir); err == nil {
		return nil
	}
	if s.file, err = os.CreateTemp(dir, "spool-*"); err != nil {
		return failure(err, "spool content")
	}
	s.named = os.Remove(s.file.Name()) != nil
	return nil
}

// write appends to the file.
func (s *spool) write(p []byte) error {
	if err := s.reserve(s.size + int64(len(p))); err != nil {
		return err
	}
	s.size += int64(len(p))
	n, err := s.file.Write(p)
	if s.room != nil {
		s.stored += int64(n)
		s.room.stored.Add(int64(n))
	}
	return failure(err, "spool content")
}

// open gives the bytes of the part that begins at offset; it can be called again for another try.
func (s *spool) open(offset, size int64) (io.Reader, error) {
	switch {
	case s.gone:
		return nil, &Error{Class: classUnavailable, Err: errGone}
	case s.file == nil:
		return bytes.NewReader(s.memory[offset : offset+size]), nil
	case offset == 0 && size == s.size:
		return wholeFile{io.NewSectionReader(s.file, 0, size), s.file}, nil
	}
	return io.NewSectionReader(s.file, offset, size), nil
}

// errGone: large content goes straight into a registry that is in this process, so that there is nothing to push again.
var errGone = errors.New("the registry has lost the content of this upload; it has to be sent again")

// wholeFile reads a blob that is one whole file, which nobody writes to again. The file can be linked as it is; it has
// no name.
type wholeFile struct {
	*io.SectionReader
	file *os.File
}

func (w wholeFile) File() *os.File { return w.file }

// need says how much memory it takes from now on: less than it held, unless more has come than was announced.
func (s *spool) need(n int64) {
	if s.budget != nil {
		s.budget.give(s.held - n)
		s.held = n
	}
}

// Close gives back the space.
func (s *spool) Close() error {
	s.need(0)
	if s.room != nil {
		s.room.used.Add(-s.taken)
		s.room.stored.Add(-s.stored)
		s.taken, s.stored = 0, 0
	}
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if s.named {
		_ = os.Remove(s.file.Name())
	}
	s.file = nil
	return err
}
