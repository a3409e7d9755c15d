//go:build !noembed

package embedded

import (
	"bytes"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
)

// everything is what no rule but being named keeps.
var everything = Rules{Grace: -time.Hour, Uploads: -time.Hour}

func collect(t testing.TB, r *Registry, rules Rules) Collected {
	t.Helper()
	done, err := r.Collect(t.Context(), rules)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// files are the files and empty directories below dir, with their sizes.
func files(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		if e.IsDir() {
			if names, _ := list(name); len(names) == 0 {
				all[rel+"/"] = 0
			}
			return nil
		}
		fi, err := e.Info()
		all[rel] = fi.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func size(m map[string]int64) (n int64) {
	for name, size := range m {
		if strings.HasSuffix(name, "/data") || strings.HasSuffix(name, temporary) {
			n += size
		}
	}
	return n
}

// wantFiles compares what lies below dir, but for directories of blobs' prefixes, which stay.
func wantFiles(t testing.TB, dir string, want map[string]int64) {
	t.Helper()
	got := files(t, dir)
	maps.DeleteFunc(got, func(name string, _ int64) bool {
		return strings.HasPrefix(name, "blobs/sha256/") && strings.Count(name, "/") == 3 && strings.HasSuffix(name, "/")
	})
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is left", name)
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is gone", name)
		}
	}
}

// own is a manifest of a file of ours, in one of the two forms.
func own(name string, compatible bool, layers ...ocispec.Descriptor) []byte {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: "application/vnd.ocidav.file.v1", Config: ocispec.DescriptorEmptyJSON, Layers: layers,
		Annotations: map[string]string{"vnd.ocidav.name": name},
	}
	if compatible {
		m.ArtifactType, m.Config.MediaType = "", unknownConfig
		m.Annotations[ownTypeKey] = "application/vnd.ocidav.file.v1"
	}
	return marshal(m)
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func pushBlob(t testing.TB, repo *remote.Repository, data []byte) ocispec.Descriptor {
	t.Helper()
	if err := repo.Blobs().Push(t.Context(), blob(data), bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	return blob(data)
}

func pushManifest(t testing.TB, repo *remote.Repository, mediaType string, m []byte, reference string) ocispec.Descriptor {
	t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(m), Size: int64(len(m))}
	if reference == "" {
		reference = d.Digest.String()
	}
	if err := repo.Manifests().PushReference(t.Context(), d, bytes.NewReader(m), reference); err != nil {
		t.Fatal(err)
	}
	return d
}

// pushOwn pushes a file of ours.
func pushOwn(t testing.TB, repo *remote.Repository, tag, data string, compatible bool) ocispec.Descriptor {
	t.Helper()
	pushBlob(t, repo, []byte("{}"))
	return pushManifest(t, repo, ocispec.MediaTypeImageManifest, own(tag, compatible, pushBlob(t, repo, []byte(data))), tag)
}

func deleteTag(t testing.TB, r *Registry, repo, tag string) {
	t.Helper()
	if resp := do(t, r, http.MethodDelete, "/v2/"+repo+"/manifests/"+tag, nil); resp.StatusCode != http.StatusAccepted {
		t.Fatalf("delete %s of %s: %s", tag, repo, resp.Status)
	}
}

// wantWhole reads a manifest and all its layers.
func wantWhole(t testing.TB, repo *remote.Repository, reference string) {
	t.Helper()
	d, rc, err := repo.Manifests().FetchReference(t.Context(), reference)
	if err != nil {
		t.Errorf("%s of %s: %v", reference, repo.Reference.Repository, err)
		return
	}
	b, err := content.ReadAll(rc, d)
	rc.Close()
	var m ocispec.Manifest
	if err := errors.Join(err, json.Unmarshal(b, &m)); err != nil {
		t.Errorf("%s: %v", reference, err)
		return
	}
	for _, l := range append(m.Layers, m.Config) {
		if l.Digest == "" || l.Digest.Algorithm() != digest.SHA256 { // of an index; the library answers with another digest
			continue
		}
		rc, err := repo.Blobs().Fetch(t.Context(), l)
		if err != nil {
			t.Errorf("%s: %v", reference, err)
			continue
		}
		if _, err := content.ReadAll(rc, l); err != nil {
			t.Errorf("%s: %v", reference, err)
		}
		rc.Close()
	}
}

// live pushes what stays.
func live(t testing.TB, r *Registry) {
	pushOwn(t, client(t, r, "a"), "f", "new", false)
	pushOwn(t, client(t, r, "a"), "g", "shared", true)
	pushOwn(t, client(t, r, "gone/nested/alive"), "f", "deep", false)
}

// garbage pushes what does not, before what stays.
func garbage(t testing.TB, r *Registry) {
	a := client(t, r, "a")
	for i := range 5 {
		pushOwn(t, a, "f", fmt.Sprint("old", i), i%2 == 0)
		pushOwn(t, a, "g", "shared", i%2 == 0)
	}
	pushOwn(t, a, "deleted", "deleted content", false)
	deleteTag(t, r, "a", "deleted")
	for _, name := range []string{"gone", "gone/nested", "gone/other/deep"} {
		pushOwn(t, client(t, r, name), "f", "of "+name, true)
		pushOwn(t, client(t, r, name), "shared", "shared", true)
		deleteTag(t, r, name, "f")
		deleteTag(t, r, name, "shared")
	}
	pushBlob(t, a, []byte("never named"))
	pushBlob(t, client(t, r, "blobs/only"), []byte("never named either"))
	do(t, r, http.MethodPost, "/v2/uploads/only/blobs/uploads/", nil)
	do(t, r, http.MethodPost, "/v2/a/blobs/uploads/", nil)
	d := digest.FromString("nobody's")
	orphan := filepath.Join(r.tree.blob(d), "data")
	old := filepath.Join(r.tree.repository("a"), "_manifests/tags/f/index/sha256", d.Encoded(), "link")
	for name, text := range map[string]string{
		orphan:            "nobody's",
		orphan + ".x.tmp": "nobo",
		old:               d.String(), // of another program on the same directory
		layerLink(r.tree.repository("a"), d) + ".y.tmp":                                       "sha256:",
		filepath.Join(r.tree.repository("a"), "_manifests/tags/phantom/current/link.z.tmp"):   "sh",
		filepath.Join(r.tree.repository("a"), "_manifests/tags/phantom/index/sha256/00/link"): "sha256:00",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCollectLeavesWhatIsNamed(t *testing.T) {
	clean := open(t, t.TempDir(), Options{})
	live(t, clean)
	want := files(t, string(clean.tree))

	r := open(t, t.TempDir(), Options{})
	garbage(t, r)
	live(t, r)
	before := files(t, string(r.tree))

	dry := everything
	dry.DryRun = true
	promised := collect(t, r, dry)
	if now := files(t, string(r.tree)); !maps.Equal(now, before) {
		t.Error("a dry run has changed something")
	}
	done := collect(t, r, everything)
	wantFiles(t, string(r.tree), want)
	if promised.Repositories = done.Repositories; done != promised {
		t.Errorf("promised %+v, done %+v", promised, done)
	}
	if freed := size(before) - size(want); done.Bytes-int64(len("sha256:")+len("sh")) < freed || done.Manifests != 13 || done.Repositories != 5 || done.Uploads != 2 {
		t.Errorf("%+v, freed %d bytes", done, freed)
	}
	if again := collect(t, r, everything); again != (Collected{}) {
		t.Errorf("the next collection: %+v", again)
	}
	for repo, tag := range map[string]string{"a": "f", "gone/nested/alive": "f"} {
		wantWhole(t, client(t, r, repo), tag)
	}
	wantWhole(t, client(t, r, "a"), "g")
	garbage(t, r) // what was removed can be written again
	live(t, r)
	collect(t, r, everything)
	wantFiles(t, string(r.tree), want)
}

// What others have pushed stays, named by a tag or not, and so does what it names.
func TestCollectKeepsWhatOthersHavePushed(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	repo := client(t, r, "others")
	empty := pushBlob(t, repo, []byte("{}"))
	empty.MediaType = ocispec.MediaTypeEmptyJSON
	image := func(text, artifactType string, subject *ocispec.Descriptor) []byte {
		return marshal(ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType,
			Config: empty, Layers: []ocispec.Descriptor{pushBlob(t, repo, []byte(text))}, Subject: subject,
		})
	}
	const oci, docker = ocispec.MediaTypeImageManifest, "application/vnd.docker.distribution.manifest.v2+json"
	wanted := []string{}
	keep := func(d ocispec.Descriptor) ocispec.Descriptor {
		wanted = append(wanted, d.Digest.String())
		return d
	}
	keep(pushManifest(t, repo, oci, image("untagged", "application/example", nil), ""))
	// A version of ours that somebody has signed, and the signature; the version after it is not signed.
	signed := keep(pushOwn(t, repo, "file", "signed version", false))
	keep(pushManifest(t, repo, oci, image("signature", "application/signature", &signed), ""))
	pushOwn(t, repo, "file", "unsigned version", false)
	byTag := keep(pushOwn(t, repo, "file", "signed by a tag", true))
	pushManifest(t, repo, oci, image("cosign", "", nil), "sha256-"+byTag.Digest.Encoded()+".sig")
	// Members of an index, one of ours among them, and an index in the index.
	member := keep(pushOwn(t, repo, "file", "a member", false))
	inner := keep(pushManifest(t, repo, ocispec.MediaTypeImageIndex, marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{member},
	}), ""))
	pushManifest(t, repo, ocispec.MediaTypeImageIndex, marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{inner},
	}), "index")
	// Docker's types.
	config := pushBlob(t, repo, []byte(`{"architecture":"arm"}`))
	keep(pushManifest(t, repo, docker, marshal(map[string]any{
		"schemaVersion": 2, "mediaType": docker,
		"config": map[string]any{"mediaType": "application/vnd.docker.container.image.v1+json", "digest": config.Digest, "size": config.Size},
		"layers": []any{map[string]any{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
			"digest": pushBlob(t, repo, []byte("rootfs")).Digest, "size": 6}},
	}), ""))
	// A layer that is named by another algorithm than the one by which it is stored.
	data := []byte("named by sha512")
	long := ocispec.Descriptor{MediaType: "application/octet-stream", Size: int64(len(data)), Digest: digest.NewDigestFromBytes(digest.SHA512, func() []byte { s := sha512.Sum512(data); return s[:] }())}
	if err := repo.Blobs().Push(t.Context(), long, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	pushManifest(t, repo, oci, own("long", false, long), "long")
	last := pushOwn(t, repo, "file", "last", false)

	repo.ManifestMediaTypes = []string{oci, docker, ocispec.MediaTypeImageIndex}
	for range 2 {
		if done := collect(t, r, everything); done.Manifests > 1 {
			t.Errorf("%+v", done)
		}
		for _, reference := range append(wanted, "file", "index", "long", "sha256-"+byTag.Digest.Encoded()+".sig", last.Digest.String()) {
			wantWhole(t, repo, reference)
		}
	}
	resp := do(t, r, http.MethodGet, "/v2/others/blobs/"+long.Digest.String(), nil)
	if b, err := io.ReadAll(resp.Body); !bytes.Equal(b, data) {
		t.Errorf("the layer named by sha512: %s, %q, %v", resp.Status, b, err)
	}
	if ok, err := repo.Blobs().Exists(t.Context(), blob([]byte("unsigned version"))); ok || err != nil {
		t.Errorf("a superseded version: %v, %v", ok, err)
	}
}

// What cannot be read is no reason to remove something.
func TestCollectInDoubt(t *testing.T) {
	for what, damage := range map[string]func(r *Registry, d digest.Digest) error{
		"an empty tag": func(r *Registry, d digest.Digest) error {
			return os.Truncate(tagLink(r.tree.repository("a"), "f"), 0)
		},
		"a damaged manifest": func(r *Registry, d digest.Digest) error {
			return os.WriteFile(filepath.Join(r.tree.blob(d), "data"), []byte(`{"schemaVersion":2}`), 0o666)
		},
		"a lost manifest": func(r *Registry, d digest.Digest) error {
			return os.Remove(filepath.Join(r.tree.blob(d), "data"))
		},
	} {
		r := open(t, t.TempDir(), Options{})
		pushOwn(t, client(t, r, "a"), "f", "old", false)
		d := pushOwn(t, client(t, r, "a"), "f", "new", false)
		pushOwn(t, client(t, r, "b"), "f", "old of another", false)
		pushOwn(t, client(t, r, "b"), "f", "new of another", false)
		if err := damage(r, d.Digest); err != nil {
			t.Fatal(err)
		}
		if done := collect(t, r, everything); done.Manifests != 1 {
			t.Errorf("%s: %+v", what, done)
		}
		for text, want := range map[string]bool{"old": true, "new": true, "old of another": false, "new of another": true} {
			f, err := r.OpenBlob(digest.FromString(text))
			if (f != nil) != want || err != nil {
				t.Errorf("%s: content %q: %v, %v", what, text, f != nil, err)
			}
			f.Close()
		}
	}
}

// older makes all that is in the tree older.
func older(t testing.TB, r *Registry, by time.Duration) {
	t.Helper()
	err := filepath.WalkDir(string(r.tree), func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := os.Lstat(name)
		if err != nil {
			return err
		}
		then := fi.ModTime().Add(-by)
		return os.Chtimes(name, then, then)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestGrace(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	repo := client(t, r, "a")
	has := func(data string) bool {
		t.Helper()
		f, err := r.OpenBlob(digest.FromString(data))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		return f != nil
	}
	want := func(when string, present bool, contents ...string) {
		t.Helper()
		collect(t, r, Running)
		for _, data := range contents {
			if has(data) != present {
				t.Errorf("%s: %q is there: %v", when, data, !present)
			}
		}
	}
	pushOwn(t, repo, "f", "first", false)
	pushOwn(t, repo, "g", "deleted", false)
	pushBlob(t, repo, []byte("asked for"))
	pushBlob(t, repo, []byte("not asked for"))
	pushBlob(t, repo, []byte("pushed again"))
	pushBlob(t, repo, []byte("mounted"))
	old := pushOwn(t, repo, "h", "asked by digest", false)
	pushOwn(t, repo, "h", "h", false)
	older(t, r, 2*time.Hour)

	pushOwn(t, repo, "f", "second", false)
	deleteTag(t, r, "a", "g")
	repo.Blobs().Exists(t.Context(), blob([]byte("asked for")))
	repo.Manifests().Exists(t.Context(), old)
	pushBlob(t, repo, []byte("pushed again"))
	do(t, r, http.MethodPost, "/v2/b/blobs/uploads/?from=a&mount="+digest.FromString("mounted").String(), nil)
	stays := []string{"first", "deleted", "asked for", "pushed again", "mounted", "asked by digest"}
	want("within the grace", true, stays...)
	want("not used", false, "not asked for")
	older(t, r, 2*time.Hour)
	want("after the grace", false, stays...)
	want("named", true, "second", "h")

	// Uploads count from when they were last gone on with.
	resp := do(t, r, http.MethodPost, "/v2/a/blobs/uploads/", nil)
	older(t, r, 23*time.Hour)
	if done := collect(t, r, Running); done.Uploads != 0 {
		t.Errorf("%+v", done)
	}
	location, _ := resp.Location()
	req, _ := http.NewRequest(http.MethodPatch, location.String(), strings.NewReader("more"))
	if resp, err := r.Transport().RoundTrip(req); err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp, err)
	}
	older(t, r, 23*time.Hour)
	if done := collect(t, r, Running); done.Uploads != 0 {
		t.Errorf("gone on with: %+v", done)
	}
	older(t, r, 2*time.Hour)
	if done := collect(t, r, Running); done.Uploads != 1 || done.Bytes < 4 {
		t.Errorf("%+v", done)
	}
}

func TestReaderOfCollectedBlob(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	data := strings.Repeat("0123456789abcdef", 1<<16)
	pushOwn(t, client(t, r, "a"), "f", data, false)
	f, err := r.OpenBlob(digest.FromString(data))
	if err != nil || f == nil {
		t.Fatal(f, err)
	}
	defer f.Close()
	rc, err := client(t, r, "a").Blobs().Fetch(t.Context(), blob([]byte(data)))
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	deleteTag(t, r, "a", "f")
	if done := collect(t, r, everything); done.Bytes < int64(len(data)) {
		t.Errorf("%+v", done)
	}
	for _, from := range []io.Reader{f, rc} {
		if b, err := io.ReadAll(from); err != nil || string(b) != data {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	}
}

// Whatever ends a collection, what is left is whole, and the next one finishes it.
func TestCollectionCutAnywhere(t *testing.T) {
	clean := open(t, t.TempDir(), Options{})
	live(t, clean)
	want := files(t, string(clean.tree))
	full := t.TempDir()
	r := open(t, full, Options{})
	garbage(t, r)
	live(t, r)
	steps := 0
	r.fault = func(doomed) error { steps++; return nil }
	dry := everything
	dry.DryRun = true
	collect(t, r, dry)
	if steps < 50 {
		t.Fatalf("%d steps", steps)
	}
	cut := errors.New("cut")
	for n := range steps {
		dir := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(dir, os.DirFS(full)); err != nil {
			t.Fatal(err)
		}
		c := open(t, dir, Options{})
		left := n
		c.fault = func(doomed) error {
			if left--; left < 0 {
				return cut
			}
			return nil
		}
		if _, err := c.Collect(t.Context(), everything); !errors.Is(err, cut) {
			t.Errorf("cut at %d: %v", n, err)
		}
		for _, file := range []string{"a:f", "a:g", "gone/nested/alive:f"} {
			repo, tag, _ := strings.Cut(file, ":")
			wantWhole(t, client(t, c, repo), tag)
		}
		wantNoDangling(t, c)
		c.fault = nil
		collect(t, c, everything)
		wantFiles(t, string(c.tree), want)
		if t.Failed() {
			t.Fatalf("cut at step %d", n)
		}
		c.Close()
	}
	t.Logf("cut at %d points", steps)
}

// wantNoDangling looks whether what is linked is there: a registry that says so of a blob has it.
func wantNoDangling(t testing.TB, r *Registry) {
	t.Helper()
	for name := range files(t, string(r.tree)) {
		parts := strings.Split(name, "/")
		if n := len(parts); parts[n-1] == "link" && !slices.Contains(parts, "tags") {
			d, err := readLink(filepath.Join(string(r.tree), name))
			if err != nil || !exists(filepath.Join(r.tree.blob(d), "data")) {
				t.Errorf("%s is linked and not there", name)
			}
		}
	}
}

// What keeps a full disk full goes soon after a writer has met it, and not only after the usual interval and grace.
func TestCollectUnderPressure(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	pushOwn(t, client(t, r, "a"), "f", "deleted", false)
	deleteTag(t, r, "a", "f")
	older(t, r, 2*pressureGrace)
	r.CollectEvery(time.Hour)
	gone := func() bool { return !exists(r.tree.blob(digest.FromString("deleted"))) }
	time.Sleep(50 * time.Millisecond)
	if gone() {
		t.Error("gone within the grace")
	}
	r.pressed()
	r.pressed() // does not wait
	for deadline := time.Now().Add(10 * time.Second); !gone(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still there")
		}
	}
}
