package ocifs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// kinds gives the kinds of the requests that were made, without those of "{}" and of questions about tags.
func (f *fake) kinds() string {
	all := []string{}
	for _, r := range f.Requests() {
		method, url, _ := strings.Cut(r, " ")
		switch {
		case strings.Contains(url, digestOf("{}").Encoded()), strings.Contains(url, "/manifests/") && method != "PUT":
		case strings.Contains(url, "/manifests/"):
			all = append(all, "manifest")
		default:
			all = append(all, method)
		}
	}
	f.ResetCounts()
	return strings.Join(all, " ")
}

// settled waits until nothing is under way any more, and checks that no upload is left open.
func (f *fake) settled(what string) {
	f.Helper()
	time.Sleep(time.Minute)
	if n := f.Uploads(); n > 0 {
		f.Errorf("%s: %d upload sessions are left", what, n)
	}
}

// TestUploads: what large content costs in requests, the first and the second time, on registries that take streams and
// on those that do not.
func TestUploads(t *testing.T) {
	const streamed, whole = "POST PATCH PUT manifest", "HEAD POST PUT manifest"
	for name, c := range map[string]struct {
		defects       registrytest.Defects
		upload        string
		first, second string
		open          bool // the registry keeps what it has refused
	}{
		"Stream":     {registrytest.Defects{}, ocifs.UploadAuto, streamed, streamed, false},
		"Asked":      {registrytest.Defects{}, ocifs.UploadStream, streamed, streamed, false},
		"Direct":     {registrytest.Defects{}, ocifs.UploadDirect, streamed, streamed, false},
		"Monolithic": {registrytest.Defects{}, ocifs.UploadMonolithic, whole, whole, false},
		"405":        {registrytest.Defects{PatchRefused: 405}, "", "POST PATCH DELETE " + whole, whole, false},
		"416":        {registrytest.Defects{PatchRefused: 416}, "", "POST PATCH DELETE " + whole, whole, false},
		"201":        {registrytest.Defects{PatchCreated: true}, "", "POST PATCH DELETE " + whole, whole, false},
		"Short":      {registrytest.Defects{PatchShort: true}, "", "POST PATCH DELETE " + whole, whole, false},
		"Drops":      {registrytest.Defects{PatchDrops: true}, "", "POST PATCH PUT DELETE " + whole, whole, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, c.defects, func(f *fake) {
				var log bytes.Buffer
				f.change = func(o *ocifs.Options) {
					o.Upload, o.Log = c.upload, slog.New(slog.NewTextHandler(&log, nil))
				}
				tree := f.tree()
				f.must(put(f.Context(), tree, "/small", "so that {} is there"))
				f.ResetCounts()
				for i, want := range []string{c.first, c.second} {
					content := large[i:]
					f.must(put(f.Context(), tree, "/f", content))
					f.settled("Put")
					if got := sortedAs(f.kinds(), want); got != want {
						f.Errorf("Put %d: %s, want %s", i+1, got, want)
					}
					if got, err := read(f.Context(), f.tree(), "/f"); err != nil || got != content {
						f.Errorf("Put %d: %d bytes come back as %d, %v", i+1, len(content), len(got), err)
					}
					f.ResetCounts()
				}
				if n := strings.Count(log.String(), "takes no streams"); (n == 1) != (c.first != c.second) || n > 1 {
					f.Errorf("it is told %d times that the registry takes no streams:\n%s", n, log.String())
				}
				if left, _ := os.ReadDir(f.dir); len(left) > 0 {
					f.Errorf("%s is left in the spool", left[0].Name())
				}
			})
		})
	}
}

// sortedAs moves DELETE, which is made behind everything else, to where want has it.
func sortedAs(got, want string) string {
	if i := strings.Index(want, "DELETE "); i >= 0 && strings.Contains(got, "DELETE") {
		rest := strings.TrimSpace(strings.ReplaceAll(strings.Replace(got, "DELETE", "", 1), "  ", " "))
		if len(rest) >= i {
			return rest[:i] + "DELETE " + rest[i:]
		}
	}
	return got
}

// TestStreamFails: whatever a stream fails with, the content arrives from the spool, and no session is left. The first of
// three parts is not repeated.
func TestStreamFails(t *testing.T) {
	faults := map[string]registrytest.Fault{
		"503": registrytest.Status(503), "401": registrytest.Status(401, "UNAUTHORIZED"), "403": registrytest.Status(403, "DENIED"),
		"404": registrytest.Status(404, "BLOB_UPLOAD_UNKNOWN"), "400": registrytest.Status(400, "DIGEST_INVALID"),
		"429":   registrytest.TooMany(3 * time.Second),
		"reset": registrytest.ResetBefore, "reset after": registrytest.ResetAfter, "stall": registrytest.Stall,
	}
	content := noiseOf(2_500_000)
	for name, fault := range faults {
		for _, method := range []string{"POST", "PATCH", "PUT"} {
			if name == "401" && method == "POST" || name == "403" && method != "PATCH" {
				continue // TestPermanentRefusals
			}
			t.Run(name+method, func(t *testing.T) {
				inBubble(t, registrytest.Defects{}, func(f *fake) {
					f.change = func(o *ocifs.Options) { o.PartSize = 1 << 20 }
					tree := f.tree()
					f.must(put(f.Context(), tree, "/small", "so that {} is there"))
					f.ResetCounts()
					rule := f.Fail(registrytest.Match{Method: method, Path: "/blobs/uploads/", Skip: 1}, fault, 1)
					f.must(put(f.Context(), tree, "/f", content))
					if got, err := read(f.Context(), f.tree(), "/f"); err != nil || got != content {
						f.Errorf("%d bytes come back as %d, %v", len(content), len(got), err)
					}
					if n := f.Count("PUT upload"); rule.Hits() != 1 || n > 4 {
						f.Errorf("%d blobs are pushed for three parts, one of them twice; the fault was met %d times", n, rule.Hits())
					}
					if name != "reset after" && name != "404" { // that nobody can know of
						f.settled("Put")
					}
				})
			})
		}
	}
}

// TestDirectFails: without a spool a failure of the registry in the middle is the end of the PUT, in words and without a
// trace.
func TestDirectFails(t *testing.T) {
	for name, c := range map[string]struct {
		fault registrytest.Fault
		class string
	}{
		"503":   {registrytest.Status(503), davfs.ClassUnavailable},
		"507":   {registrytest.Status(507), davfs.ClassQuota},
		"reset": {registrytest.ResetBefore, davfs.ClassUnavailable},
	} {
		for _, method := range []string{"POST", "PATCH", "PUT"} {
			t.Run(name+method, func(t *testing.T) {
				inBubble(t, registrytest.Defects{}, func(f *fake) {
					f.change = func(o *ocifs.Options) { o.Upload, o.SpoolDir = ocifs.UploadDirect, "/nowhere" }
					tree := f.tree()
					f.must(put(f.Context(), tree, "/f", "old"))
					state := f.state()
					f.Fail(registrytest.Match{Method: method, Path: "/blobs/uploads/"}, c.fault, 1)
					err := put(f.Context(), tree, "/f", large)
					if got := classOf(err); got != c.class {
						f.Errorf("class %q, want %q: %v", got, c.class, err)
					}
					f.settled("Put")
					if !maps.Equal(f.state(), state) {
						f.Error("something has changed")
					}
					f.must(put(f.Context(), tree, "/f", large))
				})
			})
		}
	}
}

// TestTornStream: content that breaks off changes nothing, its error is the caller's, and its upload is cancelled.
func TestTornStream(t *testing.T) {
	for _, upload := range []string{ocifs.UploadStream, ocifs.UploadDirect, ocifs.UploadMonolithic} {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			f.change = func(o *ocifs.Options) { o.Upload = upload }
			torn := errors.New("torn")
			tree, state := f.tree(), f.state()
			r := io.MultiReader(strings.NewReader(noiseOf(3<<20)), iotest.ErrReader(torn))
			if _, err := tree.Put(f.Context(), "/f", r, davfs.PutOptions{Size: 10 << 20}); !errors.Is(err, torn) {
				f.Errorf("%s: error %v", upload, err)
			}
			f.settled(upload)
			if !maps.Equal(f.state(), state) {
				f.Errorf("%s: something has changed", upload)
			}
			if left, _ := os.ReadDir(f.dir); len(left) > 0 {
				f.Errorf("%s: %s is left in the spool", upload, left[0].Name())
			}
		})
	}
}

// delayed is a reader that waits before its content.
type delayed struct {
	open func()
	io.Reader
}

func (g *delayed) Read(p []byte) (int, error) {
	if g.open != nil {
		g.open()
		g.open = nil
	}
	return g.Reader.Read(p)
}

// TestStreamsWhileItArrives: the first part is in the registry before the last byte has come.
func TestStreamsWhileItArrives(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.PartSize = 1 << 20 }
		content := noiseOf(3 << 20)
		rest := &delayed{Reader: strings.NewReader(content[2<<20:]), open: func() {
			time.Sleep(time.Second)
			if !f.HasBlob("x.root", digestOf(content[:1<<20])) {
				f.Error("the first part is not in the registry")
			}
		}}
		_, err := f.tree().Put(f.Context(), "/f", io.MultiReader(strings.NewReader(content[:2<<20]), rest), davfs.PutOptions{})
		f.must(err)
		if got, err := read(f.Context(), f.tree(), "/f"); err != nil || got != content {
			f.Errorf("%d bytes come back as %d, %v", len(content), len(got), err)
		}
	})
}

// TestUploadElsewhere: credentials and content go to the registry's own host only, and the reason is told at once.
func TestUploadElsewhere(t *testing.T) {
	for _, content := range []string{"small", large} {
		inBubble(t, registrytest.Defects{UploadElsewhere: true}, func(f *fake) {
			start := time.Now()
			err := put(f.Context(), f.tree(), "/f", content)
			if classOf(err) != davfs.ClassUnavailable || !strings.Contains(err.Error(), "registry.invalid") || time.Since(start) > 0 {
				f.Errorf("error %v after %v", err, time.Since(start))
			}
		})
	}
}

// TestSpoolBound: uploads that do not fit in the spool are refused, and the room is there again when the others are done.
func TestSpoolBound(t *testing.T) {
	for name, size := range map[string]int64{"announced": int64(len(large)), "not announced": 0} {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			f.change = func(o *ocifs.Options) { o.SpoolSize = int64(len(large)) * 3 / 2 }
			tree, state := f.tree(), f.state()
			refused := errors.New("nothing refused")
			first := &delayed{Reader: strings.NewReader(large[len(large)-1:]), open: func() {
				_, refused = tree.Put(f.Context(), "/second", strings.NewReader(large), davfs.PutOptions{Size: size})
				if !maps.Equal(f.state(), state) {
					f.Errorf("%s: the refused one has changed something", name)
				}
			}}
			_, err := tree.Put(f.Context(), "/first", io.MultiReader(strings.NewReader(large[:len(large)-1]), first), davfs.PutOptions{Size: int64(len(large))})
			f.must(err)
			if got := classOf(refused); got != davfs.ClassQuota {
				f.Errorf("%s: class %q, want %q: %v", name, got, davfs.ClassQuota, refused)
			}
			f.settled(name)
			for range 3 {
				f.must(put(f.Context(), tree, "/second", large))
				time.Sleep(time.Second)
			}
		})
	}
}

// TestSpoolIsHandedOver: the blobs at hand get the whole file, which can be linked, if the content is one blob.
func TestSpoolIsHandedOver(t *testing.T) {
	for _, parts := range []bool{false, true} {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			var got []string
			var files int
			f.change = func(o *ocifs.Options) {
				if parts {
					o.PartSize = 1 << 20
				}
				o.Blobs = keeping(func(r io.Reader) {
					if file, ok := r.(interface{ File() *os.File }); ok {
						files++
						i, err := file.File().Stat()
						f.must(err)
						if i.Size() != int64(len(large)) {
							f.Errorf("the file has %d bytes, the content %d", i.Size(), len(large))
						}
					}
					b, err := io.ReadAll(r)
					f.must(err)
					got = append(got, string(b))
				})
			}
			f.must(put(f.Context(), f.tree(), "/f", large))
			f.settled("Put")
			f.settle()
			if want := map[bool]int{false: 1, true: 0}[parts]; files != want || !strings.Contains(strings.Join(got, ""), large) {
				f.Errorf("%d files are handed over, want %d, and %d blobs", files, want, len(got))
			}
		})
	}
}

// keeping is noBlobs that tells what it is given.
type keeping func(io.Reader)

func (keeping) Hold(ocispec.Descriptor, []byte) {}

func (k keeping) Open(ctx context.Context, desc ocispec.Descriptor, src ocifs.Source) (ocifs.Blob, error) {
	return noBlobs{}.Open(ctx, desc, src)
}

func (k keeping) Add(_ context.Context, desc ocispec.Descriptor, r io.Reader) error {
	if desc.MediaType == "application/octet-stream" {
		k(r)
	}
	return nil
}
