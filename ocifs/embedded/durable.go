//go:build !noembed

package embedded

import (
	"context"
	"crypto/rand"
	"errors"
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

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// writer is the content of an upload that is being received.
type writer struct {
	file    *os.File
	size    int64
	dirty   bool
	closed  bool
	failure func(error) error
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.size += int64(n)
	w.dirty = w.dirty || n > 0
	if isFull(err) {
		w.file.Truncate(0) // this upload is over, and others need the room
	}
	return n, w.failure(err)
}

func (w *writer) Size() int64 { return w.size }

// Commit brings the content to the disk.
func (w *writer) Commit(context.Context) error { return w.failure(w.sync()) }

func (w *writer) sync() error {
	if !w.dirty {
		return nil
	}
	w.dirty = false
	return w.file.Sync()
}

// Close keeps what has come for the next request of the upload. It is synced so that the end of the upload, which
// syncs again, is quick.
func (w *writer) Close() error {
	if w.closed {
		return errors.New("already closed")
	}
	w.closed = true
	return w.failure(errors.Join(w.sync(), w.file.Close()))
}

func (w *writer) Cancel(context.Context) error {
	if w.closed {
		return errors.New("already closed")
	}
	w.closed = true
	w.file.Close()
	return w.failure(os.Remove(w.file.Name()))
}
