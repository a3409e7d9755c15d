package cache

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// filled gives a closed cache with a manifest, a small blob, a long one and a part of another; each was last used a minute
// after the one before, an hour ago.
func filled(t *testing.T) (dir string, paths []string) {
	t.Helper()
	dir = t.TempDir()
	c := newCache(t, dir, 1<<30)
	manifest := &origin{content: noise(500, 1)}
	desc := describe(manifest.content)
	desc.MediaType = ocispec.MediaTypeImageManifest
	b, err := c.Open(t.Context(), desc, manifest.source())
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	paths = append(paths, c.store.path(manifestsFolder, desc.Digest))
	for i, size := range []int64{1000, long} {
		o := &origin{content: noise(size, byte(2+i))}
		mustRead(t, c, o)
		quiet(t, c)
		paths = append(paths, c.whole(o))
	}
	part := &origin{content: noise(long, 4)}
	b = part.open1(t, c)
	if _, err := b.ReadAt(make([]byte, 10), blockBytes*2); err != nil {
		t.Fatal(err)
	}
	b.Close()
	quiet(t, c)
	c.Close()
	paths = append(paths, c.store.path(partialFolder, describe(part.content).Digest))
	for i, path := range paths {
		at := time.Now().Add(time.Duration(i)*time.Minute - time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return dir, paths
}

func upkeep(t *testing.T, dir string) *Upkeep {
	t.Helper()
	u, err := OpenUpkeep(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

// there says which of the paths exist.
func there(paths []string) (all []bool) {
	for _, path := range paths {
		_, err := os.Stat(path)
		all = append(all, err == nil)
	}
	return all
}

func TestUpkeepRefusals(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenUpkeep(dir); err == nil {
		t.Error("a directory that is no cache is taken")
	}
	if names, _ := os.ReadDir(dir); len(names) > 0 {
		t.Errorf("%v was made in it", names)
	}
	c := newCache(t, dir, 1<<20)
	left := filepath.Join(dir, incomingFolder, "blob-1") // of the process that uses it
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenUpkeep(dir); !errors.Is(err, errShared) {
		t.Errorf("a directory that is in use: %v", err)
	}
	if _, err := os.Stat(left); err != nil {
		t.Error("what is on its way in a directory in use was touched")
	}
	c.Close()
	u := upkeep(t, dir)
	if c := newCache(t, dir, 1<<20); c.store.blobs.max != 0 {
		t.Error("a cache is opened while somebody looks after it")
	}
	u.Close()
}

func TestUpkeepUsage(t *testing.T) {
	dir, paths := filled(t)
	s := upkeep(t, dir).Usage()
	if s.Manifests.Files != 1 || s.Blobs.Files != 2 || s.Partial.Files != 1 {
		t.Errorf("%+v, want a manifest, two blobs and a part", s)
	}
	if s.Bytes != s.Blobs.Bytes+s.Manifests.Bytes+s.Partial.Bytes || s.Partial.Bytes >= long || s.Blobs.Bytes < long {
		t.Errorf("%+v", s)
	}
	if i, err := os.Stat(paths[0]); err != nil || !s.Oldest.Equal(i.ModTime()) {
		t.Errorf("the oldest is of %s, want that of the manifest", s.Oldest)
	}
}

func TestUpkeepPrune(t *testing.T) {
	dir, paths := filled(t)
	u := upkeep(t, dir)
	if removed, err := u.Prune(math.MaxInt64, time.Time{}); err != nil || removed != (Count{}) {
		t.Errorf("without a bound: %+v, %v", removed, err)
	}
	before := u.Usage()
	removed, err := u.Prune(math.MaxInt64, time.Now().Add(90*time.Second-time.Hour))
	if err != nil || removed.Files != 2 || !slices.Equal(there(paths), []bool{false, false, true, true}) {
		t.Errorf("by age: %+v, %v, left %v", removed, err, there(paths))
	}
	if s := u.Usage(); s.Bytes != before.Bytes-removed.Bytes {
		t.Errorf("%d of %d bytes are left, %d removed", s.Bytes, before.Bytes, removed.Bytes)
	}
	removed, err = u.Prune(long, time.Time{})
	if err != nil || removed.Files != 1 || !slices.Equal(there(paths), []bool{false, false, false, true}) {
		t.Errorf("by size: %+v, %v, left %v", removed, err, there(paths))
	}
	if _, err := os.Stat(paths[2] + sumsSuffix); err == nil {
		t.Error("the map of a removed blob is left")
	}
	if _, err = u.Prune(0, time.Time{}); err != nil || u.Usage().Bytes != 0 {
		t.Errorf("all: %v, left %+v", err, u.Usage())
	}
}

func TestUpkeepVerify(t *testing.T) {
	dir, paths := filled(t)
	u := upkeep(t, dir)
	v, err := u.Verify(t.Context())
	if err != nil || v.Good.Files != 3 || len(v.Damaged) != 0 || v.Maps != 0 {
		t.Errorf("%+v, %v, want three good", v, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if v, err := u.Verify(ctx); !errors.Is(err, context.Canceled) || len(v.Damaged) != 0 {
		t.Errorf("with a context that has ended: %+v, %v", v, err)
	}

	flip(t, paths[2]+sumsSuffix, sumOffset(1))
	v, err = u.Verify(t.Context())
	if err != nil || v.Good.Files != 3 || v.Maps != 1 {
		t.Errorf("a damaged map: %+v, %v", v, err)
	}
	flip(t, paths[0], 100)
	flip(t, paths[2], blockBytes*3)
	v, err = u.Verify(t.Context())
	want := []digest.Digest{digest.Digest("sha256:" + filepath.Base(paths[0])), digest.Digest("sha256:" + filepath.Base(paths[2]))}
	slices.Sort(want)
	slices.Sort(v.Damaged)
	if err != nil || v.Good.Files != 1 || !slices.Equal(v.Damaged, want) || !slices.Equal(there(paths), []bool{false, true, false, true}) {
		t.Errorf("%+v, %v, left %v", v, err, there(paths))
	}
}

// flip changes one byte of a file.
func flip(t *testing.T, name string, at int64) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	content[at] ^= 1
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
