package ocifs_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestSweep ends or disturbs every request of every operation in every way, once, for a while, and from then on, on a
// registry of its own each. After each of these fault points:
//
//   - the tree as another process sees it is the old one or the new one; what verdict says is between is whole too
//   - the answer fits: no error after the commit, no success before it. The ways that leave no way to learn what has
//     become of the commit are the one exception (way.deafAt); the other is a directory in a directory's place, some of
//     which could not be looked at for what is to go: that there was nothing to go nobody knew
//   - what passes, and is worth repeating, is not noticed; what does not pass ends in bounded (faked) time
//   - the process that met the fault sees what another sees, and can repeat the operation: no lock is held, and no
//     goroutine hangs, which the bubble would notice. So can a process that knows nothing
//   - nothing comes back to life where directories are made anew, and no spool file is left
//
// One of 48 fault points is swept, under the race detector of 192, always the same ones; OCIDAV_SWEEP=all sweeps all of them.
func TestSweep(t *testing.T) {
	var points atomic.Int64
	t.Cleanup(func() { t.Logf("%d fault points", points.Load()) })
	for _, op := range sweeps {
		for _, v := range op.variants() {
			t.Run(strings.ReplaceAll(op.name+v.name, " ", ""), func(t *testing.T) {
				t.Parallel()
				inBubble(t, v.defects, func(f *fake) {
					f.change = func(o *ocifs.Options) {
						o.Parallel, o.Layout = v.parallel, v.layout
						o.Memory = 1 << 20 // so that a Put that gives none back is the last
						o.Upload = v.upload
						if v.sole {
							o.SoleWriter, o.Freshness = true, 24*time.Hour
						}
						if op.options != nil {
							op.options(o)
						}
					}
					f.smallWorld()
					s := newSweep(f, v, op)
					s.all()
					points.Add(int64(s.points))
				})
			})
		}
	}
}

// sweep is one operation on one kind of registry, and what became of it so far.
type sweep struct {
	*fake
	variant
	op swept

	before, after map[string]string
	copied        map[string]string // a Rename that has not removed anything yet; nil for other operations
	requests      []string          // of the undisturbed operation, with what it does behind its answer
	share         uint32            // one of so many fault points is swept
	points        int
	views         views
}

// settling is long enough for all that goes on behind an answer.
const settling = 10 * time.Minute

func newSweep(f *fake, v variant, op swept) *sweep {
	d := v.defects
	s := &sweep{fake: f, variant: v, op: op, share: sweepShare, views: newViews()}
	if os.Getenv("OCIDAV_SWEEP") == "all" {
		s.share = 1
	}
	s.before, _ = s.view(f)
	g := f.fork(d)
	tree := g.tree()
	g.ResetCounts()
	g.must(op.do(g.Context(), tree))
	time.Sleep(settling)
	s.requests = g.Requests()
	s.after, _ = s.view(g)
	g.close()
	if op.half != nil {
		g := f.fork(d)
		g.must(op.half(g.Context(), g.tree()))
		s.copied, _ = s.view(g)
		g.close()
	}
	if maps.Equal(s.before, s.after) {
		f.Fatal("the operation changes nothing that is looked at")
	}
	return s
}

// all goes through all fault points.
func (s *sweep) all() {
	for point, request := range s.requests {
		for _, w := range ways {
			for _, lasts := range w.spans() {
				if w.meets(request) && s.picks(point, w, lasts) {
					s.at(point, w, lasts)
				}
			}
		}
	}
}

// picks says whether a fault point is one of the share that is swept.
func (s *sweep) picks(point int, w way, lasts span) bool {
	h := fnv.New32a()
	fmt.Fprint(h, s.op.name, s.defects, point, w.name, lasts)
	if s.parallel > 1 || s.upload != "" || s.layout != "" {
		fmt.Fprint(h, s.variant.name)
	}
	return h.Sum32()%s.share == 0
}

// at is one fault point: request number point meets w.
func (s *sweep) at(point int, w way, lasts span) {
	g := s.fork(s.defects)
	defer g.close()
	tree := g.tree()
	rule := w.install(g, point, lasts)
	ctx, cancel := context.WithTimeout(g.Context(), time.Hour) // for a report in place of a deadlock
	defer cancel()
	start := time.Now()
	err := s.op.do(ctx, tree)
	took := time.Since(start)
	inTime := rule.Hits() > 0 // else what goes on behind the answer meets it
	if inTime {
		g.Heal()
	}
	got, _ := s.view(g)
	time.Sleep(settling)
	synctest.Wait()
	g.Heal()
	if rule.Hits() == 0 && s.parallel == 1 {
		s.Errorf("%s does not come to its request %d, %s", s.op.name, point, s.requests[point])
	}
	s.points++
	p := report{s, point, w, lasts}
	p.verdict(got, err, took)
	settled, key := s.view(g)
	if !maps.Equal(settled, got) {
		p.errorf("behind the answer the tree becomes %v, was %v", settled, got)
	}
	if seen, there := g.outline(tree), s.outlineOf(g, key); !maps.Equal(seen, there) {
		p.errorf("the process itself sees %v, there is %v", seen, there)
	}
	s.noSpool(p)
	if !s.views.done[key] { // by the same process or another, it is the same from here on
		s.views.done[key] = true
		s.repeated(g, got, p)
		s.buried(g, got, p)
	}
	if err != nil {
		s.repeat(g, tree, got, p.errorf)
		s.noSpool(p)
	}
}

// repeat does the operation once more, as a client does whose first try ended in an error.
func (s *sweep) repeat(g *fake, tree *ocifs.FS, got map[string]string, errorf func(string, ...any)) {
	ctx, cancel := context.WithTimeout(g.Context(), time.Hour)
	defer cancel()
	err := s.op.do(ctx, tree)
	time.Sleep(settling)
	synctest.Wait()
	done := errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist)
	if err != nil && !(done && maps.Equal(got, s.after)) {
		errorf("repeated it fails: %v", err)
	}
	if now, _ := s.view(g); !maps.Equal(now, s.after) {
		errorf("repeated it leaves %v, want %v", now, s.after)
	}
}

// repeated is repeat by a process that knows nothing.
func (s *sweep) repeated(g *fake, got map[string]string, p report) {
	h := g.fork(s.defects)
	defer h.close()
	s.repeat(h, h.tree(), got, func(format string, args ...any) { p.errorf("by a fresh process: "+format, args...) })
}

// buried makes directories where there is nothing, or nothing any more: they are empty.
func (s *sweep) buried(g *fake, got map[string]string, p report) {
	h := g.fork(s.defects)
	defer h.close()
	tree := h.tree()
	want := map[string]string{}
	for _, name := range tops(got) {
		if name != "/new" && name != "/d" && name != "/t" {
			maps.Copy(want, under(got, name))
		}
	}
	for _, name := range []string{"/new", "/d", "/t"} {
		if len(under(got, name)) > 0 {
			h.must(tree.RemoveAll(h.Context(), name, nil))
		}
		for _, dir := range []string{name, name + "/sub", name + "/empty"} {
			want[dir+"/"] = ""
			if err := tree.Mkdir(h.Context(), dir, nil); err != nil {
				p.errorf("then Mkdir %s fails: %v", dir, err)
			}
		}
	}
	time.Sleep(settling)
	if now, _ := s.view(h); !maps.Equal(now, want) {
		p.errorf("after new directories were made there is %v, want %v", now, want)
	}
}

func (s *sweep) noSpool(p report) {
	if left, _ := os.ReadDir(s.dir); len(left) > 0 {
		p.errorf("%s is left in the spool", left[0].Name())
		_ = os.Remove(s.dir + "/" + left[0].Name())
	}
	if !strings.HasPrefix(s.op.name, "Put") {
		return
	}
	open, _ := filepath.Glob("/proc/self/fd/*") // where a spool has no name; none on other systems
	for _, fd := range open {
		if file, err := os.Readlink(fd); err == nil && strings.HasPrefix(file, s.dir+"/") {
			p.errorf("%s is left open", file)
		}
	}
}

// report is a fault point in words.
type report struct {
	*sweep
	point int
	way   way
	lasts span
}

func (p report) errorf(format string, args ...any) {
	p.Helper()
	p.Errorf("%s%s, request %d (%s) meets %s %s: %s",
		p.op.name, p.variant.name, p.point, p.requests[p.point], p.way.name, p.lasts, fmt.Sprintf(format, args...))
}

// verdict judges the answer by the state that another process sees.
func (p report) verdict(got map[string]string, err error, took time.Duration) {
	p.Helper()
	switch {
	case err == nil && !maps.Equal(got, p.after):
		p.errorf("no error, but there is %v, want %v", got, p.after)
	case err != nil && p.way.passes && p.lasts != ever && p.upload != ocifs.UploadDirect:
		p.errorf("what passes is noticed: %v", err)
	case err != nil && maps.Equal(got, p.after) && !p.way.deafAt(p.lasts) && !p.op.merges:
		p.errorf("an error when all was done: %v", err)
	case !p.stands(got):
		p.errorf("there is %v, neither the old nor the new", got)
	}
	if err != nil {
		p.saysNothing(p.op.name, err)
		if classOf(err) == "" {
			p.errorf("the failure has no class: %v", err)
		}
	}
	if limit := p.way.limit(p.lasts); took > limit {
		p.errorf("it took %v, more than %v", took, limit)
	}
}

// stands says whether a state may be left behind: the old one, the new one, for a Rename that of its Copy, and where a
// directory takes another's place members of both in that place, see between.
func (p report) stands(got map[string]string) bool {
	if maps.Equal(got, p.before) || maps.Equal(got, p.after) || p.copied != nil && maps.Equal(got, p.copied) {
		return true
	}
	if !p.op.merges {
		return false
	}
	for _, name := range tops(p.before, p.after, got) {
		part, was, is := under(got, name), under(p.before, name), under(p.after, name)
		switch {
		case name == "/t" && between(part, was, is):
		case name == "/d" && maps.Equal(part, was): // a source stays until all of it is copied
		case !maps.Equal(part, was) || !maps.Equal(part, is):
			return false
		}
	}
	return true
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

// swept is an operation of the sweep.
type swept struct {
	operation
	half    func(ctx context.Context, tree *ocifs.FS) error // what a Rename does first
	merges  bool                                            // a directory takes another's place
	options func(*ocifs.Options)
	removes bool // its requests depend on how tags can be removed
	large   bool // and on how large content is uploaded
	tree    bool // it makes several requests at once, where it may
}

// variant is what an operation is swept on.
type variant struct {
	name     string
	defects  registrytest.Defects
	parallel int    // with one at a time the requests come in one order, and what meets the fault is the same each time
	upload   string // UploadDirect: what a stream fails with is the end of the Put, even if it passes
	layout   string
	sole     bool // what was answered before must not outlive what changes it
}

// variants are what the operation is swept on.
func (o swept) variants() []variant {
	all := []variant{{parallel: 1}}
	if o.removes {
		all = append(all, variant{name: " without delete", defects: registrytest.Defects{NoDelete: true}, parallel: 1},
			variant{name: " by digest", defects: registrytest.Defects{NoTagDelete: 405}, parallel: 1})
	}
	if o.large {
		for _, upload := range []string{ocifs.UploadMonolithic, ocifs.UploadDirect} {
			all = append(all, variant{name: " " + upload, parallel: 1, upload: upload})
		}
	}
	if o.tree {
		all = append(all, variant{name: " in parallel", parallel: 4})
	}
	for _, v := range all {
		if v.upload == "" {
			v.name, v.layout = v.name+" flat", ocifs.LayoutFlat
			all = append(all, v)
		}
	}
	return append(all, variant{name: " sole", parallel: 1, sole: true})
}

func putting(name, content string) func(context.Context, *ocifs.FS) error {
	return func(ctx context.Context, t *ocifs.FS) error { return put(ctx, t, name, content) }
}

func copying(src, dst string) func(context.Context, *ocifs.FS) error {
	return func(ctx context.Context, t *ocifs.FS) error { return copyTo(ctx, t, src, dst) }
}

func moving(src, dst string) func(context.Context, *ocifs.FS) error {
	return func(ctx context.Context, t *ocifs.FS) error { return t.Rename(ctx, src, dst, nil) }
}

func removing(name string) func(context.Context, *ocifs.FS) error {
	return func(ctx context.Context, t *ocifs.FS) error { return t.RemoveAll(ctx, name, nil) }
}

func making(name string) func(context.Context, *ocifs.FS) error {
	return func(ctx context.Context, t *ocifs.FS) error { return t.Mkdir(ctx, name, nil) }
}

func patching(name string) func(context.Context, *ocifs.FS) error {
	return func(ctx context.Context, t *ocifs.FS) error {
		return t.PatchProps(ctx, name, davfs.PropPatch{Set: property("new")})
	}
}

func inParts(o *ocifs.Options) { o.PartSize = 600_000 }

var sweeps = []swept{
	{operation: operation{"Put new", putting("/d/new", "new")}},
	{operation: operation{"Put empty", putting("/new", "")}},
	{operation: operation{"Put over", putting("/d/a", "new")}},
	{operation: operation{"Put large", putting("/d/new", large)}, large: true},
	{operation: operation{"Put large over", putting("/f", large)}, large: true},
	{operation: operation{"Put parts", putting("/f", large)}, options: inParts, large: true},
	{operation: operation{"Mkdir", making("/d/new")}},
	{operation: operation{"Mkdir over orphans", making("/o")}, removes: true, tree: true},
	{operation: operation{"PatchProps", patching("/d/a")}},
	{operation: operation{"PatchProps directory", patching("/d")}},
	{operation: operation{"Copy file beside", copying("/f", "/new")}},
	{operation: operation{"Copy file", copying("/d/a", "/new")}},
	{operation: operation{"Copy file over", copying("/d/a", "/g")}},
	{operation: operation{"Copy file over directory", copying("/f", "/t")}, removes: true, tree: true},
	{operation: operation{"Copy directory", copying("/d", "/new")}, tree: true},
	{operation: operation{"Copy directory over file", copying("/d", "/g")}, tree: true},
	{operation: operation{"Copy directory over directory", copying("/d", "/t")}, merges: true, tree: true},
	{operation: operation{"Rename file beside", moving("/f", "/new")}, half: copying("/f", "/new")},
	{operation: operation{"Rename file", moving("/f", "/d/new")}, half: copying("/f", "/d/new")},
	{operation: operation{"Rename file over", moving("/f", "/d/a")}, half: copying("/f", "/d/a"), removes: true},
	{operation: operation{"Rename directory", moving("/d", "/new")}, half: copying("/d", "/new"), tree: true},
	{operation: operation{"Rename directory over file", moving("/d", "/g")}, half: copying("/d", "/g"), tree: true},
	{operation: operation{"Rename directory over directory", moving("/d", "/t")}, half: copying("/d", "/t"), merges: true,
		removes: true, tree: true},
	{operation: operation{"RemoveAll file", removing("/f")}, removes: true},
	{operation: operation{"RemoveAll directory", removing("/d")}, removes: true, tree: true},
}
