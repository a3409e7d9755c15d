package ocifs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// reading is content that tells how much of it has been asked for.
type reading struct {
	io.Reader
	asked *atomic.Int64 // readers
	once  sync.Once
}

func (r *reading) Read(p []byte) (int, error) {
	r.once.Do(func() { r.asked.Add(1) })
	return r.Reader.Read(p)
}

// TestUploadMemory: only as many Puts read as there is memory for; the others wait, in the order of arrival and with their
// contexts, and come to their turn.
func TestUploadMemory(t *testing.T) {
	for _, c := range []struct {
		upload string
		size   int64 // announced
		bytes  int
		want   int64 // of ten at once, with 2 MiB
	}{
		{ocifs.UploadMonolithic, 3 << 20, 3 << 20, 4},
		{ocifs.UploadStream, 3 << 20, 3 << 20, 3}, {ocifs.UploadDirect, 3 << 20, 3 << 20, 3}, // as the first has taken more
		{ocifs.UploadStream, 0, 3 << 20, 1},
		{ocifs.UploadStream, 600_000, 600_000, 3},
	} {
		t.Run(fmt.Sprint(c.upload, c.size), func(t *testing.T) {
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				f.change = func(o *ocifs.Options) { o.Memory, o.Upload = 2<<20, c.upload }
				ctx, tree := f.Context(), f.tree()
				f.must(put(ctx, tree, "/small", "so that {} is there"))
				time.Sleep(time.Minute)
				slow := make(chan struct{})
				content := noiseOf(c.bytes)
				var asked atomic.Int64
				var wg sync.WaitGroup
				start := func(ctx context.Context, i int, fails error) {
					wg.Go(func() {
						end := &delayed{Reader: strings.NewReader(content[:i+1]), open: func() { <-slow }}
						r := &reading{Reader: io.MultiReader(strings.NewReader(content[i+1:]), end), asked: &asked}
						_, err := tree.Put(ctx, fmt.Sprint("/", i), r, davfs.PutOptions{Size: c.size})
						if !errors.Is(err, fails) {
							f.Errorf("number %d: %v, want %v", i, err, fails)
						}
					})
					synctest.Wait()
				}
				for i := range 5 {
					start(ctx, i, nil)
				}
				gone, leave := context.WithCancel(ctx)
				start(gone, 5, context.Canceled)
				for i := range 4 {
					start(ctx, 6+i, nil)
				}
				if got := asked.Load(); got != c.want {
					f.Errorf("%d of ten read their content, want %d", got, c.want)
				}
				leave()
				synctest.Wait()
				if got := asked.Load(); got != c.want {
					f.Errorf("when one has left %d read, want %d", got, c.want)
				}
				close(slow)
				wg.Wait()
				if got := asked.Load(); got != 9 {
					f.Errorf("%d have come to their turn, want 9", got)
				}
			})
		})
	}
}

// TestUploadMemoryComesBack: whatever becomes of a Put, the next one finds all of the memory. One that does not would wait for
// ever, which the bubble sees.
func TestUploadMemoryComesBack(t *testing.T) {
	for _, upload := range []string{ocifs.UploadStream, ocifs.UploadMonolithic, ocifs.UploadDirect} {
		for what, fault := range map[string]registrytest.Fault{
			"well": nil, "503": registrytest.Status(503), "405": registrytest.Status(405, "UNSUPPORTED"),
			"stall": registrytest.StallInRequest,
		} {
			t.Run(upload+what, func(t *testing.T) {
				inBubble(t, registrytest.Defects{}, func(f *fake) {
					f.change = func(o *ocifs.Options) { o.Memory, o.Upload, o.PartSize, o.SpoolSize = 2<<20, upload, 700_000, 8<<20 }
					ctx, tree := f.Context(), f.tree()
					for _, method := range []string{"POST", "PATCH", "PUT"} {
						if fault != nil {
							f.Fail(registrytest.Match{Method: method, Path: "/blobs/"}, fault, 2)
						}
						for size, announced := range map[int]int64{100: 0, 1_500_000: 1_500_000, 1_500_001: 0, 1_500_002: 1000} {
							_ = func() error {
								_, err := tree.Put(ctx, "/f", strings.NewReader(noiseOf(size)), davfs.PutOptions{Size: announced})
								return err
							}()
							torn := io.MultiReader(strings.NewReader(noiseOf(size)), iotest.ErrReader(errors.New("torn")))
							_, err := tree.Put(ctx, "/f", torn, davfs.PutOptions{Size: announced})
							if err == nil {
								f.Error("what is torn is written")
							}
						}
						_, err := tree.Put(ctx, "/f", io.LimitReader(endless{}, 9<<20), davfs.PutOptions{}) // more than the spool has
						if err == nil && upload != ocifs.UploadDirect {
							f.Error("what has no room is written")
						}
						f.Heal()
					}
					time.Sleep(10 * time.Minute)
					f.must(put(ctx, tree, "/f", large)) // of a length that is not known: it takes what three buffers leave
				})
			})
		}
	}
}

// TestUploadMemoryWhileReceiving: content that has all come to the spool waits for the registry without memory.
func TestUploadMemoryWhileReceiving(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.Memory, o.Upload = 1<<20, ocifs.UploadMonolithic }
		ctx, tree := f.Context(), f.tree()
		behind := f.hold(registrytest.Match{Method: "POST"}, 0)
		var asked atomic.Int64
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				r := &reading{Reader: strings.NewReader(large[i:]), asked: &asked}
				if _, err := tree.Put(ctx, fmt.Sprint("/", i), r, davfs.PutOptions{}); err != nil {
					f.Error(err)
				}
			})
		}
		synctest.Wait()
		if got := asked.Load(); got != 10 {
			f.Errorf("%d of ten read their content", got)
		}
		close(behind.open)
		wg.Wait()
	})
}
