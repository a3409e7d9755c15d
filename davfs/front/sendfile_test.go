package front

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A kernel takes some of a file at a time, until the deadline comes; ahead is how much more it has read than was taken.
type kernel struct {
	net.Conn
	got   bytes.Buffer
	most  int
	ahead int64
}

func (k *kernel) SetWriteDeadline(time.Time) error { return nil }
func (k *kernel) Write(p []byte) (int, error)      { return k.got.Write(p) }
func (k *kernel) ReadFrom(src io.Reader) (int64, error) {
	lr := src.(*io.LimitedReader)
	from := lr.R
	if h, ok := from.(*holder); ok && k.ahead == 0 { // the kernel has its file, and does not move it
		h.File.Seek(h.at, io.SeekStart)
		from = h.File
	}
	n, _ := io.CopyN(&k.got, from, min(int64(k.most), lr.N))
	lr.N -= n
	io.CopyN(io.Discard, lr, k.ahead)
	if lr.N == 0 {
		return n, nil
	}
	return n, os.ErrDeadlineExceeded
}

// A holder has a file and a place in it of its own, as the content of a tree.
type holder struct {
	*os.File
	at int64
}

func (h *holder) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekCurrent {
		offset += h.at
	}
	h.at = offset
	return h.at, nil
}

func (h *holder) Read(p []byte) (int, error) {
	n, err := h.File.ReadAt(p, h.at)
	h.at += int64(n)
	return n, err
}

// TestFiles: a file that the kernel sends goes on where it stopped as long as some of it was taken, and not where that is
// not known.
func TestFiles(t *testing.T) {
	var content []byte
	for i := range 500 { // no two pieces of it are alike
		content = append(content, byte(i), byte(i>>8))
	}
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		kernel
		want int
	}{
		"it moves":            {kernel{most: 300}, 900},
		"it does not":         {kernel{most: 0}, 0},
		"more was read ahead": {kernel{most: 300, ahead: 10}, 300},
	} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, file := range []io.ReadSeeker{f, &holder{File: f}} {
			k := c.kernel
			file.Seek(50, io.SeekStart)
			n, err := (&conn{Conn: &k, patience: patience}).ReadFrom(io.LimitReader(file, 900))
			if int(n) != c.want || (err == nil) != (c.want == 900) || !bytes.Equal(k.got.Bytes(), content[50:50+c.want]) {
				t.Errorf("%s, %T: %d bytes and %v, want %d", what, file, n, err, c.want)
			}
		}
	}
	var k kernel
	if n, err := (&conn{Conn: &k, patience: patience}).ReadFrom(bytes.NewReader(content)); int(n) != len(content) || err != nil || !bytes.Equal(k.got.Bytes(), content) {
		t.Errorf("no file: %d bytes and %v", n, err)
	}
}
