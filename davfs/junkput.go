package davfs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Put reads as much as may be kept before it takes its turn, so that a slow client keeps nobody waiting.
func (m *junkMemory) Put(ctx context.Context, name string, r io.Reader, o PutOptions) (fs.FileInfo, error) {
	if !m.isJunk(name) {
		return m.tree.Put(ctx, name, r, o)
	}
	content, err := io.ReadAll(io.LimitReader(r, m.files.content+1))
	if err != nil {
		return nil, fmt.Errorf("put %s: %w", name, err)
	}
	large := int64(len(content)) > m.files.content
	end, err := m.take(ctx, large, name)
	if err != nil {
		return nil, fmt.Errorf("wait to put %s: %w", name, err)
	}
	defer end()
	old := m.files.get(name)
	if !large {
		under, err := m.under(ctx, name)
		if err != nil {
			return nil, err
		}
		if under != nil && under.IsDir() {
			return nil, fmt.Errorf("%s is a directory: %w", name, fs.ErrExist)
		}
		f := newJunkFile(name, content, o)
		if err := m.inherit(ctx, f, old, under); err != nil {
			return nil, err
		}
		if m.files.fit(f) {
			if err := ask(o.Check, old, under); err != nil {
				return nil, err
			}
			m.files.set(f, "")
			return f, nil
		}
		o.Checksums = func() []string { return f.sums }
	}
	if old != nil {
		// The tree keeps properties and birth time of what it replaces, so it gets that first.
		if err := m.sink(ctx, old); err != nil {
			return nil, err
		}
	}
	o.Check = about(old, o.Check)
	fi, err := m.tree.Put(ctx, name, io.MultiReader(bytes.NewReader(content), r), o)
	if err == nil { // also of what has come there with its directory meanwhile
		m.files.remove(name)
	}
	return fi, err
}

// inherit gives f what Tree.Put keeps of a file that it replaces.
func (m *junkMemory) inherit(ctx context.Context, f, old *junkFile, under fs.FileInfo) (err error) {
	if old != nil {
		f.birth, f.props = old.birth, old.props
		return nil
	}
	if under == nil {
		return nil
	}
	if b, ok := under.(interface{ BirthTime() time.Time }); ok && !b.BirthTime().IsZero() {
		f.birth = b.BirthTime()
	}
	f.props, err = m.tree.Props(ctx, f.name, under)
	return err
}

// sink makes the tree have under f what f is. Nobody sees it, since f stays in memory, until the caller removes f.
func (m *junkMemory) sink(ctx context.Context, f *junkFile) error {
	fi, err := m.tree.Put(ctx, f.name, bytes.NewReader(f.content), PutOptions{
		Size: f.Size(), ModTime: f.mod, ContentType: f.ctype, Checksums: func() []string { return f.sums },
	})
	if err != nil {
		return err
	}
	p := PropPatch{Set: f.props, BirthTime: f.birth}
	older, err := m.tree.Props(ctx, f.name, fi) // of the file that was in the shadow
	if err != nil {
		return err
	}
	for _, o := range older {
		p.Remove = append(p.Remove, o.XMLName)
	}
	return m.tree.PatchProps(ctx, f.name, p)
}

func (m *junkMemory) PatchProps(ctx context.Context, name string, p PropPatch) error {
	if !m.isJunk(name) {
		return m.tree.PatchProps(ctx, name, p)
	}
	end, err := m.take(ctx, false, name)
	if err != nil {
		return fmt.Errorf("wait to change %s: %w", name, err)
	}
	defer end()
	f, err := m.find(ctx, name)
	if err != nil {
		return err
	}
	if f == nil {
		return m.tree.PatchProps(ctx, name, p)
	}
	if err := ask(p.Check, f, nil); err != nil {
		return err
	}
	if g := f.patched(p); m.files.fit(g) {
		m.files.set(g, "")
		return nil
	}
	p.Check = nil // it has been asked, and the turn is still ours
	if err := m.sink(ctx, f); err != nil {
		return err
	}
	if err := m.tree.PatchProps(ctx, name, p); err != nil {
		return err
	}
	m.files.remove(name)
	return nil
}
