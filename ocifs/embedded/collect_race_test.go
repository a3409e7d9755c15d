//go:build !noembed

package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// blobUnknown tells the refusal that makes a writer push its blobs again.
func blobUnknown(err error) bool {
	var resp *errcode.ErrorResponse
	return errors.As(err, &resp) && len(resp.Errors) > 0 && resp.Errors[0].Code == errcode.ErrorCodeManifestBlobUnknown
}

// TestCollectionsAmongWriters lets collections that know no grace run all the time, while writers overwrite, bring
// superseded manifests back, copy by mounting and delete. What was acknowledged can be read, at once and in the end.
func TestCollectionsAmongWriters(t *testing.T) {
	const rounds = 20
	rules := everything
	rules.Uploads = time.Hour
	r := open(t, t.TempDir(), Options{})
	ctx := t.Context()
	collecting, stop := context.WithCancel(ctx)
	var collections, freed atomic.Int64
	var collector sync.WaitGroup
	collector.Go(func() {
		for collecting.Err() == nil {
			done, err := r.Collect(collecting, rules)
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			collections.Add(1)
			freed.Add(int64(done.Blobs))
		}
	})

	push := func(repo *remote.Repository, tag string, layer ocispec.Descriptor, give func() error) error {
		m := own(tag, false, layer)
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(m), Size: int64(len(m))}
		for {
			err := repo.Manifests().PushReference(ctx, d, bytes.NewReader(m), tag)
			if !blobUnknown(err) {
				return err
			}
			for _, step := range []func() error{give, func() error {
				return repo.Blobs().Push(ctx, ocispec.DescriptorEmptyJSON, bytes.NewReader([]byte("{}")))
			}} {
				if err := step(); err != nil {
					return err
				}
			}
		}
	}
	var healed atomic.Int64
	var writers sync.WaitGroup
	final := make([]map[string]string, 6) // of each writer: what its tags name in the end
	for w := range final {
		final[w] = map[string]string{}
		writers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			name := fmt.Sprintf("r%d", w%3)
			repo, copies := client(t, r, name), client(t, r, name+"/copies")
			for range rounds {
				tag := fmt.Sprintf("w%d-%d", w, random.IntN(3))
				data := fmt.Appendf(nil, "content %d", random.IntN(4)) // few, so that old ones come back
				desc := blob(data)
				switch random.IntN(5) {
				case 0:
					do(t, r, http.MethodDelete, "/v2/"+name+"/manifests/"+tag, nil)
					delete(final[w], name+" "+tag)
					continue
				case 1, 2:
					if err := repo.Blobs().Push(ctx, desc, bytes.NewReader(data)); err != nil {
						t.Error(err)
					}
				default: // the blob is believed to be there already
				}
				err := push(repo, tag, desc, func() error {
					healed.Add(1)
					return repo.Blobs().Push(ctx, desc, bytes.NewReader(data))
				})
				if err != nil {
					t.Errorf("push %s: %v", tag, err)
					continue
				}
				wantWhole(t, repo, tag)
				final[w][name+" "+tag] = string(data)
				err = push(copies, tag, desc, func() error {
					return copies.Mount(ctx, desc, name, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
				})
				if err != nil {
					t.Errorf("copy %s: %v", tag, err)
					continue
				}
				wantWhole(t, copies, tag)
				final[w][name+"/copies "+tag] = string(data)
			}
		})
	}
	writers.Wait()
	stop()
	collector.Wait()
	collect(t, r, everything)

	clean := open(t, t.TempDir(), Options{})
	for _, files := range final {
		for place, data := range files {
			var name, tag string
			fmt.Sscan(place, &name, &tag)
			wantWhole(t, client(t, r, name), tag)
			pushOwn(t, client(t, clean, name), tag, data, false)
		}
	}
	wantFiles(t, string(r.tree), files(t, string(clean.tree)))
	wantNoDangling(t, r)
	t.Logf("%d collections, %d blobs freed, %d pushed again", collections.Load(), freed.Load(), healed.Load())
	if collections.Load() < 3 || freed.Load() == 0 {
		t.Error("too few collections to show anything")
	}
}

// A writer who does not come out keeps no other waiting for longer than the patience, and the collection gives up with
// its context.
func TestCollectionBehindAStuckWriter(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	if err := r.gate.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := r.Collect(ctx, everything)
		ended <- err
	}()
	for held := false; !held; time.Sleep(time.Millisecond) {
		r.gate.mu.Lock()
		held = r.gate.held
		r.gate.mu.Unlock()
	}
	pushOwn(t, client(t, r, "a"), "f", "while the collection waits", false)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.gate.leave()
	collect(t, r, everything)
	wantWhole(t, client(t, r, "a"), "f")
}

// A body that takes its time is not waited for: PUT goes through the gate when it has all of it.
func TestCollectionDuringASlowUpload(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	location, err := do(t, r, http.MethodPost, "/v2/a/blobs/uploads/", nil).Location()
	if err != nil {
		t.Fatal(err)
	}
	q := location.Query()
	q.Set("digest", digest.FromString("slow").String())
	location.RawQuery = q.Encode()
	body, w := io.Pipe()
	req, _ := http.NewRequest(http.MethodPut, location.String(), body)
	answered := make(chan int)
	go func() {
		resp, err := r.Transport().RoundTrip(req)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	io.WriteString(w, "sl")
	rules := everything
	rules.Uploads = time.Hour
	collect(t, r, rules)
	io.WriteString(w, "ow")
	w.Close()
	if status := <-answered; status != http.StatusCreated {
		t.Errorf("the slow upload: %d", status)
	}
}

func TestCloseEndsCollections(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	garbage(t, r)
	began := make(chan struct{})
	var once sync.Once
	r.fault = func(doomed) error { once.Do(func() { close(began) }); return nil }
	r.CollectEvery(time.Hour)
	ended := make(chan error)
	go func() {
		_, err := r.Collect(t.Context(), everything)
		ended <- err
	}()
	<-began
	r.Close()
	if err := <-ended; err != nil && !errors.Is(err, errClosed) {
		t.Error(err)
	}
	if _, err := r.Collect(t.Context(), everything); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
}
