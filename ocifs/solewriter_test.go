package ocifs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

func sole(o *ocifs.Options) { o.SoleWriter, o.Freshness = true, 10*time.Minute }

// TestSoleWriter: who has the drive for himself asks nothing twice, and writes by what the registry said before. What it is told
// of is asked for anew all the same, and what is older than its freshness.
func TestSoleWriter(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = sole
		ctx, tree := f.Context(), f.tree()
		const n = 20
		for _, dir := range []string{"/d", "/e"} {
			f.must(tree.Mkdir(ctx, dir, nil))
			f.must(put(ctx, tree, dir+"/first", "of "+dir))
		}
		for i := range n {
			f.must(put(ctx, tree, fmt.Sprint("/d/", i), fmt.Sprint("content ", i)))
		}
		f.must(copyTo(ctx, tree, "/d/0", "/e/0"))
		time.Sleep(time.Minute) // no upload session waits
		f.ResetCounts()

		f.must(put(ctx, tree, "/d/1", "over"))
		f.budget("Put over: the content, the manifest", 2+1)
		f.must(put(ctx, tree, "/d/new", "new"))
		f.budget("Put: the content, the manifest; a list has said that it is not there", 2+1)
		f.must(copyTo(ctx, tree, "/d/1", "/e/0"))
		f.budget("Copy over: the mount, the manifest", 1+1)
		f.must(tree.Rename(ctx, "/e/0", "/d/1", nil))
		f.budget("Rename, where the blob is: the manifest, the removal and whether that is one", 1+2)
		f.names(tree, "/d")
		f.names(tree, "/e")
		f.ResetCounts()
		f.must(copyTo(ctx, tree, "/d", "/copy"))
		f.budget("Copy of a directory: the name, what is there, {}, two for each member, the marker", 2+1+1+2*(n+2)+1)
		if got, err := read(ctx, tree, "/d/5"); err != nil || got != "content 5" {
			f.Errorf("/d/5 is %q, %v", got, err)
		}

		// Another has written, and the registry tells of it.
		f.PutManifest("d", "5", "", f.Manifest("d", "6"))
		f.ResetCounts()
		tree.Changed("d", "5")
		if got, err := read(ctx, tree, "/d/5"); err != nil || got != "content 6" {
			f.Errorf("when the tree was told /d/5 is %q, %v", got, err)
		}
		// Or it does not.
		f.PutManifest("d", "7", "", f.Manifest("d", "6"))
		time.Sleep(10 * time.Minute)
		if got, err := read(ctx, tree, "/d/7"); err != nil || got != "content 6" {
			f.Errorf("after the freshness /d/7 is %q, %v", got, err)
		}
	})
}

// TestSoleWriterBegins: what is on the disk from the last process is a hint for a sole writer too: it is shown at once and
// asked for once, since another may have written while there was none.
func TestSoleWriterBegins(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		index := t.TempDir()
		f.change = func(o *ocifs.Options) { sole(o); o.IndexDir = index }
		ctx, tree := f.Context(), f.tree()
		const n = 100
		f.must(tree.Mkdir(ctx, "/d", nil))
		for i := range n {
			f.must(put(ctx, tree, fmt.Sprint("/d/", i), fmt.Sprint("content ", i)))
		}
		f.names(tree, "/d")
		time.Sleep(time.Minute)
		f.settle()
		f.PutManifest("d", "7", "", f.Manifest("d", "6"))

		tree = f.tree()
		f.ResetCounts()
		f.names(tree, "/d")
		if gets := f.Count("GET manifest"); gets > 10 {
			f.Errorf("%d manifests are fetched for a listing of %d that are known:\n%s", gets, n, strings.Join(f.Requests(), "\n"))
		}
		time.Sleep(time.Minute) // it is asked again behind
		f.ResetCounts()
		if got, err := read(ctx, tree, "/d/7"); err != nil || got != "content 6" {
			f.Errorf("/d/7, overwritten between two processes, is %q, %v", got, err)
		}
		f.names(tree, "/d")
		if heads := f.Count("HEAD manifest"); heads > 0 {
			f.Errorf("%d tags are asked for again", heads)
		}
	})
}
