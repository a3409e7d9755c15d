package foreign

import (
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxDepth is how many indexes may lie in each other. One that lies deeper shows what it says (manifest.json) only.
const maxDepth = 4

// What BuildKit writes at manifests that attest something of another of the same index
// (docs.docker.com/build/metadata/attestations/attestation-storage).
const (
	annotationReferenceType   = "vnd.docker.reference.type"
	annotationReferenceDigest = "vnd.docker.reference.digest"
)

// children are the manifests of an index as directories: by their platform, or by what they are; what attests something of
// one apart from them, by the name of that.
func (a *artifact) children() []placed {
	platforms := map[digest.Digest]string{}
	for _, d := range a.doc.Manifests {
		if name := platformName(d.Platform); name != "" && platforms[d.Digest] == "" {
			platforms[d.Digest] = name
		}
	}
	var all []placed
	for _, d := range a.doc.Manifests {
		if !d.isManifest() {
			continue
		}
		path := []string{platformName(d.Platform)}
		switch {
		case d.Annotations[annotationReferenceType] != "":
			name := platforms[digest.Digest(d.Annotations[annotationReferenceDigest])]
			if name == "" {
				name = d.kindName()
			}
			path = []string{nameAttestations, name}
		case path[0] == "":
			path[0] = d.kindName()
		}
		i := item{Entry: Entry{Dir: true, ModTime: createdIn(d.Annotations)}, enter: a.below(d, false)}
		if i.ModTime.Equal(epoch) {
			i.ModTime = createdIn(a.doc.Annotations)
		}
		all = append(all, placed{path, i})
	}
	return all
}

// platformName is linux-amd64, linux-arm64-v8 or windows-amd64-10.0.17763.1; "" if it is not known.
func platformName(p *ocispec.Platform) string {
	if p == nil || p.OS == "unknown" && p.Architecture == "unknown" {
		return ""
	}
	var parts []string
	for _, part := range []string{p.OS, p.Architecture, p.Variant, p.OSVersion} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return safeName(strings.Join(parts, "-"))
}

// kindName is what a manifest is called that has no better name: what kind of thing it is, and the beginning of its digest.
func (d descriptor) kindName() string {
	kind := d.ArtifactType
	if kind == "" {
		kind = ocispec.MediaTypeEmptyJSON
	}
	return readable(kind) + "-" + d.Digest.Encoded()[:12]
}
