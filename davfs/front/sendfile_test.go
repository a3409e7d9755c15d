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
	n, _ := io.CopyN(&k.got, lr, int64(k.most))
	io.CopyN(io.Discard, lr, k.ahead)
	if lr.N == 0 {
		return n, nil
	}
	return n, os.ErrDeadlineExceeded
}

// TestFiles: a file that the kernel sends goes on where it stopped as long as some of it was taken, and not where that is
// not known.
func TestFiles(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100)
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
		f.Seek(50, io.SeekStart)
		n, err := (&conn{Conn: &c.kernel, patience: patience}).ReadFrom(io.LimitReader(f, 900))
		if int(n) != c.want || (err == nil) != (c.want == 900) || !bytes.Equal(c.got.Bytes(), content[50:50+c.want]) {
			t.Errorf("%s: %d bytes and %v, want %d", what, n, err, c.want)
		}
	}
	var k kernel
	if n, err := (&conn{Conn: &k, patience: patience}).ReadFrom(bytes.NewReader(content)); int(n) != len(content) || err != nil || !bytes.Equal(k.got.Bytes(), content) {
		t.Errorf("no file: %d bytes and %v", n, err)
	}
}
