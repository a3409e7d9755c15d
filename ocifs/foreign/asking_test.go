package foreign_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/ocifs/foreign"
)

// TestAsked: what each look costs at the Source. No layer is ever asked for but to be read.
func TestAsked(t *testing.T) {
	s := newSource()
	files := s.push("", manifest(empty, s.blob(layerTar, "1", "a.txt"), s.blob(layerTar, "2", "dir/b")))
	chart := s.push("", s.chart(`{"name":"web","version":"1"}`))
	img := s.image("amd64", "")
	root, _ := someIndex(s)
	sbom := s.push(ocispec.MediaTypeImageManifest, manifest(empty, s.blob(layerTar, "1", "a.txt")))
	s.referrers[img.Digest] = []ocispec.Descriptor{sbom}
	ref := ".referrers/artifact-" + sbom.Digest.Encoded()[:12]
	type asked map[string]int
	for _, test := range []struct {
		desc       ocispec.Descriptor
		path       string
		stat, list asked // list nil: it is a file
		open       asked
	}{
		{files, "", asked{}, asked{"referrers": 1}, nil},
		{files, "a.txt", asked{}, nil, asked{"blob": 1}},
		{files, "dir", asked{}, asked{}, nil},
		{files, "dir/b", asked{}, nil, asked{"blob": 1}},
		{img, ".referrers", asked{"referrers": 1}, asked{"referrers": 1}, nil},
		{chart, "", asked{}, asked{"referrers": 1, "blob": 1}, nil},
		{chart, "web-1.tgz", asked{"blob": 1}, nil, asked{"blob": 1}},
		{img, "", asked{"blob": 1}, asked{"referrers": 1, "blob": 1}, nil},
		{img, "manifest.json", asked{"blob": 1}, nil, asked{"manifest": 1}},
		{img, "image.tar", asked{"blob": 1}, nil, asked{}},
		{img, ref, asked{"referrers": 1}, asked{"referrers": 1, "manifest": 1}, nil},
		{img, ref + "/a.txt", asked{"referrers": 1, "manifest": 1}, nil, asked{"blob": 1}},
		{root, "", asked{}, asked{"referrers": 1, "manifest": 5}, nil},
		{root, "image.tar", asked{"manifest": 5}, nil, asked{}},
		{root, "linux-amd64", asked{}, asked{"manifest": 1, "referrers": 1, "blob": 1}, nil},
		{root, "linux-amd64/config.json", asked{"manifest": 1, "blob": 1}, nil, asked{"blob": 1}},
	} {
		check := func(what string, want asked) {
			t.Helper()
			if got := s.took(); !maps.Equal(asked(got), want) {
				t.Errorf("%s %q asks for %v, want %v", what, test.path, got, want)
			}
		}
		s.took()
		e, err := s.view(test.desc).Stat(t.Context(), test.path)
		check("Stat", test.stat)
		if err != nil {
			t.Errorf("Stat %q: %v", test.path, err)
			continue
		}
		if test.list != nil {
			if _, err := s.view(test.desc).ReadDir(t.Context(), test.path); err != nil {
				t.Errorf("ReadDir %q: %v", test.path, err)
			}
			check("ReadDir", test.list)
			continue
		}
		c, err := s.view(test.desc).Open(t.Context(), e)
		check("Open", test.open)
		if err != nil {
			t.Errorf("Open %q: %v", test.path, err)
			continue
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}

	// The config is read once by a View, and of the View itself everything can be said without asking.
	v := s.view(img)
	s.took()
	if e := v.Entry(); e.Name != "v1" || !e.Dir || e.ModTime.Unix() != 0 {
		t.Errorf("it is %+v", e)
	}
	for range 3 {
		if _, err := v.Stat(t.Context(), "config.json"); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.took(); got["blob"] != 1 {
		t.Errorf("three looks ask for %v", got)
	}
}

// TestFailures: whatever fails, that is an error and no absence, and no shorter listing; and so it is if the registry does
// not have something. Afterwards all is well again.
func TestFailures(t *testing.T) {
	s := newSource()
	root, reached := someIndex(s)
	chart := s.push("", s.chart(`{"name":"web","version":"1"}`))
	storm := errors.New("storm")
	for _, test := range []struct {
		what  string
		desc  ocispec.Descriptor
		lists []string // what cannot be listed
		stats []string // what cannot be described
	}{
		{"referrers", root, []string{"", ".referrers", "linux-amd64"}, []string{".referrers", ".referrers/x"}},
		{"manifest", root, []string{"", "linux-amd64", "artifact-" + reached[2].Digest.Encoded()[:12]}, []string{"image.tar", "linux-amd64/x"}},
		{"blob", reached[0], []string{""}, []string{"", "config.json", "image.tar"}},
		{"blob", chart, []string{""}, []string{"x", "web-1.tgz"}},
	} {
		v := s.view(test.desc)
		for _, err := range []error{storm, context.DeadlineExceeded} {
			s.fail = func(what string, _ digest.Digest) error {
				if what == test.what {
					return fmt.Errorf("the source: %w", err)
				}
				return nil
			}
			for _, p := range test.lists {
				if got, e := v.ReadDir(t.Context(), p); !errors.Is(e, err) || got != nil || isAbsent(e) {
					t.Errorf("%s fails, ReadDir %q gives %d members and error %v", test.what, p, len(got), e)
				}
			}
			for _, p := range test.stats {
				if _, e := v.Stat(t.Context(), p); !errors.Is(e, err) || isAbsent(e) {
					t.Errorf("%s fails, Stat %q gives error %v", test.what, p, e)
				}
			}
			s.fail = nil
		}
		walk(t, v)
	}

	// Gone: a config says nothing then, all else is a failure.
	s.fail = func(what string, d digest.Digest) error {
		if what == "blob" || d != root.Digest && what == "manifest" {
			return fs.ErrNotExist
		}
		return nil
	}
	v := s.view(reached[0])
	all := walk(t, v)
	if e := all["config.json"]; e.ModTime.Unix() != 0 {
		t.Errorf("without a config its time is %v", e.ModTime)
	}
	for p, e := range all {
		c, err := v.Open(t.Context(), e)
		if err == nil {
			_, err = io.ReadAll(c)
		}
		if err == nil || isAbsent(err) {
			t.Errorf("%s can be opened and read, error %v", p, err)
		}
	}
	if _, err := s.view(root).Stat(t.Context(), "linux-amd64/config.json"); err == nil || isAbsent(err) {
		t.Errorf("below a manifest that is gone: error %v", err)
	}
}

// TestDamaged: content that is not what its descriptor says is never believed, and never the end of a file.
func TestDamaged(t *testing.T) {
	s := newSource()
	img := s.push("", manifest(s.blob(imageConfig, `{"created":"2024-01-01T00:00:00Z"}`), s.blob(layerTar, "layer")))
	v := s.view(img)
	e := archiveOf(t, v, "")
	whole, good := read(t, v, e), []byte(`{"created":"2024-01-01T00:00:00Z"}`)
	config := digest.FromBytes(good)
	for _, wrong := range []string{`{"created":"2025-01-01T00:00:00Z"}`, `{"created"`} {
		s.blobs[config] = []byte(wrong)
		if _, err := s.view(img).Stat(t.Context(), ""); err == nil || isAbsent(err) {
			t.Errorf("the config is %q, error %v", wrong, err)
		}
	}
	c, err := v.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	at := int64(bytes.Index(whole, good))
	p := make([]byte, len(good))
	for _, short := range []string{`{"created"`, ""} {
		s.blobs[config] = []byte(short)
		if n, err := c.ReadAt(p, at); n != len(short) || err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("of a blob that ends early %d bytes are read, error %v", n, err)
		}
	}
	s.blobs[config] = good
	if _, err := c.ReadAt(p, at); err != nil || !bytes.Equal(p, good) {
		t.Errorf("when it is good again it reads %q, error %v", p, err)
	}
	if err := c.Close(); err != nil || s.open.Load() != 0 {
		t.Errorf("Close: %v, %d blobs open", err, s.open.Load())
	}
}

// TestLongConfig: a config that is too long to be one is not asked for.
func TestLongConfig(t *testing.T) {
	s := newSource()
	v := s.view(s.push("", manifest(ocispec.Descriptor{MediaType: imageConfig, Digest: digest.FromString("x"), Size: 5 << 20})))
	if e, err := v.Stat(t.Context(), "config.json"); err != nil || e.Size != 5<<20 || s.took()["blob"] != 0 {
		t.Errorf("it is %+v, error %v", e, err)
	}
}

// TestTogether: a View is used on many goroutines.
func TestTogether(t *testing.T) {
	s := newSource()
	v := s.view(s.image("amd64", ""))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			members, err := v.ReadDir(t.Context(), "")
			if err != nil || len(members) != 5 {
				t.Errorf("%d members, error %v", len(members), err)
			}
			if _, err := v.Stat(t.Context(), "image.tar"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestCancelled: who leaves gets his answer, also while manifests are asked for.
func TestCancelled(t *testing.T) {
	s := newSource()
	root, _ := someIndex(s)
	ctx, cancel := context.WithCancel(t.Context())
	s.fail = func(what string, _ digest.Digest) error {
		if what == "manifest" {
			cancel()
		}
		return nil
	}
	if _, err := s.view(root).Stat(ctx, "image.tar"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestOpenOthers: an Entry that describes no file cannot be opened.
func TestOpenOthers(t *testing.T) {
	s := newSource()
	v := s.view(s.image("amd64", ""))
	for _, e := range []foreign.Entry{{}, v.Entry()} {
		if _, err := v.Open(t.Context(), e); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("error %v", err)
		}
	}
}
