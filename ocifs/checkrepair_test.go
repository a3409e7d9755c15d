package ocifs_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// small fills a registry with a few files.
func (f *fake) small() {
	f.Helper()
	tree, ctx := f.tree(), f.Context()
	f.must(tree.Settle(ctx, true))
	for _, dir := range []string{"/d", "/d/sub", "/e"} {
		f.must(tree.Mkdir(ctx, dir, nil))
	}
	for _, name := range []string{"/d/a", "/d/b", "/d/sub/c", "/e/a", "/f"} {
		f.must(put(ctx, tree, name, "content of "+name))
	}
	f.must(copyTo(ctx, tree, "/d/b", "/e/b"))
	f.must(tree.PatchProps(ctx, "/d", patchOf("d")))
	f.settle()
}

// atHand gives contents by their digest, as a cache does.
func (f *fake) atHand(contents ...string) func(digest.Digest) (*os.File, error) {
	f.Helper()
	dir := f.TempDir()
	for _, content := range contents {
		f.must(os.WriteFile(filepath.Join(dir, digestOf(content).Encoded()), []byte(content), 0o600))
	}
	return func(d digest.Digest) (*os.File, error) { return os.Open(filepath.Join(dir, d.Encoded())) }
}

// TestCheckRepairsBlobs: a blob comes back from another repository, or from what is at hand, and only what has its digest.
func TestCheckRepairsBlobs(t *testing.T) {
	for name, d := range map[string]registrytest.Defects{"mount": {}, "noMount": {NoMount: true}, "denied": {MountDenied: 401}} {
		t.Run("elsewhere/"+name, func(t *testing.T) {
			inBubble(t, d, func(f *fake) {
				f.small()
				before := f.state()
				f.DropBlob("d", digestOf("content of /d/b"))
				f.wantFindings(f.check(ocifs.CheckOptions{}), "blob-missing /d/b possible")
				r := f.check(ocifs.CheckOptions{Repair: true})
				f.wantFindings(r, "blob-missing /d/b done")
				if r.Damage != 0 || r.Repaired != 1 || !r.Complete {
					f.Errorf("report %+v", r)
				}
				f.wantWell(f.check(ocifs.CheckOptions{}))
				if !mapsEqual(before, f.state()) {
					f.Error("a tag has changed")
				}
			})
		})
	}
	t.Run("atHand", func(t *testing.T) {
		layouts(t, registrytest.Defects{}, func(f *fake) {
			f.small()
			repo, _ := f.tagOf("/d", "a")
			f.DropBlob(repo, digestOf("content of /d/a"))
			f.DropBlob(repo, digestOf("{}"))
			wrong := f.atHand("content of /d/a")
			file, err := wrong(digestOf("content of /d/a"))
			f.must(err)
			f.must(os.WriteFile(file.Name(), []byte("content of /d/x"), 0o600))
			file.Close()
			for _, n := range f.check(ocifs.CheckOptions{AtHand: wrong}).Findings {
				if possible := n.Repair == ocifs.RepairPossible; possible != (n.Digest == digestOf("{}")) {
					f.Errorf("with another content at hand: %+v", n)
				}
			}
			r := f.check(ocifs.CheckOptions{Repair: true, AtHand: wrong})
			if r.Damage != 1 || f.HasBlob(repo, digestOf("content of /d/a")) || !f.HasBlob(repo, digestOf("{}")) {
				f.Errorf("with another content at hand: %+v", r)
			}
			o := ocifs.CheckOptions{AtHand: f.atHand("content of /d/a")}
			f.wantFindings(f.check(o), "blob-missing /d/a possible")
			o.Repair = true
			f.wantFindings(f.check(o), "blob-missing /d/a done")
			f.wantWell(f.check(ocifs.CheckOptions{}))
		})
	})
	t.Run("kept", func(t *testing.T) { // what the registry has under a digest stays, and that is said
		layouts(t, registrytest.Defects{}, func(f *fake) {
			f.small()
			f.Fail(registrytest.Match{Method: "GET", Path: digestOf("content of /d/a").String()}, registrytest.Garble, 0)
			r := f.check(ocifs.CheckOptions{Repair: true, AtHand: f.atHand("content of /d/a")})
			f.wantFindings(r, "blob-damaged /d/a failed")
			if r.Damage != 1 || r.Repaired != 0 || !strings.Contains(r.Findings[0].RepairText, "its own storage") {
				f.Errorf("report %+v", r)
			}
		})
	})
}

// TestCheckRepairsManifests: a manifest that is gone is pushed again by its digest; and a marker that nobody has is made anew,
// with all that lies below it.
func TestCheckRepairsManifests(t *testing.T) {
	layouts(t, registrytest.Defects{}, func(f *fake) {
		f.small()
		before := f.state()
		marker := map[bool]string{false: "_d.d", true: "_b.d"}[f.isFlat()]
		f.Phantom("x.root", marker)
		f.wantFindings(f.check(ocifs.CheckOptions{Alone: true}), "manifest-missing /d possible")
		r := f.check(ocifs.CheckOptions{Repair: true, Alone: true})
		f.wantFindings(r, "manifest-missing /d done")
		f.wantWell(f.check(ocifs.CheckOptions{}))
		after := f.state()
		delete(before, "x.root:"+marker)
		delete(after, "x.root:"+marker)
		if !mapsEqual(before, after) {
			f.Error("another tag has changed")
		}
		if got, err := read(f.Context(), f.tree(), "/d/sub/c"); err != nil || got != "content of /d/sub/c" {
			f.Errorf("below the marker: %q, %v", got, err)
		}
	})
	layouts(t, registrytest.Defects{}, func(f *fake) { // as distribution says it, with the digest
		f.small()
		repo, tag := f.tagOf("/d", "a")
		manifest := string(f.Manifest(repo, tag))
		rule := f.Fail(registrytest.Match{Method: "GET HEAD", Path: "/" + repo + "/manifests/(" + tag + "|" + digestOf(manifest).String() + ")$"},
			unknownRevision(digestOf(manifest)), 0)
		f.wantFindings(f.check(ocifs.CheckOptions{}), "manifest-missing /d/a")
		f.wantFindings(f.check(ocifs.CheckOptions{AtHand: f.atHand(manifest)}), "manifest-missing /d/a possible")
		f.wantFindings(f.check(ocifs.CheckOptions{AtHand: f.atHand(manifest), Repair: true}), "manifest-missing /d/a failed") // it still says so
		if rule.Hits() == 0 || f.Count("PUT manifest") == 0 {
			f.Error("nothing was pushed")
		}
	})
}

// TestCheckOrphans: what no marker leads to is told, and removed only if nobody else writes and all was seen; what others
// have there stays, and another drive below stays with all that is in it.
func TestCheckOrphans(t *testing.T) {
	layouts(t, registrytest.Defects{}, func(f *fake) {
		ctx := f.Context()
		f.small()
		marker := map[bool]string{false: "_d.d", true: "_b.d"}[f.isFlat()]
		if !f.isFlat() {
			f.pushForeign("d", "theirs.txt", "theirs.txt")
			f.pushForeign("d/sub", "v1", "one", "two")
			inner := f.tree
			with := f.change
			f.change = func(o *ocifs.Options) { with(o); o.Prefix = "d/inner" }
			drive := inner()
			f.must(drive.Settle(ctx, true))
			f.must(drive.Mkdir(ctx, "/in", nil))
			f.must(put(ctx, drive, "/in/side", "side"))
			f.settle()
			f.change = with
			f.wantWell(f.check(ocifs.CheckOptions{}))
		}
		f.remove("x.root", marker)
		orphans := map[bool][]string{false: {"orphan /d", "orphan /d/sub"}, true: {"orphan", "orphan"}}[f.isFlat()]
		r := f.check(ocifs.CheckOptions{Repair: true})
		f.wantFindings(r, orphans...)
		if r.Damage > 0 || r.Litter != 2 {
			f.Errorf("report %+v", r)
		}
		before := f.state()
		count := len(before)
		rule := f.Fail(registrytest.Match{Method: "GET", Path: "/blobs/" + digestOf("content of /f").String()}, registrytest.Status(503), 0)
		r = f.check(ocifs.CheckOptions{Repair: true, Alone: true})
		f.Heal()
		if rule.Hits() == 0 || r.Complete || r.Repaired > 0 || len(f.state()) != count {
			f.Errorf("it removes what it has not seen whole: %+v", r)
		}
		for i, n := range orphans {
			orphans[i] = n + " done"
		}
		r = f.check(ocifs.CheckOptions{Repair: true, Alone: true})
		f.wantFindings(r, orphans...)
		if r.Litter != 0 || r.Repaired != 2 {
			f.Errorf("report %+v", r)
		}
		f.wantWell(f.check(ocifs.CheckOptions{}))
		after := f.state()
		for tag := range after {
			if before[tag] != after[tag] {
				f.Errorf("%s has changed", tag)
			}
		}
		if gone := len(before) - len(after); gone != 4 { // a, b, sub's marker, c
			f.Errorf("%d tags are gone", gone)
		}
		for tag, manifest := range before {
			if _, left := after[tag]; !left && !strings.Contains(manifest, "vnd.ocidav.") {
				f.Errorf("somebody's %s is gone", tag)
			}
		}
	})
}

// TestCheckUnreadableMarker: where a marker whose name is not known cannot be read nothing is an orphan: it may lie below it.
func TestCheckUnreadableMarker(t *testing.T) {
	layouts(t, registrytest.Defects{}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.must(tree.Settle(ctx, true))
		long := "/" + strings.Repeat("long", 50)
		f.must(tree.Mkdir(ctx, long, nil))
		f.must(put(ctx, tree, long+"/f", "f"))
		f.settle()
		for _, tag := range f.Tags("x.root") {
			if strings.HasPrefix(tag, "_e.") || strings.HasPrefix(tag, "_c.") {
				f.Phantom("x.root", tag)
			}
		}
		before := f.state()
		f.wantFindings(f.check(ocifs.CheckOptions{Repair: true, Alone: true}), "manifest-missing /")
		if !mapsEqual(before, f.state()) {
			f.Error("something was removed")
		}
	})
}

// TestCheckLitter: of what is of no harm each is told, and goes if it can.
func TestCheckLitter(t *testing.T) {
	layouts(t, registrytest.Defects{}, func(f *fake) {
		ctx := f.Context()
		f.small()
		repo, index := f.tagOf("/d", "_i.index")
		manifest := strings.Replace(string(f.Manifest(f.tagOf("/d", "a"))), "vnd.ocidav.file.v1", "vnd.ocidav.index.v1", 1)
		f.PutManifest(repo, index, "", []byte(manifest)) // its layer is no bundle
		f.Fail(registrytest.Match{Method: "PUT DELETE", Path: "/x.root/manifests/f$"}, registrytest.Status(403, "DENIED"), 0)
		f.must(copyTo(ctx, f.tree(), "/e", "/f")) // over the file, which stays below
		f.Heal()
		f.settle()
		f.wantFindings(f.check(ocifs.CheckOptions{}), "index-damaged /d possible", "hidden-file /f")
		f.wantFindings(f.check(ocifs.CheckOptions{Repair: true}), "index-damaged /d done", "hidden-file /f")
		r := f.check(ocifs.CheckOptions{})
		f.wantFindings(r, "hidden-file /f")
		if r.Damage > 0 || r.Litter != 1 || !r.Complete {
			f.Errorf("report %+v", r)
		}
	})
	layouts(t, registrytest.Defects{NoTagDelete: 400}, func(f *fake) { // tombstones, where deletion is known
		f.small()
		f.Fail(registrytest.Match{Method: "DELETE", Path: "/sha256:"}, registrytest.Status(403, "DENIED"), 0)
		tree := f.tree()
		f.must(tree.RemoveAll(f.Context(), "/d/a", nil))
		f.must(tree.RemoveAll(f.Context(), "/d/b", nil))
		f.settle()
		f.Heal()
		f.wantWell(f.check(ocifs.CheckOptions{Repair: true, Alone: true}))
		with := f.change
		f.change = func(o *ocifs.Options) { with(o); o.Profile.Delete = ocifs.DeleteDigest }
		f.wantFindings(f.check(ocifs.CheckOptions{Repair: true}), "tombstones /d")
		f.wantFindings(f.check(ocifs.CheckOptions{Repair: true, Alone: true}), "tombstones /d done")
		if r := f.check(ocifs.CheckOptions{}); r.Tombstones > 0 || r.Litter > 0 {
			f.Errorf("report %+v", r)
		}
	})
	layouts(t, registrytest.Defects{}, func(f *fake) { // both layouts recorded
		f.small()
		other := map[bool]string{true: "_l.path", false: "_l.flat"}[f.isFlat()]
		mine := map[bool]string{false: "_l.path", true: "_l.flat"}[f.isFlat()]
		f.PutManifest("x.root", other, "", f.Manifest("x.root", mine))
		f.wantFindings(f.check(ocifs.CheckOptions{Repair: true, Alone: true}), "layout-record /")
	})
	inBubble(t, registrytest.Defects{}, func(f *fake) { // an index of others
		f.small()
		f.pushForeign("d", "v1", "one", "two")
		image := f.Manifest("d", "v1")
		index := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` +
			`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + digestOf(string(image)).String() + `","size":1},` +
			`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + digestOf("gone").String() + `","size":1}]}`
		f.PutManifest("d", "all", "application/vnd.oci.image.index.v1+json", []byte(index))
		f.wantFindings(f.check(ocifs.CheckOptions{}), "member-missing /d/all")
		f.DropBlob("d", digestOf("content of two"))
		f.wantFindings(f.check(ocifs.CheckOptions{}), "member-missing /d/all", "blob-missing /d/all", "blob-missing /d/v1")
		f.wantFindings(f.check(ocifs.CheckOptions{NoForeign: true}))
	})
}

// remove takes a tag away as somebody might by hand.
func (f *fake) remove(repo, tag string) {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), http.MethodDelete, "http://registry.localhost/v2/"+repo+"/manifests/"+tag, nil)
	f.must(err)
	transport := &http.Transport{DialContext: f.server.DialContext, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	f.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		f.Fatalf("DELETE %s: %s", tag, resp.Status)
	}
}

// unknownRevision answers as distribution does for a tag whose manifest is gone.
func unknownRevision(d digest.Digest) registrytest.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Name":"d","Revision":%q}}]}`, d)
	}
}

// TestCheckSweepsNoNews: a tag that stands for something else by the time that it would be removed is not.
func TestCheckSweepsNoNews(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.small()
		f.remove("x.root", "_d.e")
		f.Fail(registrytest.Match{Method: "GET", Path: "/e/manifests/a$", Skip: 1}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			f.PutManifest("e", "a", "", f.Manifest("d", "a"))
			serve(w, r)
		}, 1)
		f.check(ocifs.CheckOptions{Repair: true, Alone: true})
		if got := f.Tags("e"); len(got) != 1 || got[0] != "a" {
			t.Errorf("left are %q", got)
		}
	})
}

// TestCheckGivesUp: a registry that answers nothing is not asked for each of very many files; and nobody counts its failures for ever.
func TestCheckGivesUp(t *testing.T) {
	layouts(t, registrytest.Defects{}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.must(tree.Settle(ctx, true))
		for n := range 300 {
			f.must(put(ctx, tree, fmt.Sprintf("/f%d", n), fmt.Sprint(n)))
		}
		f.settle()
		for _, path := range []string{"/manifests/", "/blobs/"} {
			tree := f.tree()
			f.must(tree.Settle(ctx, false))
			rule := f.Fail(registrytest.Match{Path: path}, registrytest.Status(503), 0)
			r, err := tree.Check(ctx, ocifs.CheckOptions{Repair: true})
			f.Heal()
			f.must(err)
			if rule.Hits() > 200 || r.Failed > 60 || r.Complete || r.Damage > 0 {
				f.Errorf("%s: %d requests, %+v", path, rule.Hits(), r)
			}
		}
	})
}

// TestCheckBounds: of very much damage all is counted, and so much told as has room.
func TestCheckBounds(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.must(put(f.Context(), f.tree(), "/f", "f"))
		manifest := f.Manifest("x.root", "f")
		const files = 10_050
		for n := range files - 1 {
			f.PutManifest("x.root", fmt.Sprintf("f%d", n), "", manifest)
		}
		f.DropBlob("x.root", digestOf("f"))
		r := f.check(ocifs.CheckOptions{})
		if r.Damage != files || len(r.Findings) != 10_000 || r.OmittedFindings != files-10_000 || !r.Complete {
			f.Errorf("damage %d, %d told, %d omitted, complete %t", r.Damage, len(r.Findings), r.OmittedFindings, r.Complete)
		}
	})
}

// TestCheckKeepsOthers: what somebody has put under a tag that ocidav takes for itself is told, and stays, with all below it.
func TestCheckKeepsOthers(t *testing.T) {
	layouts(t, registrytest.Defects{}, func(f *fake) {
		f.small()
		marker := map[bool]string{false: "_d.d", true: "_b.d"}[f.isFlat()]
		repo, index := f.tagOf("/e", "_i.index")
		f.pushForeign("x.root", marker, "one", "two")
		f.pushForeign(repo, index, "one", "two")
		before := f.state()
		for _, o := range []ocifs.CheckOptions{{}, {Repair: true, Alone: true}} {
			f.wantFindings(f.check(o), "marker-damaged /d", "index-damaged /e")
		}
		if !mapsEqual(before, f.state()) {
			f.Error("something has changed")
		}
	})
}

// TestCheckLeavesDoubt: a marker whose push or removal was cut off, or that the registry cannot read, is not made anew, and
// what lies below it is no orphan.
func TestCheckLeavesDoubt(t *testing.T) {
	for name, fault := range map[string]registrytest.Fault{
		"tag-empty": func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":"unknown tag=_d.d"}]}`)
		},
		"tag-unreadable": registrytest.Status(500, "UNKNOWN"),
	} {
		t.Run(name, func(t *testing.T) {
			layouts(t, registrytest.Defects{}, func(f *fake) {
				f.small()
				before := f.state()
				f.Fail(registrytest.Match{Method: "GET HEAD", Path: "/manifests/_[bd].d$"}, fault, 0)
				f.wantFindings(f.check(ocifs.CheckOptions{Repair: true, Alone: true}), name+" /d")
				if !mapsEqual(before, f.state()) {
					f.Error("something has changed")
				}
			})
		})
	}
}
