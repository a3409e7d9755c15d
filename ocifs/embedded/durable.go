//go:build !noembed

package embedded

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// beginUpload writes when an upload began, which need not survive a power loss. But the directory of its repository, which
// it may be the first to need, has to: what is published in there later finds it made.
func (p *pending) beginUpload(startedAt string, content []byte) error {
	dir := filepath.Dir(startedAt)
	if err := p.makeDirs(filepath.Dir(dir)); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o777) // whose entry nobody needs
	if err == nil || errors.Is(err, fs.ErrExist) {
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
	held    bool // the request has taken it over
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
// has not synced it. A request does so with all else of it.
func (w *writer) Commit(ctx context.Context) error {
	if p := pendingOf(ctx); p != nil {
		p.hold(w.file)
		w.held, w.dirty = true, false
		return nil
	}
	return w.failure(w.sync())
}

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
	if w.held {
		return nil
	}
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
