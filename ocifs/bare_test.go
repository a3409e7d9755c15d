package ocifs_test

import (
	"context"
	"errors"
	"fmt"
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

// shelves are repositories that others have filled, under a prefix and beside it.
func (f *fake) shelves(prefix string) {
	f.Helper()
	f.pushForeign(prefix+"charts/app", "1.0", "app-1.0.tgz")
	f.pushForeign(prefix+"charts/app", "2.0", "app-2.0.tgz")
	f.pushForeign(prefix+"charts", "readme.md", "readme.md")
	f.pushForeign(prefix+"images/deep/tool", "latest", "", "")
	f.pushForeign("beside", "v1", "a", "b")
	f.pushForeign(prefix+"signatures", "sha256-"+strings.Repeat("a", 64)+".sig", "") // nothing that is shown
	f.PutBlob(prefix+"empty", []byte("nobody has tagged it"))
}

// discovering has trees show bare directories.
func (f *fake) discovering(prefix string) {
	f.change = func(o *ocifs.Options) {
		o.Discover, o.Prefix, o.Freshness = true, strings.TrimSuffix(prefix, "/"), 2*time.Second
	}
}

// TestBareDirectories: what others have pushed is found from the root on, with a list of repositories, and by its name without.
func TestBareDirectories(t *testing.T) {
	want := map[string]string{
		"/charts/": "", "/charts/app/": "", "/charts/readme.md": "content of readme.md",
		"/charts/app/1.0/": "", "/charts/app/1.0/app-1.0.tgz": "content of app-1.0.tgz",
		"/charts/app/2.0/": "", "/charts/app/2.0/app-2.0.tgz": "content of app-2.0.tgz",
	}
	for _, prefix := range []string{"", "team/", "team/files/"} {
		for name, d := range map[string]registrytest.Defects{
			"listed": {}, "not listed": {NoCatalog: true}, "in pages": {PageSize: 2},
		} {
			t.Run(prefix+name, func(t *testing.T) {
				inBubble(t, d, func(f *fake) {
					f.shelves(prefix)
					f.discovering(prefix)
					before, ctx, tree := f.state(), f.Context(), f.tree()
					roots := []string{"charts", "images"}
					switch {
					case d.NoCatalog:
						roots = []string{}
					case prefix == "":
						roots = []string{"beside", "charts", "images"}
					}
					if got := f.names(tree, "/"); !slices.Equal(got, roots) {
						f.Errorf("in the root are %q, want %q", got, roots)
					}
					if !d.NoCatalog {
						got := f.snapshot(tree, "/")
						maps.DeleteFunc(got, func(n, _ string) bool { return !strings.HasPrefix(n, "/charts/") })
						if !maps.Equal(got, want) {
							f.Errorf("shown are %v, want %v", got, want)
						}
					}
					for _, name := range []string{"/charts", "/charts/app", "/charts/app/1.0", "/charts/app/1.0/app-1.0.tgz", "/charts/readme.md"} {
						if fi, err := f.tree().Stat(ctx, name); err != nil || fi.IsDir() != (want[name] == "") {
							f.Errorf("%s: %v, %v", name, fi, err)
						}
					}
					for _, name := range []string{"/signatures", "/empty", "/none", "/charts/none", "/charts/none/x", "/signatures/x", "/charts/readme.md/x"} {
						if fi, err := f.tree().Stat(ctx, name); !errors.Is(err, fs.ErrNotExist) {
							f.Errorf("%s: %v, %v", name, fi, err)
						}
					}
					for what, err := range map[string]error{
						"RemoveAll":  tree.RemoveAll(ctx, "/charts", nil),
						"Rename":     tree.Rename(ctx, "/charts", "/moved", nil),
						"Copy":       copyTo(ctx, tree, "/charts", "/copied"),
						"PatchProps": tree.PatchProps(ctx, "/charts", davfs.PropPatch{Set: property("x")}),
					} {
						if !errors.Is(err, fs.ErrPermission) {
							f.Errorf("%s of a bare directory: %v, want %v", what, err, fs.ErrPermission)
						}
					}
					if !maps.Equal(f.state(), before) {
						f.Error("something has changed in the registry")
					}
				})
			})
		}
	}
}

// TestBareDirectoryIsWrittenTo: who writes into one has its marker, and the markers above it, put first; and what an earlier
// directory has left there does not come back to life.
func TestBareDirectoryIsWrittenTo(t *testing.T) {
	write := map[string]func(f *fake, tree *ocifs.FS) error{
		"Put":    func(f *fake, tree *ocifs.FS) error { return put(f.Context(), tree, "/charts/app/new", "new") },
		"Mkdir":  func(f *fake, tree *ocifs.FS) error { return tree.Mkdir(f.Context(), "/charts/app/new", nil) },
		"Copy":   func(f *fake, tree *ocifs.FS) error { return copyTo(f.Context(), tree, "/mine", "/charts/app/new") },
		"Rename": func(f *fake, tree *ocifs.FS) error { return tree.Rename(f.Context(), "/mine", "/charts/app/new", nil) },
	}
	for what, do := range write {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			ctx, writer := f.Context(), f.tree()
			f.must(writer.Mkdir(ctx, "/charts", nil))
			f.must(put(ctx, writer, "/charts/orphan", "left behind"))
			f.must(writer.Mkdir(ctx, "/charts/1.0", nil))
			f.must(put(ctx, writer, "/charts/1.0/inner", "left behind too"))
			f.must(put(ctx, writer, "/mine", "mine"))
			f.Phantom("x.root", "_d.charts") // a crash after the marker was removed
			f.shelves("")
			f.discovering("")
			if got := f.names(f.tree(), "/charts"); !slices.Equal(got, []string{"app", "readme.md"}) {
				f.Errorf("%s: before are %q", what, got)
			}
			for _, name := range []string{"/charts/orphan", "/charts/1.0", "/charts/1.0/inner"} {
				if _, err := f.tree().Stat(ctx, name); !errors.Is(err, fs.ErrNotExist) {
					f.Errorf("%s: before, %s: %v", what, name, err)
				}
			}
			tree := f.tree()
			if err := do(f, tree); err != nil {
				f.Errorf("%s: %v", what, err)
			}
			f.settle()
			for where, tree := range map[string]*ocifs.FS{"here": tree, "elsewhere": f.tree()} {
				time.Sleep(time.Minute)
				if got := f.names(tree, "/charts"); !slices.Equal(got, []string{"app", "readme.md"}) {
					f.Errorf("%s, %s: in /charts are %q", what, where, got)
				}
				if got := f.names(tree, "/charts/app"); !slices.Equal(got, []string{"1.0", "2.0", "new"}) {
					f.Errorf("%s, %s: beside the new one are %q", what, where, got)
				}
			}
			f.must(tree.RemoveAll(ctx, "/charts/app", nil)) // the marker, and what is ours
			f.settle()
			if got := f.names(f.tree(), "/charts/app"); !slices.Equal(got, []string{"1.0", "2.0"}) {
				f.Errorf("%s: of the removed directory are left %q", what, got)
			}
			for _, tag := range []string{"1.0", "2.0"} {
				f.must(f.tree().RemoveAll(ctx, "/charts/app/"+tag, nil))
			}
			f.settle()
			if _, err := f.tree().Stat(ctx, "/charts/app"); !errors.Is(err, fs.ErrNotExist) {
				f.Errorf("%s: without anything in it: %v", what, err)
			}
		})
	}
}

// TestBareDirectoriesOfManyWriters: those who write into a bare directory at the same time all find their files there.
func TestBareDirectoriesOfManyWriters(t *testing.T) {
	inBubble(t, registrytest.Defects{Latency: 10 * time.Millisecond}, func(f *fake) {
		f.shelves("")
		f.discovering("")
		ctx := f.Context()
		done := make(chan error)
		const n = 30
		trees := []*ocifs.FS{f.tree(), f.tree()}
		for i := range n {
			go func() { done <- put(ctx, trees[i%len(trees)], fmt.Sprintf("/images/deep/tool/file-%02d", i), "x") }()
		}
		for range n {
			f.must(<-done)
		}
		f.settle()
		time.Sleep(time.Minute)
		if got := f.names(f.tree(), "/images/deep/tool"); len(got) != n+1 {
			f.Errorf("%d of %d are there: %q", len(got), n+1, got)
		}

		tree := f.tree()
		f.ResetCounts()
		for i := range n {
			go func() { done <- put(ctx, tree, fmt.Sprintf("/charts/app/file-%02d", i), "x") }()
		}
		for range n {
			f.must(<-done)
		}
		if got := f.Count("PUT manifest"); got != n+2 {
			f.Errorf("%d manifests are pushed, want %d files and 2 markers", got, n)
		}
	})
}

// TestCatalogFails: a list of repositories that cannot be had makes no shorter listing.
func TestCatalogFails(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.shelves("")
		f.discovering("")
		tree := f.tree()
		f.names(tree, "/")
		for _, code := range []int{401, 403, 404, 429, 500, 503} {
			time.Sleep(time.Hour)
			f.Fail(registrytest.Match{Path: "_catalog"}, registrytest.Page(code), 0)
			list, err := tree.ReadDir(f.Context(), "/")
			if err == nil {
				f.Errorf("%d: %d members are listed", code, len(list))
			}
			f.saysNothing(fmt.Sprint(code), err)
			_, err = tree.Stat(f.Context(), "/charts")
			f.saysNothing(fmt.Sprint(code, " for a name"), err)
			f.Heal()
		}
		f.names(tree, "/")
	})
}

// TestCatalogNeverAnswers: a registry that fails at its list of repositories, and at nothing else, has none after a while; one
// that is slow at it is waited for by nobody for longer than he wants to, and has it in the end.
func TestCatalogNeverAnswers(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.shelves("")
		f.discovering("")
		ctx, tree := f.Context(), f.tree()
		f.Fail(registrytest.Match{Path: "_catalog"}, registrytest.Status(http.StatusInternalServerError), 0)
		_, err := tree.ReadDir(ctx, "/")
		f.saysNothing("at first", err)
		if err == nil {
			f.Error("at first it is no failure")
		}
		time.Sleep(3 * time.Minute)
		_, _ = tree.ReadDir(ctx, "/")
		f.names(tree, "/")
		if _, err := tree.Stat(ctx, "/none"); !errors.Is(err, fs.ErrNotExist) {
			f.Errorf("what is not there: %v", err)
		}
		if got := f.names(tree, "/charts/app"); !slices.Equal(got, []string{"1.0", "2.0"}) {
			f.Errorf("by its path: %q", got)
		}
		f.Heal()
		time.Sleep(time.Hour)
		if got := f.names(tree, "/"); !slices.Contains(got, "charts") {
			f.Errorf("when it answers again are listed %q", got)
		}
	})
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.shelves("")
		f.discovering("")
		tree := f.tree()
		f.Fail(registrytest.Match{Path: "_catalog"}, registrytest.Slow(20*time.Second), 1)
		ctx, cancel := context.WithTimeout(f.Context(), 5*time.Second)
		defer cancel()
		_, err := tree.ReadDir(ctx, "/")
		f.saysNothing("it is slow", err)
		if err == nil {
			f.Error("it is waited for")
		}
		time.Sleep(20 * time.Second)
		f.ResetCounts()
		if got := f.names(tree, "/"); !slices.Contains(got, "charts") || f.Count("GET catalog") > 0 {
			f.Errorf("then are listed %q, by %q", got, f.Requests())
		}
	})
}

// TestCatalogBehind: nobody waits for the list of repositories to be renewed, but where it is told that there is a new one.
func TestCatalogBehind(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.shelves("")
		f.discovering("")
		ctx, tree := f.Context(), f.tree()
		f.names(tree, "/")
		f.pushForeign("new", "v1", "a", "b")
		time.Sleep(time.Minute)
		f.Fail(registrytest.Match{Path: "_catalog"}, registrytest.Slow(10*time.Second), 1)
		began := time.Now()
		if got := f.names(tree, "/"); slices.Contains(got, "new") || time.Since(began) > time.Second {
			f.Errorf("after %v are listed %q", time.Since(began), got)
		}
		time.Sleep(11 * time.Second)
		if got := f.names(tree, "/"); !slices.Contains(got, "new") {
			f.Errorf("it is not renewed: %q", got)
		}
		f.pushForeign("told", "v1", "a", "b")
		tree.Forget("told", "v1")
		if got := f.names(tree, "/"); !slices.Contains(got, "told") {
			f.Errorf("what is told is not seen at once: %q", got)
		}
		time.Sleep(time.Minute)
		f.Fail(registrytest.Match{Path: "_catalog"}, registrytest.Page(503), 0)
		f.names(tree, "/")
		if _, err := tree.Stat(ctx, "/none"); !errors.Is(err, fs.ErrNotExist) {
			f.Errorf("while it cannot be renewed: %v", err)
		}
		time.Sleep(time.Hour)
		_, err := tree.ReadDir(ctx, "/")
		f.saysNothing("it is an hour old", err)
		if err == nil {
			f.Error("a list that is an hour old is good")
		}
	})
}

// TestDeadRepositories: what is left of our own removed directories is asked about less and less often, and what others push
// there is seen within ten minutes, or when it is told.
func TestDeadRepositories(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		const n = 20
		f.discovering("")
		ctx, tree := f.Context(), f.tree()
		for i := range n {
			name := fmt.Sprint("/d", i)
			f.must(tree.Mkdir(ctx, name, nil))
			f.must(put(ctx, tree, name+"/f", "x"))
			f.must(tree.RemoveAll(ctx, name, nil))
		}
		f.settle()
		tree = f.tree()
		f.names(tree, "/")
		time.Sleep(time.Hour)
		f.names(tree, "/")
		asked := 0
		for range 120 { // an hour
			time.Sleep(catalogTime)
			f.ResetCounts()
			if got := f.names(tree, "/"); len(got) > 0 {
				f.Errorf("shown are %q", got)
			}
			asked += f.Count("GET tags") - 1 // the root's own
		}
		if most := n * (6 + 6); asked > most {
			f.Errorf("%d questions about %d repositories in an hour, want %d at most", asked, n, most)
		}
		f.pushForeign("d1", "v1", "a", "b")
		time.Sleep(11 * time.Minute)
		if got := f.names(tree, "/"); !slices.Equal(got, []string{"d1"}) {
			f.Errorf("shown are %q", got)
		}
		f.pushForeign("d2", "v1", "a", "b")
		tree.Forget("d2", "v1")
		if got := f.names(tree, "/"); !slices.Equal(got, []string{"d1", "d2"}) {
			f.Errorf("when it is told: shown are %q", got)
		}
	})
}

const catalogTime = 30 * time.Second

// TestCatalogBudget: the list of repositories is asked for once in a while, and not for what has markers and files.
func TestCatalogBudget(t *testing.T) {
	inBubble(t, registrytest.Defects{PageSize: 2}, func(f *fake) {
		f.shelves("team/")
		for i := range 20 {
			f.pushForeign(fmt.Sprintf("zoo/%d", i), "v1", "a", "b")
		}
		f.discovering("team/")
		ctx, tree := f.Context(), f.tree()
		f.must(tree.Mkdir(ctx, "/d", nil))
		f.ResetCounts()
		f.must(put(ctx, tree, "/d/f", "x"))
		f.names(tree, "/d")
		first := f.Count("GET catalog")
		if first > 4 { // charts, charts/app, empty, images/deep/tool, signatures, and one behind the range
			f.Errorf("%d pages are asked for: the list is left where its range ends", first)
		}
		f.ResetCounts()
		for i := range 10 {
			f.must(put(ctx, tree, fmt.Sprint("/d/f", i), "x"))
			f.names(tree, "/")
			f.names(tree, "/d")
			_, _ = tree.Stat(ctx, "/d/none")
		}
		if n := f.Count("GET catalog"); n > 0 {
			f.Errorf("it is asked for %d times more", n)
		}
	})
}
