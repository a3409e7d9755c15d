//go:build !noembed

package embedded

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
)

// driverName is that of the directory driver among the library's.
const driverName = "ocidav"

func init() { factory.Register(driverName, driverFactory{}) }

type driverFactory struct{}

func (driverFactory) Create(_ context.Context, parameters map[string]any) (storagedriver.StorageDriver, error) {
	root, _ := parameters["rootdirectory"].(string)
	if root == "" {
		return nil, errors.New("no root directory")
	}
	return newDriver(root), nil
}

// newDriver is a variable for tests.
var newDriver = func(root string) storagedriver.StorageDriver { return &driver{root: root} }

// driver keeps the registry's tree in a directory, as the library's own driver "filesystem" does, in the same layout.
// It differs in what it syncs. The library's syncs what nobody needs after a power loss (when an upload began, its
// hash so far, an empty file) and does not sync what somebody does (the directories that a new blob or link was the
// reason for). Here
//
//   - what is published is on the disk with its name when the request is answered, or on return if there is none: file,
//     directory, and every directory made on the way;
//   - the state of an upload is not, so an upload that a power loss cut is begun again. The hash so far lives in memory
//     only: after a restart the content is hashed anew, so what is published has always been hashed as it lies there;
//   - the history of a tag (tags/T/index) is not written. Only the library's own offline collection looks at it, and
//     does without.
type driver struct {
	root   string
	states hashStates
}

// name is where a path of the library lies.
func (d *driver) name(sub string) (string, error) {
	local := strings.TrimPrefix(sub, "/")
	if local == "" {
		return d.root, nil
	}
	if !filepath.IsLocal(local) {
		return "", storagedriver.InvalidPathError{Path: sub, DriverName: driverName}
	}
	return filepath.Join(d.root, local), nil
}

// failure says it in the library's words, and tells the request if the disk is full.
func failure(ctx context.Context, sub string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return storagedriver.PathNotFoundError{Path: sub, DriverName: driverName}
	case isFull(err):
		if full, ok := ctx.Value(fullKey{}).(*atomic.Bool); ok {
			full.Store(true)
		}
	}
	return storagedriver.Error{DriverName: driverName, Detail: err}
}

// fullKey is under which a request's context has the *atomic.Bool that tells of a full disk.
type fullKey struct{}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// open opens a file or directory for reading.
func (d *driver) open(ctx context.Context, sub string) (*os.File, error) {
	name, err := d.name(sub)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	return f, failure(ctx, sub, err)
}

func (d *driver) Name() string { return driverName }

func (d *driver) GetContent(ctx context.Context, sub string) ([]byte, error) {
	if upload, ok := hashStateOf(sub); ok {
		if state, ok := d.states.get(upload, sub); ok {
			return state, nil
		}
		return nil, storagedriver.PathNotFoundError{Path: sub, DriverName: driverName}
	}
	name, err := d.name(sub)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(name)
	if err == nil {
		rely(ctx, name)
	}
	return b, failure(ctx, sub, err)
}

func (d *driver) PutContent(ctx context.Context, sub string, content []byte) error {
	upload, isState := hashStateOf(sub)
	name, err := d.name(sub)
	switch {
	case err != nil:
		return err
	case isState:
		if dir, err := d.name(upload); err == nil && exists(dir) { // the library closes uploads after their end, too
			d.states.put(upload, sub, content)
		}
		return nil
	case isTagHistory(sub):
		return nil
	}
	err = settled(ctx, func(p *pending) error {
		if path.Base(sub) == "startedat" {
			return p.beginUpload(name, content)
		}
		return p.put(name, content, strings.Contains(sub, tagsDir))
	})
	return failure(ctx, sub, err)
}

func (d *driver) Reader(ctx context.Context, sub string, offset int64) (io.ReadCloser, error) {
	f, err := d.open(ctx, sub)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		f.Close()
		return nil, storagedriver.InvalidOffsetError{Path: sub, Offset: offset, DriverName: driverName}
	}
	return f, nil
}

func (d *driver) Writer(ctx context.Context, sub string, appending bool) (storagedriver.FileWriter, error) {
	name, err := d.name(sub)
	if err != nil {
		return nil, err
	}
	if err := settled(ctx, func(p *pending) error { return p.makeDirs(filepath.Dir(name)) }); err != nil {
		return nil, failure(ctx, sub, err)
	}
	flags := os.O_WRONLY | os.O_CREATE
	if !appending {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(name, flags, 0o666)
	if err != nil {
		return nil, failure(ctx, sub, err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, failure(ctx, sub, err)
	}
	return &writer{file: f, size: size, failure: func(err error) error { return failure(ctx, sub, err) }}, nil
}

func (d *driver) Stat(ctx context.Context, sub string) (storagedriver.FileInfo, error) {
	name, err := d.name(sub)
	if err != nil {
		return nil, err
	}
	fi, err := os.Stat(name)
	if err != nil {
		return nil, failure(ctx, sub, err)
	}
	rely(ctx, name)
	fields := storagedriver.FileInfoFields{Path: sub, ModTime: fi.ModTime(), IsDir: fi.IsDir()}
	if !fields.IsDir {
		fields.Size = fi.Size()
	}
	return storagedriver.FileInfoInternal{FileInfoFields: fields}, nil
}

func (d *driver) List(ctx context.Context, sub string) ([]string, error) {
	if upload, ok := hashStateOf(sub); ok {
		return d.states.list(upload), nil
	}
	f, err := d.open(ctx, sub)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, failure(ctx, sub, err)
	}
	for i, base := range names {
		names[i] = path.Join(sub, base)
	}
	return names, nil
}

// Move gives its name to what has been written: the content of an upload, which its writer has synced or handed over.
func (d *driver) Move(ctx context.Context, from, to string) error {
	source, err := d.name(from)
	if err != nil {
		return err
	}
	target, err := d.name(to)
	if err != nil {
		return err
	}
	return failure(ctx, from, settled(ctx, func(p *pending) error { return p.move(source, target) }))
}

// Delete is not synced: what was deleted in the last seconds before a power loss may be there again.
func (d *driver) Delete(ctx context.Context, sub string) error {
	name, err := d.name(sub)
	if err != nil {
		return err
	}
	d.states.drop(sub)
	if _, err := os.Lstat(name); err != nil {
		return failure(ctx, sub, err)
	}
	return failure(ctx, sub, os.RemoveAll(name))
}

func (d *driver) RedirectURL(*http.Request, string) (string, error) { return "", nil }

func (d *driver) Walk(ctx context.Context, sub string, f storagedriver.WalkFn, options ...func(*storagedriver.WalkOptions)) error {
	return storagedriver.WalkFallback(ctx, d, sub, f, options...)
}

// tagsDir is in the path of all that belongs to a tag.
const tagsDir = "/_manifests/tags/"

// isTagHistory tells the paths repositories/NAME/_manifests/tags/TAG/index/ALGORITHM/HEX/link.
func isTagHistory(sub string) bool {
	_, below, ok := strings.Cut(sub, tagsDir)
	if !ok {
		return false
	}
	_, below, ok = strings.Cut(below, "/")
	return ok && strings.HasPrefix(below, "index/")
}
