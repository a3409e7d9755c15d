package ocifs_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestSequential: a reader that says how much it will read costs one request for each layer, also for a range.
func TestSequential(t *testing.T) {
	f := newFake(t, registrytest.Defects{}, func(o *ocifs.Options) { o.PartSize = 4 << 20 })
	ctx, content := t.Context(), strings.Repeat("0123456789abcdef", 7<<20/16)
	f.must(put(ctx, f.tree(), "/f", content))
	for _, r := range [][2]int64{{0, 7 << 20}, {1<<20 + 100, 6<<20 + 200}} {
		f.withCache(1 << 30)
		tree := f.tree()
		fi, err := tree.Stat(ctx, "/f")
		f.must(err)
		file, err := tree.Open(ctx, "/f", fi)
		f.must(err)
		_, err = file.(io.Seeker).Seek(r[0], io.SeekStart)
		f.must(err)
		f.ResetCounts()
		file.(interface{ Sequential(n int64) }).Sequential(r[1] - r[0])
		var got bytes.Buffer
		_, err = io.CopyBuffer(struct{ io.Writer }{&got}, struct{ io.Reader }{io.LimitReader(file, r[1]-r[0])}, make([]byte, 32<<10))
		f.must(err)
		if got.String() != content[r[0]:r[1]] {
			t.Errorf("%d: other bytes", r)
		}
		f.budget("two layers, announced", 2)
		f.must(file.Close())
	}
}
