package ocifs

import (
	"context"
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
	repo, err := f.layout.repository(name)
	if err != nil {
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
	if err := f.clearings.join(ctx, repo); err != nil {
		return err
	}
	if err := f.clear(ctx, newWalk(f.hands()), p); err != nil {
		return err
	}
	now := time.Now()
	_, err = f.commit(ctx, p.repo, p.marker, &artifact{kind: kindDirectory, name: p.base, modTime: now, birthTime: now}, nothing)
	return err
}

func nothing() error { return nil }

// join gives the name of a member of dir.
func join(dir, base string) string {
	if dir == "/" {
		return dir + base
	}
	return dir + "/" + base
}
