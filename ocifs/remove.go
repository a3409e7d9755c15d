package ocifs

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// RemoveAll removes a file, or a directory with its members: its marker goes first, and with it all of it is gone. The
// members' tags follow behind the answer, clearing.go. Of an exhibit it removes the tag.
func (f *FS) RemoveAll(ctx context.Context, name string, check func(fs.FileInfo) error) error {
	if name == "/" {
		return fmt.Errorf("the root stays: %w", fs.ErrPermission)
	}
	p, err := f.place(name)
	if err != nil {
		return err
	}
	unlock, err := f.lock(ctx, name)
	if err != nil {
		return failure(err, "wait to remove %s", name)
	}
	defer unlock()
	ask := f.tagNow
	if check == nil {
		ask = f.tag
	}
	s, err := f.look(ctx, p, ask)
	if err != nil && isLost(err) {
		s, err = f.lost(ctx, p, err)
	}
	switch {
	case err != nil:
		return err
	case s.shown() == nil && s.exhibit != nil:
		if check != nil {
			if err := check(s.exhibit.info()); err != nil {
				return err
			}
		}
		return f.removeExhibit(ctx, *s.exhibit)
	case s.shown() == nil && s.foreign:
		return errForeign(name)
	case s.shown() == nil:
		return f.absent(ctx, name)
	}
	if err := s.agree(check); err != nil {
		return err
	}
	return f.remove(ctx, p, s)
}

// lost is the state of a name whose tag the registry has and cannot read. It is taken for a file of ours, so that it can
// be removed: nothing else would make its directory readable again. failure is given back where that is not so.
func (f *FS) lost(ctx context.Context, p place, failure error) (state, error) {
	if _, i, err := f.lookup(ctx, path.Dir(p.name)); err != nil || !i.IsDir() {
		return state{}, failure
	}
	if i, err := f.askTag(ctx, p.repo, p.marker); err != nil || i != nil {
		return state{}, failure
	}
	d := f.layout.of(p.repo, p.file)
	f.lists.forget(d.list())
	tags, err := f.listTags(ctx, d)
	if err != nil || !slices.Contains(tags, p.file) {
		return state{}, failure
	}
	f.log.WarnContext(ctx, "a tag that cannot be read is removed", "repository", p.repo, "tag", p.file, "error", failure)
	return state{file: &info{repo: p.repo, artifact: artifact{kind: kindFile, name: p.base}}}, nil
}

// remove takes away what s says is at p. The caller holds the lock of p.
func (f *FS) remove(ctx context.Context, p place, s state) error {
	if s.file != nil && s.file.kind == kindShared {
		if err := f.removeExhibit(ctx, exhibit{repo: p.repo, tag: p.file}); err != nil {
			return err
		}
	} else if s.file != nil { // under a directory, first: it must not come to light when the marker goes
		if err := f.removeTagBehind(ctx, p.repo, p.file); err != nil {
			return err
		}
	}
	if s.dir == nil {
		return nil
	}
	if err := f.removeTagBehind(ctx, p.repo, p.marker); err != nil {
		return err
	}
	f.clearBehind(ctx, p)
	return nil
}
