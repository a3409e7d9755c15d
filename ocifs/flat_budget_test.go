package ocifs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestFlatBudgets: what a call costs in requests where the whole tree is in one repository: what it costs elsewhere, without
// mounts and with one {}, and one list for all directories.
func TestFlatBudgets(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.Layout = ocifs.LayoutFlat }
		ctx, writer := f.Context(), f.tree()
		const n = 100
		f.must(writer.Mkdir(ctx, "/d", nil))
		f.must(writer.Mkdir(ctx, "/d/sub", nil))
		f.must(writer.Mkdir(ctx, "/e", nil))
		for i := range n {
			f.must(put(ctx, writer, fmt.Sprintf("/d/%d", i), fmt.Sprint("content ", i)))
			f.must(put(ctx, writer, fmt.Sprintf("/d/sub/%d", i), fmt.Sprint("content ", i)))
		}
		f.settle()

		f.ResetCounts()
		f.must(f.tree().Settle(ctx, false))
		f.budget("Settle of what has no record: both records, the content", 2+1)
		f.must(f.tree().Settle(ctx, true))
		f.budget("Settle that records: and {}, the record, both again", 2+1+2+1+3)
		f.must(f.tree().Settle(ctx, true))
		f.budget("Settle of what is recorded", 3)

		tree := f.tree()
		_, err := tree.Stat(ctx, "/d/sub/1")
		f.must(err)
		f.budget("Stat cold: two tags and the markers above", 4)
		tree = f.tree()
		f.names(tree, "/d")
		f.budget("ReadDir cold: the name, the list, the members", 2+1+n+1)
		f.names(tree, "/d/sub")
		f.budget("ReadDir of another, whose marker and list are known: the members", n)
		f.names(tree, "/e")
		f.budget("ReadDir of an empty one: its marker, as the list has no such file", 1)
		f.names(tree, "/d")
		f.names(tree, "/d/sub")
		f.budget("ReadDir warm", 0)
		f.must(put(ctx, tree, "/d/new", "new"))
		f.ResetCounts()
		f.names(tree, "/d/sub")
		f.budget("ReadDir after a Put into another", 0)
		f.names(tree, "/d")
		f.budget("ReadDir after a Put into it: the list", 1)

		tree = f.tree()
		f.must(put(ctx, tree, "/d/sub/new", "new content"))
		f.budget("Put cold: the name, the content, the manifest; {} is there with the markers", 4+2+1)
		f.must(put(ctx, tree, "/e/new", "other content"))
		f.budget("Put into another: the name, the content, the manifest", 3+2+1)
		f.must(copyTo(ctx, tree, "/e/new", "/d/copy"))
		f.budget("Copy to another: the names, the manifest", 2+2+1)
		f.must(tree.Mkdir(ctx, "/d/sub/deep", nil))
		f.budget("Mkdir: the name, what is left there, the marker", 2+1+1)

		tree = f.tree()
		f.names(tree, "/d")
		f.names(tree, "/d/sub")
		f.names(tree, "/d/sub/deep")
		f.ResetCounts()
		f.must(tree.Rename(ctx, "/d", "/moved", nil))
		f.settle()
		lists := 0
		for _, r := range f.Requests() {
			if strings.Contains(r, "/tags/list") {
				lists++
			}
		}
		members := n + 3 + n + 2 // with the directories
		want := 2 + 2 +          // the names
			1 + members + // the list of all, and the members as they are now
			members + 1 + 1 + 1 + // manifests, the new marker, the old one, and whether that is gone: it is the first
			1 + members + // the list of all, and the old tags
			(n+3+7)/8 + (n+2+7)/8 // whether it still is gone, before each few of them
		f.budget("Rename of a tree", want)
		if lists > 2 {
			f.Errorf("Rename of a tree takes %d lists", lists)
		}
	})
}

// TestFlatIndex: a directory of a flat layout has its index beside its members, by which another machine lists it, and which
// is nobody's member and goes with it.
func TestFlatIndex(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.Layout, o.Freshness = ocifs.LayoutFlat, 2*time.Second }
		ctx := f.Context()
		f.many(f.TempDir())
		index := flatKey("/d") + "_i.index"
		if !strings.Contains(string(f.Manifest("x.root", index)), "vnd.ocidav.index.v1") {
			f.Fatalf("there is no index %s", index)
		}
		dir := f.TempDir()
		tree := f.machine(dir)
		f.listed("next machine", tree, nil)
		f.budget("ReadDir by the next machine: the name, the list, the index", 2+1+2)
		f.must(tree.Close(ctx))
		f.ResetCounts()
		f.listed("next process there", f.machine(dir), nil)
		f.budget("ReadDir by the next process there: the name, the list", 2+1)
		f.must(f.tree().RemoveAll(ctx, "/d", nil))
		f.settle()
		if left := f.tagsOf("x.root"); len(left) > 0 {
			f.Errorf("left: %q", left)
		}
	})
}

// TestFlatForeignArtifacts: what others push under a directory's key is what it would be in its repository.
func TestFlatForeignArtifacts(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.Layout = ocifs.LayoutFlat }
		ctx, tree := f.Context(), f.tree()
		f.must(tree.Mkdir(ctx, "/d", nil))
		key := flatKey("/d")
		f.pushForeign("x.root", "image", "", "")
		f.pushForeign("x.root", key+"report.pdf", "report.pdf")
		f.pushForeign("x.root", key+"chart", "chart-1.0.tgz")
		f.pushForeign("x.root", "_d.path", "_d.path") // a marker of the other layout
		if got := f.names(f.tree(), "/d"); !slices.Equal(got, []string{"chart", "report.pdf"}) {
			f.Errorf("/d holds %q", got)
		}
		if got := f.names(f.tree(), "/"); !slices.Equal(got, []string{"d", "image"}) {
			f.Errorf("the root holds %q", got)
		}
		f.must(f.tree().RemoveAll(ctx, "/d", nil))
		f.settle()
		if got, want := f.tagsOf("x.root"), []string{"_d.path", key + "chart", key + "report.pdf", "image"}; !slices.Equal(got, want) {
			f.Errorf("left are %q, want %q", got, want)
		}
	})
}
