//go:build unix && !noembed

package ocifs_test

import (
	"bytes"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"ocidav/cache"
	"ocidav/davfs"
	"ocidav/davfs/treetest"
	"ocidav/ocifs"
)

// near is a registry whose content is on this machine, and a cache before it, as the program has them.
func near(t *testing.T, cacheDir string) *ocifs.FS {
	t.Helper()
	c, err := cache.New(cache.Options{Dir: cacheDir, MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return newEmbedded(t, func(o *ocifs.Options) { o.Blobs, o.Freshness = c, ocifs.Told })
}

// TestTreeNear is the suite over a registry whose content is opened where it lies.
func TestTreeNear(t *testing.T) {
	treetest.Run(t, func(t *testing.T) davfs.Tree { return near(t, t.TempDir()) }, treetest.Options{Short: true})
}

// TestNoSecondCopy: what the registry has on this machine is neither fetched nor kept again, and the kernel can send it
// from any offset.
func TestNoSecondCopy(t *testing.T) {
	dir := t.TempDir()
	tree := near(t, dir)
	ctx := t.Context()
	content := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	for name, data := range map[string][]byte{"/large": content, "/small": content[:5000], "/empty": nil} {
		fi, err := tree.Put(ctx, name, bytes.NewReader(data), davfs.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f, err := tree.Open(ctx, name, fi)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, min(100, len(data)))
		if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, data[:len(got)]) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if name == "/large" {
			for _, offset := range []int64{100, 2_000_000} {
				if _, err := f.(io.Seeker).Seek(offset, io.SeekStart); err != nil {
					t.Fatal(err)
				}
				raw, err := f.(syscall.Conn).SyscallConn()
				if err != nil {
					t.Fatalf("%s is no file of this machine: %v", name, err)
				}
				var n int
				raw.Read(func(fd uintptr) bool {
					n, err = syscall.Read(int(fd), got)
					return true
				})
				if err != nil || n != 100 || !bytes.Equal(got, data[offset:offset+100]) {
					t.Errorf("the descriptor of %s at %d gives %q, %v", name, offset, got[:n], err)
				}
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if i, e := e.Info(); e != nil || i.Size() > 0 {
				t.Errorf("the cache holds %s", name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
