package ocifs_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ocidav/cache"
	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// withCache gives every tree a cache of its own, as the program does: verification is the cache's duty.
func (f *fake) withCache(maxBytes int64) {
	f.Helper()
	f.change = func(o *ocifs.Options) {
		c, err := cache.New(cache.Options{Dir: f.TempDir(), MaxBytes: maxBytes})
		f.must(err)
		f.Cleanup(func() { c.Close() })
		o.Blobs = c
	}
}

// TestDamagedContent: a file whose bytes are not those of its digest is never read to its end without an error, and
// nothing of that is kept.
func TestDamagedContent(t *testing.T) {
	contents := map[string]string{"small": "some content", "large": large, "in parts": large + large[:100_000]}
	for damage, c := range map[string]struct {
		fault registrytest.Fault
		class string
	}{
		"cut":           {registrytest.Cut, davfs.ClassUnavailable},
		"other bytes":   {registrytest.Garble, davfs.ClassUnavailable},
		"page":          {registrytest.Page(200), davfs.ClassUnavailable},
		"silent 404":    {registrytest.Status(404), davfs.ClassUnavailable},
		"collected":     {registrytest.Status(404, "BLOB_UNKNOWN"), davfs.ClassUnavailable},
		"stall in body": {registrytest.StallInBody, davfs.ClassTimeout},
	} {
		for kept, maxBytes := range map[string]int64{"": 64 << 20, " passed through": 0} {
			t.Run(strings.ReplaceAll(damage+kept, " ", ""), func(t *testing.T) {
				t.Parallel()
				inBubble(t, registrytest.Defects{}, func(f *fake) {
					f.withCache(maxBytes)
					with := f.change
					f.change = func(o *ocifs.Options) { with(o); o.PartSize = 1 << 20 }
					writer := f.tree()
					for name, content := range contents {
						f.must(put(f.Context(), writer, "/"+name, content))
					}
					for name, content := range contents {
						tree := f.tree()
						rule := f.Fail(registrytest.Match{Method: "GET", Path: "/blobs/"}, c.fault, 0)
						ctx, cancel := context.WithTimeout(f.Context(), 5*time.Minute)
						got, err := read(ctx, tree, "/"+name)
						cancel()
						f.Heal()
						if err == nil || rule.Hits() == 0 {
							f.Errorf("%s: %d bytes of %d are read without an error", name, len(got), len(content))
						}
						f.saysNothing(name, err)
						if class := classOf(err); class != c.class {
							f.Errorf("%s: class %q, want %q: %v", name, class, c.class, err)
						}
						if got, err := read(f.Context(), tree, "/"+name); err != nil || got != content {
							f.Errorf("%s: after that %d bytes are read as %d, %v", name, len(content), len(got), err)
						}
					}
				})
			})
		}
	}
}

// anothers answers with a manifest that is one, but not the one of the digest in the header.
func anothers(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	rec := httptest.NewRecorder()
	serve(rec, r)
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	body := strings.ReplaceAll(rec.Body.String(), digestOf("content").String(), digestOf("another").String())
	_, _ = io.WriteString(w, body)
}

// TestDamagedManifest: a manifest that is not what its digest says is a failure, by tag and by digest.
func TestDamagedManifest(t *testing.T) {
	for damage, fault := range map[string]registrytest.Fault{
		"cut": registrytest.Cut, "other bytes": registrytest.Garble, "page": registrytest.Page(200),
		"another's": anothers,
	} {
		t.Run(strings.ReplaceAll(damage, " ", ""), func(t *testing.T) {
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				f.withCache(1 << 20)
				f.must(put(f.Context(), f.tree(), "/f", "content"))
				for _, match := range []registrytest.Match{{Method: "GET", Path: "/manifests/"}, {Path: "/manifests/"}} {
					tree := f.tree()
					f.Fail(match, fault, 0)
					_, err := tree.Stat(f.Context(), "/f")
					f.Heal()
					if err == nil {
						f.Error("Stat succeeds")
					}
					f.saysNothing("Stat", err)
					if got, err := read(f.Context(), tree, "/f"); err != nil || got != "content" {
						f.Errorf("after that the file is %q, %v", got, err)
					}
				}
			})
		})
	}
}

// TestReadsContinue: what was described is what is read, over everything that happens to the name meanwhile.
func TestReadsContinue(t *testing.T) {
	inBubble(t, registrytest.Defects{NoRange: true}, func(f *fake) {
		f.withCache(64 << 20)
		ctx := f.Context()
		f.must(put(ctx, f.tree(), "/f", large))
		tree := f.tree()
		fi, err := tree.Stat(ctx, "/f")
		f.must(err)
		file, err := tree.Open(ctx, "/f", fi)
		f.must(err)
		defer file.Close()
		head := make([]byte, 1000)
		_, err = io.ReadFull(file, head)
		f.must(err)
		f.must(put(ctx, f.tree(), "/f", "another")) // by another process
		f.must(f.tree().RemoveAll(ctx, "/f", nil))
		rest, err := io.ReadAll(file)
		if got := string(head) + string(rest); err != nil || got != large {
			f.Errorf("%d bytes of the old content, %v, want %d", len(got), err, len(large))
		}
		if _, err := file.(io.Seeker).Seek(500_000, io.SeekStart); err != nil {
			f.Error(err)
		}
		if _, err := io.ReadFull(file, head); err != nil || string(head) != large[500_000:501_000] {
			f.Errorf("a read in the middle gives other bytes, %v", err)
		}
	})
}
