//go:build !noembed

package embedded

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/opencontainers/go-digest"
)

// has says whether the registry's directory has a content.
func has(r *Registry, data string) bool {
	return exists(filepath.Join(r.tree.blob(digest.FromString(data)), "data"))
}

// What names the content is not there, for a while: a backup of which half has been restored, a volume that is not
// mounted. That is no reason to take the content for one that nobody names.
func TestCollectWithoutWhatNames(t *testing.T) {
	for what, hide := range map[string]func(r *Registry, aside string) error{
		"no repositories": func(r *Registry, aside string) error {
			return os.Rename(r.tree.repositories(), aside)
		},
		"repositories are a file": func(r *Registry, aside string) error {
			if err := os.Rename(r.tree.repositories(), aside); err != nil {
				return err
			}
			return os.WriteFile(r.tree.repositories(), nil, 0o666)
		},
		"a repository on a volume that is not there": func(r *Registry, aside string) error {
			if err := os.Rename(r.tree.repository("a"), aside); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(aside, "not mounted"), r.tree.repository("a"))
		},
		"links on a volume that is not there": func(r *Registry, aside string) error {
			dir := filepath.Join(r.tree.repository("a"), "_manifests")
			if err := os.Rename(dir, aside); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(aside, "not mounted"), dir)
		},
		"layers on a volume that is not there": func(r *Registry, aside string) error {
			dir := filepath.Join(r.tree.repository("a"), "_layers")
			if err := os.Rename(dir, aside); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(aside, "not mounted"), dir)
		},
	} {
		t.Run(what, func(t *testing.T) {
			r := open(t, t.TempDir(), Options{})
			pushOwn(t, client(t, r, "a"), "f", "content", false)
			pushBlob(t, client(t, r, "b"), []byte("of another"))
			if err := hide(r, filepath.Join(t.TempDir(), "aside")); err != nil {
				t.Fatal(err)
			}
			if done, err := r.Collect(t.Context(), everything); err == nil || done.Blobs > 0 {
				t.Errorf("%+v, %v", done, err)
			}
			if !has(r, "content") || !has(r, "{}") {
				t.Error("content is gone")
			}
		})
	}
}

// A directory in which nothing was ever pushed has nothing to collect, and that is no failure.
func TestCollectNothing(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	if done := collect(t, r, everything); done != (Collected{}) {
		t.Errorf("%+v", done)
	}
}

// A tag names a manifest whose link is lost: nobody can read it until somebody has put it right, and then there has to be
// something to put right.
func TestCollectKeepsWhatATagNames(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	repo := client(t, r, "a")
	d := pushOwn(t, repo, "f", "content", false)
	link := revisionLink(r.tree.repository("a"), d.Digest)
	text, err := os.ReadFile(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(link)); err != nil {
		t.Fatal(err)
	}
	// Another manifest's name keeps this one, and that is not enough for what it needs.
	pushManifest(t, repo, ocispec.MediaTypeImageManifest, own("signature", false), "sha256-"+d.Digest.Encoded()+".sig")
	collect(t, r, everything)
	if err := publish(link, text); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, repo, "f")
	collect(t, r, everything)
	wantWhole(t, repo, "f")
}

// Files of others in the tree, hidden directories (snapshots among them), and files where directories should be, hold up
// no collection and stay.
func TestCollectAmongForeignFiles(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	garbage(t, r)
	live(t, r)
	a := r.tree.repository("a")
	foreign := []string{
		filepath.Join(r.tree.repositories(), ".DS_Store"),
		filepath.Join(r.tree.repositories(), "README"),
		filepath.Join(r.tree.repositories(), ".snapshot", "_manifests", "tags", "t", "current", "link"),
		filepath.Join(a, "notes"),
		filepath.Join(a, "_manifests", "tags", "notes"),
		filepath.Join(a, "_manifests", "revisions", "notes"),
		filepath.Join(a, "_layers", "notes"),
		filepath.Join(a, "_layers", "sha256", strings.Repeat("0", 64)),
		filepath.Join(string(r.tree), "blobs", ".DS_Store"),
		filepath.Join(string(r.tree), "blobs", "sha256", "notes"),
		filepath.Join(string(r.tree), "blobs", "sha256", "00", strings.Repeat("0", 64)),
	}
	for _, name := range foreign {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("notes"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if done := collect(t, r, everything); done.Manifests != 13 {
		t.Errorf("%+v", done)
	}
	for _, name := range foreign {
		if !exists(name) {
			t.Errorf("%s is gone", name)
		}
	}
	wantWhole(t, client(t, r, "a"), "f")
	wantWhole(t, client(t, r, "a"), "g")
}

// A manifest names content in any case of letters, as the library reads it; and one that names something that cannot be
// understood keeps all that is in its repository.
func TestCollectKeepsWhatIsNamedOddly(t *testing.T) {
	for what, layer := range map[string]string{
		"other letters": `{"MediaType":"text/plain","Digest":"` + digest.FromString("content").String() + `","size":7}`,
		"another kind":  `{"mediaType":"text/plain","digest":"` + digest.FromString("content").String() + `","size":7},{"digest":"tarsum.v1+sha256:00"}`,
	} {
		t.Run(what, func(t *testing.T) {
			r := open(t, t.TempDir(), Options{})
			repo := client(t, r, "a")
			empty := pushBlob(t, repo, []byte("{}"))
			pushBlob(t, repo, []byte("content"))
			pushBlob(t, repo, []byte("unnamed"))
			text := `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` +
				empty.Digest.String() + `","size":2},"layers":[` + layer + `]}`
			m := []byte(text)
			if what == "other letters" {
				pushManifest(t, repo, ocispec.MediaTypeImageManifest, m, "f")
			} else { // this library would not take it, an older one did
				d := digest.FromBytes(m)
				for name, text := range map[string]string{
					filepath.Join(r.tree.blob(d), "data"):   string(m),
					revisionLink(r.tree.repository("a"), d): d.String(),
					tagLink(r.tree.repository("a"), "f"):    d.String(),
				} {
					if err := publish(name, []byte(text)); err != nil {
						t.Fatal(err)
					}
				}
			}
			collect(t, r, everything)
			if !has(r, "content") {
				t.Error("named content is gone")
			}
			if has(r, "unnamed") != (what == "another kind") {
				t.Errorf("unnamed content: %v", has(r, "unnamed"))
			}
			resp := do(t, r, http.MethodGet, "/v2/a/blobs/"+digest.FromString("content").String(), nil)
			if resp.StatusCode != http.StatusOK {
				t.Error(resp.Status)
			}
		})
	}
}
