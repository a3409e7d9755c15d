package ocifs_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"ocidav/ocifs/registrytest"
)

// TestManyClearings: when a thousand removed directories wait to be cleared the next RemoveAll clears by itself, as long as
// its client can be expected to wait, and no longer than it does. The directory is gone at once all the same, and what is
// left of it does not come back.
func TestManyClearings(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		const n = 1000
		for i := range n {
			f.must(tree.Mkdir(ctx, fmt.Sprint("/d", i), nil))
		}
		for _, dir := range []string{"/last", "/left"} {
			f.must(tree.Mkdir(ctx, dir, nil))
			f.must(put(ctx, tree, dir+"/f", "old"))
		}
		behind := f.hold(registrytest.Match{Path: "/tags/list$|^/v2/(last|left)/"}, 0)
		for i := range n {
			f.must(tree.RemoveAll(ctx, fmt.Sprint("/d", i), nil))
		}
		start := time.Now()
		f.must(tree.RemoveAll(ctx, "/last", nil))
		if took := time.Since(start); took < time.Second || took > 15*time.Second {
			f.Errorf("it has cleared for %v", took)
		}

		gone, leave := context.WithCancel(ctx)
		done := make(chan error)
		start = time.Now()
		go func() { done <- tree.RemoveAll(gone, "/left", nil) }()
		synctest.Wait()
		leave()
		<-done
		if took := time.Since(start); took > 0 {
			f.Errorf("it goes on for %v without its client", took)
		}
		close(behind.open)
		f.settle()
		tree = f.tree()
		if got := f.names(tree, "/"); len(got) != 0 {
			f.Errorf("left are %.5q", got)
		}
		for _, dir := range []string{"/last", "/left"} {
			f.must(tree.Mkdir(ctx, dir, nil))
			if got := f.names(tree, dir); len(got) != 0 {
				f.Errorf("%s has %q again", dir, got)
			}
		}
	})
}
