package davfs_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"ocidav/davfs"
)

// toldTree has files that want to know how much of them will be read.
type toldTree struct {
	davfs.Tree
	told *[]string
}

type toldFile struct {
	fs.File
	told *[]string
}

func (t toldTree) Open(ctx context.Context, name string, fi fs.FileInfo) (fs.File, error) {
	f, err := t.Tree.Open(ctx, name, fi)
	return toldFile{f, t.told}, err
}

func (f toldFile) Seek(offset int64, whence int) (int64, error) {
	return f.File.(io.Seeker).Seek(offset, whence)
}

func (f toldFile) Sequential(n int64) {
	at, _ := f.Seek(0, io.SeekCurrent)
	*f.told = append(*f.told, fmt.Sprintf("%d from %d", n, at))
}

// TestAnnounce: a tree's file hears how much of it a GET will read, and from where.
func TestAnnounce(t *testing.T) {
	d := newDrive(t)
	var told []string
	d.Tree = toldTree{d.tree, &told}
	content := strings.Repeat("0123456789", 100_000)
	d.put("/big", content)
	for _, c := range []struct{ method, ranges, want string }{
		{"GET", "", "[1000000 from 0]"},
		{"GET", "bytes=5000-900000", "[895001 from 5000]"},
		{"HEAD", "", "[]"},
	} {
		told = nil
		status := http.StatusOK
		var header []string
		if c.ranges != "" {
			status, header = http.StatusPartialContent, []string{"Range", c.ranges}
		}
		r := d.want(status, c.method, "/big", "", header...)
		if got := fmt.Sprint(told); got != c.want {
			t.Errorf("%s %s tells %s, want %s", c.method, c.ranges, got, c.want)
		}
		if body := r.Body.String(); c.ranges == "" && c.method == "GET" && body != content || c.ranges != "" && body != content[5000:900001] {
			t.Errorf("%s %s: %d other bytes", c.method, c.ranges, len(body))
		}
	}
}
