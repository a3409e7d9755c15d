//go:build !noembed

package embedded

import (
	"context"
	"io"
	"sync"
	"syscall"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// disk is what goes wrong under a registry: the n-th thing that it asks its disk for, once or from then on.
type disk struct {
	mu    sync.Mutex
	fails diskFault
	at    int
	ever  bool
	asked []string
	hits  int
}

// diskFault is a way to fail. done: it is asked for, and fails when it has been done, as where the directory could not be
// synced. changes: only what changes something can fail so.
type diskFault struct {
	name          string
	err           error
	done, changes bool
}

var diskFaults = []diskFault{
	{name: "ENOSPC", err: syscall.ENOSPC, changes: true},
	{name: "EIO", err: syscall.EIO},
	{name: "EIO when it is done", err: syscall.EIO, done: true, changes: true},
}

// ask counts something that is asked for, and gives what it fails with: before it is done, or afterwards.
func (d *disk) ask(what string, changes bool) (before, after error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.asked)
	d.asked = append(d.asked, what)
	if d.fails.err == nil || d.fails.changes && !changes || n < d.at || n > d.at && !d.ever {
		return nil, nil
	}
	d.hits++
	if d.fails.done {
		return nil, d.fails.err
	}
	return d.fails.err, nil
}

func (d *disk) heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = diskFault{}
}

// faultyDriver is the driver on such a disk.
type faultyDriver struct {
	*driver
	disk *disk
}

// do has something done, or fail.
func (f faultyDriver) do(ctx context.Context, what, sub string, changes bool, done func() error) error {
	before, after := f.disk.ask(what+" "+sub, changes)
	if before != nil {
		return failure(ctx, sub, before)
	}
	if err := done(); err != nil {
		return err
	}
	return failure(ctx, sub, after)
}

func (f faultyDriver) GetContent(ctx context.Context, sub string) (b []byte, err error) {
	err = f.do(ctx, "read", sub, false, func() (err error) { b, err = f.driver.GetContent(ctx, sub); return err })
	return b, err
}

func (f faultyDriver) PutContent(ctx context.Context, sub string, content []byte) error {
	return f.do(ctx, "write", sub, true, func() error { return f.driver.PutContent(ctx, sub, content) })
}

func (f faultyDriver) Reader(ctx context.Context, sub string, offset int64) (r io.ReadCloser, err error) {
	err = f.do(ctx, "open", sub, false, func() (err error) { r, err = f.driver.Reader(ctx, sub, offset); return err })
	if err != nil && r != nil {
		r.Close()
		r = nil
	}
	return r, err
}

func (f faultyDriver) Writer(ctx context.Context, sub string, appending bool) (storagedriver.FileWriter, error) {
	if before, _ := f.disk.ask("create "+sub, true); before != nil {
		return nil, failure(ctx, sub, before)
	}
	w, err := f.driver.Writer(ctx, sub, appending)
	if err == nil {
		w.(*writer).file = faultyFile{w.(*writer).file, f.disk}
	}
	return w, err
}

func (f faultyDriver) Stat(ctx context.Context, sub string) (fi storagedriver.FileInfo, err error) {
	err = f.do(ctx, "stat", sub, false, func() (err error) { fi, err = f.driver.Stat(ctx, sub); return err })
	return fi, err
}

func (f faultyDriver) List(ctx context.Context, sub string) (names []string, err error) {
	err = f.do(ctx, "list", sub, false, func() (err error) { names, err = f.driver.List(ctx, sub); return err })
	return names, err
}

func (f faultyDriver) Move(ctx context.Context, from, to string) error {
	return f.do(ctx, "move", from, true, func() error { return f.driver.Move(ctx, from, to) })
}

func (f faultyDriver) Delete(ctx context.Context, sub string) error {
	return f.do(ctx, "delete", sub, true, func() error { return f.driver.Delete(ctx, sub) })
}

// faultyFile is an upload on such a disk: what does not fit is written in part.
type faultyFile struct {
	uploadFile
	disk *disk
}

func (f faultyFile) Write(p []byte) (int, error) {
	before, after := f.disk.ask("append", true)
	if before != nil {
		n, _ := f.uploadFile.Write(p[:len(p)/2])
		return n, before
	}
	n, err := f.uploadFile.Write(p)
	if err == nil {
		err = after
	}
	return n, err
}

// Sync fails by a broken disk. That it is full is told by Write, but for file systems over a network, and then the failure
// is no more than that: the end of the upload is told that its content has gone.
func (f faultyFile) Sync() error {
	if before, _ := f.disk.ask("fsync", false); before != nil {
		return before
	}
	return f.uploadFile.Sync()
}
