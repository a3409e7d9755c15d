package ocifs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Mkdir makes an empty directory. What an earlier directory of that name left behind goes first, while nobody can see
// it: an orphan must not come back to life.
func (f *FS) Mkdir(ctx context.Context, name string, check func(fs.FileInfo) error) error {
	if name == "/" {
		return fmt.Errorf("/ is there: %w", fs.ErrExist)
	}
	p, err := f.layout.place(name)
	if err != nil {
		return err
	}
	if _, err := f.layout.repository(name); err != nil {
		return err
	}
	unlock, err := f.lock(ctx, name)
	if err != nil {
		return failure(err, "wait to make %s", name)
	}
	defer unlock()
	s, err := f.look(ctx, p, f.tag)
	switch {
	case err != nil:
		return err
	case s.foreign:
		return errForeign(name)
	case s.shown() != nil:
		return fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	if err := s.agree(check); err != nil {
		return err
	}
	if err := f.clearOrphans(ctx, p); err != nil {
		return err
	}
	now := time.Now()
	_, err = f.commit(ctx, p.repo, p.marker, &artifact{kind: kindDirectory, name: p.base, modTime: now, birthTime: now}, nothing)
	return err
}

func nothing() error { return nil }

// clearOrphans clears the place where a directory is about to be made. Its marker is asked for once more before
// anything goes: another server may have made it in between.
func (f *FS) clearOrphans(ctx context.Context, p place) error {
	l, err := f.listTo(ctx, p.name, listOptions{spared: isLost})
	if err != nil || len(l.ours) == 0 {
		return err
	}
	if i, err := f.askTag(ctx, p.repo, p.marker); err != nil || i != nil {
		return errors.Join(err, existing(i, p.name))
	}
	return f.clear(ctx, p.name)
}

func existing(i *info, name string) error {
	if i == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, fs.ErrExist)
}

// join gives the name of a member of dir.
func join(dir, base string) string {
	if dir == "/" {
		return dir + base
	}
	return dir + "/" + base
}
