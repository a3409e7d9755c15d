package ocifs_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs/registrytest"
)

// budget checks how many requests the registry has seen since the last check, and begins a new count.
func (f *fake) budget(what string, want int) {
	f.Helper()
	requests := f.Requests()
	if len(requests) > want {
		f.Errorf("%s takes %d requests, the budget is %d:\n\t%s", what, len(requests), want, strings.Join(requests, "\n\t"))
	}
	if len(requests) < want {
		f.Logf("%s takes %d requests, the budget could be lowered from %d", what, len(requests), want)
	}
	f.ResetCounts()
}

// TestBudgets: what a call costs in requests. Half a millisecond each in the process, 50 to an ocean's other side.
func TestBudgets(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, writer := f.Context(), f.tree()
		const n = 100
		f.must(writer.Mkdir(ctx, "/d", nil))
		for i := range n {
			f.must(put(ctx, writer, fmt.Sprintf("/d/%d", i), fmt.Sprint("content ", i)))
		}
		f.must(writer.Mkdir(ctx, "/e", nil))
		f.must(put(ctx, writer, "/e/f", "in e"))
		time.Sleep(time.Minute) // the writer waits for no more

		// Fresh answers are not asked for again.
		f.ResetCounts()
		tree := f.tree()
		_, err := tree.Stat(ctx, "/d/1")
		f.must(err)
		f.budget("Stat cold: two tags and the marker above", 3)
		_, err = tree.Stat(ctx, "/d/1")
		f.must(err)
		f.budget("Stat warm", 0)
		_, err = tree.Stat(ctx, "/d/2")
		f.must(err)
		f.budget("Stat of a sibling", 2)

		tree = f.tree()
		f.names(tree, "/d")
		f.budget("ReadDir cold: the name, the list, the members", 2+1+n)
		f.names(tree, "/d")
		f.budget("ReadDir warm", 0)
		_, err = tree.Stat(ctx, "/d/50")
		f.must(err)
		f.budget("Stat of a listed file", 0)
		f.must(tree.PatchProps(ctx, "/d/1", davfs.PropPatch{Set: property("p")}))
		f.budget("PatchProps: the name, its blob, the manifest", 2+2+1)
		f.names(tree, "/d")
		f.budget("ReadDir after an own change of a member", 0)
		f.must(put(ctx, tree, "/d/x", "x"))
		f.ResetCounts()
		f.names(tree, "/d")
		f.budget("ReadDir after an own new member", 0)
		f.must(tree.RemoveAll(ctx, "/d/x", nil))
		f.ResetCounts()
		f.names(tree, "/d")
		f.budget("ReadDir after an own removal", 0)

		// Answers that are not fresh any more: the tags are asked for, not the manifests.
		time.Sleep(2 * time.Hour)
		f.names(tree, "/d")
		if gets := f.Count("GET manifest"); gets > 1 {
			f.Errorf("%d manifests are fetched again, want one: whether /d is a file by now", gets)
		}
		f.budget("ReadDir of members that are known: the name, the list", 1+1)

		tree = f.tree()
		f.must(put(ctx, tree, "/d/new", "new content"))
		f.budget("Put cold: the name, the content, {}, the manifest", 3+2+2+1)
		f.must(put(ctx, tree, "/d/new2", "other content"))
		f.budget("Put into a known repository: the name, the content, the manifest", 2+2+1)
		f.must(put(ctx, tree, "/d/new2", "again other content"))
		f.budget("Put over", 2+1)
		f.must(put(ctx, tree, "/d/new2", "again other content"))
		f.budget("Put over with the same content", 1)
		f.must(put(ctx, tree, "/d/new3", ""))
		f.budget("Put of an empty file", 2+1)
		f.must(put(ctx, tree, "/d/new4", large))
		f.budget("Put large: whether it is there first", 2+1+2+1)
		f.must(tree.Mkdir(ctx, "/d/sub", nil))
		f.budget("Mkdir: the name, from a list and then anew, what is left there, the marker", 2+1+1+1)
		f.must(tree.RemoveAll(ctx, "/d/new3", nil))
		f.budget("RemoveAll, the first: whether the tag is gone", 1+1)
		f.must(tree.RemoveAll(ctx, "/d/new4", nil))
		f.budget("RemoveAll of a file", 1)

		_, err = tree.Stat(ctx, "/e/f")
		f.must(err)
		f.ResetCounts()
		f.must(copyTo(ctx, tree, "/d/new", "/d/copy"))
		f.budget("Copy in one repository: the names, the manifest", 2+2+1)
		f.must(copyTo(ctx, tree, "/d/new", "/e/copy"))
		f.budget("Copy: the names, the mount, the manifest", 2+2+1+1)
		f.must(tree.Rename(ctx, "/e/copy", "/e/moved", nil))
		f.budget("Rename in one repository: the names, the manifest, the old tag", 2+2+1+1)

		f.names(tree, "/d")
		f.ResetCounts()
		f.must(tree.Rename(ctx, "/d", "/moved", nil))
		members := n + 4 // files; and one directory
		want := 2 + 2 +  // the names
			1 + members + 1 + // the members, as they are now
			1 + 1 + // what is left in their place, and below it
			members*2 - 1 + // mounts and manifests, and the marker of a directory
			1 + // the sub-directory's list
			1 + // {}
			1 + 1 // the markers
		behind := 1 + 1 + // what is to be cleared, and below it
			members + // the old tags
			(members+7)/8 // whether it still is gone, before each few of them
		f.settle()
		f.budget("Rename of a directory, and behind it", want+behind)
	})
}

// TestEmptyBlobOnce: the blob that every manifest refers to is pushed once to a repository, by many writers too.
func TestEmptyBlobOnce(t *testing.T) {
	inBubble(t, registrytest.Defects{Latency: time.Second}, func(f *fake) {
		tree := f.tree()
		done := make(chan error)
		const n = 20
		for i := range n {
			go func() { done <- put(f.Context(), tree, fmt.Sprint("/", i), fmt.Sprint("content ", i)) }()
		}
		for range n {
			f.must(<-done)
		}
		if got := f.Count("PUT upload"); got != n+1 {
			f.Errorf("%d blobs are pushed for %d contents and one {}", got, n)
		}
	})
}

// TestRemovalLadder: the first way to remove that works is remembered.
func TestRemovalLadder(t *testing.T) {
	for name, c := range map[string]struct {
		defects       registrytest.Defects
		first, second []string // methods on manifests
		left          bool     // the tombstone
	}{
		"tag": {registrytest.Defects{}, []string{"DELETE", "GET"}, []string{"DELETE"}, false},
		"digest, 404": {registrytest.Defects{TagDeleteUnknown: true},
			[]string{"DELETE", "GET", "PUT", "DELETE"}, []string{"PUT", "DELETE"}, false},
		"digest, 400": {registrytest.Defects{NoTagDelete: http.StatusBadRequest},
			[]string{"DELETE", "PUT", "DELETE"}, []string{"PUT", "DELETE"}, false},
		"digest, 405": {registrytest.Defects{NoTagDelete: http.StatusMethodNotAllowed},
			[]string{"DELETE", "PUT", "DELETE"}, []string{"PUT", "DELETE"}, false},
		"tombstone": {registrytest.Defects{NoDelete: true}, []string{"DELETE", "PUT", "DELETE"}, []string{"PUT"}, true},
	} {
		t.Run(strings.ReplaceAll(name, " ", ""), func(t *testing.T) {
			inBubble(t, c.defects, func(f *fake) {
				ctx, tree := f.Context(), f.tree()
				for _, name := range []string{"/a", "/b", "/kept"} {
					f.must(put(ctx, tree, name, "the same content"))
				}
				f.PutManifest("x.root", "tagged-by-somebody", "", f.Manifest("x.root", "a"))
				for i, want := range [][]string{c.first, c.second} {
					f.ResetCounts()
					f.must(tree.RemoveAll(ctx, []string{"/a", "/b"}[i], nil))
					synctest.Wait() // for what goes on behind
					var got []string
					for _, r := range f.Requests() {
						method, path, _ := strings.Cut(r, " ")
						if strings.Contains(path, "/manifests/") {
							got = append(got, method)
						}
					}
					if fmt.Sprint(got) != fmt.Sprint(want) {
						f.Errorf("removal %d sends %q, want %q", i+1, got, want)
					}
				}
				if left := f.Manifest("x.root", "a") != nil; left != c.left {
					f.Errorf("the removed tag has a manifest: %v, want %v", left, c.left)
				}
				// What others share stays: their tag on the same manifest, and the content.
				if f.Manifest("x.root", "tagged-by-somebody") == nil {
					f.Error("somebody's tag on the removed manifest is gone")
				}
				if got, err := read(ctx, f.tree(), "/kept"); err != nil || got != "the same content" {
					f.Errorf("another file with the content is %q, %v", got, err)
				}
			})
		})
	}
}

// TestCompatibleForm: a registry that knows a list of types gets the other form, and is asked once whether it must.
func TestCompatibleForm(t *testing.T) {
	inBubble(t, registrytest.Defects{KnownTypesOnly: true}, func(f *fake) {
		tree, start := f.tree(), time.Now()
		f.must(put(f.Context(), tree, "/a", "a"))
		if got := f.Count("PUT manifest"); got > 3 {
			f.Errorf("it took %d manifests to find out, want 3", got)
		}
		if took := time.Since(start); took > 200*time.Millisecond {
			f.Errorf("it took %v to find out", took)
		}
		f.ResetCounts()
		f.must(put(f.Context(), tree, "/b", "b"))
		f.must(tree.Mkdir(f.Context(), "/d", nil))
		if got := f.Count("PUT manifest"); got != 2 {
			f.Errorf("two more manifests took %d requests", got)
		}
		for _, tag := range f.Tags("x.root") {
			if strings.Contains(string(f.Manifest("x.root", tag)), "artifactType") {
				f.Errorf("the manifest of %s is not in the compatible form", tag)
			}
		}
	})
}

// TestOneReadsTheOther: both forms are read, whichever a process writes by itself.
func TestOneReadsTheOther(t *testing.T) {
	inBubble(t, registrytest.Defects{KnownTypesOnly: true}, func(f *fake) {
		f.world()
		modern := f.fork(registrytest.Defects{})
		modern.must(put(f.Context(), modern.tree(), "/d/modern", "x"))
		if got, want := len(modern.snapshot(modern.tree(), "/")), len(f.snapshot(f.tree(), "/"))+1; got != want {
			f.Errorf("%d names are read, want %d", got, want)
		}
	})
}

// TestCopyRoundTrips: how many answers COPY and MOVE wait for one after the other.
func TestCopyRoundTrips(t *testing.T) {
	const round = 100 * time.Millisecond
	defects := registrytest.Defects{NoTagDelete: http.StatusBadRequest, Latency: round}
	inBubble(t, defects, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		for _, dir := range []string{"/d", "/e"} {
			f.must(tree.Mkdir(ctx, dir, nil))
			f.must(put(ctx, tree, dir+"/first", "of "+dir))
		}
		f.must(put(ctx, tree, "/d/f", large))
		f.must(copyTo(ctx, tree, "/d/first", "/e/mounts")) // they work here
		f.must(tree.RemoveAll(ctx, "/e/mounts", nil))      // and tags are deleted by tombstones
		synctest.Wait()
		for _, c := range []struct {
			what   string
			do     func() error
			rounds time.Duration // round trips
		}{
			{"Copy in one repository", func() error { return copyTo(ctx, tree, "/d/f", "/d/copy") }, 2},
			{"Copy", func() error { return copyTo(ctx, tree, "/d/f", "/e/copy") }, 2},
			{"Rename", func() error { return tree.Rename(ctx, "/e/copy", "/e/moved", nil) }, 3},
			{"RemoveAll", func() error { return tree.RemoveAll(ctx, "/e/moved", nil) }, 1},
		} {
			start := time.Now()
			f.must(c.do())
			if got := time.Since(start).Round(round); got != c.rounds*round {
				f.Errorf("%s takes %v, want %d round trips", c.what, got, c.rounds)
			}
		}
	})
}
