package ocifs

import (
	"context"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// Mkdir makes an empty directory. What an earlier directory of that name left behind goes first, while nobody can see
// it: an orphan must not come back to life.
func (f *FS) Mkdir(ctx context.Context, name string, check func(fs.FileInfo) error) error {
	if name == "/" {
		return fmt.Errorf("/ is there: %w", fs.ErrExist)
	}
	p, err := f.place(name)
	if err != nil {
		return err
	}
	d, err := f.layout.directory(name)
	if err != nil {
		return err
	}
	unlock, err := f.lock(ctx, name)
	if err != nil {
		return failure(err, "wait to make %s", name)
	}
	defer unlock()
	began := time.Now()
	if err := f.mayMake(ctx, p, check, f.tag); err != nil {
		return err
	}
	if err := f.clearings.join(ctx, d); err != nil {
		return err
	}
	began = asOf(began)
	err = f.beside(ctx, p, began, func(ask func()) error {
		ask()
		return f.clearFor(ctx, p, check, began)
	})
	if err != nil {
		return err
	}
	return f.mark(ctx, p)
}

// mark puts the marker of a new directory.
func (f *FS) mark(ctx context.Context, p place) error {
	now := time.Now()
	_, err := f.commit(ctx, p.repo, p.marker, &artifact{kind: kindDirectory, name: p.base, modTime: now, birthTime: now}, nothing)
	return err
}

// mayMake looks whether p can become a directory.
func (f *FS) mayMake(ctx context.Context, p place, check func(fs.FileInfo) error, ask asker) error {
	s, err := f.lookToWrite(ctx, p, check, ask)
	switch {
	case err != nil:
		return err
	case s.foreign:
		return errForeign(p.name)
	case s.shown() != nil:
		return fmt.Errorf("%s: %w", p.name, fs.ErrExist)
	}
	return s.agree(check)
}

// clearFor clears the place p for a directory, and looks meanwhile whether there is still nothing, as the registry has
// known it since began: the marker would hide a file that another server has made. What is cleared were orphans even then.
func (f *FS) clearFor(ctx context.Context, p place, check func(fs.FileInfo) error, began time.Time) error {
	var taken error
	var wg sync.WaitGroup
	wg.Go(func() {
		taken = f.mayMake(ctx, p, check, f.since(began))
	})
	err := f.clear(ctx, f.newWalk(f.hands()), p)
	wg.Wait()
	if taken != nil {
		return taken
	}
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
