package ocifs_test

import (
	"bytes"
	"io"
	"testing"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestStats: an upload is counted while it goes on, with what it has on the disk, whether the spool has a bound or not, and
// whether it succeeds or breaks off.
func TestStats(t *testing.T) {
	for _, bound := range []int64{0, 64 << 20} {
		f := newFake(t, registrytest.Defects{}, func(o *ocifs.Options) { o.SpoolSize = bound })
		tree := f.tree()
		for _, end := range []error{nil, io.ErrUnexpectedEOF} {
			pr, pw := io.Pipe()
			done := make(chan error)
			go func() {
				_, err := tree.Put(t.Context(), "/f", pr, davfs.PutOptions{})
				done <- err
			}()
			pw.Write(bytes.Repeat([]byte("x"), 5<<20))
			if s := tree.Stats(); s.Uploads != 1 || s.SpoolBytes < 1<<20 || s.SpoolBytes > 5<<20 {
				t.Errorf("in the middle: %+v", s)
			}
			pw.CloseWithError(end)
			if err := <-done; (err == nil) != (end == nil) {
				t.Errorf("Put: %v, want %v", err, end)
			}
		}
		f.settle()
		if s := tree.Stats(); s != (ocifs.Stats{}) {
			t.Errorf("after all: %+v", s)
		}
	}
}
