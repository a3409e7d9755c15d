package foreign

import (
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Parts gives what a manifest or index names that can be in the registry beside it: its blobs, the config among them, and
// the manifests below it, each once. Layers that lie elsewhere ("urls") are left out. Any bytes are a manifest.
func Parts(manifest []byte) (blobs, manifests []ocispec.Descriptor) {
	p := partsOf(ocispec.Descriptor{}, parse(manifest))
	return once(p.blobs), once(p.manifests)
}

func once(all []ocispec.Descriptor) []ocispec.Descriptor {
	type part struct {
		digest digest.Digest
		size   int64
	}
	seen := map[part]bool{}
	var kept []ocispec.Descriptor
	for _, desc := range all {
		if p := (part{desc.Digest, desc.Size}); !seen[p] {
			seen[p] = true
			kept = append(kept, desc)
		}
	}
	return kept
}
