package ocifs_test

import (
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestPermanentRefusals: what is refused for good is refused once, at once, whether the content waits in memory, in a file or
// nowhere, and the registry's reason is in the error. A stream that is refused at its beginning ends the Put before the rest
// of the content has come.
func TestPermanentRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		fault registrytest.Fault
		class string
	}{
		"401":       {registrytest.Status(401, "UNAUTHORIZED"), davfs.ClassUnauthorized},
		"403":       {registrytest.Status(403, "DENIED"), davfs.ClassDenied},
		"405":       {registrytest.Status(405, "UNSUPPORTED"), davfs.ClassDenied},
		"409":       {registrytest.Status(409, "CONFLICT"), davfs.ClassConflict},
		"412":       {registrytest.Status(412, "PRECONDITION"), davfs.ClassConflict},
		"400 tag":   {registrytest.Status(400, "TAG_IMMUTABLE"), davfs.ClassConflict},
		"413":       {registrytest.Status(413, "SIZE_INVALID"), davfs.ClassTooLarge},
		"507":       {registrytest.Status(507), davfs.ClassQuota},
		"403 quota": {registrytest.Status(403, "QUOTA_EXCEEDED"), davfs.ClassQuota},
	} {
		for what, content := range map[string]string{"memory": "small", "file": large, "parts": large} {
			for _, upload := range []string{ocifs.UploadStream, ocifs.UploadMonolithic, ocifs.UploadDirect} {
				for _, match := range []registrytest.Match{
					{Method: "POST", Path: "/blobs/"}, {Method: "PUT", Path: "/blobs/"}, {Method: "PUT", Path: "/manifests/"},
				} {
					if match.Method == "PUT" && match.Path == "/blobs/" && (name == "401" || name == "405") {
						continue // a token that has run out, or a way to upload that it does not know
					}
					if what == "memory" && upload != ocifs.UploadStream {
						continue // the same
					}
					t.Run(strings.ReplaceAll(what+upload+name+match.Method+match.Path, " ", ""), func(t *testing.T) {
						inBubble(t, registrytest.Defects{}, func(f *fake) {
							f.change = func(o *ocifs.Options) {
								o.Upload = upload
								if what == "parts" {
									o.PartSize, o.Parallel = 600_000, 1
								}
							}
							tree := f.tree()
							f.must(put(f.Context(), tree, "/f", "old"))
							state := f.state()
							rule := f.Fail(match, c.fault, 0)
							start := time.Now()
							err := put(f.Context(), tree, "/f", content)
							if took := time.Since(start); classOf(err) != c.class || took > 0 {
								f.Errorf("class %q after %v, want %q at once: %v", classOf(err), took, c.class, err)
							}
							f.saysNothing("Put", err)
							if name != "507" && !strings.Contains(err.Error(), "by fault") {
								f.Errorf("the registry's reason is not told: %v", err)
							}
							// The next part's stream has begun by the time at which the end of the one before is refused.
							if hits := rule.Hits(); hits != 1 && !(what == "parts" && upload != ocifs.UploadMonolithic && hits == 2) {
								f.Errorf("it was asked %d times", hits)
							}
							if what != "memory" && upload != ocifs.UploadMonolithic {
								f.settled("Put")
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
}

// TestRefusedWhileItArrives: a client with ten gigabytes hears of a refusal before it has sent them.
func TestRefusedWhileItArrives(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.Upload = ocifs.UploadStream }
		tree := f.tree()
		f.Fail(registrytest.Match{Method: "POST"}, registrytest.Status(403, "DENIED"), 0)
		const most = 64 << 20
		content := &io.LimitedReader{R: endless{}, N: most}
		_, err := tree.Put(f.Context(), "/f", content, davfs.PutOptions{Size: 10 << 30})
		if classOf(err) != davfs.ClassDenied {
			f.Errorf("error %v", err)
		}
		if read := most - content.N; read > 8<<20 {
			f.Errorf("%d bytes are read for a refusal", read)
		}
	})
}

// TestQuotaOfRequests: a 429 passes, whatever the registry calls it.
func TestQuotaOfRequests(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.Fail(registrytest.Match{Method: "POST", First: true}, registrytest.Status(429, "QUOTA_EXCEEDED"), 0)
		f.must(put(f.Context(), f.tree(), "/f", large))
		f.Fail(registrytest.Match{Method: "GET"}, registrytest.Status(429, "QUOTA_EXCEEDED"), 0)
		if _, err := f.tree().Stat(f.Context(), "/f"); classOf(err) != davfs.ClassRateLimited {
			f.Errorf("error %v", err)
		}
	})
}
