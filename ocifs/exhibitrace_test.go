package ocifs_test

import (
	"net/http"
	"testing"

	"ocidav/ocifs/registrytest"
)

// TestExhibitIsToldToChange: a change that is told while an exhibit is looked at, as often as it may be, does not make it absent.
func TestExhibitIsToldToChange(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.gallery()
		ctx, tree := f.Context(), f.tree()
		f.Fail(registrytest.Match{Path: "/d/manifests/image"}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			serve(w, r)
			tree.Forget("d", "image")
		}, 0)
		if _, err := tree.Stat(ctx, "/d/image/layer-1.txt"); err != nil {
			f.Errorf("Stat: %v", err)
		}
		if _, err := tree.ReadDir(ctx, "/d/image"); err != nil {
			f.Errorf("ReadDir: %v", err)
		}
	})
}

// TestExhibitIsReplaced: a tag that others have put on something else a moment ago, so that what it was is not in the registry any
// more (zot takes it away at once), is there all the same.
func TestExhibitIsReplaced(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.gallery()
		ctx, tree := f.Context(), f.tree()
		f.names(tree, "/d")
		old := digestOf(string(f.Manifest("d", "image"))).String()
		f.pushForeign("d", "image", "new.txt", "")
		f.Fail(registrytest.Match{Path: "/d/manifests/" + old}, registrytest.Status(404, "MANIFEST_UNKNOWN"), 0)
		if got, err := read(ctx, tree, "/d/image/new.txt"); got != "content of new.txt" || err != nil {
			f.Errorf("%q, %v", got, err)
		}
	})
}
