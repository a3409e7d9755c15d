package ocifs_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"
	"time"

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

// TestOtherSpelling: the Rename of a name to another spelling of it writes all of it anew. It goes by what the registry has
// now, and asks about it as every change does.
func TestOtherSpelling(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		const nfc, nfd = "/caf\u00e9", "/cafe\u0301"
		ctx, a, b := f.Context(), f.tree(), f.tree()
		f.must(put(ctx, a, nfc, "old"))
		f.names(b, "/")
		f.must(put(ctx, a, nfc, "new"))
		refused := errors.New("refused")
		err := b.Rename(ctx, nfc, nfd, func(old fs.FileInfo) error {
			if old == nil || old.Name() != nfc[1:] {
				f.Errorf("asked about %v", old)
			}
			return refused
		})
		if got := f.names(f.tree(), "/"); !errors.Is(err, refused) || !slices.Equal(got, []string{nfc[1:]}) {
			f.Errorf("a refused Rename gives %v and makes it %q", err, got)
		}
		f.must(b.Rename(ctx, nfc, nfd, nil))
		if got, err := read(ctx, f.tree(), nfc); err != nil || got != "new" {
			f.Errorf("after the Rename it is %q, %v", got, err)
		}
		if got := f.names(f.tree(), "/"); !slices.Equal(got, []string{nfd[1:]}) {
			f.Errorf("after the Rename there are %q", got)
		}
		f.must(a.RemoveAll(ctx, nfc, nil))
		if err := b.Rename(ctx, nfd, nfc, nil); !errors.Is(err, fs.ErrNotExist) {
			f.Errorf("what another server has removed is renamed: %v", err)
		}
	})
}

// TestRequestIsNow: what a request has asked since it began is not asked again for its change; what was asked before, or
// so long ago that it has waited for somebody, is.
func TestRequestIsNow(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		a, b := f.tree(), f.tree()
		request := func() context.Context {
			return context.WithValue(f.Context(), davfs.RequestBegan{}, time.Now())
		}
		look := func(ctx context.Context, names ...string) {
			for _, name := range names {
				_, _ = b.Stat(ctx, name)
			}
		}
		for _, name := range []string{"/1", "/2", "/3"} {
			f.must(put(f.Context(), a, name, "old"))
		}
		look(f.Context(), "/2", "/to2")
		f.must(put(f.Context(), a, "/2", "new"))
		time.Sleep(time.Millisecond)
		ctx := request()
		f.must(b.Rename(ctx, "/2", "/to2", nil))

		ctx = request()
		look(ctx, "/1", "/to1")
		f.ResetCounts()
		f.must(b.Rename(ctx, "/1", "/to1", nil))
		f.budget("Rename of what the request has looked at: the manifest, the old tag", 1+1)

		look(ctx, "/3", "/to3")
		f.must(put(f.Context(), a, "/3", "new"))
		time.Sleep(time.Second)
		f.must(b.Rename(ctx, "/3", "/to3", nil))
		for name, want := range map[string]string{"/to1": "old", "/to2": "new", "/to3": "new"} {
			if got, err := read(f.Context(), f.tree(), name); err != nil || got != want {
				f.Errorf("%s is %q, %v, want %q", name, got, err, want)
			}
		}
	})
}
