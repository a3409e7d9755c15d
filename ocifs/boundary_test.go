package ocifs_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

const (
	inMemory = 1 << 20 // content that waits in memory
	short    = 400_000 // of a part: such content has several
	long     = 3 << 19
)

// TestBoundaries: at every size at which something changes, and beside it, the content comes back, the ETag is its digest, and
// layers and requests are as many as there are parts. The length is announced, or is not, or comes in odd pieces.
func TestBoundaries(t *testing.T) {
	for part, sizes := range map[int64][]int64{
		0:     {0, 1, inMemory - 1, inMemory, inMemory + 1},
		short: {short - 1, short, short + 1, 2 * short, 2*short + 1, 3*short - 1, 3 * short, 3*short + 1},
		long:  {long - 1, long, long + 1, 2*long - 1, 2 * long, 2*long + 1, 3 * long, 3*long + 1},
	} {
		for _, upload := range []string{ocifs.UploadAuto, ocifs.UploadStream, ocifs.UploadMonolithic, ocifs.UploadDirect} {
			t.Run(fmt.Sprint(upload, part), func(t *testing.T) {
				inBubble(t, registrytest.Defects{}, func(f *fake) {
					f.change = func(o *ocifs.Options) { o.Upload, o.PartSize = upload, part }
					tree := f.tree()
					f.must(put(f.Context(), tree, "/small", "so that {} is there"))
					seed := 0
					for _, size := range sizes {
						for how, announced := range map[string]int64{"announced": size, "not announced": 0, "in pieces": size} {
							seed++
							content := noiseOf(int(size) + seed)[seed:]
							f.boundary(tree, fmt.Sprintf("%s %d bytes, %s", upload, size, how), upload, part, content, announced, how == "in pieces")
						}
					}
					f.settled(upload)
				})
			})
		}
	}
}

func (f *fake) boundary(tree *ocifs.FS, what, upload string, part int64, content string, announced int64, pieces bool) {
	f.Helper()
	var r io.Reader = strings.NewReader(content)
	if pieces {
		r = iotest.DataErrReader(iotest.HalfReader(r))
	}
	f.ResetCounts()
	fi, err := tree.Put(f.Context(), "/f", r, davfs.PutOptions{Size: announced})
	f.must(err)
	time.Sleep(time.Second)
	size := int64(len(content))
	sum := sha256.Sum256([]byte(content))
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`
	other := f.tree()
	seen, err := other.Stat(f.Context(), "/f")
	f.must(err)
	if fi.Size() != size || seen.Size() != size || etagOf(fi) != etag || etagOf(seen) != etag {
		f.Errorf("%s: %d bytes, ETag %s; another sees %d, %s, want %s", what, fi.Size(), etagOf(fi), seen.Size(), etagOf(seen), etag)
	}
	if got, err := read(f.Context(), other, "/f"); err != nil || got != content {
		f.Errorf("%s: %d bytes come back, %v", what, len(got), err)
	}

	want := []int64{} // sizes of the layers
	for left := size; left > 0; {
		n := left
		if part > 0 {
			n = min(n, part)
		}
		want = append(want, n)
		left -= n
	}
	var m ocispec.Manifest
	f.must(json.Unmarshal(f.Manifest("x.root", "f"), &m))
	layers := []int64{}
	for _, l := range m.Layers {
		if size > 0 {
			layers = append(layers, l.Size)
		}
	}
	if !slices.Equal(layers, want) {
		f.Errorf("%s: layers of %v, want %v", what, layers, want)
	}
	streams := 0
	if size > inMemory && upload != ocifs.UploadMonolithic {
		streams = len(want)
	}
	for kind, n := range map[string]int{
		"POST upload": len(want), "PUT upload": len(want), "PATCH upload": streams, "DELETE upload": 0, "PUT manifest": 1,
	} {
		if got := f.Count(kind); got != n {
			f.Errorf("%s: %d times %s, want %d", what, got, kind, n)
		}
	}
}
