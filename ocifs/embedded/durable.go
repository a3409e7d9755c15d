//go:build !noembed

package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// temporary is how the names of files end that are not whole yet. What a kill leaves is removed by a collection.
const temporary = ".tmp"

// publish makes content the file name, whole or not at all, on the disk when it returns.
func publish(name string, content []byte) (err error) {
	dir := filepath.Dir(name)
	made, err := makeDirs(dir)
	if err != nil {
		return err
	}
	part := name + "." + rand.Text() + temporary
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(part, name)
	}
	if err != nil {
		os.Remove(part)
		return err
	}
	return syncDirs(append(made, dir))
}

// makeDirs makes dir and what it lies in, and gives the directories that have got a new entry thereby.
func makeDirs(dir string) (changed []string, err error) {
	err = os.Mkdir(dir, 0o777)
	switch parent := filepath.Dir(dir); {
	case errors.Is(err, fs.ErrExist):
		return nil, nil // and if it is no directory, what follows fails
	case errors.Is(err, fs.ErrNotExist) && parent != dir:
		if changed, err = makeDirs(parent); err != nil {
			return nil, err
		}
		if err = os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		return append(changed, parent), nil
	case err != nil:
		return nil, err
	default:
		return []string{parent}, nil
	}
}

// syncDirs brings the entries of directories to the disk, the last first.
func syncDirs(dirs []string) error {
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := syncDir(dirs[i]); err != nil {
			return err
		}
	}
	return nil
}

// syncDir is a variable for tests.
var syncDir = func(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// beginUpload writes when an upload began, which need not survive a power loss. But the directory of its repository, which
// it may be the first to need, has to: what is published in there later finds it made.
func beginUpload(startedAt string, content []byte) error {
	dir := filepath.Dir(startedAt)
	made, err := makeDirs(dir)
	if err == nil {
		err = syncDirs(made[:max(len(made)-1, 0)]) // without the upload's own entry
	}
	if err == nil {
		err = os.WriteFile(startedAt, content, 0o666)
	}
	if err != nil { // nobody has heard of it
		os.Remove(startedAt)
		os.Remove(dir)
	}
	return err
}

// writer is the content of an upload that is being received.
type writer struct {
	file    uploadFile
	size    int64
	closed  bool
	dirty   bool // something was written since the last sync
	failure func(error) error
}

// uploadFile is an *os.File.
type uploadFile interface {
	io.WriteCloser
	Name() string
	Sync() error
	Truncate(size int64) error
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.size += int64(n)
	w.dirty = true
	if isFull(err) {
		w.file.Truncate(0) // this upload is over, and others need the room
	}
	return n, w.failure(err)
}

func (w *writer) Size() int64 { return w.size }

// Commit brings the content to the disk, also what earlier requests of the upload have written: a process that was killed
// has not synced it.
func (w *writer) Commit(context.Context) error { return w.failure(w.sync()) }

// sync ends the upload if it fails, for fsync reports a failure only once: the content is emptied, and whoever goes on with
// it is told that he is not where he thinks.
func (w *writer) sync() error {
	w.dirty = false
	err := w.file.Sync()
	if err != nil {
		w.file.Truncate(0)
	}
	return err
}

// Close keeps what has come for the next request of the upload. It is synced so that the end of the upload, which
// syncs again, is quick. The library does not look at the error.
func (w *writer) Close() error {
	if w.closed {
		return errors.New("already closed")
	}
	w.closed = true
	var err error
	if w.dirty {
		err = w.sync()
	}
	return w.failure(errors.Join(err, w.file.Close()))
}

func (w *writer) Cancel(context.Context) error {
	if w.closed {
		return errors.New("already closed")
	}
	w.closed = true
	w.file.Close()
	return w.failure(os.Remove(w.file.Name()))
}
