package davfs

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"

	"golang.org/x/net/webdav"
)

// A fileSystem is the webdav.FileSystem of one request. There is one for each request, rather than one that finds the
// request in its context, so that no call can come without.
type fileSystem struct{ rq *request }

// errFailed is what the engine hears of a failure. The true error is in the request. It wraps nothing: the engine
// leaves members with fs.ErrPermission or a *fs.PathError out of a listing without a word.
var errFailed = errors.New("davfs: the tree has failed")

// answer translates an error for the engine. Absence is the only one that it may know, as a *fs.PathError with the bare
// sentinel in it because os.IsNotExist does not unwrap further. This is the only place that makes one.
func (rq *request) answer(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if isAbsent(err) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	rq.fail(err)
	return errFailed
}

// changed is answer for a method that changes the tree: there even an absence is the end of the request.
func (rq *request) changed(op, name string, err error) error {
	clear(rq.stats)
	rq.fail(err)
	return rq.answer(op, name, err)
}

func (f fileSystem) Mkdir(ctx context.Context, name string, _ os.FileMode) error {
	name = path.Clean(name)
	if f.rq.method == "COPY" {
		return f.rq.changed("copy", name, f.rq.copyDir(ctx))
	}
	return f.rq.changed("mkdir", name, f.rq.tree.Mkdir(ctx, name, f.rq.check))
}

func (f fileSystem) OpenFile(ctx context.Context, name string, flag int, _ os.FileMode) (webdav.File, error) {
	name = path.Clean(name)
	if flag&os.O_CREATE != 0 {
		return &putFile{rq: f.rq, name: name, err: errHandle}, nil
	}
	fi, err := f.rq.stat(name)
	if err != nil {
		return nil, f.rq.answer("open", name, err)
	}
	h := handle{rq: f.rq, name: name, fi: fi}
	if fi.IsDir() {
		return &dirFile{h}, nil
	}
	return &readFile{handle: h}, nil
}

// RemoveAll removes for DELETE. In COPY and MOVE the engine calls it on the target before it knows whether there will
// be something to replace it: there it is put off for good, since Copy and Rename replace by themselves.
func (f fileSystem) RemoveAll(ctx context.Context, name string) error {
	if f.rq.method != "DELETE" {
		return nil
	}
	name = path.Clean(name)
	return f.rq.changed("remove", name, f.rq.tree.RemoveAll(ctx, name, f.rq.check))
}

func (f fileSystem) Rename(ctx context.Context, oldName, newName string) error {
	oldName, newName = path.Clean(oldName), path.Clean(newName)
	return f.rq.changed("rename", oldName, f.rq.tree.Rename(ctx, oldName, newName, f.rq.check))
}

// Stat lets a DELETE go on where the tree cannot say what is there: whether it can be removed all the same is for the
// tree to say too.
func (f fileSystem) Stat(_ context.Context, name string) (os.FileInfo, error) {
	name = path.Clean(name)
	fi, err := f.rq.stat(name)
	if err != nil && isFailure(err) && f.rq.method == "DELETE" {
		return nil, nil
	}
	if err != nil {
		return nil, f.rq.answer("stat", name, err)
	}
	return describe(fi), nil
}
