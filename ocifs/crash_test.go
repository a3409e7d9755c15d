package ocifs_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// ends are the ways in which it can be over at a request that writes: it never happened, or it did and nobody heard.
var ends = map[string]registrytest.Fault{
	"before": registrytest.Status(http.StatusForbidden, "DENIED"), // not repeated
	"after":  registrytest.ResetAfter,
}

// moved gives the source and the target of an operation on the world, where it has them.
var moved = map[string][2]string{
	"Rename file": {"/f", "/d"}, "Rename file over": {"/f", "/g"}, "Rename directory": {"/d", "/new"},
	"Rename directory over file": {"/d", "/g"}, "Rename directory over directory": {"/d", "/t"},
}

// TestCrashPoints ends every operation at each of its writing requests, as a kill of the process does or a registry
// that goes down. For a process that is started then every name is whole, old or new; what was moved is at one of its
// places; the operation can be repeated; and nothing comes back to life.
func TestCrashPoints(t *testing.T) {
	removes := func(name string) bool {
		return name == "Rename directory over directory" || strings.HasPrefix(name, "Remove")
	}
	for name, c := range map[string]struct {
		end     string
		defects registrytest.Defects
		picks   func(name string) bool
	}{
		"before":            {"before", registrytest.Defects{}, func(string) bool { return true }},
		"after":             {"after", registrytest.Defects{}, func(string) bool { return true }},
		"before, no delete": {"before", registrytest.Defects{NoDelete: true}, removes},
		"after, tombstones": {"after", registrytest.Defects{NoTagDelete: http.StatusMethodNotAllowed}, removes},
	} {
		t.Run(strings.ReplaceAll(name, " ", ""), func(t *testing.T) {
			t.Parallel()
			inBubble(t, c.defects, func(f *fake) {
				f.change = func(o *ocifs.Options) { o.Parallel = 1 } // always in the same order
				f.world()
				for _, op := range changes { // "Copy directory" is the first half of "Rename directory"
					if op.name != "Copy directory" && c.picks(op.name) {
						f.crash(c.defects, op, c.end)
					}
				}
			})
		})
	}
}

// crash ends op on a copy of the registry at its first writing request, then at its second, and so on.
func (f *fake) crash(d registrytest.Defects, op operation, end string) {
	f.Helper()
	healthy := f.fork(d)
	f.must(op.do(f.Context(), healthy.tree()))
	healthy.settle()
	before, after := f.snapshot(f.tree(), "/"), healthy.snapshot(healthy.tree(), "/")
	healthy.close()
	for point := 0; ; point++ {
		if point > 100 {
			f.Fatalf("%s needs more than 100 writes", op.name)
		}
		g := f.fork(d)
		last := registrytest.Writes
		last.Skip = point
		var over atomic.Bool
		rule := g.Fail(last, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			if over.CompareAndSwap(false, true) {
				ends[end](w, r, serve)
			} else {
				ends["before"](w, r, serve)
			}
		}, 0)
		err := op.do(f.Context(), g.tree())
		g.settle()
		reached := rule.Hits() > 0
		g.Heal()
		got := g.snapshot(g.tree(), "/")
		at := func(format string, args ...any) {
			f.Helper()
			f.Errorf("%s, ended %s writing request %d: "+format, append([]any{op.name, end, point + 1}, args...)...)
		}
		switch {
		case err == nil && !maps.Equal(got, after):
			at("no error, but there is %v, want %v", got, after)
		case err == nil && !reached:
			return
		case err != nil && !reached:
			at("error %v without a fault", err)
			return
		case err != nil && end == "before" && maps.Equal(got, after):
			at("an error when all was done: %v", err)
		case err != nil:
			f.saysNothing(op.name, err)
		}
		for _, name := range tops(before, after, got) {
			part := under(got, name)
			was, is := under(before, name), under(after, name)
			merged := strings.Contains(op.name, "directory over directory") && name == "/t" && between(part, was, is)
			if !maps.Equal(part, was) && !maps.Equal(part, is) && !merged {
				at("%s is %v: neither old nor new", name, part)
			}
		}
		if m, ok := moved[op.name]; ok {
			if len(under(got, m[0])) == 0 && !maps.Equal(under(got, m[1]), under(after, m[1])) {
				at("%s is gone and %s is not there", m[0], m[1])
			}
		}
		if (point%2 == 0) == (end == "before") { // each point has its turn with both, one of them at each end
			g.repeat(d, op, got, after, at)
		} else {
			g.nothingIsBack(d, got, at)
		}
		g.close()
	}
}

// between says whether a directory that is becoming another holds members of both, each whole, and none of the new ones
// took the place of what is still missing.
func between(got, before, after map[string]string) bool {
	for name, content := range got {
		b, old := before[name]
		a, new := after[name]
		if !(old && content == b) && !(new && content == a) {
			return false
		}
	}
	whole := true
	for name, content := range after {
		whole = whole && got[name] == content
	}
	for name := range before {
		if _, there := got[name]; !there && !whole { // gone before all that comes is there
			return false
		}
	}
	return len(got) > 0
}

// TestLostAnswers: what arrives though its answer is lost is seen at once by the process that has got an error for it.
func TestLostAnswers(t *testing.T) {
	for loss, fault := range map[string]registrytest.Fault{
		"reset": registrytest.ResetAfter, "cut": registrytest.Cut, "stall": stallAfter,
	} {
		t.Run(loss, func(t *testing.T) {
			t.Parallel()
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				f.world()
				for _, op := range changes {
					g := f.fork(registrytest.Defects{})
					tree := g.tree()
					g.snapshot(tree, "/")
					rule := g.Fail(registrytest.Match{Method: "PUT DELETE", Path: "/manifests/"}, fault, 0)
					ctx, cancel := context.WithTimeout(f.Context(), 10*time.Minute)
					err := op.do(ctx, tree)
					cancel()
					g.Heal()
					if rule.Hits() == 0 {
						f.Errorf("%s: nothing has met the fault", op.name)
					}
					// A DELETE that is repeated finds nothing, which is as good as an answer; a PUT does not.
					if err == nil && op.name != "RemoveAll file" && op.name != "RemoveAll directory" {
						f.Errorf("%s succeeds", op.name)
					}
					f.saysNothing(op.name, err)
					if got, want := g.snapshot(tree, "/"), g.snapshot(g.tree(), "/"); !maps.Equal(got, want) {
						f.Errorf("%s: the tree shows %v, there is %v", op.name, got, want)
					}
					other := g.tree()
					for _, name := range []string{"/f", "/g", "/d", "/t", "/new", "/d/new"} {
						_, err := tree.Stat(f.Context(), name)
						_, want := other.Stat(f.Context(), name)
						if (err == nil) != (want == nil) {
							f.Errorf("%s: Stat %s says %v, and %v to another", op.name, name, err, want)
						}
					}
					g.close()
				}
			})
		})
	}
}

// stallAfter lets the request have its effect and never answers.
func stallAfter(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	serve(httptest.NewRecorder(), r)
	registrytest.Stall(w, r, serve)
}

// repeat does the operation once more, as a client does whose first try ended in an error.
func (f *fake) repeat(d registrytest.Defects, op operation, got, after map[string]string, at func(string, ...any)) {
	f.Helper()
	g := f.fork(d)
	defer g.close()
	err := op.do(f.Context(), g.tree())
	done := errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist)
	if err != nil && !(done && maps.Equal(got, after)) {
		at("repeated it fails: %v", err)
	}
	if now := g.snapshot(g.tree(), "/"); !maps.Equal(now, after) {
		at("repeated it leaves %v, want %v", now, after)
	}
}

// nothingIsBack makes directories where there is nothing, or nothing any more: they are empty.
func (f *fake) nothingIsBack(d registrytest.Defects, got map[string]string, at func(string, ...any)) {
	f.Helper()
	g := f.fork(d)
	defer g.close()
	tree := g.tree()
	want := map[string]string{}
	for _, name := range tops(got) {
		if name != "/new" && name != "/d" && name != "/t" {
			maps.Copy(want, under(got, name))
		}
	}
	for _, name := range []string{"/new", "/d", "/t"} {
		if len(under(got, name)) > 0 {
			f.must(tree.RemoveAll(f.Context(), name, nil))
		}
		for _, dir := range []string{name, name + "/sub", name + "/empty"} {
			want[dir+"/"] = ""
			if err := tree.Mkdir(f.Context(), dir, nil); err != nil {
				at("then Mkdir %s fails: %v", dir, err)
			}
		}
	}
	if now := g.snapshot(g.tree(), "/"); !maps.Equal(now, want) {
		at("after new directories were made there is %v, want %v", now, want)
	}
}
