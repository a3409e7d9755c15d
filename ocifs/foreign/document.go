package foreign

import (
	_ "crypto/sha256" // digests are checked with them
	_ "crypto/sha512"
	"encoding/json"
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types that the OCI specifications do not name and registries are full of.
const (
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeDockerConfig   = "application/vnd.docker.container.image.v1+json"
	typeDockerSchema1  = "application/vnd.docker.distribution.manifest.v1+json"
	typeDockerSigned   = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	typeORASArtifact   = "application/vnd.oci.artifact.manifest.v1+json" // of a draft of OCI 1.1
	typeBytes          = "application/octet-stream"
)

// manifestTypes are what a registry has as manifests. A descriptor of any other type in an index is ignored (image-spec,
// "OCI Image Index").
var manifestTypes = []string{
	ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, typeDockerManifest, typeDockerList,
	typeORASArtifact, typeDockerSchema1, typeDockerSigned,
}

// A document is what is understood of a manifest or index. What is embedded in descriptors ("data") is not looked at:
// content is what the registry has under a digest.
type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *descriptor       `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Blobs         []descriptor      `json:"blobs"` // the layers in typeORASArtifact
	Manifests     []descriptor      `json:"manifests"`
	Annotations   map[string]string `json:"annotations"`
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Digest       digest.Digest     `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls"`
	Annotations  map[string]string `json:"annotations"`
	Platform     *ocispec.Platform `json:"platform"`
}

// parse reads a manifest. What cannot be read is an empty document, which is an artifact that nothing is known of; so is
// one that can be read in two ways (distribution-spec, GHSA-mc8v-mgrf-8f4m).
func parse(data []byte) document {
	var d document
	if json.Unmarshal(data, &d) != nil || d.SchemaVersion != 2 && (d.SchemaVersion != 0 || d.MediaType != typeORASArtifact) {
		return document{}
	}
	if d.MediaType == typeORASArtifact {
		d.Layers = append(d.Layers, d.Blobs...)
	}
	if d.Manifests != nil && (d.Layers != nil || d.Config != nil) {
		return document{}
	}
	return d
}

func (d document) isIndex() bool { return d.Manifests != nil }

// valid says whether there can be a blob or manifest of the descriptor in a registry.
func (d descriptor) valid() bool { return d.Size >= 0 && d.Digest.Validate() == nil }

// isManifest says whether it can be the descriptor of a manifest.
func (d descriptor) isManifest() bool {
	return d.valid() && slices.Contains(manifestTypes, d.MediaType)
}

// isEmpty says whether it only fills a place that must not be empty (image-spec, "Guidance for an Empty Descriptor").
func (d descriptor) isEmpty() bool { return d.Digest == ocispec.DescriptorEmptyJSON.Digest }

// blob is what a Source is asked with.
func (d descriptor) blob() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: safeType(d.MediaType), Digest: d.Digest, Size: d.Size}
}

// safeType is a media type that may stand in a header: mime does not mind line breaks at its end.
func safeType(mediaType string) string {
	if len(mediaType) <= 255 && !strings.ContainsFunc(mediaType, func(r rune) bool { return r < ' ' || r > '~' }) {
		if _, _, err := mime.ParseMediaType(mediaType); err == nil {
			return mediaType
		}
	}
	return typeBytes
}

var epoch = time.Unix(0, 0).UTC()

// createdIn is the time that annotations give; the epoch, if they do not. Times before it are those of builds that have
// none (Go's zero time among them), and some clients cannot show them.
func createdIn(annotations map[string]string) time.Time {
	return parseTime(annotations[ocispec.AnnotationCreated])
}

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Before(epoch) {
		return epoch
	}
	return t.UTC()
}
