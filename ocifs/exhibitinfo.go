package ocifs

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"ocidav/ocifs/foreign"
)

// exhibitInfo is the fs.FileInfo of an exhibit, of a directory in one, or of a file there that is made and no blob.
type exhibitInfo struct {
	foreign.Entry
	exhibit
	view *foreign.View // nil: it is the exhibit itself
}

// info describes the exhibit itself. Its time is what its manifest says: for all that an image's config knows, a listing does
// not ask.
func (e exhibit) info() *exhibitInfo {
	t := e.modTime
	if t.IsZero() {
		t = time.Unix(0, 0) // as all in it
	}
	return &exhibitInfo{Entry: foreign.Entry{Name: path.Base(e.name), Dir: true, ModTime: t}, exhibit: e}
}

// shown describes an entry of the view of e. A file that is a blob is as any other: mounted, ranged and sent as such.
func (e exhibit) shown(v *foreign.View, entry foreign.Entry) fs.FileInfo {
	if entry.Blob.Digest == "" || entry.Dir {
		return &exhibitInfo{Entry: entry, exhibit: e, view: v}
	}
	return &info{repo: e.repo, artifact: artifact{
		kind: kindShared, name: entry.Name, modTime: entry.ModTime, contentType: entry.MediaType,
		size: entry.Size, content: entry.Digest, layers: []blob{blobOf(entry.Blob)},
	}}
}

func (i *exhibitInfo) Name() string       { return i.Entry.Name }
func (i *exhibitInfo) Size() int64        { return i.Entry.Size }
func (i *exhibitInfo) ModTime() time.Time { return i.Entry.ModTime }
func (i *exhibitInfo) IsDir() bool        { return i.Dir }
func (i *exhibitInfo) Sys() any           { return nil }

func (i *exhibitInfo) Mode() fs.FileMode {
	if i.Dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// ETag is made of the validator of a file; directories have none.
func (i *exhibitInfo) ETag(context.Context) (string, error) {
	if i.Dir {
		return "", nil
	}
	return etagOf(i.Digest)
}

// ContentType is what the artifact says.
func (i *exhibitInfo) ContentType(context.Context) (string, error) {
	if i.MediaType == "" {
		return typeContent, nil
	}
	return i.MediaType, nil
}

// made reads a file that is made. It is an fs.File, an io.Seeker and an io.ReaderAt; one goroutine at a time.
type made struct {
	ctx  context.Context
	info *exhibitInfo
	foreign.Content
}

func (m *made) Stat() (fs.FileInfo, error) { return m.info, nil }

// begin opens it with the first read: Open sends nothing.
func (m *made) begin() error {
	if m.Content != nil {
		return nil
	}
	c, err := m.info.view.Open(m.ctx, m.info.Entry)
	if err != nil {
		return failure(err, "open %s in %s", m.info.Entry.Name, m.info.exhibit.name)
	}
	m.Content = c
	return nil
}

func (m *made) Read(p []byte) (int, error) {
	if err := m.begin(); err != nil {
		return 0, err
	}
	n, err := m.Content.Read(p)
	return n, m.failed(err)
}

func (m *made) ReadAt(p []byte, offset int64) (int, error) {
	if err := m.begin(); err != nil {
		return 0, err
	}
	n, err := m.Content.ReadAt(p, offset)
	return n, m.failed(err)
}

func (m *made) Seek(offset int64, whence int) (int64, error) {
	if err := m.begin(); err != nil {
		return 0, err
	}
	return m.Content.Seek(offset, whence)
}

func (m *made) Close() error {
	if m.Content == nil {
		return nil
	}
	return m.Content.Close()
}

func (m *made) failed(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return failure(err, "read %s in %s", m.info.Entry.Name, m.info.exhibit.name)
}

// openMade opens a file that is made.
func openMade(ctx context.Context, name string, i *exhibitInfo) (fs.File, error) {
	if i.Dir {
		return nil, fmt.Errorf("open %s: it is a directory: %w", name, fs.ErrInvalid)
	}
	return &made{ctx: ctx, info: i}, nil
}
