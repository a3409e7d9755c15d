package ocifs

import (
	"context"
	"sync/atomic"
)

// A merge is a directory that takes another directory's place. Its members come one by one, each in one step; then the
// marker, for the properties; and then goes what does not belong. So nothing is gone before all that comes is there, and
// whatever ends it, the target holds members of both, each whole, and the source is as it was.
type merge struct {
	*FS
	*walk
	move    bool
	changed atomic.Bool // something can be seen of it
}

// merge copies the directory i at src over the one at to. What can fail fails before anything is changed: a walk before
// reads all of it. A failure after that is a *PartialError.
func (f *FS) merge(ctx context.Context, i *info, src string, to place, move bool) (copied *info, err error) {
	m := &merge{FS: f, walk: f.newWalk(f.hands()), move: move}
	m.enter(to.name, func() error { return m.survey(ctx, src, to.name) })
	if err := m.wait(); err != nil {
		return nil, err
	}
	m.enter(to.name, func() error { return m.members(ctx, src, to.name) })
	if m.wait() == nil {
		m.do(ctx, to.name, func() (err error) {
			copied, err = m.copy(ctx, i, to.repo, to.marker, to.base)
			return err
		})
	}
	if m.wait() == nil {
		m.enter(to.name, func() error { return m.prune(ctx, src, to.name) })
	}
	if err := m.wait(); err != nil {
		if m.changed.Load() {
			return nil, &PartialError{failed: m.failed, err: err}
		}
		return nil, err
	}
	return copied, nil
}

// survey reads the directories src and dst, whether all of it can be read and fits, where others' artifacts stay as they
// are.
func (m *merge) survey(ctx context.Context, src, dst string) error {
	l, _, err := m.listBoth(ctx, m.walk, src, dst, m.move)
	if err != nil {
		return err
	}
	for _, i := range l.members {
		if i.IsDir() {
			m.enter(join(dst, i.name), func() error { return m.survey(ctx, join(src, i.name), join(dst, i.name)) })
		}
	}
	return nil
}

// copy is copyFile where it can be seen.
func (m *merge) copy(ctx context.Context, i *info, repo, tag, name string) (*info, error) {
	copied, err := m.copyFile(ctx, oneHand(), i, repo, tag, name)
	if err == nil {
		m.changed.Store(true)
	}
	return copied, err
}

// both lists src and dst, as the survey has read them, and says where dst is.
func (m *merge) both(ctx context.Context, src, dst string) (l, there listing, d directory, err error) {
	if l, err = m.list(ctx, m.walk.hands, src, m.tag); err != nil {
		return l, there, d, err
	}
	if there, err = m.list(ctx, m.walk.hands, dst, m.tag); err != nil {
		return l, there, d, err
	}
	d, err = m.layout.directory(dst)
	return l, there, d, err
}

// members brings the members of src to the directory dst.
func (m *merge) members(ctx context.Context, src, dst string) error {
	l, there, _, err := m.both(ctx, src, dst)
	if err != nil {
		return err
	}
	for _, i := range l.members {
		from, to := join(src, i.name), join(dst, i.name)
		p, err := m.place(to)
		if err != nil {
			return err
		}
		switch {
		case !i.IsDir():
			m.do(ctx, to, func() error {
				_, err := m.copy(ctx, i, p.repo, p.file, i.name)
				return err
			})
		case there.at(p.marker) != nil:
			m.do(ctx, to, func() error {
				_, err := m.copy(ctx, i, p.repo, p.marker, i.name)
				return err
			})
			m.enter(to, func() error { return m.members(ctx, from, to) })
		default:
			m.enter(to, func() error {
				_, err := m.copyTree(ctx, m.walk, i, from, p, m.move)
				if err == nil {
					m.changed.Store(true)
				} else {
					m.clearBehind(ctx, p)
				}
				return err
			})
		}
	}
	return nil
}

// prune takes away from the directory dst what the directory src does not have.
func (m *merge) prune(ctx context.Context, src, dst string) error {
	l, there, d, err := m.both(ctx, src, dst)
	if err != nil {
		return err
	}
	for _, i := range l.members {
		if i.IsDir() {
			m.enter(join(dst, i.name), func() error { return m.prune(ctx, join(src, i.name), join(dst, i.name)) })
		}
	}
	stays := l.tags(d)
	from, err := m.layout.directory(src)
	if err != nil {
		return err
	}
	// A file that a directory hides goes before its marker, or it would come to light.
	for _, directories := range []bool{false, true} {
		pass := m.within()
		for _, tag := range there.ours {
			i := there.at(tag)
			if stays[tag] || i.IsDir() != directories {
				continue
			}
			name := join(dst, i.name)
			pass.do(ctx, name, func() error {
				// A list that has left something out must not be the end of it.
				if s, err := m.askTag(ctx, from.repo, from.member(i.name, directories)); err != nil || s != nil {
					return err
				}
				err := m.removeTag(ctx, d.repo, tag)
				if err != nil {
					return err
				}
				m.changed.Store(true)
				if directories {
					m.clearBehind(ctx, place{name: name, base: i.name, repo: d.repo, marker: tag})
				}
				return nil
			})
		}
		if err := pass.wait(); err != nil {
			m.failAll(pass)
			return nil
		}
	}
	return nil
}
