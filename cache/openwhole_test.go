package cache_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocidav/cache"
)

// TestOpenWhole: blobs and manifests of a directory that a process may be using; nothing else, and nothing is made.
func TestOpenWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	d := digest.FromString("content")
	if _, err := cache.OpenWhole(dir, d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it has made the directory")
	}
	for _, folder := range []string{"partial", "manifests", "blobs"} {
		name := filepath.Join(dir, folder, "sha256", d.Encoded()[:2], d.Encoded())
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(folder), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := cache.OpenWhole(dir, d)
		if folder == "partial" {
			if err == nil {
				t.Error("a part is given for the whole")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f); string(got) != folder || err != nil {
			t.Errorf("it is %q, %v, want %q", got, err, folder)
		}
		f.Close()
	}
	if _, err := cache.OpenWhole(dir, "sha256:../../x"); err == nil {
		t.Error("what is no digest is opened")
	}
}
