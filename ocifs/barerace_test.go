package ocifs_test

import (
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestBareDirectoryBesideAnOrphan: a file that a removed directory has left under the name of a bare directory does not keep
// anybody out of that.
func TestBareDirectoryBesideAnOrphan(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, writer := f.Context(), f.tree()
		f.must(writer.Mkdir(ctx, "/charts", nil))
		f.must(put(ctx, writer, "/charts/app", "left behind"))
		f.Phantom("x.root", "_d.charts")
		f.shelves("")
		f.discovering("")
		tree := f.tree()
		if got := f.names(tree, "/charts/app"); !slices.Equal(got, []string{"1.0", "2.0"}) {
			f.Errorf("listed are %q", got)
		}
		if _, err := tree.Stat(ctx, "/charts/app/1.0"); err != nil {
			f.Errorf("what is listed: %v", err)
		}
		f.must(put(ctx, tree, "/charts/app/new", "new"))
		if got := f.names(f.tree(), "/charts/app"); !slices.Equal(got, []string{"1.0", "2.0", "new"}) {
			f.Errorf("then listed are %q", got)
		}
	})
}

// TestBareDirectoryOfTwoServers: who finds that another server has put the marker just before goes on with that.
func TestBareDirectoryOfTwoServers(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.shelves("")
		f.discovering("")
		ctx, one, other := f.Context(), f.tree(), f.tree()
		if _, err := other.Stat(ctx, "/charts/app/new"); !errors.Is(err, fs.ErrNotExist) { // and it knows of no markers
			f.Error(err)
		}
		f.must(put(ctx, one, "/charts/app/one", "one"))
		if err := put(ctx, other, "/charts/app/other", "other"); err != nil {
			f.Errorf("the second one: %v", err)
		}
		f.settle()
		if got := f.names(f.tree(), "/charts/app"); !slices.Equal(got, []string{"1.0", "2.0", "one", "other"}) {
			f.Errorf("listed are %q", got)
		}
	})
}

// TestBareDirectoryIsAnotherDrive: the root of a drive that lies within this one is no bare directory that can be written to,
// or its files would be cleared as what a removed directory has left.
func TestBareDirectoryIsAnotherDrive(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.discovering("team")
		ctx, inner := f.Context(), f.tree()
		f.must(inner.Settle(ctx, true))
		f.must(put(ctx, inner, "/precious", "x"))
		f.must(inner.Mkdir(ctx, "/sub", nil))
		f.must(put(ctx, inner, "/sub/precious", "x"))
		f.pushForeign("team", "v1", "a", "b") // by which it shows
		f.pushForeign("team/sub", "v1", "a", "b")
		f.settle()
		f.discovering("")
		outer, before := f.tree(), f.state()
		for _, name := range []string{"/team/new", "/team/sub/new"} {
			if err := put(ctx, outer, name, "new"); !errors.Is(err, fs.ErrPermission) {
				f.Errorf("%s: %v, want %v", name, err, fs.ErrPermission)
			}
		}
		f.must(outer.Mkdir(ctx, "/mine", nil))
		if err := copyTo(ctx, outer, "/mine", "/team"); !errors.Is(err, fs.ErrPermission) {
			f.Errorf("a copy over it: %v, want %v", err, fs.ErrPermission)
		}
		f.must(outer.RemoveAll(ctx, "/mine", nil))
		f.settle()
		after := f.state()
		delete(after, "x.root:_d.mine") // a tombstone
		if !maps.Equal(after, before) {
			f.Error("something has changed in the registry")
		}
	})
}

// TestBareDirectoryIsNotHidden: no file is put, copied or moved over a bare directory that was seen; a directory is, and shows what others have there.
func TestBareDirectoryIsNotHidden(t *testing.T) {
	for what, d := range map[string]registrytest.Defects{"listed": {}, "not listed": {NoCatalog: true}} {
		inBubble(t, d, func(f *fake) {
			f.shelves("")
			f.discovering("")
			ctx, tree := f.Context(), f.tree()
			f.must(put(ctx, tree, "/mine", "mine"))
			f.must(tree.Mkdir(ctx, "/dir", nil))
			f.must(put(ctx, tree, "/dir/ours", "ours"))
			if err := copyTo(ctx, tree, "/mine", "/charts"); !errors.Is(err, fs.ErrPermission) {
				f.Errorf("%s: Copy: %v, want %v", what, err, fs.ErrPermission)
			}
			if err := tree.Rename(ctx, "/mine", "/charts", nil); !errors.Is(err, fs.ErrPermission) {
				f.Errorf("%s: Rename: %v, want %v", what, err, fs.ErrPermission)
			}
			f.ResetCounts()
			if err := put(ctx, tree, "/charts", "x"); !errors.Is(err, fs.ErrExist) {
				f.Errorf("%s: Put: %v, want %v", what, err, fs.ErrExist)
			}
			if n := f.Count("GET catalog"); n > 0 {
				f.Errorf("%s: a Put asks for the list of repositories", what)
			}
			f.must(copyTo(ctx, tree, "/dir", "/charts/app"))
			f.must(tree.Rename(ctx, "/mine", "/charts/app/mine", nil))
			if got := f.names(f.tree(), "/charts/app"); !slices.Equal(got, []string{"1.0", "2.0", "mine", "ours"}) {
				f.Errorf("%s: a directory over it: %q", what, got)
			}
		})
	}
}

// TestBareDirectoryGoes: who removes the last artifact sees at once that the directory is gone with it.
func TestBareDirectoryGoes(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.shelves("")
		f.discovering("")
		ctx, tree := f.Context(), f.tree()
		f.names(tree, "/")
		f.must(tree.RemoveAll(ctx, "/beside/v1", nil))
		f.must(tree.RemoveAll(ctx, "/charts/readme.md", nil))
		if _, err := tree.Stat(ctx, "/beside"); !errors.Is(err, fs.ErrNotExist) {
			f.Errorf("it is still there: %v", err)
		}
		if got := f.names(tree, "/"); !slices.Equal(got, []string{"charts", "images"}) {
			f.Errorf("listed are %q", got)
		}
	})
}

// TestDirectoryWithABareOneIsNotMoved: a move leaves nothing behind, so that a directory with something of others in it stays whole,
// wherever below it that is.
func TestDirectoryWithABareOneIsNotMoved(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.discovering("")
		ctx, tree := f.Context(), f.tree()
		for _, name := range []string{"/d", "/d/in", "/there", "/there/in"} {
			f.must(tree.Mkdir(ctx, name, nil))
		}
		f.must(put(ctx, tree, "/d/in/f", "x"))
		f.pushForeign("d/in/bare/deep", "v1", "a", "b")
		time.Sleep(time.Hour)
		for _, to := range []string{"/new", "/there"} {
			if err := tree.Rename(ctx, "/d", to, nil); !errors.Is(err, fs.ErrPermission) {
				f.Errorf("to %s: %v, want %v", to, err, fs.ErrPermission)
			}
		}
		f.must(copyTo(ctx, tree, "/d", "/copy"))
		f.settle()
		if got := f.names(f.tree(), "/d/in"); !slices.Equal(got, []string{"bare", "f"}) {
			f.Errorf("it holds %q", got)
		}
	})
}

// TestBareDirectoryIsNotWrittenTo: a write that its conditions refuse leaves no markers; and none is acknowledged if the marker is
// gone again.
func TestBareDirectoryIsNotWrittenTo(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.shelves("")
		f.discovering("")
		ctx, tree, before := f.Context(), f.tree(), f.state()
		refuse := func(fs.FileInfo) error { return fs.ErrClosed }
		if _, err := tree.Put(ctx, "/charts/app/new", strings.NewReader("x"), davfs.PutOptions{Check: refuse}); !errors.Is(err, fs.ErrClosed) {
			f.Errorf("Put: %v", err)
		}
		if err := tree.Mkdir(ctx, "/charts/app/new", refuse); !errors.Is(err, fs.ErrClosed) {
			f.Errorf("Mkdir: %v", err)
		}
		if !maps.Equal(f.state(), before) {
			f.Error("something has changed in the registry")
		}
	})
	for what, write := range map[string]func(*fake, *ocifs.FS) error{
		"Put":  func(f *fake, tree *ocifs.FS) error { return put(f.Context(), tree, "/charts/app/new", "x") },
		"Copy": func(f *fake, tree *ocifs.FS) error { return copyTo(f.Context(), tree, "/mine", "/charts/app/new") },
	} {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			f.shelves("")
			f.discovering("")
			discovering := f.change
			f.change = func(o *ocifs.Options) { discovering(o); o.Freshness = 0 }
			tree := f.tree()
			f.must(put(f.Context(), tree, "/mine", "x"))
			f.Fail(registrytest.Match{Method: "PUT", Path: "/charts/manifests/_d.app"}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
				serve(w, r)
				f.Phantom("charts", "_d.app") // another server removes the directory
			}, 0)
			if err := write(f, tree); !errors.Is(err, fs.ErrNotExist) {
				f.Errorf("%s: %v, want %v", what, err, fs.ErrNotExist)
			}
		})
	}
}

// TestAnotherDriveIsNoOrphan: the root of a drive that lies within this one is not made a directory here, or all of its files
// would be cleared first.
func TestAnotherDriveIsNoOrphan(t *testing.T) {
	for _, discover := range []bool{false, true} {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			within := func(prefix string) {
				f.change = func(o *ocifs.Options) { o.Prefix, o.Discover, o.Freshness = prefix, discover, 2*time.Second }
			}
			within("team/files")
			ctx, inner := f.Context(), f.tree()
			f.must(inner.Settle(ctx, true))
			f.must(put(ctx, inner, "/precious", "x"))
			f.must(inner.Mkdir(ctx, "/sub", nil))
			f.must(put(ctx, inner, "/sub/precious", "x"))
			f.settle()
			within("")
			outer := f.tree()
			f.must(outer.Mkdir(ctx, "/team", nil))
			f.must(outer.Mkdir(ctx, "/dir", nil))
			f.must(put(ctx, outer, "/dir/ours", "ours"))
			before := f.state()
			for what, err := range map[string]error{
				"Mkdir":  outer.Mkdir(ctx, "/team/files", nil),
				"Copy":   copyTo(ctx, outer, "/dir", "/team/files"),
				"Rename": outer.Rename(ctx, "/dir", "/team/files", nil),
			} {
				if !errors.Is(err, fs.ErrPermission) {
					f.Errorf("%s: %v, want %v", what, err, fs.ErrPermission)
				}
			}
			f.settle()
			if !maps.Equal(f.state(), before) {
				f.Error("something has changed in the registry")
			}
		})
	}
}
