//go:build !noembed

package embedded

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestCollectionSeesWhatPasses stops a collection between its looks at one repository and at the next, and at the blobs,
// for what somebody does there: what has been looked at already is used again. Without grace only the gate knows of it.
func TestCollectionSeesWhatPasses(t *testing.T) {
	const data = "the content"
	for name, c := range map[string]struct {
		looked    []string // repositories, before somebody comes
		use       func(t *testing.T, r *Registry)
		then      []string // repositories, after it
		repo, tag string   // what must be whole
	}{
		"moved to a repository that was looked at": {[]string{"b"}, func(t *testing.T, r *Registry) {
			for _, d := range []digest.Digest{digest.FromString(data), digest.FromString("{}")} {
				if resp := do(t, r, http.MethodPost, "/v2/b/blobs/uploads/?mount="+d.String()+"&from=a", nil); resp.StatusCode != http.StatusCreated {
					t.Fatal(resp.Status)
				}
			}
			pushManifest(t, client(t, r, "b"), "application/vnd.oci.image.manifest.v1+json", own("moved", false, blob([]byte(data))), "moved")
			deleteTag(t, r, "a", "f")
		}, []string{"a"}, "b", "moved"},
		"pushed again": {[]string{"a", "b"}, func(t *testing.T, r *Registry) {
			pushOwn(t, client(t, r, "b"), "again", data, false)
			deleteTag(t, r, "a", "f")
		}, []string{"a"}, "b", "again"},
		"named again where it lies": {[]string{"b"}, func(t *testing.T, r *Registry) {
			pushManifest(t, client(t, r, "b"), "application/vnd.oci.image.manifest.v1+json", own("new", false, blob([]byte("of b"))), "new")
			deleteTag(t, r, "b", "f")
		}, []string{"a", "b"}, "b", "new"},
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, t.TempDir(), Options{})
			pushOwn(t, client(t, r, "a"), "f", data, false)
			pushOwn(t, client(t, r, "b"), "f", "of b", false)
			x := r.newCollection(everything)
			if err := r.gate.watch(t.Context()); err != nil {
				t.Fatal(err)
			}
			look := func(repos []string) {
				for _, repo := range repos {
					if _, err := newRepository(x, repo, r.tree.repository(repo)).collect(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			look(c.looked)
			c.use(t, r)
			look(c.then)
			if err := x.blobs(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.gate.unwatch()
			wantWhole(t, client(t, r, c.repo), c.tag)
			collect(t, r, everything)
			wantWhole(t, client(t, r, c.repo), c.tag)
		})
	}
}

// TestRemoveEmpty removes directories and nothing else: a file in the middle of them may be that of an upload which has
// just begun.
func TestRemoveEmpty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "_uploads")
	file := filepath.Join(dir, "some", "data")
	if err := os.MkdirAll(filepath.Join(dir, "other", "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if removeEmpty(dir, 3) {
		t.Error("it says that all is gone")
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if !removeEmpty(dir, 3) {
		t.Error("empty directories are left")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory is left")
	}
}
