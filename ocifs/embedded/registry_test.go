//go:build !noembed

package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
)

func open(t testing.TB, dir string, o Options) *Registry {
	t.Helper()
	r, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// client is oras-go's client of one repository, over the transport.
func client(t testing.TB, r *Registry, name string) *remote.Repository {
	t.Helper()
	repo, err := remote.NewRepository(Host + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	repo.PlainHTTP = true
	repo.Client = &http.Client{Transport: r.Transport()}
	if err := repo.SetReferrersCapability(true); err != nil {
		t.Fatal(err)
	}
	return repo
}

func blob(b []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: "application/octet-stream", Digest: digest.FromBytes(b), Size: int64(len(b))}
}

// pushFile pushes a manifest with one layer to tag.
func pushFile(ctx context.Context, repo *remote.Repository, tag string, data []byte) (ocispec.Descriptor, error) {
	empty := ocispec.DescriptorEmptyJSON
	for _, b := range []struct {
		ocispec.Descriptor
		data []byte
	}{{empty, []byte("{}")}, {blob(data), data}} {
		if err := repo.Blobs().Push(ctx, b.Descriptor, bytes.NewReader(b.data)); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	m := manifest(tag, blob(data))
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(m), Size: int64(len(m))}
	return d, repo.Manifests().PushReference(ctx, d, bytes.NewReader(m), tag)
}

func manifest(title string, layer ocispec.Descriptor) []byte {
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example",
		Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{layer},
		Annotations: map[string]string{ocispec.AnnotationTitle: title},
	}
	m.SchemaVersion = 2
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// do sends a request of its own making over the transport.
func do(t testing.TB, r *Registry, method, path string, header http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+Host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	resp, err := r.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestPushAndFetch(t *testing.T) {
	ctx := t.Context()
	r := open(t, t.TempDir(), Options{})
	repo := client(t, r, "team/files")
	for _, data := range [][]byte{[]byte("hello"), bytes.Repeat([]byte("0123456789abcdef"), 1<<17)} { // 5 B, 2 MiB
		d, err := pushFile(ctx, repo, "a", data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := repo.Resolve(ctx, "a")
		if err != nil || got.Digest != d.Digest {
			t.Errorf("resolve: %v, %v, want %v", got.Digest, err, d.Digest)
		}
		rc, err := repo.Blobs().Fetch(ctx, blob(data))
		if err != nil {
			t.Fatal(err)
		}
		b, err := content.ReadAll(rc, blob(data))
		rc.Close()
		if err != nil || !bytes.Equal(b, data) {
			t.Errorf("fetch: %d bytes, %v, want %d", len(b), err, len(data))
		}
	}
	if _, err := repo.Resolve(ctx, "absent"); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("resolve an absent tag: %v", err)
	}
	if _, err := repo.Blobs().Resolve(ctx, blob([]byte("x")).Digest.String()); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("resolve an absent blob: %v", err)
	}
}

func TestOpenBlob(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	data := []byte("content")
	d, err := pushFile(t.Context(), client(t, r, "a/b"), "x", data)
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[digest.Digest]string{blob(data).Digest: "content", d.Digest: string(manifest("x", blob(data)))} {
		f, err := r.OpenBlob(what)
		if err != nil || f == nil {
			t.Fatalf("%s: %v, %v", what, f, err)
		}
		got, err := io.ReadAll(f)
		if err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", what, got, err)
		}
		f.Close()
	}
	if f, err := r.OpenBlob(digest.FromString("absent")); f != nil || err != nil {
		t.Errorf("a blob that is not there: %v, %v", f, err)
	}
	for _, bad := range []digest.Digest{"", "x", "sha256:../../../../ocidav.secret", "sha256:" + digest.Digest(strings.Repeat("/", 64))} {
		if f, err := r.OpenBlob(bad); f != nil || err == nil {
			t.Errorf("%q opens %v", bad, f)
		}
	}
}

func TestTagged(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	d, err := pushFile(t.Context(), client(t, r, "a/b"), "x", []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Tagged("a/b", "x"); got != d.Digest {
		t.Errorf("it is %q, want %s", got, d.Digest)
	}
	for _, ref := range [][2]string{
		{"a/b", "y"}, {"a/b", ""}, {"a/b", "."}, {"a/b", ".."}, {"a/b", "../tags/x"}, {"a/b", "x/"}, {"a/b", "x/../x"}, {"a/b", "x\\"},
		{"a", "x"}, {"", "x"}, {"a/../a/b", "x"}, {"a//b", "x"}, {"/a/b", "x"}, {"a/b/", "x"}, {"a/b/.", "x"},
	} {
		if got := r.Tagged(ref[0], ref[1]); got != "" {
			t.Errorf("%q in %q is %s", ref[1], ref[0], got)
		}
	}
	if resp := do(t, r, http.MethodDelete, "/v2/a/b/manifests/x", nil); resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp.Status)
	}
	if got := r.Tagged("a/b", "x"); got != "" {
		t.Errorf("what is deleted is %s", got)
	}
	if _, err := pushFile(t.Context(), client(t, r, "a/b"), "x", []byte("content")); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got := r.Tagged("a/b", "x"); got != "" {
		t.Errorf("of a closed registry it is %s", got)
	}
}

func TestTagsComeInPages(t *testing.T) {
	ctx := t.Context()
	repo := client(t, open(t, t.TempDir(), Options{}), "r")
	var want []string
	for i := range 7 {
		want = append(want, fmt.Sprintf("t%d", i))
		if _, err := pushFile(ctx, repo, want[i], []byte(want[i])); err != nil {
			t.Fatal(err)
		}
	}
	repo.TagListPageSize = 3
	var got []string
	pages := 0
	err := repo.Tags(ctx, "", func(page []string) error { got = append(got, page...); pages++; return nil })
	if err != nil || pages != 3 || !slices.Equal(got, want) {
		t.Errorf("got %v in %d pages, %v", got, pages, err)
	}
}

func TestDelete(t *testing.T) {
	ctx := t.Context()
	r := open(t, t.TempDir(), Options{})
	repo := client(t, r, "d")
	d, err := pushFile(ctx, repo, "a", []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	if err := repo.Tag(ctx, d, "b"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{http.StatusAccepted, http.StatusNotFound} {
		if resp := do(t, r, http.MethodDelete, "/v2/d/manifests/a", nil); resp.StatusCode != want {
			t.Errorf("delete tag: %s, want %d", resp.Status, want)
		}
	}
	if _, err := repo.Resolve(ctx, "b"); err != nil {
		t.Errorf("the other tag: %v", err)
	}
	if err := repo.Delete(ctx, d); err != nil {
		t.Errorf("delete digest: %v", err)
	}
	if _, err := repo.Resolve(ctx, "b"); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("tag of a deleted digest: %v", err)
	}
}

func TestRangeAndMountAndCatalog(t *testing.T) {
	ctx := t.Context()
	r := open(t, t.TempDir(), Options{})
	data := []byte("0123456789")
	if _, err := pushFile(ctx, client(t, r, "src"), "a", data); err != nil {
		t.Fatal(err)
	}
	path := "/v2/src/blobs/" + blob(data).Digest.String()
	resp := do(t, r, http.MethodGet, path, http.Header{"Range": {"bytes=2-4"}})
	b, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusPartialContent || string(b) != "234" || err != nil || resp.ContentLength != 3 {
		t.Errorf("range: %s, %q, %v, length %d", resp.Status, b, err, resp.ContentLength)
	}
	if resp := do(t, r, http.MethodGet, path, http.Header{"Range": {"bytes=20-"}}); resp.StatusCode != 416 {
		t.Errorf("range past the end: %s", resp.Status)
	}
	if resp := do(t, r, http.MethodHead, path, nil); resp.ContentLength != 10 || resp.Body != http.NoBody {
		t.Errorf("HEAD: length %d, body %v", resp.ContentLength, resp.Body)
	}
	dst := client(t, r, "dst")
	err = dst.Mount(ctx, blob(data), "src", func() (io.ReadCloser, error) { return nil, errors.New("not mounted") })
	if err != nil {
		t.Errorf("mount: %v", err)
	}
	if ok, err := dst.Blobs().Exists(ctx, blob(data)); !ok || err != nil {
		t.Errorf("mounted blob: %v, %v", ok, err)
	}
	b, _ = io.ReadAll(do(t, r, http.MethodGet, "/v2/_catalog", nil).Body)
	if want := `{"repositories":["src"]}`; strings.TrimSpace(string(b)) != want {
		t.Errorf("catalog: %s, want %s", b, want)
	}
	req, _ := http.NewRequest(http.MethodPost, "http://"+Host+"/v2/dst/blobs/uploads/", nil)
	up, err := r.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := up.Location(); err != nil || l.Host != Host || l.Scheme != "http" {
		t.Errorf("location of an upload: %v, %v", l, err)
	}
}

func TestChangedBeforeTheAnswer(t *testing.T) {
	ctx := t.Context()
	var mu sync.Mutex
	var got []string
	take := func() []string {
		mu.Lock()
		defer mu.Unlock()
		g := got
		got = nil
		return g
	}
	r := open(t, t.TempDir(), Options{Changed: func(repository, reference string) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, repository+" "+reference)
	}})
	listener := httptest.NewServer(r)
	defer listener.Close()
	outside := client(t, r, "a/manifests/b")
	outside.Client = http.DefaultClient
	outside.Reference.Registry = strings.TrimPrefix(listener.URL, "http://")
	for side, repo := range map[string]*remote.Repository{"inside": client(t, r, "a/manifests/b"), "outside": outside} {
		d, err := pushFile(ctx, repo, "t", []byte(side))
		if err != nil {
			t.Fatalf("%s: %v", side, err)
		}
		if g := take(); !slices.Equal(g, []string{"a/manifests/b t"}) {
			t.Errorf("%s: after a push: %q", side, g)
		}
		if _, err := repo.Resolve(ctx, "t"); err != nil {
			t.Errorf("%s: %v", side, err)
		}
		if g := take(); g != nil {
			t.Errorf("%s: after a read: %q", side, g)
		}
		if err := repo.Delete(ctx, d); err != nil {
			t.Errorf("%s: %v", side, err)
		}
		if g := take(); !slices.Equal(g, []string{"a/manifests/b " + d.Digest.String()}) {
			t.Errorf("%s: after a deletion: %q", side, g)
		}
	}
	do(t, r, http.MethodDelete, "/v2/a/manifests/absent", nil)
	if g := take(); g != nil {
		t.Errorf("after a refusal: %q", g)
	}
}

func TestChangedManifest(t *testing.T) {
	for _, c := range []struct{ method, path, want string }{
		{"PUT", "/v2/a/manifests/t", "a t"},
		{"DELETE", "/v2/a/b/manifests/sha256:00", "a/b sha256:00"},
		{"PUT", "/v2/manifests/manifests/manifests/t", "manifests/manifests t"},
		{"GET", "/v2/a/manifests/t", ""},
		{"PUT", "/v2/a/blobs/uploads/x", ""},
		{"PUT", "/v2/a/manifests/b/blobs/uploads/x", ""},
		{"DELETE", "/v2/a/manifests/", ""},
		{"PUT", "/v2/manifests/t", ""},
		{"PUT", "/x/manifests/t", ""},
	} {
		repository, reference, ok := changedManifest(httptest.NewRequest(c.method, c.path, nil))
		if got := strings.TrimSpace(repository + " " + reference); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s %s: %q, %v, want %q", c.method, c.path, got, ok, c.want)
		}
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, Options{})
	if _, err := Open(dir, Options{}); err == nil || err.Error() != "data directory "+dir+" is in use by another process" {
		t.Errorf("second open: %v", err)
	}
	if _, err := pushFile(t.Context(), client(t, r, "r"), "t", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(filepath.Join(dir, secretName))
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest(http.MethodPost, "http://"+Host+"/v2/r/blobs/uploads/", nil)
	upload, err := r.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, r, "r").Resolve(t.Context(), "t"); err == nil {
		t.Error("a closed registry answers")
	}

	r = open(t, dir, Options{})
	repo := client(t, r, "r")
	if _, err := repo.Resolve(t.Context(), "t"); err != nil {
		t.Errorf("after reopening: %v", err)
	}
	if rc, err := repo.Blobs().Fetch(t.Context(), blob([]byte("kept"))); err != nil {
		t.Errorf("after reopening: %v", err)
	} else {
		rc.Close()
	}
	if again, _ := os.ReadFile(filepath.Join(dir, secretName)); !bytes.Equal(secret, again) {
		t.Error("the secret has changed")
	}
	late := []byte("late")
	location, err := upload.Location()
	if err != nil {
		t.Fatal(err)
	}
	q := location.Query()
	q.Set("digest", blob(late).Digest.String())
	location.RawQuery = q.Encode()
	put, _ := http.NewRequest(http.MethodPut, location.String(), bytes.NewReader(late))
	if resp, err := r.Transport().RoundTrip(put); err != nil || resp.StatusCode != http.StatusCreated {
		t.Errorf("upload begun before the restart: %v, %v", resp, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", file, filepath.Join(file, "below")} {
		if _, err := Open(dir, Options{}); err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), dir) {
			t.Errorf("%q: %v", dir, err)
		}
	}
	folds := func(string) (bool, error) { return true, nil }
	if _, err := openDirectory(t.TempDir(), folds); err == nil || !strings.Contains(err.Error(), "ignores the case") {
		t.Errorf("a file system that ignores case: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	d, err := openDirectory(dir, ignoresCase)
	if err != nil {
		t.Fatal(err)
	}
	defer d.lock.Close()
	for name, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, secretName): 0o600} {
		if fi, err := os.Stat(name); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*probe*")); names != nil {
		t.Errorf("left behind: %v", names)
	}
	if _, err := newApp(t.Context(), directory{}); err == nil {
		t.Error("the library starts without a directory")
	}
}

func TestConcurrentPushes(t *testing.T) {
	ctx := t.Context()
	r := open(t, t.TempDir(), Options{Changed: func(string, string) {}})
	shared := bytes.Repeat([]byte("shared"), 50_000)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			repo := client(t, r, fmt.Sprintf("r%d", i%2))
			for j := range 5 {
				data := fmt.Appendf(nil, "%d %d", i, j)
				if j == 0 {
					data = shared
				}
				if _, err := pushFile(ctx, repo, fmt.Sprintf("t%d-%d", i, j), data); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range 2 {
		n := 0
		err := client(t, r, fmt.Sprintf("r%d", i)).Tags(ctx, "", func(p []string) error { n += len(p); return nil })
		if err != nil || n != 20 {
			t.Errorf("r%d: %d tags, %v", i, n, err)
		}
	}
}

func TestLogHasFailuresOnly(t *testing.T) {
	var out bytes.Buffer
	dir := t.TempDir()
	r := open(t, dir, Options{Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))})
	repo := client(t, r, "r")
	if _, err := pushFile(t.Context(), repo, "t", []byte("x")); err != nil {
		t.Fatal(err)
	}
	repo.Resolve(t.Context(), "absent")
	if out.Len() > 0 {
		t.Errorf("logged without a failure: %s", out.String())
	}
	link := filepath.Join(dir, "docker/registry/v2/repositories/r/_manifests/tags/t/current/link")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(link, 0o700); err != nil {
		t.Fatal(err)
	}
	if resp := do(t, r, http.MethodGet, "/v2/r/manifests/t", nil); resp.StatusCode != 500 {
		t.Errorf("a damaged tag: %s", resp.Status)
	}
	if got := out.String(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "is a directory") {
		t.Errorf("a failure was logged as %q", got)
	}
}

func TestNoembedLinksNoRegistry(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-tags", "noembed", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, dep := range strings.Fields(string(out)) {
		if strings.HasPrefix(dep, "github.com/") && !strings.HasPrefix(dep, "github.com/opencontainers/") {
			t.Errorf("links %s", dep)
		}
	}
}

func BenchmarkSmallPushes(b *testing.B) {
	repo := client(b, open(b, b.TempDir(), Options{}), "r")
	if err := repo.Blobs().Push(b.Context(), ocispec.DescriptorEmptyJSON, strings.NewReader("{}")); err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 4<<10)
	for i := 0; b.Loop(); i++ {
		copy(data, fmt.Sprint(i))
		if err := repo.Blobs().Push(b.Context(), blob(data), bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
		m := manifest("f", blob(data))
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(m), Size: int64(len(m))}
		if err := repo.Manifests().PushReference(b.Context(), d, bytes.NewReader(m), fmt.Sprintf("f%d", i)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkManifestGet(b *testing.B) {
	r := open(b, b.TempDir(), Options{})
	if _, err := pushFile(b.Context(), client(b, r, "r"), "t", []byte("x")); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		req, _ := http.NewRequest(http.MethodGet, "http://"+Host+"/v2/r/manifests/t", nil)
		req.Header.Set("Accept", ocispec.MediaTypeImageManifest)
		resp, err := r.Transport().RoundTrip(req)
		if err != nil || resp.StatusCode != 200 {
			b.Fatal(resp, err)
		}
		resp.Body.Close()
	}
}

func BenchmarkLargeBlob(b *testing.B) {
	repo := client(b, open(b, b.TempDir(), Options{}), "r")
	data := bytes.Repeat([]byte("0123456789abcdef"), 16<<20/16)
	if err := repo.Blobs().Push(b.Context(), blob(data), bytes.NewReader(data)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		rc, err := repo.Blobs().Fetch(b.Context(), blob(data))
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, rc); err != nil || n != int64(len(data)) {
			b.Fatal(n, err)
		}
		rc.Close()
	}
}
