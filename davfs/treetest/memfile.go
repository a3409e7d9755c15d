package treetest

import (
	"bytes"
	"cmp"
	"context"
	"io/fs"
	"time"

	"ocidav/davfs"
)

// memInfo describes a node as it was, its content included.
type memInfo struct {
	name       string
	dir        bool
	content    []byte
	mod, birth time.Time
	ctype      string
	etag       string
	sums       []string
	props      []davfs.Property
}

func (i *memInfo) Name() string                                { return i.name }
func (i *memInfo) Size() int64                                 { return int64(len(i.content)) }
func (i *memInfo) ModTime() time.Time                          { return i.mod }
func (i *memInfo) BirthTime() time.Time                        { return i.birth }
func (i *memInfo) Checksums() []string                         { return i.sums }
func (i *memInfo) IsDir() bool                                 { return i.dir }
func (i *memInfo) Sys() any                                    { return nil }
func (i *memInfo) ETag(context.Context) (string, error)        { return i.etag, nil }
func (i *memInfo) ContentType(context.Context) (string, error) { return i.ctype, nil }
func (i *memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

type memFile struct {
	m    *Mem
	ctx  context.Context
	info *memInfo
	r    *bytes.Reader
}

// limit says how much of p may be read at off, and the error that comes after.
func (f *memFile) limit(p []byte, off int64) ([]byte, error) {
	if err := f.m.begin(f.ctx, "Read", f.info.name); err != nil {
		return nil, err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.cutErr == nil || off+int64(len(p)) <= f.m.cutAt {
		return p, nil
	}
	return p[:max(0, f.m.cutAt-off)], f.m.cutErr
}

func (f *memFile) Read(p []byte) (int, error) {
	off := f.info.Size() - int64(f.r.Len())
	p, failure := f.limit(p, off)
	if len(p) == 0 && failure != nil {
		return 0, failure
	}
	return f.r.Read(p)
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	p, failure := f.limit(p, off)
	n, err := f.r.ReadAt(p, off)
	return n, cmp.Or(failure, err)
}

func (f *memFile) Seek(offset int64, whence int) (int64, error) { return f.r.Seek(offset, whence) }
func (f *memFile) Stat() (fs.FileInfo, error)                   { return f.info, nil }
func (f *memFile) Close() error                                 { return nil }
