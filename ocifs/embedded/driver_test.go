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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
)

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

// syncedFile counts what it is asked for.
type syncedFile struct {
	*os.File
	syncs int
	fails error
}

func (f *syncedFile) Sync() error {
	f.syncs++
	return f.fails
}

// What is published has been synced after the last request that wrote to it, whichever that was, and no more often than
// needed. What could not be synced is not gone on with.
func TestUploadIsSynced(t *testing.T) {
	begin := func(fails error) (*writer, *syncedFile) {
		f, err := os.Create(filepath.Join(t.TempDir(), "data"))
		if err != nil {
			t.Fatal(err)
		}
		file := &syncedFile{File: f, fails: fails}
		return &writer{file: file, failure: func(err error) error { return err }}, file
	}
	step := func(w *writer, what string) error {
		switch what {
		case "write":
			_, err := w.Write([]byte("content"))
			return err
		case "commit":
			return w.Commit(t.Context())
		default:
			return w.Close()
		}
	}
	for _, c := range []struct {
		steps []string
		syncs int
	}{
		{[]string{"close"}, 0},                    // POST
		{[]string{"write", "close"}, 1},           // PATCH
		{[]string{"commit", "close"}, 1},          // PUT of what another process may have written
		{[]string{"write", "commit", "close"}, 1}, // PUT
	} {
		w, file := begin(nil)
		for _, s := range c.steps {
			if err := step(w, s); err != nil {
				t.Error(c.steps, err)
			}
		}
		if file.syncs != c.syncs {
			t.Errorf("%q: %d syncs, want %d", c.steps, file.syncs, c.syncs)
		}
	}
	for _, end := range []string{"close", "commit"} {
		w, file := begin(syscall.EIO)
		step(w, "write")
		if err := step(w, end); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", end, err)
		}
		if fi, err := os.Stat(file.Name()); err != nil || fi.Size() != 0 {
			t.Errorf("%s: what was not synced is left: %v, %v", end, fi.Size(), err)
		}
	}
}

// The first upload into a repository makes its directory. That has to be synced, for what is published in it later finds it
// made and does not.
func TestUploadMakesDirectoriesThatStay(t *testing.T) {
	var mu sync.Mutex
	var got []string
	syncs := syncDir
	syncDir = func(dir string) error {
		mu.Lock()
		got = append(got, dir)
		mu.Unlock()
		return syncs(dir)
	}
	defer func() { syncDir = syncs }()
	d := &driver{root: t.TempDir()}
	begin := func(id string) {
		t.Helper()
		got = nil
		if err := d.PutContent(t.Context(), "/repositories/a/b/_uploads/"+id+"/startedat", []byte("now")); err != nil {
			t.Fatal(err)
		}
	}
	begin("1")
	for _, dir := range []string{"", "/repositories", "/repositories/a", "/repositories/a/b"} {
		if !slices.Contains(got, d.root+dir) {
			t.Errorf("%q is not synced, only %q", dir, got)
		}
	}
	if begin("2"); len(got) > 0 {
		t.Errorf("the next upload syncs %q", got)
	}
}

// A failed start leaves nothing.
func TestUploadThatCannotBegin(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "repositories/a/_uploads/1")
	if err := os.MkdirAll(filepath.Join(dir, "startedat"), 0o777); err != nil { // in the way
		t.Fatal(err)
	}
	if err := (&driver{root: root}).PutContent(t.Context(), "/repositories/a/_uploads/1/startedat", nil); err == nil {
		t.Fatal("no failure")
	}
	if exists(dir) {
		t.Error("its directory is left")
	}
}

func TestHashStates(t *testing.T) {
	for sub, want := range map[string]string{
		"/r/a/_uploads/1/hashstates/sha256/7":            "/r/a/_uploads/1",
		"/r/hashstates/a/_uploads/1/hashstates/sha256/7": "/r/hashstates/a/_uploads/1",
		"/r/a/_uploads/1/data":                           "",
		"/r/hashstates/sha256/_uploads/1/data":           "",
	} {
		if upload, ok := hashStateOf(sub); ok != (want != "") || ok && upload != want {
			t.Errorf("%s: %q, %v", sub, upload, ok)
		}
	}
	d := &driver{root: t.TempDir()}
	put := func(id, length string) {
		t.Helper()
		if err := d.PutContent(t.Context(), "/r/a/_uploads/"+id+"/hashstates/sha256/"+length, []byte(length)); err != nil {
			t.Fatal(err)
		}
	}
	put("gone", "7") // the library stores it after the upload's end
	if len(d.states.of) > 0 {
		t.Errorf("the state of an upload that is gone: %v", d.states.of)
	}
	for i := range 2 * mostHashStates {
		id := strconv.Itoa(i)
		if err := os.MkdirAll(filepath.Join(d.root, "r/a/_uploads", id), 0o777); err != nil {
			t.Fatal(err)
		}
		put(id, "7")
		put(id, "0") // somebody asks how far it is
		if states, _ := d.List(t.Context(), "/r/a/_uploads/"+id+"/hashstates/sha256"); len(states) != 1 || !strings.HasSuffix(states[0], "/7") {
			t.Fatalf("%q", states)
		}
	}
	if n := len(d.states.of); n != mostHashStates {
		t.Errorf("%d states", n)
	}
	last := "/r/a/_uploads/" + strconv.Itoa(2*mostHashStates-1)
	if err := d.Delete(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if n := len(d.states.of); n != mostHashStates-1 {
		t.Errorf("%d states after the end of an upload", n)
	}
}
