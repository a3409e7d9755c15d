package foreign_test

import (
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestTypes: what a media type makes of the name of a layer without a title, and of a referrer.
func TestTypes(t *testing.T) {
	for _, test := range []struct{ mediaType, extension, kind string }{
		{ocispec.MediaTypeImageLayer, "tar", "oci.image.layer"},
		{ocispec.MediaTypeImageLayerGzip, "tar.gz", "oci.image.layer"},
		{ocispec.MediaTypeImageLayerZstd, "tar.zst", "oci.image.layer"},
		{"application/vnd.docker.image.rootfs.diff.tar.gzip", "tar.gz", "docker.image.rootfs.diff.tar.gzip"},
		{"application/vnd.wasm.content.layer.v1+wasm", "wasm", "wasm.content.layer"},
		{"application/vnd.example.sbom.v1+json; charset=utf-8", "json", "example.sbom"},
		{"application/vnd.dev.cosign.artifact.sig.v1+json", "json", "cosign-signature"},
		{"application/vnd.cncf.notary.signature", "bin", "notation-signature"},
		{"application/vnd.in-toto+json", "json", "in-toto"},
		{"application/gzip", "gz", "gzip"},
		{"application/x-tar", "tar", "tar"},
		{"application/vnd.example.policy.layer.v1+rego", "rego", "example.policy.layer"},
		{"application/vnd.example.v1+ENCRYPTED-thing", "bin", "example"},
		{"text/spdx", "spdx", "spdx"},
		{"text/PLAIN", "txt", "plain"},
		{"application/../../x", "bin", "x"},
		{"", "bin", "artifact"},
		{"???", "bin", "artifact"},
		{"a/" + strings.Repeat("long", 100), "bin", strings.Repeat("long", 12)},
	} {
		s := newSource()
		d := s.push(ocispec.MediaTypeImageManifest, manifest(empty, s.blob(test.mediaType, "content")))
		r := d
		r.ArtifactType = test.mediaType
		s.referrers[d.Digest] = []ocispec.Descriptor{r}
		want := []string{
			".referrers/" + test.kind + "-" + d.Digest.Encoded()[:12] + "/layer-1." + test.extension,
			".referrers/" + test.kind + "-" + d.Digest.Encoded()[:12] + "/manifest.json",
			"layer-1." + test.extension, "manifest.json",
		}
		if got := walk(t, s.view(d)).paths(); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("of the media type %q are\n%q, want\n%q", test.mediaType, got, want)
		}
	}
}
