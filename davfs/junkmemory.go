package davfs

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// A junkMemory keeps junk files out of the tree under it. What it holds shadows a file of the tree of the same name, as
// one from before may be there. Junk that is too large goes to the tree like any other file, and is the tree's from
// then on. Nothing else is kept from the tree, and directories are the tree's alone.
//
// Locking. A change takes the turn of its names, and has it while it asks the tree, asks the Check and makes the change
// in memory: the three have to be one step, and junk that is put while its directory moves would be left behind. A turn
// keeps off changes of the same names only, and the wait for it ends with the context; a Put has read its content by
// then or, if that is large, does not keep its directory. So a turn may be held while the tree works, and a mutex must
// not be: that of the files guards the map alone, and is never held during a call of the tree or of a Check. Readers
// take no turn. They may see a directory that the tree has just moved for a moment without the junk in it.
type junkMemory struct {
	tree   Tree
	isJunk func(name string) bool
	files  junkFiles
	turns  turns
	never  *junkFile
}

var _ Tree = (*junkMemory)(nil)

// neverIndex keeps Spotlight from reading the whole drive. It is shown where the tree has none, and listed nowhere.
const neverIndex = "/.metadata_never_index"

func newJunkMemory(t Tree, isJunk func(string) bool, files junkFiles) *junkMemory {
	return &junkMemory{
		tree: t, isJunk: isJunk, files: files,
		never: newJunkFile(neverIndex, nil, PutOptions{}),
	}
}

func (m *junkMemory) Key(name string) string { return m.tree.Key(name) }

// take takes the turn for names, all spellings of them.
func (m *junkMemory) take(ctx context.Context, alone bool, names ...string) (end func(), err error) {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = m.tree.Key(name)
	}
	return m.turns.take(ctx, alone, keys...)
}

// find gives the file in memory that is shown at name, nil for none: its directory has to be there, which others may
// have removed from the tree.
func (m *junkMemory) find(ctx context.Context, name string) (*junkFile, error) {
	f := m.files.get(name)
	if f == nil {
		return nil, nil
	}
	dir, err := m.tree.Stat(ctx, path.Dir(name))
	switch {
	case isAbsent(err) || err == nil && !dir.IsDir():
		return nil, nil
	case err != nil:
		return nil, err
	}
	return f, nil
}

// under gives what the tree has at name, nil for nothing. fs.ErrNotExist: its parent is no directory.
func (m *junkMemory) under(ctx context.Context, name string) (fs.FileInfo, error) {
	dir, err := m.tree.Stat(ctx, path.Dir(name))
	if err != nil {
		return nil, err
	}
	if !dir.IsDir() {
		return nil, fmt.Errorf("%s is no directory: %w", path.Dir(name), fs.ErrNotExist)
	}
	fi, err := m.tree.Stat(ctx, name)
	if isAbsent(err) {
		return nil, nil
	}
	return fi, err
}

// ask asks the Check about f if it is in memory, or else about what the tree has.
func ask(check Check, f *junkFile, under fs.FileInfo) error {
	switch {
	case check == nil:
		return nil
	case f != nil:
		return check(f)
	}
	return check(under)
}

// about makes the Check one that the tree can ask: about f if it is in memory, whatever is under it.
func about(f *junkFile, check Check) Check {
	if check == nil || f == nil {
		return check
	}
	return func(fs.FileInfo) error { return check(f) }
}

func (m *junkMemory) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	f, err := m.find(ctx, name)
	if err != nil {
		return nil, err
	}
	if f != nil {
		return f, nil
	}
	fi, err := m.tree.Stat(ctx, name)
	if name == neverIndex && isAbsent(err) {
		return m.never, nil
	}
	return fi, err
}

// ReadDir looks into memory first: a file that goes from there to the tree meanwhile is listed in any case.
func (m *junkMemory) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	f, err := m.find(ctx, name)
	if err != nil {
		return nil, err
	}
	if f != nil {
		return nil, fmt.Errorf("%s is no directory: %w", name, fs.ErrInvalid)
	}
	own := m.files.members(name)
	l, err := m.tree.ReadDir(ctx, name)
	if err != nil || len(own) == 0 {
		return l, err
	}
	all := make([]fs.FileInfo, 0, len(l)+len(own))
	for _, fi := range l {
		if own[path.Base(m.tree.Key(path.Join(name, fi.Name())))] == nil {
			all = append(all, fi)
		}
	}
	for _, f := range own {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b fs.FileInfo) int { return cmp.Compare(a.Name(), b.Name()) })
	return all, nil
}

func (m *junkMemory) Open(ctx context.Context, name string, fi fs.FileInfo) (fs.File, error) {
	if f, ok := fi.(*junkFile); ok {
		return &junkHandle{ctx, f, bytes.NewReader(f.content)}, nil
	}
	return m.tree.Open(ctx, name, fi)
}

func (m *junkMemory) Props(ctx context.Context, name string, fi fs.FileInfo) ([]Property, error) {
	if f, ok := fi.(*junkFile); ok {
		return slices.Clone(f.props), nil
	}
	return m.tree.Props(ctx, name, fi)
}

// Mkdir forgets what is left in memory of a directory that others have removed.
func (m *junkMemory) Mkdir(ctx context.Context, name string, check Check) error {
	end, err := m.take(ctx, false, name)
	if err != nil {
		return fmt.Errorf("wait to make %s: %w", name, err)
	}
	defer end()
	f, err := m.find(ctx, name)
	if err != nil {
		return err
	}
	if f != nil {
		return fmt.Errorf("%s is a file: %w", name, fs.ErrExist)
	}
	if err := m.tree.Mkdir(ctx, name, check); err != nil {
		return err
	}
	m.files.remove(name)
	return nil
}

func (m *junkMemory) RemoveAll(ctx context.Context, name string, check Check) error {
	end, err := m.take(ctx, false, name)
	if err != nil {
		return fmt.Errorf("wait to remove %s: %w", name, err)
	}
	defer end()
	f, err := m.find(ctx, name)
	if err != nil {
		return err
	}
	if f != nil {
		err = m.unshadow(ctx, f, check)
	} else {
		err = m.tree.RemoveAll(ctx, name, check)
	}
	if err == nil {
		m.files.remove(name)
	}
	return err
}

// unshadow asks the Check about f and removes the file of the tree under it, if there is one, which would come to light
// without f. A directory is none of ours.
func (m *junkMemory) unshadow(ctx context.Context, f *junkFile, check Check) error {
	under, err := m.tree.Stat(ctx, f.name)
	if err != nil && !isAbsent(err) {
		return err
	}
	if under == nil || under.IsDir() {
		return ask(check, f, nil)
	}
	asked := false
	err = m.tree.RemoveAll(ctx, f.name, func(under fs.FileInfo) error {
		if under.IsDir() {
			return fmt.Errorf("%s has become a directory: %w", f.name, fs.ErrExist)
		}
		asked = true
		return ask(check, f, nil)
	})
	if isAbsent(err) && !asked { // others were quicker
		return ask(check, f, nil)
	}
	return err
}
