package ocifs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"
)

// checkWalk goes through the tree by the names' own rules. All legs share the checker.
type checkWalk struct {
	*checker
	walk *walk
	jobs chan<- checkJob
}

// all looks at the whole tree.
func (w *checkWalk) all(ctx context.Context) error {
	if err := w.directory(ctx, w.walk, "/"); err != nil {
		return err
	}
	return w.unmarked(ctx, "")
}

// path looks at one path and all below it.
func (w *checkWalk) path(ctx context.Context, name string) error {
	name = path.Clean("/" + name)
	if name == "/" {
		return w.all(ctx)
	}
	p, err := w.place(name)
	if err != nil {
		return err
	}
	_, above, err := w.lookup(ctx, path.Dir(name))
	if exhibit, ok := inside(err); ok {
		return fmt.Errorf("%s lies in an artifact that was not written by ocidav, which is looked at as a whole: %s: %w", name, exhibit.exhibit.name, fs.ErrInvalid)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !above.IsDir():
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case err != nil:
		w.unseen(ctx, spot{path: name}, err)
		return nil
	}
	d := w.layout.of(p.repo, p.file)
	tags, err := w.listTags(ctx, d)
	if err != nil {
		w.unseen(ctx, spot{path: path.Dir(name), repo: d.repo}, err)
		return nil
	}
	in := &checkedDirectory{name: path.Dir(name), directory: d, unled: above.kind == kindBare, kinds: map[string]artifactKind{}}
	for _, tag := range []string{p.marker, p.file} {
		if _, listed := slices.BinarySearch(tags, tag); listed {
			in.tags = append(in.tags, tag)
		}
	}
	slices.Sort(in.tags)
	if len(in.tags) > 0 {
		return w.members(ctx, w.walk, in)
	}
	bare, err := w.bareAt(ctx, name)
	switch {
	case err != nil:
		w.unseen(ctx, spot{path: name, repo: d.repo}, err)
		return nil
	case bare == nil:
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	d, err = w.layout.directory(name)
	if err != nil {
		return err
	}
	return w.unmarked(ctx, d.repo)
}

// checkedDirectory is a directory that is being looked at.
type checkedDirectory struct {
	name string
	directory
	tags  []string // sorted
	unled bool     // no marker leads here, so that of what is ours nothing is shown

	mu      sync.Mutex
	kinds   map[string]artifactKind // of the tags that are files, where a directory may hide them
	dirs    []string                // names
	doubts  []doubt
	tombs   []spot
	ours    []spot
	theirs  bool   // something of others is there
	records []spot // of layouts
}

// doubt is a tag that does not look well.
type doubt struct {
	at  spot
	err *damage
}

// at says where a tag of the directory is. Its path is the directory's if it is shown nowhere.
func (in *checkedDirectory) at(tag string) spot {
	at := spot{path: in.name, repo: in.repo, tag: tag}
	if name, kind := in.nameOf(tag); kind != tagForeign && name != "" && in.name != "" {
		at.path = join(in.name, name)
	}
	return at
}

// directory looks at a directory and all below it. It fails only with the end of the check.
func (w *checkWalk) directory(ctx context.Context, leg *walk, name string) error {
	d, err := w.layout.directory(name)
	if err != nil {
		return nil // too long: it never held anything
	}
	w.mu.Lock()
	again := w.visited[d]
	w.visited[d] = true
	w.mu.Unlock()
	if again {
		return nil
	}
	w.directories.Add(1)
	var tags []string
	if err := w.forgetList(name, w.walk.began); err != nil {
		return err
	}
	err = w.hands.do(ctx, func() (err error) { tags, err = w.listTags(ctx, d); return err })
	if err != nil {
		w.unseen(ctx, spot{path: name, repo: d.repo}, err)
		return context.Cause(ctx)
	}
	w.heard()
	return w.members(ctx, leg, &checkedDirectory{name: name, directory: d, tags: tags, kinds: map[string]artifactKind{}})
}

// members looks at tags of a directory, and then at the directories among them.
func (w *checkWalk) members(ctx context.Context, leg *walk, in *checkedDirectory) error {
	if err := w.tagsOf(ctx, in); err != nil {
		return err
	}
	w.tombstonesIn(in)
	w.layoutRecords(in)
	below := leg.within()
	for _, base := range in.dirs {
		if file := in.file(base); in.kinds[file] != 0 {
			w.hidden(in.at(file))
		}
		name := join(in.name, base)
		below.enter(name, func() error { return w.directory(ctx, below, name) })
	}
	return below.wait()
}

func (w *checkWalk) hidden(at spot) {
	w.find(foundAt(at, &damage{HiddenFile, "a directory of the same name hides the file", ""}))
}

// tagsOf looks at the tags of a directory.
func (w *checkWalk) tagsOf(ctx context.Context, in *checkedDirectory) error {
	err := eachBy(ctx, w.hands, in.tags, func(ctx context.Context, _ int, tag string) error {
		return w.tag(ctx, in, tag, true)
	})
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	return w.settleDoubts(ctx, in)
}

// tag looks at a tag. What does not look well is put by, or where it is not the first look, found.
func (w *checkWalk) tag(ctx context.Context, in *checkedDirectory, tag string, first bool) error {
	at := in.at(tag)
	sum, data, err := w.manifestAt(ctx, in.repo, tag)
	switch d := damageOf(err); {
	case err == nil:
		at.digest = sum
		w.manifests.Add(1)
		return w.manifest(ctx, in, at, data)
	case d == nil:
		w.unseen(ctx, at, err)
	case first:
		in.mu.Lock()
		in.doubts = append(in.doubts, doubt{at, d})
		in.mu.Unlock()
	default:
		w.damagedTag(in, at, d)
	}
	return context.Cause(ctx)
}

// unseen notes that the walk could not look at something, in which there may be directories.
func (w *checkWalk) unseen(ctx context.Context, at spot, err error) {
	w.mu.Lock()
	w.unsure = true
	w.mu.Unlock()
	w.failed(ctx, at, err)
}

// settleDoubts asks once more for the tags that do not look well, if they are still listed, and if the registry still answers
// as it did before.
func (w *checkWalk) settleDoubts(ctx context.Context, in *checkedDirectory) error {
	if len(in.doubts) == 0 {
		return nil
	}
	w.lists.forget(in.list())
	tags, err := w.listTags(ctx, in.directory)
	if err == nil {
		err = w.sane(ctx)
	}
	for _, d := range in.doubts {
		if err != nil {
			w.unseen(ctx, d.at, err)
			continue
		}
		if _, listed := slices.BinarySearch(tags, d.at.tag); listed {
			if err := w.tag(ctx, in, d.at.tag, false); err != nil {
				return err
			}
		}
	}
	return context.Cause(ctx)
}

// damagedTag takes up a tag whose manifest cannot be had, or a marker that is none. Below a marker the walk goes on, since its
// members may all be well; where its name is not known, or a push or a removal of it has been cut off, nothing is said of
// what lies in directories without one.
func (w *checkWalk) damagedTag(in *checkedDirectory, at spot, d *damage) {
	name, kind := in.nameOf(at.tag)
	n := foundAt(at, d)
	switch {
	case at.tag == in.index():
		n = foundAt(at, &damage{IndexDamaged, uselessIndex + d.text, d.digest})
	case d.kind != TagEmpty && d.kind != MarkerDamaged:
		n.remedy = w.tagRemedy(in, at, d)
	}
	w.find(n)
	if kind != tagDirectory {
		return
	}
	w.mu.Lock()
	w.unsure = w.unsure || name == "" || d.kind == TagEmpty
	w.mu.Unlock()
	if name != "" && in.name != "" && d.kind != TagEmpty {
		in.mu.Lock()
		in.dirs = append(in.dirs, name)
		in.mu.Unlock()
	}
}

const uselessIndex = "the directory index, which is a hint and no more, is of no use: "
