//go:build !noembed

package embedded

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
)

// unsynced are the directories of this process in which there is something that may not be on the disk under its name.
var unsynced directories

// directories are those that have got entries since they were last synced. Whoever relies on an entry that he has not made has
// to sync its directory too if it is among them: he who made it may not have come to that yet, or may have failed.
type directories struct {
	mu      sync.Mutex
	changes uint64 // so far
	of      map[string]*changed
}

// changed is one of them.
type changed struct {
	changing int    // how many make an entry right now
	last     uint64 // the number of the last change
}

// change does what gives dir a new entry. From before it is there until a sync that begins later has succeeded, dir is unsynced.
func (d *directories) change(dir string, do func() error) error {
	d.mu.Lock()
	if d.of == nil {
		d.of = map[string]*changed{}
	}
	c := d.of[dir]
	if c == nil {
		c = &changed{}
		d.of[dir] = c
	}
	c.changing++
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.changes++
		c.changing--
		c.last = d.changes // also if it failed: it may be half done
	}()
	return do()
}

// above gives those in which the file or directory name lies.
func (d *directories) above(name string) (dirs []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.of) == 0 {
		return nil
	}
	for dir := filepath.Dir(name); dir != name; name, dir = dir, filepath.Dir(dir) {
		if d.of[dir] != nil {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// sync syncs dir, if nobody else has done so since its last change. If that fails, it stays unsynced.
func (d *directories) sync(dir string) error {
	d.mu.Lock()
	c := d.of[dir]
	if c == nil {
		d.mu.Unlock()
		return nil
	}
	last := c.last
	d.mu.Unlock()

	err := syncDir(dir)
	// A tag's directory may have been deleted by another request. Then there is nothing in it that could be lost.
	if i := strings.LastIndex(filepath.ToSlash(dir), tagsDir); i >= 0 && errors.Is(err, fs.ErrNotExist) {
		err = syncDir(dir[:i+len(tagsDir)-1])
	}
	if err != nil {
		return err
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	if c.changing == 0 && c.last == last && d.of[dir] == c {
		delete(d.of, dir)
	}
	return nil
}
