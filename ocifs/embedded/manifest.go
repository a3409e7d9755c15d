//go:build !noembed

package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
)

// maxManifest is the library's limit, in bytes.
const maxManifest = 4 << 20

// What ocidav calls its own, in both forms that package ocifs writes: nobody else's manifest is ever removed.
const (
	ownTypes   = "application/vnd.ocidav."
	ownTypeKey = "vnd.ocidav.type"
	// The config's type in the form that has its own type in an annotation.
	unknownConfig = "application/vnd.unknown.config.v1+json"
)

// manifestInfo is what a collection needs to know of a manifest.
type manifestInfo struct {
	ours  bool
	names []digest.Digest // blobs and manifests, and the subject
}

// parseManifest reads any manifest: image manifests of OCI and Docker, indexes and lists, and what others there have
// been or will be. Whatever has a digest is taken for something that the manifest needs. If there is a digest that cannot
// be understood, that is an error, and the others are given all the same.
func parseManifest(b []byte) (m manifestInfo, err error) {
	var known struct {
		ArtifactType string `json:"artifactType"`
		Config       struct {
			MediaType string `json:"mediaType"`
		} `json:"config"`
		Annotations map[string]string `json:"annotations"`
	}
	var all any
	if err := json.Unmarshal(b, &all); err != nil {
		return m, err
	}
	if json.Unmarshal(b, &known) == nil { // else it is somebody's
		m.ours = strings.HasPrefix(known.ArtifactType, ownTypes) ||
			known.ArtifactType == "" && known.Config.MediaType == unknownConfig && strings.HasPrefix(known.Annotations[ownTypeKey], ownTypes)
	}
	return m, m.collect(all)
}

// collect finds digests, under keys in any case of letters, for so does the library.
func (m *manifestInfo) collect(v any) (err error) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			err = errors.Join(err, m.collect(e))
		}
	case map[string]any:
		for key, e := range v {
			text, ok := e.(string)
			if !ok || !strings.EqualFold(key, "digest") && !strings.EqualFold(key, "blobSum") { // the latter in Docker's first schema
				err = errors.Join(err, m.collect(e))
				continue
			}
			d, e := digest.Parse(text)
			switch {
			case e == nil:
				m.names = append(m.names, d)
			case text != "": // else it names nothing
				err = errors.Join(err, fmt.Errorf("it names %q: %w", text, e))
			}
		}
	}
	return err
}

// manifest reads a manifest that has the digest d.
func (c *collection) manifest(d digest.Digest) (manifestInfo, error) {
	name := filepath.Join(c.tree.blob(d), "data")
	fi, err := os.Stat(name)
	if err != nil {
		return manifestInfo{}, err
	}
	if fi.Size() > 4*maxManifest { // another registry's limit may have been higher
		return manifestInfo{}, fmt.Errorf("it has %d bytes", fi.Size())
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return manifestInfo{}, err
	}
	if d.Algorithm().FromBytes(b) != d {
		return manifestInfo{}, errors.New("its content does not match its digest")
	}
	return parseManifest(b)
}
