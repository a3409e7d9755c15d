package ocifs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestKeptArtifacts: what is kept of manifests is bounded by their bytes, for they may have 4 MiB each, and a directory index
// may hold very many of them.
func TestKeptArtifacts(t *testing.T) {
	const limit = 100
	f := &FS{layout: pathLayout{}, artifacts: newRecent[artifactKey, *info](limit), present: newRecent[presence, struct{}](limit)}
	for size, most := range map[int]int{0: 2 * limit, 50 * artifactBytes: 2, 2 * limit * artifactBytes: 0} {
		for i := range 3 * limit {
			name := fmt.Sprintf("%d-%d", size, i)
			a := artifact{kind: kindFile, name: name, contentType: strings.Repeat("x", size),
				content: digest.FromString(name), layers: []blob{blobOf(layerOf(name))}}
			desc, data, err := a.marshal(false)
			if err != nil {
				t.Fatal(err)
			}
			if i := f.decode("r", name, desc.Digest, data); i == nil || i.Name() != name {
				t.Fatalf("%s is read as %v", name, i)
			}
		}
		kept := 0
		for _, generation := range []map[artifactKey]*info{f.artifacts.young, f.artifacts.old} {
			for key := range generation {
				if strings.HasPrefix(key.tag, fmt.Sprint(size, "-")) {
					kept++
				}
			}
		}
		if kept > most || size == 0 && kept < limit {
			t.Errorf("%d manifests of %d bytes are kept, want %d at most", kept, size, most)
		}
	}
}
