package foreign_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/ocifs/foreign"
)

const (
	layerGzip   = ocispec.MediaTypeImageLayerGzip
	layerTar    = ocispec.MediaTypeImageLayer
	imageConfig = ocispec.MediaTypeImageConfig
	dockerList  = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerImage = "application/vnd.docker.distribution.manifest.v2+json"
)

var empty = ocispec.DescriptorEmptyJSON

// image pushes an image for a platform.
func (s *source) image(architecture, variant string) ocispec.Descriptor {
	d := s.push(ocispec.MediaTypeImageManifest, manifest(
		s.blob(imageConfig, `{"created":"2024-05-06T07:08:09Z","architecture":"`+architecture+`"}`),
		s.blob(layerGzip, "base"), s.blob(ocispec.MediaTypeImageLayerZstd, "on top for "+architecture+variant)))
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture, Variant: variant}
	return d
}

func (s *source) chart(config string) ocispec.Manifest {
	m := manifest(s.blob("application/vnd.cncf.helm.config.v1+json", config),
		s.blob("application/vnd.cncf.helm.chart.provenance.v1.prov", "signed"),
		s.blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "chart"))
	m.Annotations = map[string]string{ocispec.AnnotationCreated: "2024-01-02T03:04:05Z"}
	return m
}

func annotated(d ocispec.Descriptor, key, value string) ocispec.Descriptor {
	d.Annotations = maps.Clone(d.Annotations)
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[key] = value
	return d
}

// TestShown: what is shown of each kind of artifact.
func TestShown(t *testing.T) {
	s := newSource()
	amd64, arm64, again := s.image("amd64", ""), s.image("arm64", "v8"), s.image("amd64", "")
	again.Digest = s.push(ocispec.MediaTypeImageManifest, manifest(s.blob(imageConfig, `{"os":"linux"}`))).Digest
	again.Size = int64(len(s.manifests[again.Digest]))
	statement := s.push(ocispec.MediaTypeImageManifest, manifest(s.blob(imageConfig, `{}x`), s.blob("application/vnd.in-toto+json", "{sbom}")))
	statement = annotated(annotated(statement, "vnd.docker.reference.type", "attestation-manifest"),
		"vnd.docker.reference.digest", arm64.Digest.String())
	statement.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}

	docker := manifest(s.blob("application/vnd.docker.container.image.v1+json", `{"created":"2020-01-01T00:00:00Z"}`),
		s.blob("application/vnd.docker.image.rootfs.diff.tar.gzip", "docker layer"))
	docker.MediaType = dockerImage
	dockerDesc := s.push(dockerImage, docker)
	dockerDesc.Platform = &ocispec.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.17763.1"}
	list := index(dockerDesc)
	list.MediaType = dockerList

	unknown := s.push(ocispec.MediaTypeImageManifest, manifest(empty, s.blob(layerTar, "x", "x")))
	unknown.ArtifactType, unknown.Platform = "application/spdx+json", statement.Platform

	foreignLayer := s.blob("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "elsewhere")
	foreignLayer.URLs = []string{"http://169.254.169.254/latest"}

	artifactType := manifest(empty, s.blob("application/vnd.example.thing+json", "[]"))
	artifactType.ArtifactType = "application/vnd.example.thing"

	titled := fmt.Sprintf(`{"mediaType":"a/b","digest":%q,"size":4,"annotations":{"org.opencontainers.image.title":"t"}}`, digest.FromString("base"))
	typed := manifest(s.blob(imageConfig, `{"typed":1}`), s.blob(layerGzip, "base"))
	typed.ArtifactType = "application/vnd.example.machine"

	for _, test := range []struct {
		name string
		desc ocispec.Descriptor
		want []string
	}{
		{"files", s.push("", manifest(empty,
			s.blob("application/octet-stream", "1", "a.txt"), s.blob(layerTar, "2", "dir/sub/b.pdf"), s.blob(layerTar, "2", "dir/c"))),
			[]string{"a.txt", "dir/c", "dir/sub/b.pdf"}},
		{"a directory of oras", s.push("", manifest(empty,
			annotated(s.blob(layerGzip, "tgz", "docs"), "io.deis.oras.content.unpack", "true"),
			annotated(s.blob(layerGzip, "tgz", "src.TGZ"), "io.deis.oras.content.unpack", "true"))),
			[]string{"docs.tar.gz", "src.TGZ"}},
		{"untitled", s.push("", manifest(s.blob("application/vnd.wasm.config.v0+json", `{"a":1}`),
			s.blob("application/wasm", "wasm"), s.blob("", "what"), s.blob("text/plain", "read me", "README"))),
			[]string{"README", "config.json", "layer-1.wasm", "layer-2.bin", "manifest.json"}},
		{"nothing", s.push("", manifest(empty, empty)), []string{"manifest.json"}},
		{"no layers", s.push("", manifest(empty)), []string{"manifest.json"}},
		{"an artifact type", s.push("", artifactType), []string{"layer-1.json", "manifest.json"}},
		{"no JSON", s.push("text/plain", []byte("hello")), []string{"manifest.json"}},
		{"schema 1", s.push("application/vnd.docker.distribution.manifest.v1+prettyjws",
			[]byte(`{"schemaVersion":1,"fsLayers":[{"blobSum":"sha256:00"}],"layers":[`+titled+`]}`)), []string{"manifest.json"}},
		{"schema 3", s.push("", []byte(`{"schemaVersion":3,"layers":[`+titled+`]}`)), []string{"manifest.json"}},
		{"index and artifact in one", s.push("", []byte(`{"schemaVersion":2,"layers":[`+titled+`],"manifests":[]}`)), []string{"manifest.json"}},
		{"of the type of another artifact", s.push("", typed), []string{"config.json", "layer-1.tar.gz", "manifest.json"}},
		{"ORAS artifact manifest", s.push("application/vnd.oci.artifact.manifest.v1+json",
			fmt.Appendf(nil, `{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[{"mediaType":"a/b","digest":%q,"size":4,
				"annotations":{"org.opencontainers.image.title":"old"}}]}`, digest.FromString("base"))), []string{"old"}},
		{"chart", s.push("", s.chart(`{"name":"web","version":"1.2.3+x"}`)), []string{"web-1.2.3+x.tgz", "web-1.2.3+x.tgz.prov"}},
		{"chart without a name", s.push("", s.chart(`no JSON`)), []string{"config.json", "layer-1.prov", "layer-2.tar.gz", "manifest.json"}},
		{"image", amd64, []string{"config.json", "image.tar", "layer-1.tar.gz", "layer-2.tar.zst", "manifest.json"}},
		{"docker image", dockerDesc, []string{"config.json", "image.tar", "layer-1.tar.gz", "manifest.json"}},
		{"image with a layer elsewhere", s.push("", manifest(s.blob(imageConfig, "{}"), foreignLayer)), []string{"config.json", "image.tar", "manifest.json"}},
		{"signature of cosign", s.push("", manifest(s.blob(imageConfig, `{"cosign":1}`), s.blob("application/vnd.dev.cosign.simplesigning.v1+json", "{s}"))),
			[]string{"config.json", "layer-1.json", "manifest.json"}},
		{"index", s.push(ocispec.MediaTypeImageIndex, index(amd64, arm64, again, statement)), []string{
			".attestations/linux-arm64-v8/config.json", ".attestations/linux-arm64-v8/layer-1.json", ".attestations/linux-arm64-v8/manifest.json",
			"image.tar",
			"linux-amd64-2/config.json", "linux-amd64-2/image.tar", "linux-amd64-2/manifest.json",
			"linux-amd64/config.json", "linux-amd64/image.tar", "linux-amd64/layer-1.tar.gz", "linux-amd64/layer-2.tar.zst", "linux-amd64/manifest.json",
			"linux-arm64-v8/config.json", "linux-arm64-v8/image.tar", "linux-arm64-v8/layer-1.tar.gz", "linux-arm64-v8/layer-2.tar.zst", "linux-arm64-v8/manifest.json",
			"manifest.json"}},
		{"manifest list", s.push(dockerList, list), []string{"image.tar", "manifest.json", "windows-amd64-10.0.17763.1/config.json",
			"windows-amd64-10.0.17763.1/image.tar", "windows-amd64-10.0.17763.1/layer-1.tar.gz", "windows-amd64-10.0.17763.1/manifest.json"}},
		{"index of what has no platform", s.push("", index(unknown)), []string{"image.tar", "manifest.json",
			"spdx-" + unknown.Digest.Encoded()[:12] + "/x"}},
		{"index of nothing", s.push("", index([]ocispec.Descriptor{}...)), []string{"image.tar", "manifest.json"}},
		{"index of what is no manifest", s.push("", []byte(`{"schemaVersion":2,"manifests":[{"mediaType":"text/plain","size":4,"digest":"`+
			digest.FromString("base").String()+`"}]}`)), []string{"image.tar", "manifest.json"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := s.view(test.desc)
			all := walk(t, v)
			if got := all.paths(); !slices.Equal(got, test.want) {
				t.Errorf("shown are %q, want %q", got, test.want)
			}
			for p, e := range all {
				data := read(t, v, e)
				if !strings.HasSuffix(p, "image.tar") && digest.FromBytes(data) != e.Digest {
					t.Errorf("the content of %s has digest %s, described as %s", p, digest.FromBytes(data), e.Digest)
				}
				if path.Base(p) == "manifest.json" && s.manifests[e.Digest] == nil {
					t.Errorf("%s is no manifest of the registry", p)
				}
			}
			if n := s.open.Load(); n != 0 {
				t.Errorf("%d blobs are left open", n)
			}
		})
	}
}

// TestDescribed: types and times.
func TestDescribed(t *testing.T) {
	s := newSource()
	dated := s.push("", func() ocispec.Manifest {
		m := manifest(s.blob(imageConfig, `{"created":"2024-05-06T07:08:09Z"}`), s.blob(layerGzip, "base"))
		m.Annotations = map[string]string{ocispec.AnnotationCreated: "2023-01-01T00:00:00+01:00"}
		return m
	}())
	before := s.push("", manifest(s.blob(imageConfig, `{"created":"0001-01-01T00:00:00Z"}`)))
	odd := s.push("", manifest(s.blob(imageConfig, `{"created":5}`)))
	files := s.push("", manifest(empty, s.blob(layerTar, "1", "page.html"), s.blob("application/x-own", "2", "page2.html"),
		s.blob("a/b\r\nSet-Cookie: c", "3", "bad"), annotated(s.blob("", "4", "dated"), ocispec.AnnotationCreated, "2022-02-02T02:02:02Z")))
	for _, test := range []struct {
		desc            ocispec.Descriptor
		path, time, typ string
	}{
		{s.image("amd64", ""), "", "2024-05-06T07:08:09Z", ""},
		{s.image("amd64", ""), "layer-1.tar.gz", "2024-05-06T07:08:09Z", layerGzip},
		{s.image("amd64", ""), "image.tar", "2024-05-06T07:08:09Z", "application/x-tar"},
		{s.image("amd64", ""), "manifest.json", "2024-05-06T07:08:09Z", ocispec.MediaTypeImageManifest},
		{s.image("amd64", ""), "config.json", "2024-05-06T07:08:09Z", imageConfig},
		{dated, "config.json", "2022-12-31T23:00:00Z", imageConfig},
		{dated, "", "2022-12-31T23:00:00Z", ""},
		{before, "", "1970-01-01T00:00:00Z", ""},
		{odd, "config.json", "1970-01-01T00:00:00Z", imageConfig},
		{s.push("", s.chart(`{"name":"w","version":"1"}`)), "w-1.tgz", "2024-01-02T03:04:05Z", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"},
		{files, "page.html", "1970-01-01T00:00:00Z", "text/html; charset=utf-8"},
		{files, "page2.html", "1970-01-01T00:00:00Z", "application/x-own"},
		{files, "bad", "1970-01-01T00:00:00Z", "application/octet-stream"},
		{files, "dated", "2022-02-02T02:02:02Z", ""},
	} {
		e, err := s.view(test.desc).Stat(t.Context(), test.path)
		if err != nil {
			t.Errorf("Stat %q: %v", test.path, err)
		} else if got := e.ModTime.Format("2006-01-02T15:04:05Z07:00"); got != test.time || test.typ != "" && e.MediaType != test.typ {
			t.Errorf("%q is of %s and type %s, want %s and %s", test.path, got, e.MediaType, test.time, test.typ)
		}
	}
}

// TestNoDescriptor: a manifest of which nobody has said what it is is shown all the same.
func TestNoDescriptor(t *testing.T) {
	s := newSource()
	d := s.image("amd64", "")
	v := foreign.New(s, "v1", ocispec.Descriptor{}, s.manifests[d.Digest])
	e := walk(t, v)["manifest.json"]
	if e.Digest != d.Digest || e.Size != d.Size || e.MediaType != ocispec.MediaTypeImageManifest {
		t.Errorf("manifest.json is %+v", e)
	}
	read(t, v, archiveOf(t, v, ""))
}

// TestReferrers: each is a directory, their own referrers are not shown, and who lists them in another order changes nothing.
func TestReferrers(t *testing.T) {
	s := newSource()
	img := s.image("amd64", "")
	sbom := s.push(ocispec.MediaTypeImageManifest, manifest(empty, s.blob("application/spdx+json", "{spdx}", "sbom.spdx.json")))
	sbom.ArtifactType = "application/spdx+json"
	sig := s.push(ocispec.MediaTypeImageManifest, manifest(empty, s.blob("application/vnd.dev.sigstore.bundle.v0.3+json", "{sig}")))
	sig.ArtifactType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	bad := ocispec.Descriptor{MediaType: "text/plain", Digest: sbom.Digest}
	s.referrers[img.Digest] = []ocispec.Descriptor{sbom, sig, sbom, bad}
	s.referrers[sbom.Digest] = []ocispec.Descriptor{sig}

	short := func(d ocispec.Descriptor) string { return d.Digest.Encoded()[:12] }
	want := []string{".referrers/sigstore-bundle-" + short(sig) + "/layer-1.json", ".referrers/sigstore-bundle-" + short(sig) + "/manifest.json",
		".referrers/spdx-" + short(sbom) + "/sbom.spdx.json", "config.json", "image.tar", "layer-1.tar.gz", "layer-2.tar.zst", "manifest.json"}
	v := s.view(img)
	for range 2 {
		all := walk(t, v)
		if got := all.paths(); !slices.Equal(got, want) {
			t.Errorf("shown are %q, want %q", got, want)
		}
		if got := string(read(t, v, all[want[2]])); got != "{spdx}" {
			t.Errorf("the SBOM is %q", got)
		}
		slices.Reverse(s.referrers[img.Digest])
	}
	delete(s.referrers, img.Digest)
	if _, err := v.ReadDir(t.Context(), ".referrers"); !isAbsent(err) {
		t.Errorf("ReadDir without referrers: error %v", err)
	}
}
