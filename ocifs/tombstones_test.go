package ocifs_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ocidav/ocifs/registrytest"
)

// TestTombstoneGoesBehind: where tags are removed by the digest of a tombstone, the answer comes when that stands, and
// nothing is pushed to its tag before the deletion is over: distribution looks for the tags of a digest first and takes
// them away then.
func TestTombstoneGoesBehind(t *testing.T) {
	inBubble(t, registrytest.Defects{NoTagDelete: http.StatusBadRequest}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.must(put(ctx, tree, "/a", "old"))
		deletion := f.hold(registrytest.Match{Method: http.MethodDelete, Path: "manifests/sha256:"}, 1)
		start := time.Now()
		f.must(tree.RemoveAll(ctx, "/a", nil))
		if time.Since(start) > 0 {
			f.Error("the answer waits for the deletion")
		}
		synctest.Wait()
		if deletion.held.Load() != 1 {
			t.Fatal("the tombstone is not being deleted")
		}

		// A client that does not wait so long gets an error, and nothing is written.
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := put(short, tree, "/a", "new"); classOf(err) != "timeout" {
			f.Errorf("a Put beside the deletion: %v", err)
		}
		f.ResetCounts()
		done := make(chan error, 1)
		go func() { done <- put(ctx, tree, "/a", "new") }()
		synctest.Wait()
		if n := f.Count("PUT manifest"); n > 0 {
			f.Error("a manifest is pushed to a tag that is being taken away")
		}
		f.must(put(ctx, tree, "/b", "another name")) // does not wait
		close(deletion.open)
		f.must(<-done)
		if got, err := read(ctx, f.tree(), "/a"); err != nil || got != "new" {
			f.Errorf("the new content reads %q, %v", got, err)
		}
		f.must(tree.RemoveAll(ctx, "/a", nil))
		f.must(tree.Close(ctx)) // waits for what is left
		if got := f.Tags("x.root"); len(got) != 1 || got[0] != "b" {
			f.Errorf("tags %q are left, want b alone", got)
		}
		f.must(tree.RemoveAll(ctx, "/b", nil)) // and goes on without anything behind
		if got := f.Tags("x.root"); len(got) != 0 {
			f.Errorf("tags %q are left", got)
		}
	})
}
