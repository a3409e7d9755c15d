package foreign_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/text/unicode/norm"

	"ocidav/ocifs/foreign"
)

// source is a registry in memory, with counters.
type source struct {
	manifests, blobs map[digest.Digest][]byte
	referrers        map[digest.Digest][]ocispec.Descriptor
	fail             func(what string, d digest.Digest) error

	mu    sync.Mutex
	asked []string // "manifest", "blob" or "referrers", and what is read of a blob: "read"
	open  atomic.Int64
}

func newSource() *source {
	return &source{
		manifests: map[digest.Digest][]byte{}, blobs: map[digest.Digest][]byte{},
		referrers: map[digest.Digest][]ocispec.Descriptor{},
	}
}

func (s *source) ask(ctx context.Context, what string, d digest.Digest) error {
	s.mu.Lock()
	s.asked = append(s.asked, what)
	s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(what, d); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// took gives what has been asked for since the last call.
func (s *source) took() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{}
	for _, a := range s.asked {
		n[a]++
	}
	s.asked = nil
	return n
}

func (s *source) Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if err := s.ask(ctx, "manifest", desc.Digest); err != nil {
		return nil, err
	}
	data, ok := s.manifests[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("manifest %s: %w", desc.Digest, fs.ErrNotExist)
	}
	return data, nil
}

func (s *source) Blob(ctx context.Context, desc ocispec.Descriptor) (foreign.Content, error) {
	if err := s.ask(ctx, "blob", desc.Digest); err != nil {
		return nil, err
	}
	data, ok := s.blobs[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, fs.ErrNotExist)
	}
	s.open.Add(1)
	return &blob{bytes.NewReader(data), s}, nil
}

func (s *source) Referrers(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if err := s.ask(ctx, "referrers", desc.Digest); err != nil {
		return nil, err
	}
	return s.referrers[desc.Digest], nil
}

type blob struct {
	*bytes.Reader
	s *source
}

func (b *blob) Close() error { b.s.open.Add(-1); return nil }

// blob puts content into s and describes it as a layer or config; the titles are optional.
func (s *source) blob(mediaType, content string, title ...string) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(content), Size: int64(len(content))}
	if len(title) > 0 {
		d.Annotations = map[string]string{ocispec.AnnotationTitle: title[0]}
	}
	s.blobs[d.Digest] = []byte(content)
	return d
}

// push puts a manifest, or any bytes, into s.
func (s *source) push(mediaType string, manifest any) ocispec.Descriptor {
	data, ok := manifest.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(manifest); err != nil {
			panic(err)
		}
	}
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	s.manifests[d.Digest] = data
	return d
}

// view is that of a manifest in s under the tag v1.
func (s *source) view(d ocispec.Descriptor) *foreign.View {
	return foreign.New(s, "v1", d, s.manifests[d.Digest])
}

func manifest(config ocispec.Descriptor, layers ...ocispec.Descriptor) ocispec.Manifest {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers}
	m.SchemaVersion = 2
	return m
}

func index(manifests ...ocispec.Descriptor) ocispec.Index {
	i := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests}
	i.SchemaVersion = 2
	return i
}

// walked are all files of a view by their paths.
type walked map[string]foreign.Entry

func (w walked) paths() []string {
	var all []string
	for p := range w {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// walk goes through all of v, and holds it to what is true of every view: members are sorted, have names of their own that
// a client can say, and are found again by them as they were listed, in either normalisation; files have types and
// digests; what is not listed is not there.
func walk(t *testing.T, v *foreign.View) walked {
	t.Helper()
	ctx := t.Context()
	all := walked{}
	var visit func(dir string)
	visit = func(dir string) {
		members, err := v.ReadDir(ctx, dir)
		if err != nil {
			t.Fatalf("ReadDir %q: %v", dir, err)
		}
		for i, e := range members {
			if i > 0 && members[i-1].Name >= e.Name {
				t.Fatalf("%q comes after %q in %q", e.Name, members[i-1].Name, dir)
			}
			checkEntry(t, e)
			path := strings.TrimPrefix(dir+"/"+e.Name, "/")
			for _, spelling := range []string{path, norm.NFD.String(path)} {
				found, err := v.Stat(ctx, spelling)
				if err != nil {
					t.Fatalf("Stat %q: %v", spelling, err)
				}
				if !alike(found, e) {
					t.Fatalf("Stat %q gives %+v, the listing %+v", spelling, found, e)
				}
			}
			for _, no := range []string{path + "-no", path + "/no", "/" + path, path + "/"} {
				if _, err := v.Stat(ctx, no); !errors.Is(err, fs.ErrNotExist) && len(all) < 100 {
					t.Fatalf("Stat %q gives error %v", no, err)
				}
			}
			if e.Dir {
				visit(path)
				continue
			}
			if _, err := v.ReadDir(ctx, path); !errors.Is(err, fs.ErrInvalid) {
				t.Fatalf("ReadDir of the file %q gives error %v", path, err)
			}
			all[path] = e
		}
	}
	visit("")
	return all
}

func alike(a, b foreign.Entry) bool {
	return a.Name == b.Name && a.Dir == b.Dir && a.Size == b.Size && a.ModTime.Equal(b.ModTime) &&
		a.MediaType == b.MediaType && a.Digest == b.Digest && a.Blob.Digest == b.Blob.Digest
}

func checkEntry(t *testing.T, e foreign.Entry) {
	t.Helper()
	switch {
	case e.Name == "" || e.Name == "." || e.Name == ".." || len(e.Name) > 255 || !utf8.ValidString(e.Name) ||
		strings.ContainsAny(e.Name, "/\\") || strings.ContainsFunc(e.Name, unicode.IsControl) || !norm.NFC.IsNormalString(e.Name):
		t.Fatalf("%q is no name", e.Name)
	case e.ModTime.Unix() < 0:
		t.Fatalf("the time of %q is %v", e.Name, e.ModTime)
	case e.Dir && (e.Size != 0 || e.Digest != "" || e.Blob.Digest != ""):
		t.Fatalf("the directory %q has content: %+v", e.Name, e)
	case !e.Dir && (e.Size < 0 || e.Digest.Validate() != nil || e.MediaType == "" || strings.ContainsFunc(e.MediaType, unicode.IsControl)):
		t.Fatalf("%q is described as %+v", e.Name, e)
	case e.Blob.Digest != "" && (e.Blob.Digest != e.Digest || e.Blob.Size != e.Size):
		t.Fatalf("%q is %+v, its blob %+v", e.Name, e, e.Blob)
	}
}

// read gives the content of a file.
func read(t *testing.T, v *foreign.View, e foreign.Entry) []byte {
	t.Helper()
	c, err := v.Open(t.Context(), e)
	if err != nil {
		t.Fatalf("Open %s: %v", e.Name, err)
	}
	data, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("read %s: %v", e.Name, err)
	}
	if err := c.Close(); err != nil {
		t.Fatalf("close %s: %v", e.Name, err)
	}
	if int64(len(data)) != e.Size {
		t.Fatalf("%s has %d bytes, described as %d", e.Name, len(data), e.Size)
	}
	return data
}

func isAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
