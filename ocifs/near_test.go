//go:build unix && !noembed

package ocifs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ocidav/cache"
	"ocidav/davfs"
	"ocidav/davfs/treetest"
	"ocidav/ocifs"
	"ocidav/ocifs/embedded"
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

// TestNearTags: what the registry has on this machine is listed without a request for each file, as the registry would tell
// it; what is not plainly there, it tells.
func TestNearTags(t *testing.T) {
	const n = 50
	ctx, dir := t.Context(), t.TempDir()
	reg, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reg.Close() })
	var requests atomic.Int32
	process := func(near bool) *ocifs.FS {
		t.Helper()
		client, err := ocifs.Dial(reg.Host(), true, counted{reg.Transport(), &requests}, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := ocifs.Options{Registry: client, Blobs: noBlobs{}, Freshness: time.Hour, SpoolDir: t.TempDir()}
		if near {
			o.Local, o.LocalTag = reg.OpenBlob, reg.Tagged
		}
		tree, err := ocifs.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	tree := process(true)
	if err := tree.Mkdir(ctx, "/d", nil); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := put(ctx, tree, fmt.Sprint("/d/", i), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	etag := func(fi fs.FileInfo) string {
		tag, err := fi.(interface {
			ETag(context.Context) (string, error)
		}).ETag(ctx)
		if err != nil {
			t.Error(err)
		}
		return tag
	}
	list := func(tree *ocifs.FS) (string, error) {
		members, err := tree.ReadDir(ctx, "/d")
		text := ""
		for _, m := range members {
			text += fmt.Sprintln(m.Name(), m.Size(), m.ModTime(), etag(m))
		}
		return text, err
	}
	requests.Store(0)
	got, err := list(process(true))
	if n := requests.Load(); n > 2 || err != nil {
		t.Errorf("a listing of what is near takes %d requests, %v; want 2: the list, and whether /d is a file", n, err)
	}
	want, err := list(process(false))
	if got != want || err != nil || strings.Count(want, "\n") != n {
		t.Errorf("what is near is listed as\n%s\nand the registry has\n%s\n%v", got, want, err)
	}

	// What is damaged, or half there, is as the registry says.
	registry := filepath.Join(dir, "docker/registry/v2")
	tag := filepath.Join(registry, "repositories/d/_manifests/tags/1/current/link")
	named, err := os.ReadFile(tag)
	if err != nil {
		t.Fatal(err)
	}
	hex := strings.TrimPrefix(string(named), "sha256:")
	link := filepath.Join(registry, "repositories/d/_manifests/revisions/sha256", hex, "link")
	manifest := filepath.Join(registry, "blobs/sha256", hex[:2], hex, "data")
	for what, c := range map[string]struct {
		file, content string // no content: it is removed
		failure       bool
	}{
		"no link":            {tag, "", false},
		"a damaged link":     {tag, "sha256:x", true},
		"no manifest's link": {link, "", false},
		"another manifest's": {link, "sha256:" + strings.Repeat("0", 64), false},
		"no manifest":        {manifest, "", false},
		"a damaged manifest": {manifest, "{}", true},
		"an empty manifest":  {manifest, " ", true},
	} {
		before, err := os.ReadFile(c.file)
		if err == nil {
			err = os.Remove(c.file)
		}
		switch {
		case err != nil:
		case c.content != "":
			err = os.WriteFile(c.file, []byte(c.content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, errNear := list(process(true))
		want, err := list(process(false))
		if got != want || (errNear == nil) != (err == nil) || (err != nil) != c.failure {
			t.Errorf("%s: what is near is\n%s\n%v, and the registry has\n%s\n%v", what, got, errNear, want, err)
		}
		_ = os.Remove(c.file)
		if err := os.WriteFile(c.file, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// counted counts what passes.
type counted struct {
	http.RoundTripper
	n *atomic.Int32
}

func (c counted) RoundTrip(req *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(req)
}
