package ocifs_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

var contents = map[string]string{"memory": "small", "file": large}

// TestRegistryIsDownForAWhile: what is received while the registry restarts is stored when it is back.
func TestRegistryIsDownForAWhile(t *testing.T) {
	for what, content := range contents {
		for name, fault := range map[string]registrytest.Fault{
			"503": registrytest.Status(503), "reset": registrytest.ResetBefore, "500": registrytest.Status(500, "UNKNOWN"),
			"429": registrytest.TooMany(40 * time.Second),
		} {
			t.Run(what+name, func(t *testing.T) {
				inBubble(t, registrytest.Defects{}, func(f *fake) {
					tree := f.tree()
					f.Fail(registrytest.Writes, fault, 0)
					time.AfterFunc(30*time.Second, f.Heal)
					start := time.Now()
					f.must(put(f.Context(), tree, "/f", content))
					if took := time.Since(start); took < 30*time.Second || took > 45*time.Second {
						f.Errorf("it took %v", took)
					}
					if got, err := read(f.Context(), f.tree(), "/f"); err != nil || got != content {
						f.Errorf("%d bytes come back as %d, %v", len(content), len(got), err)
					}
				})
			})
		}
	}
}

// TestRegistryRefusesConnections: the same where nobody listens.
func TestRegistryRefusesConnections(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		tree := f.tree()
		f.must(put(f.Context(), tree, "/f", "old"))
		f.refuse(true)
		time.AfterFunc(30*time.Second, func() { f.refuse(false) })
		f.must(put(f.Context(), tree, "/f", "new"))
		f.refuse(true)
		start := time.Now()
		err := put(f.Context(), tree, "/f", "newer")
		if took := time.Since(start); classOf(err) != davfs.ClassUnavailable || took > time.Minute || took < 50*time.Second {
			f.Errorf("error %v after %v", err, took)
		}
		f.refuse(false)
		if got, err := read(f.Context(), f.tree(), "/f"); err != nil || got != "new" {
			f.Errorf("then there is %q, %v", got, err)
		}
	})
}

// TestWriteTimeout: a registry that does not come back is told of, with its class, and nothing is visible.
func TestWriteTimeout(t *testing.T) {
	for what, content := range contents {
		for name, c := range map[string]struct {
			fault registrytest.Fault
			class string
			after time.Duration
		}{
			"503":      {registrytest.Status(503), davfs.ClassUnavailable, 0},
			"429":      {registrytest.TooMany(7 * time.Second), davfs.ClassRateLimited, 7 * time.Second},
			"429 long": {registrytest.TooMany(time.Hour), davfs.ClassRateLimited, time.Hour},
			"reset":    {registrytest.ResetBefore, davfs.ClassUnavailable, 0},
			"504":      {registrytest.Status(504), davfs.ClassTimeout, 0},
		} {
			for _, path := range []string{"/blobs/", "/manifests/"} {
				t.Run(what+name+path, func(t *testing.T) {
					inBubble(t, registrytest.Defects{}, func(f *fake) {
						f.change = func(o *ocifs.Options) { o.WriteTimeout = 20 * time.Second }
						tree := f.tree()
						f.must(put(f.Context(), tree, "/f", "old"))
						state := f.state()
						f.Fail(registrytest.Match{Method: "POST PATCH PUT", Path: path}, c.fault, 0)
						start := time.Now()
						err := put(f.Context(), tree, "/f", content)
						took := time.Since(start)
						if got := classOf(err); got != c.class {
							f.Errorf("class %q, want %q: %v", got, c.class, err)
						}
						var e *ocifs.Error
						if errors.As(err, &e) && (e.After-c.after).Abs() > time.Second {
							f.Errorf("the client is told to wait %v, want %v", e.After, c.after)
						}
						if took > 20*time.Second || took < 10*time.Second && c.after < time.Hour {
							f.Errorf("it took %v of 20s", took)
						}
						if !maps.Equal(f.state(), state) {
							f.Error("something has changed")
						}
					})
				})
			}
		}
	}
}

// TestPassingRefusals: what distribution 2.8 says of a manifest while somebody links its blobs is not the last word.
func TestPassingRefusals(t *testing.T) {
	for _, code := range []string{"MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "DIGEST_INVALID", "BLOB_UNKNOWN"} {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			tree := f.tree()
			times := 3
			if code == "MANIFEST_INVALID" {
				times = 1
			}
			f.Fail(registrytest.Match{Method: "PUT", Path: "/manifests/"}, registrytest.Status(400, code), times)
			f.must(put(f.Context(), tree, "/f", "content"))
		})
	}
}
