package ocifs_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestClientLeavesSlowRegistry: a client that goes away while the registry takes nothing, so that all buffers are full,
// takes its upload along. Else what sends it would wait for more content for ever, when the registry goes on.
func TestClientLeavesSlowRegistry(t *testing.T) {
	for _, upload := range []string{ocifs.UploadStream, ocifs.UploadDirect} {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			f.change = func(o *ocifs.Options) { o.Upload = upload }
			ended, left := false, make(chan struct{})
			f.Fail(registrytest.Match{Method: "PATCH"},
				func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
					<-left
					time.Sleep(time.Second)
					serve(w, r)
					ended = true
				}, 1)
			ctx, cancel := context.WithCancel(f.Context())
			tree, state := f.tree(), f.state()
			result := make(chan error)
			go func() {
				_, err := tree.Put(ctx, "/f", endless{}, davfs.PutOptions{})
				result <- err
			}()
			synctest.Wait() // until it waits for the registry
			cancel()
			if err := <-result; !errors.Is(err, context.Canceled) {
				f.Errorf("%s: error %v", upload, err)
			}
			close(left)
			f.settled(upload)
			if !ended {
				f.Errorf("%s: what sends the content waits for more of it", upload)
			}
			if len(f.state()) != len(state) {
				f.Errorf("%s: something has changed", upload)
			}
		})
	}
}

// endless is content without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestSpoolOfAnySize: a client that announces more than can be counted is refused, and takes nobody's bound away.
func TestSpoolOfAnySize(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.SpoolSize = int64(len(large)) * 3 / 2 }
		tree := f.tree()
		first := &delayed{Reader: io.LimitReader(endless{}, 1), open: func() {
			for range 2 {
				_, err := tree.Put(f.Context(), "/second", io.LimitReader(endless{}, int64(len(large))), davfs.PutOptions{Size: math.MaxInt64})
				if got := classOf(err); got != davfs.ClassQuota {
					f.Errorf("class %q, want %q: %v", got, davfs.ClassQuota, err)
				}
			}
		}}
		_, err := tree.Put(f.Context(), "/first", io.MultiReader(io.LimitReader(endless{}, int64(len(large))), first), davfs.PutOptions{Size: int64(len(large)) + 1})
		f.must(err)
	})
}
