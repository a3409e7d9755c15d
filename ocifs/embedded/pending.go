//go:build !noembed

package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

const (
	// temporary is how the names of files end that are not whole yet. What a kill leaves is removed by a collection.
	temporary = ".tmp"

	syncsAtOnce = 8 // of one request
)

// pending is what a request has made, or relies on, and what may not be on the disk yet. One sync after the other would take
// most of the time of a small file; a file system with a journal commits those that come together together. So files wait
// beside their places, and directories with new entries are remembered, until settle brings all of it to the disk.
type pending struct {
	mu      sync.Mutex
	uploads map[string]uploadFile // that have come to their end, by their names
	files   []pendingFile
	dirs    map[string]struct{}
}

// pendingFile is a whole file that has not got its name yet.
type pendingFile struct {
	uploadFile
	part string // where it is
	name string // where it belongs
	tag  bool   // it is the link of a tag
}

// pendingKey is under which a request's context has its *pending.
type pendingKey struct{}

func pendingOf(ctx context.Context) *pending {
	p, _ := ctx.Value(pendingKey{}).(*pending)
	return p
}

// settled does something of a request that is to be settled with all else of it. What belongs to none is on the disk on return.
func settled(ctx context.Context, do func(*pending) error) error {
	if p := pendingOf(ctx); p != nil {
		return do(p)
	}
	p := &pending{}
	defer p.drop()
	if err := do(p); err != nil {
		return err
	}
	return p.settle()
}

// publish makes content the file name, whole or not at all, on the disk when it returns.
func publish(name string, content []byte) error {
	return settled(context.Background(), func(p *pending) error { return p.put(name, content, false) })
}

// rely is to be called when something has been found that the request may count on, whoever has made it.
func rely(ctx context.Context, name string) {
	if p := pendingOf(ctx); p != nil {
		p.rely(name)
	}
}

func (p *pending) rely(name string) { p.sync(unsynced.above(name)...) }

// sync remembers directories that are to be synced.
func (p *pending) sync(dirs ...string) {
	if len(dirs) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dirs == nil {
		p.dirs = map[string]struct{}{}
	}
	for _, dir := range dirs {
		p.dirs[dir] = struct{}{}
	}
}

// makeDirs makes dir and what it lies in.
func (p *pending) makeDirs(dir string) error {
	parent := filepath.Dir(dir)
	if exists(dir) || parent == dir { // and if it is no directory, what follows fails
		p.rely(dir)
		return nil
	}
	if err := p.makeDirs(parent); err != nil {
		return err
	}
	p.sync(parent)
	err := unsynced.change(parent, func() error { return os.Mkdir(dir, 0o777) })
	if errors.Is(err, fs.ErrExist) { // another request was quicker
		return nil
	}
	return err
}

// put writes content beside the file name, which it will be.
func (p *pending) put(name string, content []byte, tag bool) error {
	if err := p.makeDirs(filepath.Dir(name)); err != nil {
		return err
	}
	f, err := os.OpenFile(partOf(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		f.Close()
		os.Remove(f.Name())
		return err
	}
	p.add(pendingFile{f, f.Name(), name, tag})
	return nil
}

func (p *pending) add(f pendingFile) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files = append(p.files, f)
}

// hold takes over an upload that has come to its end and is not synced. It is moved next, or is not needed.
func (p *pending) hold(f uploadFile) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.uploads == nil {
		p.uploads = map[string]uploadFile{}
	}
	p.uploads[f.Name()] = f
}

// move gives an upload the name to. One that is held gets beside it first, before the library removes all that is left of it.
func (p *pending) move(from, to string) error {
	if err := p.makeDirs(filepath.Dir(to)); err != nil {
		return err
	}
	p.mu.Lock()
	f := p.uploads[from]
	delete(p.uploads, from)
	p.mu.Unlock()
	if f == nil {
		return p.rename(from, to)
	}
	held := pendingFile{uploadFile: f, part: partOf(to), name: to}
	p.add(held)
	return os.Rename(from, held.part)
}

// partOf is a new name beside the file name.
func partOf(name string) string { return name + "." + rand.Text() + temporary }

// rename gives a file its place. Its content is on the disk.
func (p *pending) rename(from, to string) error {
	dir := filepath.Dir(to)
	p.sync(dir)
	return unsynced.change(dir, func() error { return rename(from, to) })
}

// settle brings everything to the disk in three rounds: the contents of all files, which get their names then; the
// directories; and tags, so that one never stands on the disk before all that it names. After a failure what has no name yet
// gets none. What has one stays, for others may count on it already; its directory stays unsynced, and whoever comes upon it
// has to sync it in his turn.
func (p *pending) settle() error {
	defer p.drop()
	if err := together(p.files, pendingFile.sync); err != nil {
		return err
	}
	for _, tags := range []bool{false, true} {
		for _, f := range p.files {
			if f.tag != tags {
				continue
			}
			err := p.rename(f.part, f.name)
			if err != nil && !(f.tag && errors.Is(err, fs.ErrNotExist)) { // then another request has deleted the tag meanwhile
				return err
			}
		}
		if err := p.syncDirs(); err != nil {
			return err
		}
	}
	p.files = nil
	return nil
}

// drop removes what has got no name. After settle there is nothing left but uploads that were not needed.
func (p *pending) drop() {
	for _, f := range p.files {
		f.Close()
		os.Remove(f.part)
	}
	for _, f := range p.uploads {
		f.Close()
	}
	p.files, p.uploads = nil, nil
	p.syncDirs() // so that nobody else has to; if it fails, somebody else has to
}

func (p *pending) syncDirs() error {
	p.mu.Lock()
	dirs := slices.Collect(maps.Keys(p.dirs))
	clear(p.dirs)
	p.mu.Unlock()
	return together(dirs, unsynced.sync)
}

func (f pendingFile) sync() error {
	err := syncFile(f.part, f.uploadFile)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// The following are variables for tests.
var (
	rename   = os.Rename
	syncFile = func(_ string, f uploadFile) error { return f.Sync() }

	// syncDir brings the entries of a directory to the disk.
	syncDir = func(dir string) error {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Sync()
	}
)

// together does something with all things, some at once, and gives the first failure.
func together[T any](things []T, do func(T) error) error {
	if len(things) == 1 {
		return do(things[0])
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failure error
	turns := make(chan struct{}, syncsAtOnce)
	for _, thing := range things {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			if err := do(thing); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if failure == nil {
					failure = err
				}
			}
		})
	}
	wg.Wait()
	return failure
}
