//go:build !noembed

package embedded

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// tree is the directory of the registry's tree. Its layout is the library's, in its storage/paths.go.
type tree string

func treeIn(dataDirectory string) tree {
	return tree(filepath.Join(dataDirectory, "docker", "registry", "v2"))
}

func (t tree) repositories() string { return filepath.Join(string(t), "repositories") }

func (t tree) repository(name string) string {
	return filepath.Join(t.repositories(), filepath.FromSlash(name))
}

// blob is the directory of a blob; the content is the file data in it.
func (t tree) blob(d digest.Digest) string {
	hex := d.Encoded()
	return filepath.Join(string(t), "blobs", d.Algorithm().String(), hex[:2], hex)
}

func tagLink(repository, tag string) string {
	return filepath.Join(repository, "_manifests", "tags", tag, "current", "link")
}

func revisionLink(repository string, d digest.Digest) string {
	return filepath.Join(repository, "_manifests", "revisions", d.Algorithm().String(), d.Encoded(), "link")
}

func layerLink(repository string, d digest.Digest) string {
	return filepath.Join(repository, "_layers", d.Algorithm().String(), d.Encoded(), "link")
}

// readLink gives what a link names.
func readLink(name string) (digest.Digest, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	return digest.Parse(string(b))
}

// isRepository says whether a name out of a request is one that the library takes, as far as it matters here: it does
// not lead out of the tree, nor into the library's own directories.
func isRepository(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || part[0] == '_' || strings.ContainsRune(part, filepath.Separator) {
			return false
		}
	}
	return true
}

// used makes a link one that was used just now: the grace of a collection counts from there.
func used(link string) {
	now := time.Now()
	os.Chtimes(link, now, now) // if it is not there or cannot be changed, it is as old as it is
}

// untag is to be called before a tag gets another manifest or is deleted: what it names now may have readers, for whom
// the grace of a collection begins only now.
func (t tree) untag(repository, tag string) {
	if !isRepository(repository) || tag == "." || tag == ".." {
		return
	}
	dir := t.repository(repository)
	if d, err := readLink(tagLink(dir, tag)); err == nil {
		used(revisionLink(dir, d))
	}
}

// asked is to be called when somebody asks whether a blob or manifest is there: he may count on it and push it no more.
func (t tree) asked(repository string, manifest bool, d digest.Digest) {
	switch {
	case !isRepository(repository) || d.Validate() != nil:
	case manifest:
		used(revisionLink(t.repository(repository), d))
	default:
		dir := t.repository(repository)
		used(layerLink(dir, d))
		if target, err := t.target(repository, d); err == nil && target != d {
			used(layerLink(dir, target))
		}
	}
}

// target is the blob that a repository's layer is. They differ where a client named it by another algorithm than the
// library's own.
func (t tree) target(repository string, layer digest.Digest) (digest.Digest, error) {
	if layer.Algorithm() == digest.Canonical {
		return layer, nil
	}
	d, err := readLink(layerLink(t.repository(repository), layer))
	if errors.Is(err, fs.ErrNotExist) {
		return layer, nil
	}
	return d, err
}
