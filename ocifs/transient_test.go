package ocifs_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// hiccups are failures that pass.
var hiccups = map[string]registrytest.Fault{
	"500":         registrytest.Status(500),
	"503":         registrytest.Status(503, "UNAVAILABLE"),
	"504":         registrytest.Page(504),
	"408":         registrytest.Status(408),
	"429":         registrytest.TooMany(2 * time.Second),
	"reset":       registrytest.ResetBefore,
	"reset after": registrytest.ResetAfter,
}

// TestHiccups: where the first try of every single request fails, nobody notices.
func TestHiccups(t *testing.T) {
	want := map[string]map[string]string{}
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.world()
		for _, op := range changes {
			sub := f.fork(registrytest.Defects{})
			sub.must(op.do(f.Context(), sub.tree()))
			want[op.name] = sub.snapshot(sub.tree(), "/")
		}
	})
	for hiccup, fault := range hiccups {
		for variant, d := range map[string]registrytest.Defects{
			"": {}, " without mount": {NoMount: true}, " without delete": {NoTagDelete: 405},
		} {
			if variant != "" && hiccup != "503" && hiccup != "reset after" {
				continue
			}
			t.Run(strings.ReplaceAll(hiccup+variant, " ", ""), func(t *testing.T) {
				t.Parallel()
				inBubble(t, d, func(f *fake) {
					f.world()
					for _, op := range slices.Concat(changes, questions[2:]) {
						sub := f.fork(d)
						rule := sub.Fail(registrytest.Match{First: true}, fault, 0)
						tree, start := sub.tree(), time.Now()
						if err := op.do(f.Context(), tree); err != nil {
							f.Errorf("%s: %v", op.name, err)
						}
						// Clients give up at 30 seconds or a minute. Where the registry sets the pauses it is up to it.
						if took := time.Since(start); took > 25*time.Second && hiccup != "429" {
							f.Errorf("%s took %v", op.name, took)
						}
						hits := rule.Hits()
						sub.Heal()
						if hits == 0 {
							f.Errorf("%s: nothing has met the fault", op.name)
						}
						if want, ok := want[op.name]; ok {
							other := sub.tree()
							if got := sub.snapshot(other, "/"); !maps.Equal(got, want) {
								f.Errorf("%s: then there is %v, want %v", op.name, got, want)
							}
							if got, want := sub.names(tree, "/"), sub.names(other, "/"); !slices.Equal(got, want) {
								f.Errorf("%s: then the tree itself shows %q, want %q", op.name, got, want)
							}
						}
						sub.close()
					}
				})
			})
		}
	}
}

// TestTreeOnShakyRegistry runs the suite while every so manieth request fails once.
func TestTreeOnShakyRegistry(t *testing.T) {
	newTree := func(t *testing.T) davfs.Tree {
		f := newFake(t, registrytest.Defects{}, func(o *ocifs.Options) { o.Freshness = time.Second })
		f.Fail(registrytest.Match{Skip: 3, Every: 41}, registrytest.Status(503), 0)
		f.Fail(registrytest.Match{Skip: 7, Every: 43}, registrytest.ResetBefore, 0)
		f.Fail(registrytest.Match{Skip: 11, Every: 47}, registrytest.ResetAfter, 0)
		return f.tree()
	}
	treetest.Run(t, newTree, treetest.Options{Short: true, Parallel: true})
}

// TestRetryAfterIsObeyed: the registry is not asked again before the time that it gave.
func TestRetryAfterIsObeyed(t *testing.T) {
	for what, content := range map[string]string{"memory": "small", "file": large} {
		t.Run(what, func(t *testing.T) {
			for _, path := range []string{"/blobs/uploads/$", "/blobs/uploads/.", "/manifests/f$"} {
				inBubble(t, registrytest.Defects{}, func(f *fake) {
					tree := f.tree()
					f.must(put(f.Context(), tree, "/other", "so that {} is there"))
					rule := f.Fail(registrytest.Match{Method: "POST PUT", Path: path}, registrytest.TooMany(7*time.Second), 2)
					start := time.Now()
					if err := put(f.Context(), tree, "/f", content); err != nil {
						f.Errorf("%s: %v", path, err)
					}
					if took := time.Since(start); took < 14*time.Second || took > 20*time.Second {
						f.Errorf("%s: two times seven seconds took %v", path, took)
					}
					if rule.Hits() != 2 {
						f.Errorf("%s: %d requests were told to wait, want 2", path, rule.Hits())
					}
					time.Sleep(time.Minute) // a session that is given up is cancelled behind
				})
			}
		})
	}
}

// TestTokenExpires: a 401 between the two requests of an upload is a token that ran out.
func TestTokenExpires(t *testing.T) {
	for what, content := range map[string]string{"memory": "small", "file": large} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				f.Fail(registrytest.Match{Method: "PUT", Path: "/blobs/uploads/.", First: true}, registrytest.Status(401, "UNAUTHORIZED"), 0)
				tree := f.tree()
				f.must(put(f.Context(), tree, "/f", content))
				if got, err := read(f.Context(), f.tree(), "/f"); err != nil || got != content {
					f.Errorf("%d bytes came back as %d, %v", len(content), len(got), err)
				}
			})
		})
	}
}

// TestSessionLost: an upload session that is gone, or in a state that the next try does not fit, is begun anew.
func TestSessionLost(t *testing.T) {
	for name, fault := range map[string]registrytest.Fault{
		"Unknown": registrytest.Status(404, "BLOB_UPLOAD_UNKNOWN"),
		"Invalid": registrytest.Status(400, "BLOB_UPLOAD_INVALID"),
		"Range":   registrytest.Status(416, "RANGE_INVALID"),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				f.Fail(registrytest.Match{Method: "PUT", Path: "/blobs/uploads/.", First: true}, fault, 0)
				for what, content := range map[string]string{"/memory": "small", "/file": large} {
					f.must(put(f.Context(), f.tree(), what, content))
					if got, err := read(f.Context(), f.tree(), what); err != nil || got != content {
						f.Errorf("%d bytes came back as %d, %v", len(content), len(got), err)
					}
				}
			})
		})
	}
}

// TestCollectedBlobs: what we knew to be in a repository has been collected meanwhile; the push heals that by itself.
func TestCollectedBlobs(t *testing.T) {
	for name, d := range map[string]registrytest.Defects{
		"BlobUnknown": {}, "Invalid": {MissingBlobIsInvalid: true}, "NoMount": {NoMount: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, d, func(f *fake) {
				tree, ctx := f.tree(), f.Context()
				f.must(put(ctx, tree, "/f", "content"))
				f.must(put(ctx, tree, "/large", large))
				f.must(tree.PatchProps(ctx, "/f", davfs.PropPatch{Set: property("p")}))
				props := map[string]func(context.Context) error{
					"Put":   func(ctx context.Context) error { return put(ctx, tree, "/g", "content") },
					"large": func(ctx context.Context) error { return put(ctx, tree, "/g", large) },
					"Mkdir": func(ctx context.Context) error { return tree.Mkdir(ctx, "/d", nil) },
					"Props": func(ctx context.Context) error {
						return tree.PatchProps(ctx, "/f", davfs.PropPatch{Set: property("p")})
					},
				}
				for _, what := range slices.Sorted(maps.Keys(props)) {
					for _, blob := range []string{"{}", "content", large} {
						if what == "Props" && blob == "content" {
							continue // the content of a file is not pushed with its properties
						}
						f.DropBlob("x.root", digestOf(blob))
					}
					if err := props[what](ctx); err != nil {
						f.Errorf("%s: %v", what, err)
					}
					f.PutBlob("x.root", []byte("content"))
					f.PutBlob("x.root", []byte(large))
				}
				if got, err := read(ctx, f.tree(), "/g"); err != nil || got != large && got != "content" {
					f.Errorf("/g has %d bytes, %v", len(got), err)
				}

				// A copy finds its blobs in the other repository.
				f.must(copyTo(ctx, tree, "/f", "/d/f"))
				f.DropBlob("d", digestOf("content"))
				f.DropBlob("d", digestOf("{}"))
				f.must(copyTo(ctx, tree, "/f", "/d/again"))
				if got, err := read(ctx, f.tree(), "/d/again"); err != nil || got != "content" {
					f.Errorf("the copy is %q, %v", got, err)
				}
			})
		})
	}
}
