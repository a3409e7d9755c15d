//go:build !noembed

package embedded

import (
	"encoding/json"
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
// been or will be. Whatever has a digest is taken for something that the manifest needs.
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
	m.collect(all)
	return m, nil
}

func (m *manifestInfo) collect(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			m.collect(e)
		}
	case map[string]any:
		for key, e := range v {
			if text, ok := e.(string); ok && (key == "digest" || key == "blobSum") { // the latter in Docker's first schema
				if d, err := digest.Parse(text); err == nil {
					m.names = append(m.names, d)
				}
				continue
			}
			m.collect(e)
		}
	}
}
