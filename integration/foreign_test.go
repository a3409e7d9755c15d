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

// shelf is what the drive shows of fillRegistry, without what is in config.json and the like.
var shelf = []string{
	"0.1.0/", "0.1.0/chart-0.1.0.tgz",
	"folder/", "folder/folder.tar.gz",
	"image/", "image/config.json", "image/image.tar", "image/layer-1.tar.gz", "image/manifest.json",
	"many/", "many/one.txt", "many/sub/", "many/sub/three.txt", "many/two.txt",
	"multi/", "multi/image.tar",
	"multi/linux-amd64/", "multi/linux-amd64/config.json", "multi/linux-amd64/image.tar", "multi/linux-amd64/layer-1.tar.gz", "multi/linux-amd64/manifest.json",
	"multi/linux-arm64/", "multi/linux-arm64/config.json", "multi/linux-arm64/image.tar", "multi/linux-arm64/layer-1.tar.gz", "multi/linux-arm64/manifest.json",
	"multi/manifest.json",
	"notes/", "notes/notes.txt",
	"one.txt",
}

// TestForeignArtifacts has the artifacts of other tools beside the drive's own, and in a repository of their own: what they
// are made of is shown, byte for byte as their own tools give it, none of it is disturbed, and nothing of the drive.
func TestForeignArtifacts(t *testing.T) {
	eachRegistry(t, func(t *testing.T, b backend) {
		x := newOCITools(t, "oras", "skopeo", "crane")
		d := b.startShown(t)
		host, repository := b.host(t, d)
		d.furnish()
		fillRegistry(x, host, repository("elsewhere"))
		d.mkcol("/beside")
		d.put("/beside/ours", []byte("ours"))
		digests := fillRegistry(x, host, repository("beside"))
		ref := func(tag string) string { return host + "/" + repository("beside") + ":" + tag }
		d.stop() // the list of repositories is not asked for all the time
		d.start()
		host, _ = b.host(t, d)

		for dir, more := range map[string][]string{"/elsewhere": nil, "/beside": {"ours"}} {
			want := slices.Sorted(slices.Values(append(more, shelf...)))
			if got := d.outline(dir); !slices.Equal(got, want) {
				t.Errorf("%s holds\n%s\nwant\n%s", dir, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		if !slices.Contains(d.names("/"), "elsewhere") {
			t.Errorf("in the root are %q", d.names("/"))
		}
		x.sameAsPulled(d, "/beside", ref)
		x.loads(d, "/beside", host+"/"+repository("loaded"), digests)

		unharmed := func(tags ...string) {
			t.Helper()
			for _, tag := range tags {
				if got := strings.TrimSpace(x.oras("resolve", ref(tag))); got != digests[tag] {
					t.Errorf("%s is now %s, was %s", tag, got, digests[tag])
				}
			}
		}
		tags := []string{"0.1.0", "notes", "many", "image", "multi", "folder", "one.txt"}
		for _, name := range []string{"0.1.0", "image", "multi/linux-amd64", "many/two.txt", "image/manifest.json", "image/image.tar", "folder/new"} {
			for _, from := range []string{"", "/beside/ours"} {
				method := map[bool]string{true: "PUT", false: "COPY"}[from == ""]
				if from == "" {
					d.do(method, "/beside/"+name, []byte("x"), []int{http.StatusForbidden, http.StatusMethodNotAllowed})
				} else {
					d.do(method, from, nil, []int{http.StatusForbidden}, "Destination", d.href("/beside/"+name))
				}
			}
			if strings.Contains(name, "/") {
				d.do("DELETE", "/beside/"+name, nil, []int{http.StatusForbidden, http.StatusNotFound})
			}
		}
		d.do("MOVE", "/beside", nil, []int{http.StatusForbidden}, "Destination", d.href("/moved"))
		d.do("DELETE", "/elsewhere", nil, []int{http.StatusForbidden})
		unharmed(tags...)

		// Files of theirs are copied, their tags deleted one by one, and files of ours are beside them.
		d.do("COPY", "/beside/many/sub/three.txt", nil, made, "Destination", d.href("/three.txt"))
		d.want("/three.txt", []byte("three\n"))
		d.put("/elsewhere/ours", []byte("beside theirs"))
		x.oras("tag", ref("image"), "again")
		digests["again"] = digests["image"]
		d.do("DELETE", "/beside/image", nil, made)
		d.wantAbsent("/beside/image")
		if out, _, err := x.try("oras", "resolve", "--plain-http", ref("image")); err == nil && strings.TrimSpace(out) == digests["image"] {
			t.Errorf("the tag image is still %s", out)
		}
		unharmed("again", "0.1.0", "notes", "many", "multi", "folder", "one.txt")
		d.put("/beside/one.txt", []byte("ours now"))
		d.want("/beside/one.txt", []byte("ours now"))
		d.do("DELETE", "/beside", nil, made)
		unharmed("again", "0.1.0", "notes", "many", "multi", "folder")
		d.stop()
		d.start()
		d.want("/elsewhere/ours", []byte("beside theirs"))
		if got := d.outline("/beside"); slices.Contains(got, "ours") || !slices.Contains(got, "multi/linux-arm64/image.tar") {
			t.Errorf("of the removed directory are left %q", got)
		}
	})
}

// outline gives the names of all that is below a directory, those of directories with a slash.
func (d *drive) outline(dir string) (names []string) {
	d.t.Helper()
	for name, is := range d.tree(dir) {
		name = strings.TrimPrefix(strings.TrimPrefix(name, dir), "/")
		if name != "" && is == "directory" {
			name = strings.TrimSuffix(name, "/") + "/"
		}
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// sameAsPulled compares what the drive shows with what the tools pull.
func (x ociTools) sameAsPulled(d *drive, dir string, ref func(tag string) string) {
	x.t.Helper()
	for _, tag := range []string{"notes", "many"} {
		for name, content := range x.pull(ref(tag)) {
			d.want(dir+"/"+tag+"/"+name, content)
		}
	}
	for tag, name := range map[string]string{"0.1.0": "chart-0.1.0.tgz", "folder": "folder.tar.gz", "image": "layer-1.tar.gz"} {
		var m manifest
		if err := json.Unmarshal([]byte(x.oras("manifest fetch", ref(tag))), &m); err != nil {
			x.t.Fatal(err)
		}
		repository, _, _ := strings.Cut(ref(tag), ":"+tag)
		d.want(dir+"/"+tag+"/"+name, []byte(x.oras("blob fetch", "--output", "-", repository+"@"+m.Layers[0].Digest)))
	}
	d.want(dir+"/image/manifest.json", []byte(x.oras("manifest fetch", ref("image"))))
	d.want(dir+"/image/config.json", []byte(x.oras("manifest fetch-config", ref("image"))))
}

// loads has skopeo take each image.tar, which must be the image with all its digests.
func (x ociTools) loads(d *drive, dir, repository string, digests map[string]string) {
	x.t.Helper()
	for _, tag := range []string{"image", "multi"} {
		x.write(tag+".tar", d.do("GET", dir+"/"+tag+"/image.tar", nil, okay).body)
		x.skopeoCopy("oci-archive:"+tag+".tar", "docker://"+repository+":"+tag)
		if got := strings.TrimSpace(x.oras("resolve", repository+":"+tag)); got != digests[tag] {
			x.t.Errorf("%s/image.tar is loaded as %s, want %s", tag, got, digests[tag])
		}
	}
}
