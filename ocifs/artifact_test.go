package ocifs

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var update = flag.Bool("update", false, "rewrite the golden files: a change of the format, which the package documentation must tell")

func layerOf(content string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: typeContent, Digest: digest.FromString(content), Size: int64(len(content))}
}

// goldenArtifacts are all forms that we write.
func goldenArtifacts() map[string]struct {
	tag        string
	artifact   artifact
	compatible bool
} {
	modified := time.Date(2026, 2, 3, 4, 5, 6, 789_000_000, time.UTC)
	born := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	props, _, _ := encodeProperties([]property{{XMLName: xml.Name{Space: "urn:x", Local: "colour"}, InnerXML: []byte("red")}})
	type form = struct {
		tag        string
		artifact   artifact
		compatible bool
	}
	file := artifact{
		kind: kindFile, name: "Märzbericht 1.pdf", modTime: modified, birthTime: born, contentType: "application/pdf",
		size: 5, content: digest.FromString("hello"), layers: []blob{blobOf(layerOf("hello"))},
	}
	withProps, sums, parts, empty, directory := file, file, file, file, artifact{kind: kindDirectory, name: "My Docs", modTime: modified, birthTime: born}
	withProps.props = blobOf(props)
	sums.checksums = []string{"SHA1:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", "MD5:5d41402abc4b2a76b9719d911017c592"}
	parts.size, parts.content = 11, digest.FromString("hello world")
	parts.layers = blobsOf([]ocispec.Descriptor{layerOf("hello "), layerOf("world")})
	empty.size, empty.content, empty.layers = 0, digest.FromBytes(nil), nil
	tag := in.file(file.name)
	return map[string]form{
		"file":            {tag, file, false},
		"file-compatible": {tag, file, true},
		"file-properties": {tag, withProps, false},
		"file-checksums":  {tag, sums, false},
		"file-parts":      {tag, parts, false},
		"file-empty":      {tag, empty, false},
		"directory":       {in.marker(directory.name), directory, false},

		"file-properties-compatible": {tag, withProps, true},
		"directory-compatible":       {in.marker(directory.name), directory, true},
		"tombstone-compatible":       {"x", artifact{kind: kindTombstone, modTime: modified}, true},
		"tombstone":                  {"x", artifact{kind: kindTombstone, modTime: modified}, false},
	}
}

func TestGoldenManifests(t *testing.T) {
	for name, g := range goldenArtifacts() {
		t.Run(name, func(t *testing.T) {
			desc, data, err := g.artifact.marshalAs("WRITEID", g.compatible)
			if err != nil {
				t.Fatal(err)
			}
			if desc.Digest != digest.FromBytes(data) || desc.Size != int64(len(data)) {
				t.Errorf("descriptor %v does not describe the manifest", desc)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, append(data, '\n'), "", "  "); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(file, pretty.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(pretty.Bytes(), golden) {
				t.Errorf("the format has changed:\n%s\nwas\n%s", pretty.Bytes(), golden)
			}
			// What was ever written is read.
			got := parse(in, g.tag, golden)
			want := g.artifact
			if want.kind == kindTombstone {
				want = artifact{kind: kindTombstone}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("read back\n%+v, want\n%+v", got, want)
			}
		})
	}
}

// TestManifestKeys: what is read has the keys of what is written.
func TestManifestKeys(t *testing.T) {
	all := map[string]string{}
	for _, key := range []string{ocispec.AnnotationCreated, keyName, keyBirthTime, keyContentType, keySize, keyDigest, keyChecksums, keyType,
		ocispec.AnnotationTitle, keyUnpack} {
		all[key] = "value of " + key
	}
	data, err := json.Marshal(ocispec.Manifest{Layers: []ocispec.Descriptor{{Annotations: all}}, Annotations: all})
	var m manifest
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, layer := m.Annotations, m.Layers[0].Annotations
	for key, got := range map[string]string{ocispec.AnnotationCreated: a.Created, keyName: a.Name, keyBirthTime: a.BirthTime,
		keyContentType: a.ContentType, keySize: a.Size, keyDigest: a.Digest, keyChecksums: a.Checksums, keyType: a.Type,
		ocispec.AnnotationTitle: layer.Title, keyUnpack: layer.Unpack} {
		if got != all[key] {
			t.Errorf("%s is read as %q", key, got)
		}
	}
}

func TestWritesNeverShareAManifest(t *testing.T) {
	a := artifact{kind: kindFile, name: "x"}
	one, _, _ := a.marshal(false)
	two, _, _ := a.marshal(false)
	if one.Digest == two.Digest {
		t.Error("two writes have one digest: deleting one deletes both")
	}
}

func TestParseForeign(t *testing.T) {
	golden := func(name string) string {
		b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	shared := `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + emptyBlob.Digest.String() +
		`","size":2},"layers":[{"mediaType":"text/plain","digest":"` + digest.FromString("hi").String() +
		`","size":2,"annotations":{"org.opencontainers.image.title":"a.txt"}}]}`
	for _, tt := range []struct {
		what, tag, manifest string
		want                artifactKind
	}{
		{"oras push of a file to its own name", "a.txt", shared, kindShared},
		{"oras push of a file to another tag", "latest", shared, kindForeign},
		{"a marker under a file's tag", "x", golden("directory"), kindForeign},
		{"a file under a marker's tag", "_d.x", golden("file"), kindForeign},
		{"an index", "a.txt", `{"schemaVersion":2,"manifests":[]}`, kindForeign},
		{"not JSON", "a.txt", `<html>`, kindForeign},
		{"a layer without a digest", "a.txt", `{"config":{"digest":"x"},"layers":[{"digest":"../../etc","size":1}]}`, kindForeign},
		{"a negative size", "a.txt", strings.Replace(shared, `"size":2,"ann`, `"size":-2,"ann`, 1), kindForeign},
		{"a tombstone", "anything", golden("tombstone"), kindTombstone},
	} {
		if got := parse(in, tt.tag, []byte(tt.manifest)); got.kind != tt.want {
			t.Errorf("%s: kind %v, want %v", tt.what, got.kind, tt.want)
		}
	}
	// Under a hash a title is shown if it can be a name, and no path that leads elsewhere.
	long := strings.Repeat("x", 200)
	for title, want := range map[string]artifactKind{
		long: kindShared, "../" + long: kindForeign, long + "/b": kindForeign, long + "\n": kindForeign, strings.Repeat("x", 300): kindForeign,
	} {
		quoted, _ := json.Marshal(title)
		manifest := strings.Replace(shared, `"a.txt"`, string(quoted), 1)
		if got := parse(in, in.file(title), []byte(manifest)); got.kind != want {
			t.Errorf("a title %.20q: kind %v, want %v", title, got.kind, want)
		}
	}
	// `oras tag` of one of our files: a copy under the name that the tag spells.
	if got := parse(in, "copy", []byte(golden("file"))); got.kind != kindFile || got.name != "copy" {
		t.Errorf("a file retagged as copy is %v %q", got.kind, got.name)
	}
}

func TestProperties(t *testing.T) {
	props := []property{
		{xml.Name{Space: "b", Local: "x"}, "de", []byte(`<i xmlns="urn:y">ä &amp; ö</i>`)},
		{xml.Name{Local: "none"}, "", nil},
	}
	desc, data, err := encodeProperties(props)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"space":"","name":"none","xml":""},{"space":"b","name":"x","lang":"de","xml":"<i xmlns=\"urn:y\">ä &amp; ö</i>"}]` + "\n"
	if string(data) != want {
		t.Errorf("properties are\n%s, want\n%s", data, want)
	}
	if desc.Size != int64(len(data)) || desc.MediaType != typeProperties {
		t.Errorf("descriptor %v", desc)
	}
	got, err := decodeProperties(data)
	if err != nil || len(got) != 2 || string(got[1].InnerXML) != string(props[0].InnerXML) || got[1].Lang != "de" {
		t.Errorf("decoded %v, %v", got, err)
	}
	big := []property{{xml.Name{Local: "x"}, "", bytes.Repeat([]byte("x"), maxPropertiesBytes)}}
	if _, _, err := encodeProperties(big); err == nil {
		t.Error("64 KiB and more are taken")
	}
}

func TestPatch(t *testing.T) {
	p := func(name, value string) property {
		return property{XMLName: xml.Name{Local: name}, InnerXML: []byte(value)}
	}
	got := patch([]property{p("a", "1"), p("b", "1"), p("c", "1")}, []property{p("b", "2"), p("d", "2")},
		[]xml.Name{{Local: "a"}, {Local: "d"}, {Local: "none"}})
	want := []property{p("c", "1"), p("b", "2"), p("d", "2")}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("patched %v, want %v", got, want)
	}
}

func FuzzParse(f *testing.F) {
	for name := range goldenArtifacts() {
		if b, err := os.ReadFile(filepath.Join("testdata", name+".json")); err == nil {
			f.Add("a.txt", b)
		}
	}
	f.Fuzz(func(t *testing.T, tag string, data []byte) {
		a := parse(in, tag, data)
		switch a.kind {
		case kindFile, kindDirectory, kindShared:
			if checkName(a.name) != nil || in.tagOf(a.name, map[bool]tagKind{true: tagDirectory, false: tagFile}[a.kind == kindDirectory]) != tag {
				t.Fatalf("%q is shown as %q", tag, a.name)
			}
			if a.size < 0 {
				t.Fatalf("size %d", a.size)
			}
		}
	})
}
