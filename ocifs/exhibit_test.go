package ocifs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestExhibitRemoved: the tag goes, and nothing else, whatever a registry does when it is asked to delete a tag: other tags of
// that very manifest stay.
func TestExhibitRemoved(t *testing.T) {
	for name, d := range map[string]registrytest.Defects{
		"delete": {}, "digest": {NoTagDelete: 405}, "tombstone": {NoDelete: true}, "whole manifest": {DeleteByTagRemovesManifest: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, d, func(f *fake) {
				f.gallery()
				f.PutManifest("d", "latest", "", f.Manifest("d", "image"))
				f.PutManifest("d", "v9", "", f.Manifest("d", "report.pdf"))
				ctx, tree, before := f.Context(), f.tree(), f.state()
				if err := tree.RemoveAll(ctx, "/d/image", func(fi fs.FileInfo) error {
					if fi == nil || !fi.IsDir() {
						return errors.New("it is told of nothing")
					}
					return fs.ErrClosed
				}); !errors.Is(err, fs.ErrClosed) {
					f.Errorf("a check that does not agree: %v", err)
				}
				f.must(tree.RemoveAll(ctx, "/d/image", nil))
				f.must(tree.RemoveAll(ctx, "/d/report.pdf", nil)) // shown as a file, and theirs too
				f.settle()
				for what, tree := range map[string]*ocifs.FS{"here": tree, "elsewhere": f.tree()} {
					if _, err := tree.Stat(ctx, "/d/image"); !errors.Is(err, fs.ErrNotExist) {
						f.Errorf("%s: it is still there: %v", what, err)
					}
					if got, err := read(ctx, tree, "/d/latest/layer-1.txt"); got != "content of " || err != nil {
						f.Errorf("%s: another tag of it: %q, %v", what, got, err)
					}
				}
				after := f.state()
				for _, tag := range []string{"d:image", "d:report.pdf"} {
					delete(before, tag)
					delete(after, tag)
				}
				if !maps.Equal(before, after) {
					f.Errorf("something else has changed: %q, before %q", slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
				}
				f.must(put(ctx, tree, "/d/image", "now the name is free"))
			})
		})
	}
}

// TestExhibitCopied: a file of an exhibit that is one blob is copied by reference, with its time and type.
func TestExhibitCopied(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.gallery()
		ctx, tree := f.Context(), f.tree()
		f.ResetCounts()
		f.must(copyTo(ctx, tree, "/d/chart/chart-1.0.tgz", "/chart.tgz"))
		if got := f.Count("POST mount"); got == 0 && f.Count("GET blob") > 0 {
			f.Errorf("it is copied by its bytes: %q", f.Requests())
		}
		if got, err := read(ctx, f.tree(), "/chart.tgz"); got != "content of chart-1.0.tgz" || err != nil {
			f.Errorf("the copy is %q, %v", got, err)
		}
		if err := copyTo(ctx, tree, "/d/chart/none", "/x"); !errors.Is(err, fs.ErrNotExist) {
			f.Errorf("what is not in it: %v", err)
		}
	})
}

// TestExhibitIsAsDescribed: what a listing says of a name Stat says too, and Open gives what was described, in ranges as well,
// though the tag has moved on.
func TestExhibitIsAsDescribed(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.gallery()
		ctx, tree := f.Context(), f.tree()
		config := `{"created":"2020-02-02T02:02:02Z","architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`
		f.PutManifest("d", "dated", "", fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`,
			ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, f.PutBlob("d", []byte(config)), len(config)))
		var walk func(dir string)
		walk = func(dir string) {
			list, err := tree.ReadDir(ctx, dir)
			f.must(err)
			for _, fi := range list {
				name := dir + "/" + fi.Name()
				again, err := tree.Stat(ctx, name)
				f.must(err)
				if a, b := fmt.Sprint(fi.Name(), fi.Size(), fi.ModTime(), fi.Mode()), fmt.Sprint(again.Name(), again.Size(), again.ModTime(), again.Mode()); a != b {
					f.Errorf("%s is listed as %s, and is %s", name, a, b)
				}
				if fi.IsDir() {
					walk(name)
				}
			}
		}
		walk("/d")
		for _, name := range []string{"/d/image/manifest.json", "/d/image/layer-1.txt", "/d/index/image.tar"} {
			fi, err := tree.Stat(ctx, name)
			f.must(err)
			want, err := read(ctx, tree, name)
			f.must(err)
			if fi.Size() != int64(len(want)) {
				f.Errorf("%s is described with %d bytes and has %d", name, fi.Size(), len(want))
			}
			file, err := tree.Open(ctx, name, fi)
			f.must(err)
			f.pushForeign("d", "image", "something else")
			tree.Changed("d", "image")
			got := make([]byte, 5)
			if _, err := file.(io.ReaderAt).ReadAt(got, 3); err != nil || string(got) != want[3:8] {
				f.Errorf("bytes 3 to 8 of %s are %q, %v", name, got, err)
			}
			if _, err := file.(io.Seeker).Seek(1, io.SeekStart); err != nil {
				f.Error(err)
			}
			if rest, err := io.ReadAll(file); err != nil || string(rest) != want[1:] {
				f.Errorf("%s from byte 1 is %d bytes, %v", name, len(rest), err)
			}
			f.must(file.Close())
			f.gallery2("image")
			tree.Changed("d", "image")
		}
	})
}

// gallery2 pushes an artifact of the gallery anew.
func (f *fake) gallery2(tag string) { f.pushForeign("d", tag, "", "", "") }

// TestExhibitUnderOurs: what is ours outranks it: a directory of that name hides it.
func TestExhibitUnderOurs(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.must(tree.Mkdir(ctx, "/d", nil))
		f.must(tree.Mkdir(ctx, "/d/v1", nil))
		f.must(put(ctx, tree, "/d/v1/f", "ours"))
		f.pushForeign("d", "v1", "a", "b")
		tree = f.tree()
		if got := f.names(tree, "/d"); !slices.Equal(got, []string{"v1"}) {
			f.Errorf("listed are %q", got)
		}
		if got := f.names(tree, "/d/v1"); !slices.Equal(got, []string{"f"}) {
			f.Errorf("in it are %q", got)
		}
	})
}

// TestExhibitFails: a failing registry never looks like a missing file, in an exhibit neither.
func TestExhibitFails(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.Freshness = time.Second }
		f.gallery()
		ctx, tree := f.Context(), f.tree()
		f.names(tree, "/d")
		time.Sleep(time.Minute)
		for _, code := range []int{401, 403, 404, 429, 500, 503} {
			f.Fail(registrytest.Match{}, registrytest.Page(code), 0)
			for _, name := range []string{"/d/image", "/d/image/layer-1.txt", "/d/none/x"} {
				_, err := tree.Stat(ctx, name)
				f.saysNothing(fmt.Sprint(code, " for ", name), err)
				if err == nil {
					f.Errorf("%d for %s is no failure", code, name)
				}
			}
			f.Heal()
		}
		if _, err := tree.Stat(ctx, "/d/image/none"); !errors.Is(err, fs.ErrNotExist) {
			f.Errorf("what is not in it: %v", err)
		}
		f.Fail(registrytest.Match{Path: "/manifests/sha256:"}, registrytest.Status(http.StatusNotFound, "MANIFEST_UNKNOWN"), 0)
		_, err := tree.Stat(ctx, "/d/image/layer-1.txt")
		f.saysNothing("its tag has no manifest by its digest", err)
		f.Heal()
		f.Fail(registrytest.Match{Path: "/blobs/"}, registrytest.Status(http.StatusInternalServerError), 0)
		_, err = read(ctx, tree, "/d/image/layer-1.txt")
		f.saysNothing("its blob fails", err)
	})
}

// TestExhibitReferrers: what refers to an artifact is shown with it, told by the registry, or by tags of the digest.
func TestExhibitReferrers(t *testing.T) {
	for name, fault := range map[string]registrytest.Fault{
		"told": nil, "not told": registrytest.Page(http.StatusNotFound), "not allowed": registrytest.Status(http.StatusMethodNotAllowed),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				f.gallery()
				if fault != nil {
					f.Fail(registrytest.Match{Path: "/referrers/"}, fault, 0)
				}
				ctx := f.Context()
				subject := f.Manifest("d", "image")
				hex := digestOf(string(subject)).Encoded()
				if _, err := f.tree().Stat(ctx, "/d/image/.referrers"); !errors.Is(err, fs.ErrNotExist) {
					f.Errorf("nobody refers to it: %v", err)
				}
				f.pushForeign("d", "sha256-"+hex+".sig", "signature")
				sbom := []byte("the parts")
				m := ocispec.Manifest{
					Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/spdx+json",
					Config: ocispec.DescriptorEmptyJSON,
					Layers: []ocispec.Descriptor{{MediaType: "application/spdx+json", Digest: f.PutBlob("d", sbom), Size: int64(len(sbom)),
						Annotations: map[string]string{ocispec.AnnotationTitle: "sbom.json"}}},
					Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digestOf(string(subject)), Size: int64(len(subject))},
				}
				data, err := json.Marshal(m)
				f.must(err)
				index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
					Manifests: []ocispec.Descriptor{{MediaType: m.MediaType, ArtifactType: m.ArtifactType, Digest: digestOf(string(data)), Size: int64(len(data))}}})
				f.must(err)
				f.PutManifest("d", digestOf(string(data)).String(), "", data)
				f.PutManifest("d", "sha256-"+hex, ocispec.MediaTypeImageIndex, index)

				tree := f.tree()
				var got []string
				for _, dir := range f.names(tree, "/d/image/.referrers") {
					for _, file := range f.names(tree, "/d/image/.referrers/"+dir) {
						content, err := read(ctx, tree, "/d/image/.referrers/"+dir+"/"+file)
						f.must(err)
						got = append(got, file+": "+content)
					}
				}
				slices.Sort(got)
				if want := []string{"sbom.json: the parts", "signature: content of signature"}; !slices.Equal(got, want) {
					f.Errorf("what refers to it is %q, want %q", got, want)
				}
				for _, name := range f.names(tree, "/d") {
					if name == "sha256-"+hex || name == "sha256-"+hex+".sig" {
						f.Errorf("%s is listed", name)
					}
				}
			})
		})
	}
}
