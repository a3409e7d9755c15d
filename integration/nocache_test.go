package integration

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
)

// TestWithoutCache: with --cache-size 0 all reads rightly, whole, in parts and after a restart, and nothing is kept.
func TestWithoutCache(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t, "--cache-size", "0")
		files := map[string][]byte{}
		for i, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 1 << 20, 5<<20 + 77} {
			name := fmt.Sprintf("/%d", i)
			files[name] = random(size)
			d.put(name, files[name])
		}
		for range 2 {
			for name, content := range files {
				d.want(name, content)
				if len(content) < 2 {
					continue
				}
				from := len(content) / 3
				for _, to := range []int{from + 1, from + len(content)/2, len(content)} {
					a := d.try(http.MethodGet, name, nil, "Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
					if a.err != nil || a.status != http.StatusPartialContent || !bytes.Equal(a.body, content[from:to]) {
						t.Errorf("bytes %d to %d of %s: %s", from, to, name, summary(a))
					}
				}
			}
			if kept := wholeBlobs(t, d.cache); len(kept) > 0 {
				t.Errorf("%d blobs are kept", len(kept))
			}
			d.stop()
			d.start()
		}
	})
}
