package foreign_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/ocifs/foreign"
)

// sameSource has one manifest under every digest but that of the root, one content for every blob, and one referrer.
type sameSource struct {
	root        digest.Digest
	manifest    []byte
	below, blob []byte
}

func (s sameSource) Manifest(_ context.Context, d ocispec.Descriptor) ([]byte, error) {
	if d.Digest == s.root {
		return s.manifest, nil
	}
	return s.below, nil
}

func (s sameSource) Blob(_ context.Context, d ocispec.Descriptor) (foreign.Content, error) {
	if d.Digest.Validate() != nil || d.Size < 0 {
		panic(fmt.Sprintf("asked for the blob %+v", d))
	}
	if d.Digest == digest.FromBytes(s.blob) && d.Size == int64(len(s.blob)) { // else it would be a failure, and rightly
		return zeroBlob{io.NewSectionReader(bytes.NewReader(s.blob), 0, d.Size)}, nil
	}
	return nil, fs.ErrNotExist
}

func (s sameSource) Referrers(_ context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return []ocispec.Descriptor{{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: string(s.blob),
		Digest: digest.FromBytes(s.below), Size: int64(len(s.below)),
	}}, nil
}

// FuzzView: of any manifest, with any other below it, and any config, everything that is listed is found and described
// well, and what can be opened has the size that was said.
func FuzzView(f *testing.F) {
	s := newSource()
	config := []byte(`{"created":"2024-05-06T07:08:09Z","name":"na/me","version":"1"}`)
	img := s.push("", manifest(s.blob(imageConfig, string(config)), s.blob(layerGzip, "base"), s.blob(layerTar, "x", "dir/image.tar")))
	root, _ := someIndex(s)
	chart := s.push("", s.chart(string(config)))
	files := s.push("", manifest(empty, s.blob(layerTar, "1", "a"), s.blob(layerTar, "2", "a/b"), s.blob(layerTar, "3", "../\u202e\x00")))
	for _, d := range []ocispec.Descriptor{img, root, chart, files} {
		f.Add(s.manifests[d.Digest], s.manifests[img.Digest], config)
		f.Add(s.manifests[root.Digest], s.manifests[d.Digest], []byte("{}"))
	}
	f.Fuzz(func(t *testing.T, data, below, blob []byte) {
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(data), Size: int64(len(data))}
		if len(data) > 1<<14 || len(below) > 1<<12 || strings.Count(string(below), `"manifests"`)*strings.Count(string(below), `"digest"`) > 1 {
			return // a manifest under every digest grows with the power of the depth
		}
		v := foreign.New(sameSource{d.Digest, data, below, blob}, "v1", d, data)
		all := walk(t, v)
		for p, e := range all {
			if e.Size > 1<<20 {
				continue
			}
			c, err := v.Open(t.Context(), e)
			if err != nil {
				continue
			}
			got, err := io.ReadAll(c)
			if err == nil && int64(len(got)) != e.Size || int64(len(got)) > e.Size {
				t.Errorf("%s has %d bytes, described as %d, error %v", p, len(got), e.Size, err)
			}
			if err := c.Close(); err != nil {
				t.Errorf("close %s: %v", p, err)
			}
		}
		if _, ok := all["manifest.json"]; !ok && !json.Valid(data) {
			t.Error("what is no JSON shows no manifest.json")
		}
		if len(all) == 0 {
			t.Error("it shows nothing")
		}
	})
}
