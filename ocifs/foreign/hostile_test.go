package foreign_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestTitles: what becomes of titles, in the order of the manifest.
func TestTitles(t *testing.T) {
	long := strings.Repeat("é", 200)
	for _, test := range []struct{ titles, want []string }{
		{[]string{"../../etc/passwd", "/etc/shadow", "./a//b/./c"}, []string{"__/__/etc/passwd", "etc/shadow", "a/b/c"}},
		{[]string{"a\x00b", "a\nb", "a\x7f", "\u0085"}, []string{"a_b", "a_b-2", "a_", "_"}},
		{[]string{`C:\Windows\x.txt`, `..\x`, "invoice\u202Efdp.exe"}, []string{"C:_Windows_x.txt", ".._x", "invoice_fdp.exe"}},
		{[]string{"", "/", "..", ".", "./"}, []string{"layer-1.bin", "layer-2.bin", "__", "layer-4.bin", "layer-5.bin"}},
		{[]string{"e\u0301.txt", "é.txt", "É.txt"}, []string{"é.txt", "é-2.txt", "É.txt"}},
		{[]string{"a", "a", "a-2", "a", "a.tar.gz", "a.tar.gz"}, []string{"a", "a-3", "a-2", "a-4", "a.tar.gz", "a-2.tar.gz"}},
		{[]string{"a", "a/b", "a/b", "a/b/c"}, []string{"a-2", "a/b-2", "a/b-3", "a/b/c"}},
		{[]string{".referrers", ".referrers/x", "image.tar", "manifest.json", "config.json"},
			[]string{".referrers-3", ".referrers-2/x", "image.tar", "manifest.json", "config.json"}},
		{[]string{"manifest.json", "manifest.json/x", "", "image.tar", "layer-3.bin"}, []string{"manifest-3.json", "manifest-2.json/x", "layer-3.bin", "image.tar", "layer-3-2.bin"}},
		{[]string{long + ".tar.gz"}, []string{strings.Repeat("é", 119) + "~" + sum(long+".tar.gz") + ".tar.gz"}},
		{[]string{".profile", "x." + strings.Repeat("y", 20), "x." + strings.Repeat("y", 20), ".profile"},
			[]string{".profile", "x." + strings.Repeat("y", 20), "x." + strings.Repeat("y", 20) + "-2", ".profile-2"}},
		{[]string{strings.Repeat("d/", 40) + "f"}, []string{strings.Repeat("d/", 31) + strings.Repeat("d_", 9) + "f"}},
		{[]string{"bad\xffutf8", "\uffff", "100%/a?b#c", " a ", "CON"}, []string{"bad\ufffdutf8", "_", "100%/a?b#c", " a ", "CON"}},
	} {
		s := newSource()
		var layers []ocispec.Descriptor
		for i, title := range test.titles {
			layers = append(layers, s.blob("application/octet-stream", fmt.Sprint(i), title))
		}
		got := make([]string, len(layers))
		for p, e := range walk(t, s.view(s.push("", manifest(empty, layers...)))) {
			if i := slices.IndexFunc(layers, func(d ocispec.Descriptor) bool { return d.Digest == e.Digest }); i >= 0 {
				got[i] = p
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("the titles %q\nare shown as %q,\nwant         %q", test.titles, got, test.want)
		}
	}
}

func sum(s string) string { return digest.FromString(s).Encoded()[:8] }

// TestTitlesInImages: what is made keeps its name, whatever a layer is called.
func TestTitlesInImages(t *testing.T) {
	s := newSource()
	v := s.view(s.push("", manifest(s.blob(imageConfig, "{}"), s.blob(layerTar, "1", "image.tar"), s.blob(layerTar, "2", "manifest.json"),
		s.blob(layerTar, "3", "config.json"), s.blob(layerTar, "4", "layer-5.tar"), s.blob(layerTar, "5"))))
	want := []string{"config-2.json", "config.json", "image-2.tar", "image.tar", "layer-5-2.tar", "layer-5.tar", "manifest-2.json", "manifest.json"}
	all := walk(t, v)
	if got := all.paths(); !slices.Equal(got, want) {
		t.Errorf("shown are %q, want %q", got, want)
	}
	if got := string(read(t, v, all["manifest-2.json"])); got != "2" {
		t.Errorf("manifest-2.json is %q", got)
	}
}

// TestBroken: descriptors of what cannot be are left out, and the manifest tells.
func TestBroken(t *testing.T) {
	good := fmt.Sprintf(`{"mediaType":"a/b","digest":%q,"size":4,"annotations":{"org.opencontainers.image.title":"good"}}`, digest.FromString("base"))
	for _, test := range []struct{ layer, want string }{
		{`{"mediaType":"a/b","digest":"sha256:short","size":1}`, "good manifest.json"},
		{`{"mediaType":"a/b","digest":"../../etc","size":1}`, "good manifest.json"},
		{`{"mediaType":"a/b","size":1}`, "good manifest.json"},
		{`{}`, "good manifest.json"},
		{`null`, "good manifest.json"},
		{good[:len(good)-1] + `,"size":-1}`, "good manifest.json"},
		{good[:len(good)-1] + `,"urls":["file:///etc/passwd"]}`, "good manifest.json"},
		{good[:len(good)-1] + `,"data":"bm90IGl0"}`, "good good-2"},
		{good[:len(good)-1] + `,"data":"no base64"}`, "good good-2"},
		{good[:len(good)-1] + `,"size":9223372036854775807}`, "good good-2"},
		{good[:len(good)-1] + `,"size":1e99}`, "manifest.json"},
		{`"text"`, "manifest.json"},
		{`[`, "manifest.json"},
	} {
		s := newSource()
		v := s.view(s.push("", []byte(`{"schemaVersion":2,"layers":[`+good+`,`+test.layer+`]}`)))
		if got := strings.Join(walk(t, v).paths(), " "); got != test.want {
			t.Errorf("with the layer %s it shows %s, want %s", test.layer, got, test.want)
		}
	}
}

// TestDeepIndexes: indexes in each other, and one that says it contains itself, end.
func TestDeepIndexes(t *testing.T) {
	s := newSource()
	d := s.image("amd64", "")
	d.Platform = nil
	for depth := 1; depth <= 6; depth++ {
		d = s.push(ocispec.MediaTypeImageIndex, index(d))
		all := walk(t, s.view(d)).paths()
		image := slices.ContainsFunc(all, func(p string) bool { return strings.HasSuffix(p, "layer-1.tar.gz") })
		if _, archive := slices.BinarySearch(all, "image.tar"); image != (depth <= 4) || archive != (depth <= 4) {
			t.Errorf("with %d indexes in each other it shows %q", depth, all)
		}
	}

	self := digest.FromString("self")
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: self}
	data, err := json.Marshal(index(desc))
	if err != nil {
		t.Fatal(err)
	}
	s.manifests[self] = data
	if all := walk(t, s.view(desc)).paths(); len(all) > 10 {
		t.Errorf("an index that contains itself shows %d files", len(all))
	}
}

// TestMany: 100,000 layers are files, with names of their own where all have the same and where they are chosen to be in each
// other's way; they are too many for an image.tar, and for one to be asked for.
func TestMany(t *testing.T) {
	many := func(n int, title func(i int) string) {
		var b bytes.Buffer
		fmt.Fprintf(&b, `{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":3},"layers":[`, imageConfig, digest.FromString("{}x"))
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"mediaType":%q,"digest":"sha256:%064x","size":1,"annotations":{"org.opencontainers.image.title":%q}}`, layerTar, i, title(i))
		}
		b.WriteString("]}")
		s := newSource()
		s.blob(imageConfig, "{}x")
		all, err := s.view(s.push("", b.Bytes())).ReadDir(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		want := n + 2 // config.json and manifest.json
		if n < 1<<16-10 {
			want++ // image.tar
		}
		if len(all) != want {
			t.Errorf("%d members are shown", len(all))
		}
		for i, e := range all[1:] {
			checkEntry(t, e)
			if e.Name <= all[i].Name {
				t.Fatalf("%q comes after %q", e.Name, all[i].Name)
			}
		}
	}
	many(100_000, func(int) string { return "" })
	many(10_000, func(int) string { return "same.tar.gz" })
	many(10_000, func(i int) string {
		if i%2 == 0 {
			return "same"
		}
		return fmt.Sprintf("same-%d", i/2)
	})
	long := strings.Repeat("x", 250)
	many(10_000, func(i int) string { return fmt.Sprintf("%s%05d", long, i/2) })
}

// TestWideIndex: an index of more manifests than an image.tar has asks for none of them to be listed.
func TestWideIndex(t *testing.T) {
	s := newSource()
	var all []ocispec.Descriptor
	for i := range 300 {
		all = append(all, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Size: 1, Digest: digest.FromString(fmt.Sprint(i)),
			Platform: &ocispec.Platform{OS: "linux", Architecture: "amd64"}})
	}
	v := s.view(s.push("", index(all...)))
	members, err := v.ReadDir(t.Context(), "")
	if err != nil || len(members) != 301 || s.took()["manifest"] != 0 {
		t.Errorf("%d members are shown, error %v", len(members), err)
	}
}

// TestManyBlobsBelow: manifests that name too many blobs end the search for the size of an image.tar.
func TestManyBlobsBelow(t *testing.T) {
	s := newSource()
	var all []ocispec.Descriptor
	for i := range 200 {
		m := manifest(s.blob(imageConfig, "{}x"))
		for j := range 1000 {
			m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: layerTar, Size: 1, Digest: digest.Digest(fmt.Sprintf("sha256:%032x%032x", i, j))})
		}
		all = append(all, s.push(ocispec.MediaTypeImageManifest, m))
	}
	if _, err := s.view(s.push("", index(all...))).Stat(t.Context(), "image.tar"); !isAbsent(err) {
		t.Errorf("error %v", err)
	}
	if n := s.took()["manifest"]; n > 80 {
		t.Errorf("%d manifests are asked for", n)
	}
}
