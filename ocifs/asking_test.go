package ocifs_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"ocidav/ocifs/registrytest"
)

// TestOneQuestionAtATime: what several want to know at the same time is asked once; if that fails, each asks.
func TestOneQuestionAtATime(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, writer := f.Context(), f.tree()
		f.must(writer.Mkdir(ctx, "/d", nil))
		f.must(put(ctx, writer, "/d/f", "content"))
		const n = 20
		stats := func() chan error {
			tree, answers := f.tree(), make(chan error, n)
			f.ResetCounts()
			for range n {
				go func() { _, err := tree.Stat(ctx, "/d/f"); answers <- err }()
			}
			synctest.Wait()
			return answers
		}
		g := f.hold(registrytest.Match{Path: "/manifests/_d.d$"}, 1)
		answers := stats()
		close(g.open)
		for range n {
			f.must(<-answers)
		}
		f.budget("twenty times Stat of one file, cold", 3)

		f.Fail(registrytest.Match{Path: "/manifests/f$"}, func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			w.WriteHeader(http.StatusForbidden)
		}, 1)
		answers = stats()
		failed := 0
		for range n {
			if <-answers != nil {
				failed++
			}
		}
		if failed != 1 {
			f.Errorf("%d of %d fail with one question", failed, n)
		}
	})
}
