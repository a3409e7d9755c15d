package ocifs_test

import (
	"testing"

	"ocidav/ocifs/registrytest"
)

// TestStatAtHand: what a list in memory says of a name, that it is no directory too, is not asked of anybody, and needs
// no goroutine, which would be another ten allocations.
func TestStatAtHand(t *testing.T) {
	f := newFake(t, registrytest.Defects{}, nil)
	ctx := t.Context()
	writer := f.tree()
	f.must(writer.Mkdir(ctx, "/d", nil))
	f.must(put(ctx, writer, "/d/f", "content"))
	tree := f.tree()
	f.names(tree, "/d")
	f.names(tree, "/")
	f.ResetCounts()
	n := testing.AllocsPerRun(100, func() {
		if _, err := tree.Stat(ctx, "/d/f"); err != nil {
			t.Fatal(err)
		}
	})
	f.budget("Stat at hand", 0)
	if n > 16 {
		t.Errorf("Stat at hand takes %v allocations", n)
	}
}
