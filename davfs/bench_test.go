package davfs_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// A discard is a ResponseWriter that counts.
type discard struct {
	header http.Header
	bytes  int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { d.bytes += len(p); return len(p), nil }

// BenchmarkPropfind lists a directory of 10,000 files of a tree in memory: what the handler itself costs.
func BenchmarkPropfind(b *testing.B) {
	m := new(treetest.Mem)
	for i := range 10_000 {
		if _, err := m.Put(b.Context(), fmt.Sprintf("/file %05d.txt", i), strings.NewReader("x"), davfs.PutOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	h := &davfs.Handler{Tree: m}
	for name, body := range map[string]string{"named": findLive, "allprop": ""} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("PROPFIND", "/", strings.NewReader(body))
				r.Header.Set("Depth", "1")
				w := &discard{header: http.Header{}}
				h.ServeHTTP(w, r)
				b.ReportMetric(float64(w.bytes)/10_001, "B/entry")
			}
		})
	}
}
