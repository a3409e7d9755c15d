package integration

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	imageConfigType = "application/vnd.oci.image.config.v1+json"
	imageLayerType  = "application/vnd.oci.image.layer.v1.tar+gzip"
	indexType       = "application/vnd.oci.image.index.v1+json"
	chartConfigType = "application/vnd.cncf.helm.config.v1+json"
	chartType       = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
)

// fillRegistry pushes into one repository what others keep in registries, by the tools that they use, and gives the digest
// of each manifest by its tag. What the artifacts hold:
//
//	0.1.0    a Helm chart, as helm push makes it: its config, and a layer without a title
//	notes    an ORAS artifact of one file, notes.txt
//	one.txt  the same with a tag that is the file's name
//	many     three files, one of them in a directory
//	folder   a directory, folder, as one packed layer
//	image    a container image of one layer
//	multi    an index of images for linux/amd64 and linux/arm64
func fillRegistry(x ociTools, host, repository string) map[string]string {
	x.t.Helper()
	ref := func(tag string) string { return host + "/" + repository + ":" + tag }

	x.pushChart(host + "/" + repository)
	for name, content := range map[string]string{"notes.txt": "notes\n", "one.txt": "one\n", "two.txt": "two\n",
		"sub/three.txt": "three\n", "folder/four.txt": "four\n", "folder/deep/five.txt": "five\n"} {
		x.write(name, []byte(content))
	}
	x.oras("push", "--artifact-type", "application/vnd.example.notes", ref("notes"), "notes.txt:text/plain")
	x.oras("push", ref("one.txt"), "one.txt:text/plain")
	x.oras("push", "--artifact-type", "application/vnd.example.many", ref("many"), "one.txt:text/plain", "two.txt", "sub/three.txt")
	x.oras("push", "--artifact-type", "application/vnd.example.folder", ref("folder"), "folder")

	x.writeImages("layout")
	for _, tag := range []string{"image", "multi"} {
		x.skopeoCopy("oci:layout:"+tag, "docker://"+ref(tag))
	}
	digests := map[string]string{}
	for _, tag := range []string{"0.1.0", "notes", "one.txt", "many", "folder", "image", "multi"} {
		digests[tag] = strings.TrimSpace(x.oras("resolve", ref(tag)))
	}
	return digests
}

// pushChart pushes a chart as helm push does; helm itself takes minutes to build. The manifest is, without a media type of
// its own, what helm 4.3.1 has been seen to push.
func (x ociTools) pushChart(repository string) {
	x.t.Helper()
	blob := func(mediaType string, content []byte) descriptor {
		x.write("blob", content)
		x.oras("blob push", "--media-type", mediaType, repository, "blob")
		return descriptor{MediaType: mediaType, Digest: digestOf(content), Size: int64(len(content))}
	}
	config := blob(chartConfigType, []byte(`{"name":"chart","version":"0.1.0","description":"A chart","apiVersion":"v2","type":"application"}`))
	chart := blob(chartType, tarball(x.t, map[string]string{"chart/Chart.yaml": "apiVersion: v2\nname: chart\nversion: 0.1.0\n"}))
	m, err := json.Marshal(map[string]any{"schemaVersion": 2, "config": config, "layers": []descriptor{chart}, "annotations": map[string]string{
		createdKey: "2026-01-02T03:04:05Z", titleKey: "chart", "org.opencontainers.image.description": "A chart",
		"org.opencontainers.image.version": "0.1.0",
	}})
	if err != nil {
		x.t.Fatal(err)
	}
	x.write("chart.json", m)
	x.oras("manifest push", "--media-type", manifestType, repository+":0.1.0", "chart.json")
}

// tarball packs files.
func tarball(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// writeImages makes an OCI layout with an image, and an index of two images for two machines.
func (x ociTools) writeImages(layout string) {
	x.t.Helper()
	blob := func(mediaType string, content []byte) descriptor {
		d := descriptor{MediaType: mediaType, Digest: digestOf(content), Size: int64(len(content))}
		x.write(filepath.Join(layout, "blobs", "sha256", strings.TrimPrefix(d.Digest, "sha256:")), content)
		return d
	}
	object := func(mediaType string, of any) descriptor {
		b, err := json.Marshal(of)
		if err != nil {
			x.t.Fatal(err)
		}
		return blob(mediaType, b)
	}
	image := func(arch string) descriptor {
		layer := tarball(x.t, map[string]string{"etc/arch": arch + "\n"})
		config := map[string]any{"architecture": arch, "os": "linux", "config": struct{}{}, "rootfs": map[string]any{
			"type": "layers", "diff_ids": []string{digestOf(unzipped(x.t, layer))}}}
		m := manifest{SchemaVersion: 2, MediaType: manifestType, Config: object(imageConfigType, config),
			Layers: []descriptor{blob(imageLayerType, layer)}}
		return object(manifestType, m)
	}
	type platform struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	}
	type entry struct {
		descriptor
		Platform *platform `json:"platform,omitempty"`
	}
	type index struct {
		SchemaVersion int     `json:"schemaVersion"`
		MediaType     string  `json:"mediaType"`
		Manifests     []entry `json:"manifests"`
	}
	named := func(d descriptor, name string) entry {
		d.Annotations = map[string]string{"org.opencontainers.image.ref.name": name}
		return entry{descriptor: d}
	}
	amd64, arm64 := image("amd64"), image("arm64")
	multi := object(indexType, index{2, indexType, []entry{
		{amd64, &platform{"amd64", "linux"}}, {arm64, &platform{"arm64", "linux"}},
	}})
	b, err := json.Marshal(index{2, indexType, []entry{named(amd64, "image"), named(multi, "multi")}})
	if err != nil {
		x.t.Fatal(err)
	}
	x.write(filepath.Join(layout, "index.json"), b)
	x.write(filepath.Join(layout, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

func unzipped(t testing.TB, content []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestForeignArtifacts has the artifacts of other tools beside the drive's own: in its directory are shown those that are a
// file, the others are neither shown nor touched, and nothing of the drive is disturbed.
func TestForeignArtifacts(t *testing.T) {
	eachRegistry(t, func(t *testing.T, b backend) {
		x := newOCITools(t, "oras", "skopeo", "crane")
		d := b.startShown(t)
		host, repository := b.host(t, d)
		d.furnish()
		before := d.appearance("/")
		digests := fillRegistry(x, host, repository("elsewhere")) // a repository without a marker is no directory
		d.wantAbsent("/elsewhere")
		wantSame(t, d.appearance("/"), before)

		d.mkcol("/beside")
		d.put("/beside/ours", []byte("ours"))
		for tag, digest := range fillRegistry(x, host, repository("beside")) {
			if tag == "image" || tag == "multi" || tag == "0.1.0" { // the others have the time of their making
				if digest != digests[tag] {
					t.Errorf("%s has been pushed as %s and %s", tag, digests[tag], digest)
				}
			}
			digests[tag] = digest
		}
		unharmed := func(tags ...string) {
			t.Helper()
			for _, tag := range tags {
				if got := strings.TrimSpace(x.oras("resolve", host+"/"+repository("beside")+":"+tag)); got != digests[tag] {
					t.Errorf("%s is now %s, was %s", tag, got, digests[tag])
				}
			}
		}
		// folder is a packed directory, and shown as the file that its layer is.
		shown := []string{"folder", "one.txt", "ours"}
		eventually(t, 10*time.Second, "the files are not listed", func() bool { return slices.Equal(d.names("/beside/"), shown) })
		d.want("/beside/one.txt", []byte("one\n"))
		hidden := []string{"0.1.0", "notes", "many", "image", "multi"}
		for _, tag := range hidden {
			name := "/beside/" + tag
			d.wantAbsent(name)
			for method, header := range map[string]string{"PUT": "", "MKCOL": "", "COPY": "/beside/ours", "MOVE": "/beside/ours"} {
				from := name
				if header != "" {
					from, header = header, d.href(name)
				}
				d.do(method, from, nil, []int{http.StatusForbidden}, "Destination", header)
			}
		}
		unharmed(append(hidden, "folder", "one.txt")...)

		d.do("COPY", "/beside", nil, made, "Destination", d.href("/copy"))
		if got := d.names("/copy/"); !slices.Equal(got, shown) {
			t.Errorf("the copy holds %q", got)
		}
		d.do("MOVE", "/beside", nil, []int{http.StatusForbidden}, "Destination", d.href("/moved"))
		d.wantAbsent("/moved")
		d.put("/beside/one.txt", []byte("ours now"))
		d.want("/beside/one.txt", []byte("ours now"))
		d.do(http.MethodDelete, "/beside", nil, made)
		d.do(http.MethodDelete, "/copy", nil, made)
		unharmed(append(hidden, "folder")...)
		wantSame(t, d.appearance("/"), before)
		d.stop()
		d.start()
		wantSame(t, d.appearance("/"), before)
	})
}
