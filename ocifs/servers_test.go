package ocifs_test

import (
	"io"
	"testing"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestWhatAnotherServerWrote: what is read to be written elsewhere is asked for anew, however fresh the last answer is.
// A Rename that goes by an old answer would take away what somebody has been told is stored.
func TestWhatAnotherServerWrote(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, a, b := f.Context(), f.tree(), f.tree()
		has := func(name, want string) {
			f.Helper()
			for _, tree := range []*ocifs.FS{f.tree(), b} {
				fi, err := tree.Stat(ctx, name)
				if err != nil {
					f.Errorf("%s: %v, want %q", name, err, want)
					return
				}
				file, err := tree.Open(ctx, name, fi)
				f.must(err)
				got, err := io.ReadAll(file)
				f.must(err)
				f.must(file.Close())
				if string(got) != want {
					f.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		}
		f.must(a.Mkdir(ctx, "/d", nil))
		for _, name := range []string{"/f", "/g", "/h", "/d/1", "/d/3"} {
			f.must(put(ctx, a, name, "old"))
		}
		f.must(a.Mkdir(ctx, "/t", nil))
		f.must(put(ctx, a, "/t/x", "x"))
		for _, dir := range []string{"/", "/d", "/t"} {
			f.names(b, dir)
		}
		for _, name := range []string{"/f", "/g", "/h", "/d/2", "/d/3", "/t/y"} {
			f.must(put(ctx, a, name, "new"))
		}
		f.must(b.Rename(ctx, "/f", "/f2", nil))
		f.must(copyTo(ctx, b, "/g", "/g2"))
		f.must(b.PatchProps(ctx, "/h", davfs.PropPatch{Set: property("p")}))
		f.must(b.Rename(ctx, "/d", "/t", nil))
		for _, name := range []string{"/f2", "/g", "/g2", "/h", "/t/2", "/t/3"} {
			has(name, "new")
		}
		has("/t/1", "old")
		if got := f.names(f.tree(), "/t"); len(got) != 3 {
			f.Errorf("/t holds %q", got)
		}
	})
}
