package front

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
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

// described is a file as the tree has them: one that only has a descriptor, and stands where it was asked to.
type described struct {
	t    *testing.T
	file *os.File
	at   int64
}

func (d *described) Read([]byte) (int, error) {
	d.t.Error("it is copied by hand")
	return 0, io.ErrUnexpectedEOF
}

func (d *described) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekCurrent {
		offset += d.at
	}
	d.at = offset
	return offset, nil
}

func (d *described) SyscallConn() (syscall.RawConn, error) {
	if _, err := d.file.Seek(d.at, io.SeekStart); err != nil {
		return nil, err
	}
	return d.file.SyscallConn()
}

// TestDescribedFiles: the kernel sends what only has a descriptor, and its next part after that.
func TestDescribedFiles(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("not every system sends files")
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), 3*filePiece/2/16)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan []byte)
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
		}
		b, _ := io.ReadAll(c)
		c.Close()
		got <- b
	}()
	c, err := patient{l, patience}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(content))
	d := &described{t: t, file: file, at: 7}
	for _, n := range []int64{size - 1000, 993} { // more than a piece, and the rest
		lr := &io.LimitedReader{R: d, N: n}
		if m, err := c.(io.ReaderFrom).ReadFrom(lr); m != n || err != nil || lr.N != 0 {
			t.Errorf("%d bytes of %d are sent, %v; %d are left", m, n, err, lr.N)
		}
	}
	c.Close()
	if b := <-got; !bytes.Equal(b, content[7:]) {
		t.Errorf("what arrives are %d other bytes", len(b))
	}
}
