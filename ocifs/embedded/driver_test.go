//go:build !noembed

package embedded

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
)

// Every directory that has got an entry is to be synced, or a power loss may take what is in it.
func TestMakeDirsTellsWhatHasChanged(t *testing.T) {
	dir := t.TempDir()
	changed, err := makeDirs(filepath.Join(dir, "a/b/c"))
	if want := []string{dir, dir + "/a", dir + "/a/b"}; err != nil || !slices.Equal(changed, want) {
		t.Errorf("%q, %v, want %q", changed, err, want)
	}
	if changed, err := makeDirs(filepath.Join(dir, "a/b/c")); changed != nil || err != nil {
		t.Errorf("again: %q, %v", changed, err)
	}
	if changed, err := makeDirs(filepath.Join(dir, "a/b/d")); err != nil || !slices.Equal(changed, []string{dir + "/a/b"}) {
		t.Errorf("one more: %q, %v", changed, err)
	}
}

func TestDriverStaysInItsDirectory(t *testing.T) {
	d := &driver{root: t.TempDir()}
	for _, sub := range []string{"/../x", "/a/../../x"} {
		var invalid storagedriver.InvalidPathError
		if err := d.PutContent(t.Context(), sub, nil); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", sub, err)
		}
	}
}

func TestFullDiskIsTold(t *testing.T) {
	full := new(atomic.Bool)
	ctx := context.WithValue(t.Context(), fullKey{}, full)
	failure(ctx, "/x", &os.PathError{Op: "write", Path: "x", Err: syscall.EIO})
	if full.Load() {
		t.Error("an I/O error is no full disk")
	}
	failure(ctx, "/x", &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC})
	if !full.Load() {
		t.Error("a full disk is not told")
	}
}

// An upload goes on after a restart, whose hash was in the memory of the process before; what is wrong in it is found.
func TestUploadGoesOnAfterARestart(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		dir := t.TempDir()
		r := open(t, dir, Options{})
		send := func(method, location, body string) *http.Response {
			t.Helper()
			req, err := http.NewRequest(method, location, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := r.Transport().RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			return resp
		}
		location, _ := do(t, r, http.MethodPost, "/v2/a/blobs/uploads/", nil).Location()
		for _, part := range []string{"first ", "second "} {
			resp := send(http.MethodPatch, location.String(), part)
			if resp.StatusCode != http.StatusAccepted {
				t.Fatal(resp.Status)
			}
			location, _ = resp.Location()
		}
		r.Close()
		uploads, _ := filepath.Glob(filepath.Join(string(r.tree), "repositories/a/_uploads/*/data"))
		if len(uploads) != 1 {
			t.Fatal(uploads)
		}
		if damaged {
			if err := os.WriteFile(uploads[0], []byte("first SECOND "), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		r = open(t, dir, Options{})
		q := location.Query()
		q.Set("digest", digest.FromString("first second third").String())
		location.RawQuery = q.Encode()
		if resp := send(http.MethodPut, location.String(), "third"); (resp.StatusCode == http.StatusCreated) == damaged {
			t.Errorf("damaged %v: %s", damaged, resp.Status)
		}
	}
}

// A tag that is overwritten again and again takes no more room than once, but for its manifests and contents.
func TestTagsHaveNoHistory(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	for _, data := range []string{"one", "two", "three"} {
		pushOwn(t, client(t, r, "a"), "index", data, false)
	}
	got := files(t, filepath.Join(r.tree.repository("a"), "_manifests", "tags"))
	if _, ok := got["index/current/link"]; !ok || len(got) != 1 {
		t.Errorf("%v", got)
	}
}
