package ocifs

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// propPatch is davfs.PropPatch.
type propPatch = struct {
	Set       []property
	Remove    []xml.Name
	ModTime   time.Time
	BirthTime time.Time
	Check     func(old fs.FileInfo) error
}

// Props gives the dead properties of what i describes.
func (f *FS) Props(ctx context.Context, name string, i fs.FileInfo) ([]property, error) {
	if _, ok := i.(*exhibitInfo); ok {
		return nil, nil
	}
	described, ok := i.(*info)
	if !ok {
		return nil, fmt.Errorf("properties of %s: it is nothing of this tree: %w", name, fs.ErrInvalid)
	}
	if described.props.digest == "" {
		return nil, nil
	}
	var props []property
	err := error(errTooManyProperties)
	if size := described.props.size; size >= 0 && size <= maxPropertiesBytes {
		data, failed := f.propertiesBlob(ctx, described)
		if failed != nil {
			return nil, failed
		}
		props, err = decodeProperties(data)
	}
	if err != nil { // somebody else's: what it means nobody can say
		f.log.WarnContext(ctx, "a file's properties are none that ocidav has written, and left out", "name", name, "error", err)
		return nil, nil
	}
	return props, nil
}

// propertiesBlob reads the blob of the properties.
func (f *FS) propertiesBlob(ctx context.Context, i *info) ([]byte, error) {
	var data []byte
	b, err := f.openBlob(ctx, i.repo, i.props.descriptor(typeProperties))
	if err == nil {
		defer b.Close()
		data, err = io.ReadAll(b)
	}
	return data, failure(err, "read properties of %s", i.name)
}

// PatchProps sets and removes dead properties and sets times: a new manifest with the same content.
func (f *FS) PatchProps(ctx context.Context, name string, o propPatch) error {
	if name == "/" { // the root has no marker to keep them at
		return fmt.Errorf("the root keeps no properties: %w", fs.ErrPermission)
	}
	p, err := f.place(name)
	if err != nil {
		return err
	}
	unlock, err := f.lock(ctx, name)
	if err != nil {
		return failure(err, "wait to write %s", name)
	}
	defer unlock()
	s, err := f.look(ctx, p, f.askNow()) // what is not told to change is written anew
	if err != nil {
		return err
	}
	old := s.shown()
	switch {
	case old == nil && s.foreign:
		return errForeign(name)
	case old == nil:
		return f.absent(ctx, name)
	case old.kind == kindShared:
		return errForeign(name)
	}
	if err := s.agree(o.Check); err != nil {
		return err
	}
	props, err := f.Props(ctx, name, old)
	if err != nil {
		return err
	}
	a := old.artifact
	if !o.ModTime.IsZero() {
		a.modTime = o.ModTime
	}
	if !o.BirthTime.IsZero() {
		a.birthTime = o.BirthTime
	}
	a.props = blob{}
	push := nothing
	if props = patch(props, o.Set, o.Remove); len(props) > 0 {
		desc, data, err := encodeProperties(props)
		if err != nil {
			return err
		}
		a.props = blobOf(desc)
		push = func() error { return f.pushBlob(ctx, p.repo, desc, bytesOpener(data)) }
	}
	if err := push(); err != nil {
		return err
	}
	tag := p.file
	if old.IsDir() {
		tag = p.marker
	}
	_, err = f.commit(ctx, p.repo, tag, &a, push)
	return err
}
