package davfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"path"
	"slices"
	"time"
)

// A junkFile is a file in memory and its FileInfo in one. It never changes, another one takes its place, so whoever has
// got it reads what it describes (invariant 5).
type junkFile struct {
	name       string // whole
	content    []byte
	mod, birth time.Time
	ctype      string
	etag       string
	sums       []string
	props      []Property
}

func newJunkFile(name string, content []byte, o PutOptions) *junkFile {
	now := time.Now()
	sum := sha256.Sum256(content)
	f := &junkFile{
		name: name, content: content, mod: now, birth: now, ctype: o.ContentType,
		etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`,
	}
	if !o.ModTime.IsZero() {
		f.mod = o.ModTime
	}
	if o.Checksums != nil {
		f.sums = o.Checksums()
	}
	return f
}

func (f *junkFile) Name() string                         { return path.Base(f.name) }
func (f *junkFile) Size() int64                          { return int64(len(f.content)) }
func (f *junkFile) Mode() fs.FileMode                    { return 0o644 }
func (f *junkFile) ModTime() time.Time                   { return f.mod }
func (f *junkFile) BirthTime() time.Time                 { return f.birth }
func (f *junkFile) Checksums() []string                  { return f.sums }
func (f *junkFile) IsDir() bool                          { return false }
func (f *junkFile) Sys() any                             { return nil }
func (f *junkFile) ETag(context.Context) (string, error) { return f.etag, nil }

// ContentType gives the type that is kept; without one it follows from the name, as for every file (describe).
func (f *junkFile) ContentType(context.Context) (string, error) { return f.ctype, nil }

// as gives the file another name.
func (f *junkFile) as(name string) *junkFile {
	g := *f
	g.name = name
	return &g
}

// patched gives the file as PatchProps leaves it.
func (f *junkFile) patched(p PropPatch) *junkFile {
	g := *f
	g.props = slices.DeleteFunc(slices.Clone(f.props), func(old Property) bool {
		return slices.Contains(p.Remove, old.XMLName) ||
			slices.ContainsFunc(p.Set, func(q Property) bool { return q.XMLName == old.XMLName })
	})
	g.props = append(g.props, p.Set...)
	if !p.ModTime.IsZero() {
		g.mod = p.ModTime
	}
	if !p.BirthTime.IsZero() {
		g.birth = p.BirthTime
	}
	return &g
}

// weight is about how much memory the file takes.
func (f *junkFile) weight() int64 {
	n := 512 + 2*len(f.name) + len(f.content) + len(f.ctype)
	for _, s := range f.sums {
		n += 16 + len(s)
	}
	for _, p := range f.props {
		n += 128 + len(p.XMLName.Space) + len(p.XMLName.Local) + len(p.Lang) + len(p.InnerXML)
	}
	return int64(n)
}

// A junkHandle is an opened junkFile.
type junkHandle struct {
	ctx context.Context
	f   *junkFile
	r   *bytes.Reader
}

func (h *junkHandle) Read(p []byte) (int, error) {
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	return h.r.Read(p)
}

func (h *junkHandle) ReadAt(p []byte, off int64) (int, error) {
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	return h.r.ReadAt(p, off)
}

func (h *junkHandle) Seek(offset int64, whence int) (int64, error) { return h.r.Seek(offset, whence) }
func (h *junkHandle) Stat() (fs.FileInfo, error)                   { return h.f, nil }
func (h *junkHandle) Close() error                                 { return nil }
