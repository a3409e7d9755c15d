package ocifs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

const partSize = 1 << 18

// checkable fills a registry with one of each: what is well in every way.
func (f *fake) checkable() {
	f.Helper()
	tree, ctx := f.tree(), f.Context()
	f.must(tree.Settle(ctx, true))
	for _, dir := range []string{"/d", "/d/sub", "/d/My Docs", "/empty", "/gone", "/gone/below", "/" + strings.Repeat("long", 50)} {
		f.must(tree.Mkdir(ctx, dir, nil))
	}
	for name, content := range map[string]string{
		"/f": "f", "/same": "f", "/d/a": "a", "/d/my file ü.txt": "b", "/d/sub/c": "c", "/d/sub/nothing": "", "/d/My Docs/e": "e",
		"/d/parts": large, "/d/" + strings.Repeat("name", 50): "n", "/gone/x": "x", "/gone/below/y": "y", "/f2": "old", "/f3": "removed",
	} {
		f.must(put(ctx, tree, name, content))
	}
	f.must(tree.PatchProps(ctx, "/d/a", patchOf("a")))
	f.must(tree.PatchProps(ctx, "/d", patchOf("d")))
	f.must(put(ctx, tree, "/f2", "new"))
	f.must(tree.RemoveAll(ctx, "/f3", nil))
	f.must(tree.RemoveAll(ctx, "/gone", nil))
	f.must(copyTo(ctx, tree, "/d", "/copy"))
	f.settle()
	f.pushForeign("x.root", "v1.2", "chart.tgz", "", "other")
	f.pushForeign("x.root", "theirs.txt", "theirs.txt")
	f.pushForeign("x.root", "sha256-"+strings.Repeat("0", 64), "signature")
	if !f.isFlat() {
		f.pushForeign("theirs/image", "latest", "one", "two")
	}
}

// checkTree gives a tree as the command has it, which reads nothing from near.
func (f *fake) check(o ocifs.CheckOptions) ocifs.CheckReport {
	f.Helper()
	tree := f.tree()
	f.must(tree.Settle(f.Context(), false))
	r, err := tree.Check(f.Context(), o)
	f.must(err)
	return r
}

// layouts runs a test on trees of both.
func layouts(t *testing.T, d registrytest.Defects, test func(f *fake)) {
	t.Helper()
	for _, layout := range []string{ocifs.LayoutPath, ocifs.LayoutFlat} {
		t.Run(layout, func(t *testing.T) {
			t.Helper()
			synctest.Test(t, func(t *testing.T) {
				test(newFake(t, d, func(o *ocifs.Options) { o.Layout, o.PartSize, o.Discover = layout, partSize, true }))
			})
		})
	}
}

// wantFindings looks for these findings, each "KIND PATH" or "KIND PATH REPAIR", and no others.
func (f *fake) wantFindings(r ocifs.CheckReport, want ...string) {
	f.Helper()
	got := []string{}
	for _, n := range r.Findings {
		got = append(got, strings.Join(strings.Fields(n.Kind+" "+n.Path+" "+n.Repair), " "))
		if n.Text == "" || n.Repository == "" || n.Severity != ocifs.Damage && n.Severity != ocifs.Litter {
			f.Errorf("a finding says too little: %+v", n)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		f.Errorf("found %q, want %q\n%+v", got, want, r)
	}
}

func (f *fake) wantWell(r ocifs.CheckReport) {
	f.Helper()
	f.wantFindings(r)
	if !r.Complete || r.Damage+r.Litter+r.Failed != 0 {
		f.Errorf("all is well, and it says %+v", r)
	}
}

// TestCheckHealthy: a drive that is well has no findings, whatever is in it and whatever the registry can do.
func TestCheckHealthy(t *testing.T) {
	for name, d := range map[string]registrytest.Defects{
		"all": {}, "tombstones": {NoDelete: true}, "byDigest": {NoTagDelete: 400}, "noCatalog": {NoCatalog: true}, "noRange": {NoRange: true},
		"pages": {PageSize: 3}, "onePage": {IgnorePaging: true}, "noDigests": {OmitDigestHeader: true}, "listOnly": {KnownTypesOnly: true},
	} {
		t.Run(name, func(t *testing.T) {
			layouts(t, d, func(f *fake) {
				f.checkable()
				before := f.state()
				r := f.check(ocifs.CheckOptions{})
				f.wantWell(r)
				want := map[bool]ocifs.CheckReport{false: {Directories: 10, Files: 18, Artifacts: 3}, true: {Directories: 9, Files: 18, Artifacts: 2}}[f.isFlat()]
				if d.NoCatalog && !f.isFlat() {
					want.Directories, want.Artifacts = 9, 2
				}
				if r.Directories != want.Directories || r.Files != want.Files || r.Artifacts != want.Artifacts || r.Tombstones > 0 != d.NoDelete {
					f.Errorf("it has seen %+v", r)
				}
				if r.Bytes < int64(len(large)) {
					f.Errorf("%d bytes are read", r.Bytes)
				}
				f.ResetCounts()
				f.wantWell(f.check(ocifs.CheckOptions{Quick: true}))
				if n := f.Count("GET blob"); n > 0 {
					f.Errorf("%d blobs are read by a quick check", n)
				}
				f.wantWell(f.check(ocifs.CheckOptions{Repair: true, Alone: true}))
				if after := f.state(); !mapsEqual(before, after) {
					f.Errorf("a check changes something: %d tags, and before %d", len(after), len(before))
				}
			})
		})
	}
}

func mapsEqual(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if b[key] != value {
			return false
		}
	}
	return true
}

// TestCheckOnce: of a blob that several files of a repository share the bytes are read once.
func TestCheckOnce(t *testing.T) {
	layouts(t, registrytest.Defects{}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		for n := range 20 {
			f.must(put(ctx, tree, fmt.Sprintf("/f%d", n), "content"))
		}
		f.settle()
		f.ResetCounts()
		r := f.check(ocifs.CheckOptions{})
		f.wantWell(r)
		if n := f.Count("GET blob"); n != 2 || r.Bytes != int64(len("content")+len("{}")) || r.Blobs != 40 {
			f.Errorf("%d blobs, %d bytes are read, of %d", n, r.Bytes, r.Blobs)
		}
	})
}

// TestCheckDamage: each damage is found, and named by its path; and nothing else is.
func TestCheckDamage(t *testing.T) {
	garble := func(f *fake, what string) {
		f.Fail(registrytest.Match{Method: "GET", Path: what}, registrytest.Garble, 0)
	}
	for name, c := range map[string]struct {
		do    func(f *fake, repo, tag string)
		want  []string
		quick []string // what --quick finds
	}{
		"blob missing": {func(f *fake, repo, _ string) { f.DropBlob(repo, digestOf("b")) },
			[]string{"blob-missing /d/b"}, []string{"blob-missing /d/b"}},
		"blob of two files": {func(f *fake, repo, _ string) { f.DropBlob(repo, digestOf("a")) },
			[]string{"blob-missing /d/a", "blob-missing /d/a2"}, []string{"blob-missing /d/a", "blob-missing /d/a2"}},
		"properties missing": {func(f *fake, repo, _ string) { f.DropBlob(repo, propsOf(f, repo, "b")) },
			[]string{"blob-missing /d/b"}, []string{"blob-missing /d/b"}},
		"part missing": {func(f *fake, repo, _ string) { f.DropBlob(repo, digestOf(large[partSize:2*partSize])) },
			[]string{"blob-missing /d/parts"}, []string{"blob-missing /d/parts"}},
		"other bytes":       {func(f *fake, _, _ string) { garble(f, digestOf("b").String()) }, []string{"blob-damaged /d/b"}, nil},
		"other bytes large": {func(f *fake, _, _ string) { garble(f, digestOf(large[:partSize]).String()) }, []string{"blob-damaged /d/parts"}, nil},
		"longer": {func(f *fake, _, _ string) { f.Fail(registrytest.Match{Path: digestOf("b").String()}, body("bb"), 0) },
			[]string{"blob-damaged /d/b"}, []string{"blob-damaged /d/b"}},
		"shorter": {func(f *fake, _, _ string) { f.Fail(registrytest.Match{Path: digestOf("b").String()}, body(""), 0) },
			[]string{"blob-damaged /d/b"}, []string{"blob-damaged /d/b"}},
		"size": {func(f *fake, repo, tag string) { f.resize(repo, tag) },
			[]string{"blob-damaged /d/b"}, []string{"blob-damaged /d/b"}},
		"size of all": {func(f *fake, repo, tag string) {
			f.PutManifest(repo, tag, "", bytes.Replace(f.Manifest(repo, tag), []byte(`"size":1,`), []byte(`"size":9223372036854775807,`), 1))
		}, []string{"blob-damaged /d/b"}, []string{"blob-damaged /d/b"}},
		"size of one of two": {func(f *fake, repo, tag string) { f.resize(repo, tag[:len(tag)-1]+"a2") },
			[]string{"blob-damaged /d/a2"}, []string{"blob-damaged /d/a2"}},
		"manifest missing": {func(f *fake, repo, tag string) { f.Phantom(repo, tag) }, []string{"manifest-missing /d/b"}, []string{"manifest-missing /d/b"}},
		"manifest's bytes": {func(f *fake, repo, tag string) {
			f.Fail(registrytest.Match{Method: "GET", Path: repo + "/manifests/" + tag + "$"}, misspelt, 0)
		}, []string{"manifest-damaged /d/b"}, []string{"manifest-damaged /d/b"}},
		"no manifest": {func(f *fake, repo, tag string) {
			f.Fail(registrytest.Match{Method: "GET", Path: repo + "/manifests/" + tag + "$"}, registrytest.Page(200), 0)
		}, []string{"manifest-damaged /d/b"}, []string{"manifest-damaged /d/b"}},
		"tag lost": {func(f *fake, repo, tag string) {
			f.Fail(registrytest.Match{Method: "GET HEAD", Path: repo + "/manifests/" + tag + "$"}, registrytest.Status(500, "UNKNOWN"), 0)
		}, []string{"tag-unreadable /d/b"}, []string{"tag-unreadable /d/b"}},
		"name": {func(f *fake, repo, tag string) {
			key := strings.TrimSuffix(tag, "b")
			f.PutManifest(repo, key+"_h."+strings.Repeat("a", 51)+"q", "", f.Manifest(repo, tag))
		}, []string{"name-mismatch /d"}, []string{"name-mismatch /d"}},
	} {
		t.Run(strings.ReplaceAll(name, " ", ""), func(t *testing.T) {
			layouts(t, registrytest.Defects{}, func(f *fake) {
				ctx, tree := f.Context(), f.tree()
				f.must(tree.Settle(ctx, true))
				f.must(tree.Mkdir(ctx, "/d", nil))
				for name, content := range map[string]string{"/d/a": "a", "/d/a2": "a", "/d/b": "b", "/d/c": "c", "/d/parts": large} {
					f.must(put(ctx, tree, name, content))
				}
				f.must(tree.PatchProps(ctx, "/d/b", patchOf("b")))
				f.settle()
				f.wantWell(f.check(ocifs.CheckOptions{}))
				repo, tag := f.tagOf("/d", "b")
				c.do(f, repo, tag)
				r := f.check(ocifs.CheckOptions{})
				f.wantFindings(r, c.want...)
				if !r.Complete || r.Damage != len(c.want) {
					f.Errorf("damage %d, complete %t: %+v", r.Damage, r.Complete, r.Failures)
				}
				f.wantFindings(f.check(ocifs.CheckOptions{Quick: true}), c.quick...)
				f.wantFindings(f.check(ocifs.CheckOptions{Paths: []string{"/d"}}), c.want...)
				f.wantFindings(f.check(ocifs.CheckOptions{Paths: []string{"/d/c"}}))
				before := f.state()
				f.wantFindings(f.check(ocifs.CheckOptions{Repair: true, Alone: true}), c.want...) // there is nothing to repair it with
				if !mapsEqual(before, f.state()) {
					f.Error("a repair changes what cannot be repaired")
				}
			})
		})
	}
}

// resize has a manifest say that a blob of one byte has three.
func (f *fake) resize(repo, tag string) {
	f.PutManifest(repo, tag, "", bytes.Replace(f.Manifest(repo, tag), []byte(`"size":1,`), []byte(`"size":3,`), 1))
}

// misspelt answers with a manifest that has a letter of another.
func misspelt(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	rec := httptest.NewRecorder()
	serve(rec, r)
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	_, _ = w.Write(bytes.Replace(rec.Body.Bytes(), []byte("octet-stream"), []byte("octet-strean"), 1))
}

// body answers with other content, and its length.
func body(content string) registrytest.Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if r.Method != http.MethodHead {
			_, _ = w.Write([]byte(content))
		}
	}
}

// propsOf gives the digest of the properties of /d/name.
func propsOf(f *fake, repo, name string) digest.Digest {
	_, tag := f.tagOf("/d", name)
	_, rest, _ := strings.Cut(string(f.Manifest(repo, tag)), `properties.v1+json","digest":"`)
	d, _, _ := strings.Cut(rest, `"`)
	return digest.Digest(d)
}

// TestCheckFailure: a registry that fails is not damaged, whatever it fails at; the check says what it did not see, and
// repairs nothing of it.
func TestCheckFailure(t *testing.T) {
	for name, fault := range map[string]registrytest.Fault{
		"500": registrytest.Status(500), "503": registrytest.Status(503), "404 page": registrytest.Page(404), "404": registrytest.Status(404),
		"429": registrytest.TooMany(0), "401": registrytest.Status(401, "UNAUTHORIZED"), "reset": registrytest.ResetBefore, "cut": registrytest.Cut,
		"stall": registrytest.StallInBody, "denied": registrytest.Status(403, "DENIED"),
	} {
		t.Run(strings.ReplaceAll(name, " ", ""), func(t *testing.T) {
			layouts(t, registrytest.Defects{}, func(f *fake) {
				f.checkable()
				before := f.state()
				for _, match := range []registrytest.Match{
					{}, {Method: "GET HEAD", Path: "/manifests/"}, {Method: "GET HEAD", Path: "/blobs/"}, {Method: "GET", Path: "/tags/list"}, {Method: "GET HEAD", Skip: 30},
				} {
					tree := f.tree()
					f.must(tree.Settle(f.Context(), false))
					rule := f.Fail(match, fault, 0)
					r, err := tree.Check(f.Context(), ocifs.CheckOptions{Repair: true, Alone: true})
					f.Heal()
					f.must(err)
					if rule.Hits() == 0 {
						f.Errorf("%+v is not met", match)
					}
					f.wantFindings(r)
					if r.Complete || r.Failed == 0 || len(r.Failures) == 0 {
						f.Errorf("%+v: it says that it has seen all: %+v", match, r)
					}
				}
				if !mapsEqual(before, f.state()) {
					f.Error("something has changed")
				}
			})
		})
	}
}

// TestCheckMadness: a registry that says of all that it is not there, or gives pages for content, is believed in nothing once
// it has said otherwise.
func TestCheckMadness(t *testing.T) {
	for name, fault := range map[string]registrytest.Fault{
		"unknown": registrytest.Status(404, "MANIFEST_UNKNOWN"), "page": registrytest.Page(200), "garbled": registrytest.Garble,
		"lost": registrytest.Status(500, "UNKNOWN"),
	} {
		for kind, match := range map[string]registrytest.Match{
			"all": {Method: "GET", Path: "/(manifests|blobs)/", Skip: 25}, "blobs": {Method: "GET", Path: "/blobs/", Skip: 10},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				layouts(t, registrytest.Defects{}, func(f *fake) {
					f.checkable()
					f.Fail(match, fault, 0)
					r := f.check(ocifs.CheckOptions{Repair: true, Alone: true})
					if r.Damage > 0 || r.Complete {
						f.Errorf("it is believed: %+v", r)
					}
				})
			})
		}
	}
}

// TestCheckTransient: what goes wrong once, or breaks off, is asked for again.
func TestCheckTransient(t *testing.T) {
	for name, fault := range map[string]registrytest.Fault{
		"garbled": registrytest.Garble, "cut": registrytest.Cut, "503": registrytest.Status(503), "unknown": registrytest.Status(404, "BLOB_UNKNOWN"),
	} {
		t.Run(name, func(t *testing.T) {
			layouts(t, registrytest.Defects{}, func(f *fake) {
				f.checkable()
				tree := f.tree()
				f.must(tree.Settle(f.Context(), false))
				rule := f.Fail(registrytest.Match{Method: "GET", Path: "/(manifests/[^:]+|blobs/.*)$", First: true}, fault, 0)
				r, err := tree.Check(f.Context(), ocifs.CheckOptions{})
				f.must(err)
				if rule.Hits() < 35 {
					f.Errorf("met %d times", rule.Hits())
				}
				f.wantWell(r)
			})
		})
	}
}

// TestCheckMeanwhile: what is removed or replaced while a check runs is no damage.
func TestCheckMeanwhile(t *testing.T) {
	layouts(t, registrytest.Defects{}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.must(tree.Mkdir(ctx, "/d", nil))
		f.must(put(ctx, tree, "/d/removed", "removed"))
		f.must(put(ctx, tree, "/d/replaced", "replaced"))
		repo, removed := f.tagOf("/d", "removed")
		f.Fail(registrytest.Match{Method: "GET", Path: removed + "$"}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			_ = tree.RemoveAll(context.Background(), "/d/removed", nil)
			serve(w, r)
		}, 1)
		f.Fail(registrytest.Match{Method: "GET", Path: digestOf("replaced").String()}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			_ = put(context.Background(), tree, "/d/replaced", "new")
			f.DropBlob(repo, digestOf("replaced"))
			serve(w, r)
		}, 1)
		f.wantWell(f.check(ocifs.CheckOptions{}))
		if got := f.names(f.tree(), "/d"); !slices.Equal(got, []string{"replaced"}) {
			f.Errorf("members %q", got)
		}
	})
}

func patchOf(value string) davfs.PropPatch { return davfs.PropPatch{Set: property(value)} }

// TestCheckPaths: a path is looked at with all that is below it, and one that is not there is said.
func TestCheckPaths(t *testing.T) {
	layouts(t, registrytest.Defects{}, func(f *fake) {
		f.checkable()
		for path, want := range map[string]struct{ directories, files, artifacts int64 }{
			"/":                    {10, 18, 3},
			"/d":                   {3, 7, 0},
			"d/":                   {3, 7, 0},
			"/d/sub/c":             {0, 1, 0},
			"/d/My Docs":           {1, 1, 0},
			"/v1.2":                {0, 0, 1},
			"/theirs.txt":          {0, 1, 0},
			"/theirs":              {1, 0, 1},
			"/theirs/image":        {1, 0, 1},
			"/theirs/image/latest": {0, 0, 1},
		} {
			if f.isFlat() && strings.HasPrefix(path, "/theirs/") || f.isFlat() && (path == "/theirs" || path == "/") {
				continue
			}
			r := f.check(ocifs.CheckOptions{Paths: []string{path}})
			f.wantFindings(r)
			if r.Directories != want.directories || r.Files != want.files || r.Artifacts != want.artifacts || !r.Complete {
				f.Errorf("%s: %d directories, %d files, %d artifacts", path, r.Directories, r.Files, r.Artifacts)
			}
		}
		tree := f.tree()
		f.must(tree.Settle(f.Context(), false))
		for path, want := range map[string]error{"/none": fs.ErrNotExist, "/none/x": fs.ErrNotExist, "/f/x": fs.ErrNotExist, "/gone/x": fs.ErrNotExist,
			"/v1.2/chart.tgz": fs.ErrInvalid, "/d/" + strings.Repeat("x", 300): fs.ErrInvalid} {
			if r, err := tree.Check(f.Context(), ocifs.CheckOptions{Paths: []string{"/f", path}}); !errors.Is(err, want) || r.Complete {
				f.Errorf("%s: error %v, want %v, complete %t", path, err, want, r.Complete)
			}
		}
	})
}
