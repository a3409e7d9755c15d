package foreign_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/ocifs/foreign"
)

// layout reads a whole image.tar: what is in it by name, in order.
func layout(t *testing.T, r io.Reader) (names []string, content map[string][]byte) {
	t.Helper()
	content = map[string][]byte{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return names, content
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 0 || h.Uid != 0 || h.Gid != 0 || h.Mode != 0o644 && h.Mode != 0o755 {
			t.Errorf("the header of %s is %+v", h.Name, h)
		}
		if content[h.Name] != nil {
			t.Errorf("%s is there twice", h.Name)
		}
		names = append(names, h.Name)
		content[h.Name] = data
	}
}

func archiveOf(t *testing.T, v *foreign.View, dir string) foreign.Entry {
	t.Helper()
	e, err := v.Stat(t.Context(), strings.TrimPrefix(dir+"/image.tar", "/"))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func blobName(d digest.Digest) string { return "blobs/" + d.Algorithm().String() + "/" + d.Encoded() }

// someIndex is an index of two images that share a layer, an attestation and an index of one more, and what it reaches.
func someIndex(s *source) (root ocispec.Descriptor, reached []ocispec.Descriptor) {
	amd64, arm64 := s.image("amd64", ""), s.image("arm64", "v8")
	statement := s.push(ocispec.MediaTypeImageManifest, manifest(s.blob(imageConfig, `{}x`), s.blob("application/vnd.in-toto+json", "{sbom}")))
	inner := s.push(ocispec.MediaTypeImageIndex, index(s.image("riscv64", "")))
	root = s.push(ocispec.MediaTypeImageIndex, index(amd64, arm64, statement, inner))
	return root, []ocispec.Descriptor{amd64, arm64, statement, inner}
}

// TestArchive: an image.tar is an image layout with all that the artifact reaches, as it is.
func TestArchive(t *testing.T) {
	s := newSource()
	root, _ := someIndex(s)
	e := archiveOf(t, s.view(root), "")
	data := read(t, s.view(root), e)
	if !bytes.Equal(data, read(t, s.view(root), archiveOf(t, s.view(root), ""))) {
		t.Error("it has other bytes each time")
	}
	names, content := layout(t, bytes.NewReader(data))
	if want := []string{"oci-layout", "index.json", "blobs/", "blobs/sha256/", blobName(root.Digest)}; !slices.Equal(names[:len(want)], want) {
		t.Errorf("it begins with %q, want %q", names[:len(want)], want)
	}
	if got := string(content["oci-layout"]); got != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("oci-layout is %s", got)
	}
	var i ocispec.Index
	if err := json.Unmarshal(content["index.json"], &i); err != nil || i.SchemaVersion != 2 || len(i.Manifests) != 1 {
		t.Fatalf("index.json is %s, error %v", content["index.json"], err)
	}
	if m := i.Manifests[0]; m.Digest != root.Digest || m.Size != root.Size || m.MediaType != ocispec.MediaTypeImageIndex ||
		m.Annotations[ocispec.AnnotationRefName] != "v1" {
		t.Errorf("index.json names %+v", m)
	}
	for _, all := range []map[digest.Digest][]byte{s.manifests, s.blobs} {
		for d, want := range all {
			if got, ok := content[blobName(d)]; !ok || !bytes.Equal(got, want) {
				t.Errorf("%s is %q, want %q", d, got, want)
			}
		}
	}
	if want := 4 + len(s.manifests) + len(s.blobs); len(names) != want {
		t.Errorf("it has %d members, want %d", len(names), want)
	}
}

// TestArchiveDigest: it is another for each that has other bytes.
func TestArchiveDigest(t *testing.T) {
	s := newSource()
	seen := map[digest.Digest]bool{}
	for _, d := range []ocispec.Descriptor{s.image("amd64", ""), s.image("arm64", ""), s.push("", index(s.image("amd64", "")))} {
		for _, tag := range []string{"v1", "v2"} {
			e := archiveOf(t, foreign.New(s, tag, d, s.manifests[d.Digest]), "")
			if seen[e.Digest] {
				t.Errorf("that of %s has one that another has", tag)
			}
			seen[e.Digest] = true
		}
	}
}

// TestArchiveKeepsTypes: what Docker pushed keeps its types and bytes.
func TestArchiveKeepsTypes(t *testing.T) {
	s := newSource()
	m := manifest(s.blob("application/vnd.docker.container.image.v1+json", `{}`))
	m.MediaType = dockerImage
	d := s.push("", m)
	_, content := layout(t, bytes.NewReader(read(t, s.view(d), archiveOf(t, s.view(d), ""))))
	if !bytes.Contains(content["index.json"], []byte(`"mediaType":"`+dockerImage+`"`)) || string(content[blobName(d.Digest)]) != string(s.manifests[d.Digest]) {
		t.Errorf("index.json is %s", content["index.json"])
	}
}

// TestArchiveRanges: any range is the same as of the whole, and asks for the blobs in it and no others.
func TestArchiveRanges(t *testing.T) {
	s := newSource()
	root, _ := someIndex(s)
	v := s.view(root)
	e := archiveOf(t, v, "")
	whole := read(t, v, e)
	rnd := rand.New(rand.NewPCG(1, 2))
	c, err := v.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		from := rnd.Int64N(e.Size + 10)
		p := bytes.Repeat([]byte{0xff}, rnd.IntN(3000))
		n, err := c.ReadAt(p, from)
		want := whole[min(from, e.Size):min(from+int64(len(p)), e.Size)]
		if !bytes.Equal(p[:n], want) || (n < len(p)) != errors.Is(err, io.EOF) {
			t.Fatalf("%d bytes at %d are %d others, error %v", len(p), from, n, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if n := s.open.Load(); n != 0 {
		t.Errorf("%d blobs are left open", n)
	}
	if _, err := c.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("it can be read after Close")
	}

	// The content of one layer, its header, and what has no content.
	layer := bytes.Index(whole, []byte("on top for arm64"))
	for _, r := range []struct{ from, n, blobs int }{
		{layer, 5, 1}, {layer - 512, 512, 0}, {layer + 200, 100, 0}, {len(whole) - 1024, 1024, 0}, {0, 700, 0}, {layer - 512, 513, 1},
	} {
		c, err := v.Open(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		s.took()
		if _, err := c.Seek(int64(r.from), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(io.LimitReader(c, int64(r.n))); err != nil || !bytes.Equal(got, whole[r.from:r.from+r.n]) {
			t.Errorf("%d bytes at %d are %q, error %v", r.n, r.from, got, err)
		}
		if asked := s.took(); asked["blob"] != r.blobs || asked["manifest"] != 0 {
			t.Errorf("%d bytes at %d ask for %v, want %d blobs", r.n, r.from, asked, r.blobs)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestArchiveTogether: readers of one file at a time do not disturb each other.
func TestArchiveTogether(t *testing.T) {
	s := newSource()
	root, _ := someIndex(s)
	v := s.view(root)
	e := archiveOf(t, v, "")
	whole := read(t, v, e)
	c, err := v.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for part := range 8 {
		wg.Go(func() {
			p := make([]byte, len(whole)/8)
			if _, err := c.ReadAt(p, int64(part*len(p))); err != nil || !bytes.Equal(p, whole[part*len(p):(part+1)*len(p)]) {
				t.Errorf("part %d is wrong, error %v", part, err)
			}
		})
	}
	wg.Wait()
	if err := c.Close(); err != nil || s.open.Load() != 0 {
		t.Errorf("Close: %v, %d blobs open", err, s.open.Load())
	}
}

// TestSparseIndex: manifests that the registry does not have are left out, and their directories are failures, not absent.
func TestSparseIndex(t *testing.T) {
	s := newSource()
	root, reached := someIndex(s)
	v := s.view(root)
	full := archiveOf(t, v, "")
	delete(s.manifests, reached[1].Digest)
	e := archiveOf(t, v, "")
	names, _ := layout(t, bytes.NewReader(read(t, v, e)))
	if slices.Contains(names, blobName(reached[1].Digest)) || !slices.Contains(names, blobName(reached[0].Digest)) {
		t.Errorf("it has %q", names)
	}
	if e.Digest == full.Digest {
		t.Error("it has the validator of the whole one")
	}
	if _, err := v.ReadDir(t.Context(), "linux-arm64-v8"); err == nil || isAbsent(err) {
		t.Errorf("ReadDir of what the registry does not have: error %v", err)
	}
	if _, err := v.Open(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	c, err := v.Open(t.Context(), full)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err == nil || isAbsent(err) {
		t.Errorf("reading what was described and has gone since: error %v", err)
	}
}

// TestArchiveLies: what an index says of the length of a manifest is not believed; two lengths of one digest cannot be.
func TestArchiveLies(t *testing.T) {
	s := newSource()
	img := s.image("amd64", "")
	img.Size += 1000
	v := s.view(s.push(ocispec.MediaTypeImageIndex, index(img)))
	names, _ := layout(t, bytes.NewReader(read(t, v, archiveOf(t, v, ""))))
	if !slices.Contains(names, blobName(img.Digest)) {
		t.Errorf("it has %q", names)
	}

	one := s.blob(layerTar, "layer")
	other := one
	other.Size++
	if _, err := s.view(s.push("", manifest(s.blob(imageConfig, "{}x"), one, other))).Stat(t.Context(), "image.tar"); !isAbsent(err) {
		t.Errorf("error %v", err)
	}
}

// zeros is a source of blobs of any length.
type zeros struct{ *source }

type zeroBlob struct{ *io.SectionReader }

func (zeroBlob) Close() error { return nil }

type zeroReader struct{}

func (zeroReader) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

func (z zeros) Blob(ctx context.Context, desc ocispec.Descriptor) (foreign.Content, error) {
	if z.blobs[desc.Digest] != nil {
		return z.source.Blob(ctx, desc)
	}
	return zeroBlob{io.NewSectionReader(zeroReader{}, 0, desc.Size)}, nil
}

// TestArchiveSizes: headers have the length that was reckoned with, for blobs of any size and digests of any length; what
// is too large to be has no archive.
func TestArchiveSizes(t *testing.T) {
	sha512 := digest.SHA512.FromString("x")
	for _, test := range []struct {
		size   int64
		digest digest.Digest
		ok     bool
	}{
		{0, digest.FromString("x"), true}, {1, sha512, true}, {511, sha512, true}, {512, "", true}, {8<<30 - 1, "", true}, {8 << 30, "", true},
		{8<<30 + 1, sha512, true}, {1 << 50, "", true}, {math.MaxInt64, "", false}, {math.MaxInt64 - 4096, "", false}, {-1, "", false},
		{1, "sha256:x", false},
	} {
		s := newSource()
		if test.digest == "" {
			test.digest = digest.FromString("x")
		}
		last := s.blob(layerTar, "the last")
		d := s.push("", manifest(s.blob(imageConfig, "{}x"), ocispec.Descriptor{MediaType: layerTar, Digest: test.digest, Size: test.size}, last))
		v := foreign.New(zeros{s}, "v1", d, s.manifests[d.Digest])
		e, err := v.Stat(t.Context(), "image.tar")
		if !test.ok {
			if !isAbsent(err) {
				t.Errorf("a layer of %d bytes and digest %s: error %v", test.size, test.digest, err)
			}
			if members, err := v.ReadDir(t.Context(), ""); err != nil || slices.ContainsFunc(members, func(e foreign.Entry) bool { return e.Name == "image.tar" }) {
				t.Errorf("listed are %v, error %v", members, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		c, err := v.Open(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		tr := tar.NewReader(c) // it seeks over content
		sizes := map[string]int64{}
		for {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("a layer of %d bytes: %v", test.size, err)
			}
			sizes[h.Name] = h.Size
		}
		if sizes[blobName(test.digest)] != test.size || sizes[blobName(last.Digest)] != last.Size {
			t.Errorf("a layer of %d bytes is in it as %v", test.size, sizes)
		}
		if at, err := c.Seek(0, io.SeekCurrent); err != nil || at != e.Size {
			t.Errorf("with a layer of %d bytes it ends at %d, described as %d, error %v", test.size, at, e.Size, err)
		}
	}
}

// announced is a source whose blobs note what is announced to them.
type announced struct {
	*source
	got []string
}

type announcedBlob struct {
	foreign.Content
	a *announced
	d ocispec.Descriptor
}

func (b announcedBlob) Sequential(from, to int64) {
	b.a.got = append(b.a.got, fmt.Sprintf("%d-%d of %d", from, to, b.d.Size))
}

func (a *announced) Blob(ctx context.Context, d ocispec.Descriptor) (foreign.Content, error) {
	c, err := a.source.Blob(ctx, d)
	return announcedBlob{c, a, d}, err
}

// TestArchiveSequential: an announced range reaches the blobs in it.
func TestArchiveSequential(t *testing.T) {
	s := newSource()
	d := s.push("", manifest(s.blob(imageConfig, "{config}"), s.blob(layerTar, "first layer"), s.blob(layerTar, "the second layer")))
	a := &announced{source: s}
	v := foreign.New(a, "v1", d, s.manifests[d.Digest])
	e := archiveOf(t, v, "")
	c, err := v.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	whole := read(t, v, e)
	from, to := int64(bytes.Index(whole, []byte("first layer"))+6), int64(bytes.Index(whole, []byte("second")))
	a.got = nil
	c.(interface{ Sequential(from, to int64) }).Sequential(from, to)
	if _, err := c.ReadAt(make([]byte, to-from), from); err != nil {
		t.Fatal(err)
	}
	if want := []string{"6-11 of 11", "0-4 of 16"}; !slices.Equal(a.got, want) {
		t.Errorf("announced are %q, want %q", a.got, want)
	}
}
