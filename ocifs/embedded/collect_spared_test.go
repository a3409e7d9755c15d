//go:build !noembed

package embedded

import (
	"bytes"
	"crypto/sha512"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestCollectionSparesWhatIsUsed stops a whole collection between its decision that something goes and the removal, for
// somebody who uses it there. There is no grace, so only what the gate notes saves it.
func TestCollectionSparesWhatIsUsed(t *testing.T) {
	const image = ocispec.MediaTypeImageManifest
	content, unnamed := blob([]byte("content")), blob([]byte("unnamed"))
	old := own("f", false, content)
	oldDigest := digest.FromBytes(old)
	sum := sha512.Sum512([]byte("unnamed"))
	long := ocispec.Descriptor{MediaType: "application/octet-stream", Size: unnamed.Size, Digest: digest.NewDigestFromBytes(digest.SHA512, sum[:])}
	wantBlob := func(t *testing.T, r *Registry, repo string, d digest.Digest) {
		t.Helper()
		if resp := do(t, r, http.MethodGet, "/v2/"+repo+"/blobs/"+d.String(), nil); resp.StatusCode != http.StatusOK {
			t.Errorf("%s in %s: %s", d, repo, resp.Status)
		}
	}
	for name, c := range map[string]struct {
		kind  kind
		doom  digest.Digest
		use   func(t *testing.T, r *Registry)
		whole func(t *testing.T, r *Registry)
	}{
		"a manifest is pushed again": {revision, oldDigest, func(t *testing.T, r *Registry) {
			pushManifest(t, client(t, r, "a"), image, old, "back")
		}, func(t *testing.T, r *Registry) { wantWhole(t, client(t, r, "a"), "back") }},
		"a manifest becomes a member of an index": {revision, oldDigest, func(t *testing.T, r *Registry) {
			pushManifest(t, client(t, r, "a"), ocispec.MediaTypeImageIndex, marshal(ocispec.Index{
				Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
				Manifests: []ocispec.Descriptor{{MediaType: image, Digest: oldDigest, Size: int64(len(old))}},
			}), "index")
		}, func(t *testing.T, r *Registry) { wantWhole(t, client(t, r, "a"), oldDigest.String()) }},
		"a manifest is signed by a tag": {revision, oldDigest, func(t *testing.T, r *Registry) {
			pushManifest(t, client(t, r, "a"), image, own("signature", false), "sha256-"+oldDigest.Encoded()+".sig")
		}, func(t *testing.T, r *Registry) { wantWhole(t, client(t, r, "a"), oldDigest.String()) }},
		"a layer is named, and not pushed": {layer, content.Digest, func(t *testing.T, r *Registry) {
			pushManifest(t, client(t, r, "a"), image, own("again", false, content), "again")
		}, func(t *testing.T, r *Registry) { wantWhole(t, client(t, r, "a"), "again") }},
		"a layer is pushed again": {layer, unnamed.Digest, func(t *testing.T, r *Registry) {
			pushBlob(t, client(t, r, "a"), []byte("unnamed"))
		}, func(t *testing.T, r *Registry) { wantBlob(t, r, "a", unnamed.Digest) }},
		"a layer is named by another algorithm": {layer, long.Digest, func(t *testing.T, r *Registry) {
			pushManifest(t, client(t, r, "a"), image, own("long", false, long), "long")
		}, func(t *testing.T, r *Registry) { wantBlob(t, r, "a", long.Digest) }},
		"a layer is mounted elsewhere": {layer, unnamed.Digest, func(t *testing.T, r *Registry) {
			resp := do(t, r, http.MethodPost, "/v2/new/blobs/uploads/?from=a&mount="+unnamed.Digest.String(), nil)
			if resp.StatusCode != http.StatusCreated {
				t.Error(resp.Status)
			}
		}, func(t *testing.T, r *Registry) { wantBlob(t, r, "new", unnamed.Digest) }},
		"a blob is pushed again": {blobContent, unnamed.Digest, func(t *testing.T, r *Registry) {
			pushBlob(t, client(t, r, "a"), []byte("unnamed"))
		}, func(t *testing.T, r *Registry) { wantBlob(t, r, "a", unnamed.Digest) }},
		"a file comes back": {blobContent, oldDigest, func(t *testing.T, r *Registry) {
			pushOwn(t, client(t, r, "a"), "f", "content", false)
		}, func(t *testing.T, r *Registry) { wantWhole(t, client(t, r, "a"), "f") }},
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, t.TempDir(), Options{})
			a := client(t, r, "a")
			pushOwn(t, a, "f", "content", false)
			pushOwn(t, a, "f", "new", false)
			pushBlob(t, a, []byte("unnamed"))
			if err := a.Blobs().Push(t.Context(), long, bytes.NewReader([]byte("unnamed"))); err != nil {
				t.Fatal(err)
			}
			used := false
			r.sweeps = func(things []doomed) {
				if !used && slices.ContainsFunc(things, func(d doomed) bool { return d.kind == c.kind && d.digest == c.doom }) {
					used = true
					c.use(t, r)
				}
			}
			collect(t, r, everything)
			if !used {
				t.Fatal("it was never to be removed")
			}
			c.whole(t, r)
			wantWhole(t, a, "f")
			wantNoDangling(t, r)
		})
	}
}

// slowPut begins a PUT with the digest of content, whose body comes out of the pipe.
func slowPut(t *testing.T, r *Registry, content string) (body *io.PipeWriter, answered chan int) {
	t.Helper()
	location, err := do(t, r, http.MethodPost, "/v2/a/blobs/uploads/", nil).Location()
	if err != nil {
		t.Fatal(err)
	}
	q := location.Query()
	q.Set("digest", digest.FromString(content).String())
	location.RawQuery = q.Encode()
	from, body := io.Pipe()
	req, err := http.NewRequest(http.MethodPut, location.String(), from)
	if err != nil {
		t.Fatal(err)
	}
	answered = make(chan int, 1)
	go func() {
		status := 0
		resp, err := r.Transport().RoundTrip(req)
		if err != nil {
			t.Error(err)
		} else {
			resp.Body.Close()
			status = resp.StatusCode
		}
		answered <- status
	}()
	return body, answered
}

// While the gate is held a body is received as ever. Only what the whole of it changes waits.
func TestBodiesAreReceivedWhileTheGateIsHeld(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	body, answered := slowPut(t, r, "slow")
	received := make(chan error, 1)
	err := r.gate.hold(t.Context(), func() {
		go func() {
			_, err := io.WriteString(body, "slow") // a pipe: it has been read then
			body.Close()
			received <- err
		}()
		select {
		case err := <-received:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the body is not received")
		}
		select {
		case status := <-answered:
			t.Error("it has passed the gate")
			answered <- status
		case <-time.After(200 * time.Millisecond): // too short shows less and fails nothing
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if status := <-answered; status != http.StatusCreated {
		t.Error(status)
	}
	if !has(r, "slow") {
		t.Error("nothing is stored")
	}
}

// A disk that is full is answered 507, whichever request meets it, and other failures 500. The registry's tree leads
// to /dev/full here.
func TestFullDiskIsAnswered(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	for _, method := range []string{http.MethodPatch, http.MethodPut} {
		r := open(t, t.TempDir(), Options{})
		send := func() int {
			t.Helper()
			location, err := do(t, r, http.MethodPost, "/v2/a/blobs/uploads/", nil).Location()
			if err != nil {
				t.Fatal(err)
			}
			dirs, err := filepath.Glob(filepath.Join(r.tree.repository("a"), "_uploads", "*"))
			if err != nil || len(dirs) != 1 {
				t.Fatal(dirs, err)
			}
			data := filepath.Join(dirs[0], "data")
			if err := os.Remove(data); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/dev/full", data); err != nil {
				t.Fatal(err)
			}
			q := location.Query()
			q.Set("digest", digest.FromString("content").String())
			location.RawQuery = q.Encode()
			req, err := http.NewRequest(method, location.String(), strings.NewReader("content"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := r.Transport().RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		if status := send(); status != http.StatusInsufficientStorage {
			t.Errorf("%s: %d", method, status)
		}
		select {
		case <-r.pressure:
		default:
			t.Errorf("%s: no collection is asked for", method)
		}
	}
	// A failure of another kind.
	r := open(t, t.TempDir(), Options{})
	if err := os.MkdirAll(filepath.Dir(r.tree.repository("a")), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.tree.repository("a"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if resp := do(t, r, http.MethodPost, "/v2/a/blobs/uploads/", nil); resp.StatusCode != http.StatusInternalServerError {
		t.Error(resp.Status)
	}
}
