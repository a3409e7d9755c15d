package ocifs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
)

// spooling is a tree that only receives.
func spooling(partSize int64, dir string) *FS {
	return &FS{partSize: partSize, spoolDir: dir, upload: UploadMonolithic, common: newCommon(Options{})}
}

func readPart(s *spool, offset, size int64) ([]byte, error) {
	r, err := s.open(offset, size)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// TestReceive: parts, digests and bytes, in memory and in a file, whatever the sizes of the reads.
func TestReceive(t *testing.T) {
	const part = 700_000
	for _, size := range []int{0, 1, part - 1, part, part + 1, memoryBytes, memoryBytes + 1, 3 * part, 3*part + 5} {
		content := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
		for name, r := range map[string]io.Reader{
			"whole": bytes.NewReader(content), "halves": iotest.HalfReader(bytes.NewReader(content)),
			"error with data": iotest.DataErrReader(bytes.NewReader(content)),
		} {
			dir := t.TempDir()
			s, err := spooling(part, dir).receive(t.Context(), "repo", r, int64(size/2))
			if err != nil {
				t.Fatal(err)
			}
			if s.size != int64(size) || s.content != digest.FromBytes(content) || len(s.parts) != (size+part-1)/part {
				t.Errorf("%s, %d bytes: size %d, digest %s, %d parts", name, size, s.size, s.content, len(s.parts))
			}
			at := int64(0)
			for range 2 { // a second try reads the same
				at = 0
				for _, p := range s.parts {
					got, err := readPart(s, at, p.Size)
					if err != nil || !bytes.Equal(got, content[at:at+p.Size]) || p.Digest != digest.FromBytes(got) {
						t.Errorf("%s, %d bytes: the part at %d differs, %v", name, size, at, err)
					}
					at += p.Size
				}
			}
			if at != int64(size) {
				t.Errorf("%s, %d bytes: the parts have %d", name, size, at)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("%s is left", left[0].Name())
			}
		}
	}
}

// TestReceiveFails: the error of the content is the caller's to recognise, and nothing is left on the disk.
func TestReceiveFails(t *testing.T) {
	torn := errors.New("torn")
	dir := t.TempDir()
	_, err := spooling(1<<30, dir).receive(t.Context(), "repo", io.MultiReader(bytes.NewReader(make([]byte, 2*memoryBytes)), iotest.ErrReader(torn)), 0)
	if !errors.Is(err, torn) {
		t.Errorf("error %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%s is left", left[0].Name())
	}
	// A missing directory is a failure of the disk, not an answer about the name.
	_, err = spooling(1<<30, filepath.Join(dir, "gone")).receive(t.Context(), "repo", bytes.NewReader(make([]byte, 2*memoryBytes)), 0)
	var failed *Error
	if !errors.As(err, &failed) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestSweepSpools(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"spool-1", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sweepSpools(dir)
	if left, _ := os.ReadDir(dir); len(left) != 1 || left[0].Name() != "other" {
		t.Errorf("left are %v", left)
	}
}
