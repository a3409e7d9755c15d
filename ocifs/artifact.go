package ocifs

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types of what we write; any later version reads them (design in the package documentation).
const (
	typeFile       = "application/vnd.ocidav.file.v1"
	typeDirectory  = "application/vnd.ocidav.directory.v1"
	typeTombstone  = "application/vnd.ocidav.tombstone.v1"
	typeProperties = "application/vnd.ocidav.properties.v1+json"
	typeContent    = "application/octet-stream"
	typeUnknown    = "application/vnd.unknown.config.v1+json" // the compatible form's config
)

// Annotations of what we write, beside those of the image specification.
const (
	keyName        = "vnd.ocidav.name"         // first spelling of the name
	keyBirthTime   = "vnd.ocidav.birthtime"    // RFC 3339
	keyContentType = "vnd.ocidav.content-type" // as the client gave it
	keyWriteID     = "vnd.ocidav.write-id"     // random, so that no two writes share a manifest
	keySize        = "vnd.ocidav.size"         // "0" for an empty file
	keyDigest      = "vnd.ocidav.digest"       // of the whole content, where it has parts
	keyChecksums   = "vnd.ocidav.checksums"    // digests that a client wants to see again, ALGORITHM:HEX and spaces
	keyType        = "vnd.ocidav.type"         // artifact type in the compatible form

	keyUnpack = "io.deis.oras.content.unpack" // of oras: the layer is a directory that was packed
)

// artifactKind is what a manifest under a tag stands for.
type artifactKind int

const (
	kindForeign   artifactKind = iota // somebody's: not a file, but an exhibit perhaps
	kindFile                          // a file of ours
	kindDirectory                     // a directory's marker
	kindTombstone                     // reads as absent
	kindIndex                         // a directory index, see bundling.go; never seen as an artifact
	kindLayout                        // the record of a layout, see settle.go; never seen as an artifact
	kindBare                          // a directory without a marker, see bare.go; never seen as an artifact
	kindShared                        // a file that others pushed: one layer whose title fits the tag
)

// artifact is a manifest in our terms.
type artifact struct {
	kind        artifactKind
	name        string // display name; empty where the manifest does not say
	modTime     time.Time
	birthTime   time.Time
	contentType string
	size        int64         // bytes of content
	content     digest.Digest // of the whole content
	derived     bool          // content is made of the layers' digests: nobody has said that of the whole
	checksums   []string      // others of the whole content, ALGORITHM:HEX
	layers      []blob
	props       blob // the dead properties; zero for none
}

// blob is a blob that an artifact is made of: of its descriptor what anybody reads again, for a directory of 100,000 files
// has as many.
type blob struct {
	digest digest.Digest
	size   int64
}

func (b blob) descriptor(mediaType string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: b.digest, Size: b.size}
}

func blobOf(desc ocispec.Descriptor) blob { return blob{desc.Digest, desc.Size} }

func blobsOf(descs []ocispec.Descriptor) []blob {
	blobs := make([]blob, len(descs))
	for i, desc := range descs {
		blobs[i] = blobOf(desc)
	}
	return blobs
}

var emptyBlob = ocispec.DescriptorEmptyJSON

// marshal gives the manifest to push. Each call makes another one: the write-id is random (crypto/rand). compatible
// chooses the form for registries that only take listed types (GitLab).
func (a *artifact) marshal(compatible bool) (ocispec.Descriptor, []byte, error) {
	return a.marshalAs(rand.Text(), compatible)
}

func (a *artifact) marshalAs(writeID string, compatible bool) (ocispec.Descriptor, []byte, error) {
	annotations := map[string]string{keyWriteID: writeID}
	for key, value := range map[string]string{
		keyName: a.name, keyContentType: a.contentType, keyChecksums: strings.Join(a.checksums, " "),
		ocispec.AnnotationCreated: formatTime(a.modTime), keyBirthTime: formatTime(a.birthTime),
	} {
		if value != "" {
			annotations[key] = value
		}
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: a.artifactType(), Config: emptyBlob, Annotations: annotations,
	}
	if a.props.digest != "" {
		m.Config = a.props.descriptor(typeProperties)
	}
	for i, l := range a.layers {
		title := a.name
		if len(a.layers) > 1 {
			title = fmt.Sprintf("%s.part%04d", a.name, i+1)
		}
		layer := l.descriptor(typeContent)
		layer.Annotations = map[string]string{ocispec.AnnotationTitle: title}
		m.Layers = append(m.Layers, layer)
	}
	switch {
	case len(a.layers) > 1:
		annotations[keyDigest] = a.content.String()
	case len(a.layers) == 0: // several registries refuse empty blobs, so nothing is "{}" (image-spec, guidelines for artifacts)
		m.Layers = []ocispec.Descriptor{emptyBlob}
		if a.kind == kindFile {
			annotations[keySize] = "0"
		}
	}
	if compatible {
		annotations[keyType], m.ArtifactType = m.ArtifactType, ""
		m.Config.MediaType = typeUnknown
	}
	data, err := json.Marshal(m)
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("encode manifest: %w", err)
	}
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: sumOf(data), Size: int64(len(data))}, data, nil
}

func (a *artifact) artifactType() string {
	switch a.kind {
	case kindDirectory:
		return typeDirectory
	case kindTombstone:
		return typeTombstone
	case kindIndex:
		return typeIndex
	case kindLayout:
		return typeLayout
	}
	return typeFile
}

// manifest is what parse reads of one: a type of its own takes half the time that ocispec.Manifest with its maps does, and a
// listing parses as many as there are files.
type manifest struct {
	ArtifactType string          `json:"artifactType"`
	Config       manifestBlob    `json:"config"`
	Layers       []manifestBlob  `json:"layers"`
	Annotations  manifestRemarks `json:"annotations"`
}

type manifestBlob struct {
	Digest      digest.Digest `json:"digest"`
	Size        int64         `json:"size"`
	Annotations struct {
		Title  string `json:"org.opencontainers.image.title"` // ocispec.AnnotationTitle
		Unpack string `json:"io.deis.oras.content.unpack"`    // keyUnpack
	} `json:"annotations"`
}

func (b manifestBlob) blob() blob { return blob{b.Digest, b.Size} }

// manifestRemarks are ocispec.AnnotationCreated, keyName and so on; a test holds them to these.
type manifestRemarks struct {
	Created     string `json:"org.opencontainers.image.created"`
	Name        string `json:"vnd.ocidav.name"`
	BirthTime   string `json:"vnd.ocidav.birthtime"`
	ContentType string `json:"vnd.ocidav.content-type"`
	Size        string `json:"vnd.ocidav.size"`
	Digest      string `json:"vnd.ocidav.digest"`
	Checksums   string `json:"vnd.ocidav.checksums"`
	Type        string `json:"vnd.ocidav.type"`
}

// parse reads the manifest that stands under a tag of d. What it cannot read as ours is foreign, not an error: a registry
// holds all kinds of things.
func parse(d directory, tag string, data []byte) artifact {
	var m manifest
	if json.Unmarshal(data, &m) != nil {
		return artifact{}
	}
	others := artifact{modTime: parseTime(m.Annotations.Created)}
	if m.Layers == nil || m.Config.Digest == "" {
		return others
	}
	for _, l := range m.Layers {
		if checkDigest(l.Digest) != nil || l.Size < 0 || l.Size > math.MaxInt64/int64(len(m.Layers)) {
			return others
		}
	}
	at := cmp.Or(m.ArtifactType, m.Annotations.Type)
	a := artifact{
		modTime:     others.modTime,
		birthTime:   parseTime(m.Annotations.BirthTime),
		contentType: m.Annotations.ContentType,
	}
	if a.birthTime.IsZero() {
		a.birthTime = a.modTime
	}
	_, kind := d.nameOf(tag)
	switch {
	case at == typeTombstone:
		return artifact{kind: kindTombstone}
	case at == typeDirectory && kind == tagDirectory:
		a.kind = kindDirectory
	case at == typeFile && kind == tagFile:
		a.kind = kindFile
	case kind == tagFile && len(m.Layers) == 1 && m.Layers[0].Annotations.Unpack != "true" && checkName(m.Layers[0].Annotations.Title) == nil &&
		d.file(m.Layers[0].Annotations.Title) == tag: // of a hash anything can be the preimage, "../x" too
		a.kind = kindShared
		a.name = m.Layers[0].Annotations.Title
		a.setContent(m)
		return a
	default:
		return others
	}
	// The name is shown only where it is the one that the tag was made from, so no two members look alike.
	if name := m.Annotations.Name; checkName(name) == nil && d.tagOf(name, kind) == tag {
		a.name = name
	} else if name, _ := d.nameOf(tag); name != "" {
		a.name = name
	} else {
		return artifact{}
	}
	if checkDigest(m.Config.Digest) != nil {
		return artifact{}
	}
	if m.Config.Digest != emptyBlob.Digest {
		a.props = m.Config.blob()
	}
	if a.kind == kindFile {
		a.setContent(m)
		if sums := m.Annotations.Checksums; sums != "" {
			a.checksums = strings.Fields(sums)
		}
	}
	return a
}

// setContent takes over the layers of m.
func (a *artifact) setContent(m manifest) {
	if size, err := strconv.ParseInt(m.Annotations.Size, 10, 64); err == nil && size == 0 {
		a.content = digest.FromBytes(nil)
		return
	}
	a.layers = make([]blob, len(m.Layers))
	for i, l := range m.Layers {
		a.layers[i] = l.blob()
		a.size += l.Size
	}
	if len(m.Layers) == 1 {
		a.content = m.Layers[0].Digest
	} else if d, err := parseDigest(m.Annotations.Digest); err == nil {
		a.content = d
	} else { // not ours to the letter: still one digest for one content
		all := digest.Canonical.Digester()
		for _, l := range m.Layers {
			fmt.Fprintln(all.Hash(), l.Digest)
		}
		a.content, a.derived = all.Digest(), true
	}
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func parseTime(s string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, s) // what others write there may be anything
	return t
}
