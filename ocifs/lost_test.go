package ocifs_test

import (
	"net/http"
	"slices"
	"testing"

	"ocidav/ocifs/registrytest"
)

// TestLostTag: a registry that was killed while it wrote a tag lists it and answers 500 for it ever after. The directory
// cannot be listed then, as nobody knows what is in it; but the name can be removed, and all is well again.
func TestLostTag(t *testing.T) {
	for name, d := range map[string]registrytest.Defects{"delete": {}, "digest": {NoTagDelete: 400}, "tombstone": {NoDelete: true}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, d, func(f *fake) {
				ctx, tree := f.Context(), f.tree()
				f.must(tree.Mkdir(ctx, "/d", nil))
				for _, name := range []string{"/d/a", "/d/b", "/d/c"} {
					f.must(put(ctx, tree, name, name))
				}
				lost := func(status int, codes ...string) *registrytest.Rule {
					return f.Fail(registrytest.Match{Method: "GET HEAD", Path: "/d/manifests/b$"}, registrytest.Status(status, codes...), 0)
				}
				for _, fault := range [][]string{{}, {"UNAVAILABLE"}} { // not the registry's word, or not that it has lost it
					lost(http.StatusInternalServerError, fault...)
					if err := f.tree().RemoveAll(ctx, "/d/b", nil); err == nil {
						t.Errorf("a failure %q is no reason to remove", fault)
					}
					f.Heal()
				}
				rule := lost(http.StatusInternalServerError, "UNKNOWN")
				tree = f.tree()
				if _, err := tree.ReadDir(ctx, "/d"); classOf(err) == "" {
					t.Errorf("ReadDir: error %v, want a failure", err)
				}
				if err := tree.RemoveAll(ctx, "/d/none", nil); err == nil {
					t.Error("what is not there is removed")
				}
				g := f.fork(d)
				g.Fail(registrytest.Match{Method: "GET HEAD", Path: "/d/manifests/b$"}, registrytest.Status(500, "UNKNOWN"), 0)
				f.must(tree.RemoveAll(ctx, "/d/b", nil))
				if rule.Hits() == 0 {
					t.Error("the fault was not met")
				}
				f.Heal()
				if got := f.names(f.tree(), "/d"); !slices.Equal(got, []string{"a", "c"}) {
					t.Errorf("left are %q", got)
				}
				// A directory that holds one can be removed and made again.
				f.must(g.tree().RemoveAll(ctx, "/d", nil))
				f.must(g.tree().Mkdir(ctx, "/d", nil))
				g.close()
			})
		})
	}
}
