package ocifs

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// putOptions is davfs.PutOptions: both name the same unnamed type, as for all that the tree's methods take.
type putOptions = struct {
	Size        int64
	ModTime     time.Time
	ContentType string
	Check       func(old fs.FileInfo) error
	Checksums   func() []string
}

// propPatch is davfs.PropPatch.
type propPatch = struct {
	Set       []property
	Remove    []xml.Name
	ModTime   time.Time
	BirthTime time.Time
	Check     func(old fs.FileInfo) error
}

// Put makes name a file with the bytes of r. The content is uploaded without any lock; the lock is for the last look at
// the name and the one manifest that makes it visible.
func (f *FS) Put(ctx context.Context, name string, r io.Reader, o putOptions) (fs.FileInfo, error) {
	if name == "/" {
		return nil, fmt.Errorf("/ is a directory: %w", fs.ErrExist)
	}
	p, err := f.layout.place(name)
	if err != nil {
		return nil, err
	}
	// What will be refused is refused before the content is read.
	if _, err := f.mayPut(ctx, p, o.Check, f.tag); err != nil {
		return nil, err
	}
	s, err := receive(ctx, r, o.Size, f.partSize, f.spoolDir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	push := func() error { return f.pushParts(ctx, p.repo, s) }
	if err := push(); err != nil {
		return nil, err
	}

	unlock, err := f.lock(ctx, name)
	if err != nil {
		return nil, failure(err, "wait to write %s", name)
	}
	defer unlock()
	old, err := f.mayPut(ctx, p, o.Check, f.last(o.Check))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	a := &artifact{
		kind: kindFile, name: p.base, modTime: now, birthTime: now, contentType: o.ContentType,
		size: s.size, content: s.content, layers: s.parts,
	}
	if !o.ModTime.IsZero() {
		a.modTime = o.ModTime
	}
	if o.Checksums != nil {
		a.checksums = o.Checksums()
	}
	if old != nil {
		a.name, a.birthTime, a.props = old.name, old.birthTime, old.props
		if a.birthTime.IsZero() {
			a.birthTime = now
		}
	}
	i, err := f.commit(ctx, p.repo, p.file, a, push)
	if err != nil {
		return nil, err
	}
	f.keepContent(ctx, s)
	return i, nil
}

// mayPut looks whether name can become a file and gives the file that is there, nil for none.
func (f *FS) mayPut(ctx context.Context, p place, check func(fs.FileInfo) error, ask asker) (*info, error) {
	s, err := f.look(ctx, p, ask)
	switch {
	case err != nil:
		return nil, err
	case s.foreign:
		return nil, errForeign(p.name)
	case s.dir != nil:
		return nil, fmt.Errorf("%s is a directory: %w", p.name, fs.ErrExist)
	}
	return s.file, s.agree(check)
}

// agree asks check about what is shown.
func (s state) agree(check func(fs.FileInfo) error) error {
	switch i := s.shown(); {
	case check == nil:
		return nil
	case i == nil:
		return check(nil)
	default:
		return check(i)
	}
}

// last is how to ask at the commit where only a condition hangs on the answer.
func (f *FS) last(check func(fs.FileInfo) error) asker {
	if check == nil {
		return f.tag
	}
	return f.askNow()
}

// askNow asks the registry even if its last answer is fresh, for others may have written since, unless it tells of
// changes by itself. A window of one round trip is left, because a registry has no compare-and-swap.
func (f *FS) askNow() asker {
	if f.told {
		return f.tag
	}
	return f.askTag
}

func errForeign(name string) error {
	return fmt.Errorf("%s is the tag of an artifact that was not written by ocidav: %w", name, fs.ErrPermission)
}

// pushParts uploads the content.
func (f *FS) pushParts(ctx context.Context, repo string, s *spool) error {
	offsets := make([]int64, len(s.parts)+1)
	for i, part := range s.parts {
		offsets[i+1] = offsets[i] + part.Size
	}
	return each(ctx, f, s.parts, func(ctx context.Context, i int, part ocispec.Descriptor) error {
		return f.pushBlob(ctx, repo, part, func() (io.Reader, error) { return s.open(offsets[i], part.Size), nil })
	})
}

// keepContent gives what was written to the blobs at hand: it is likely to be read next.
func (f *FS) keepContent(ctx context.Context, s *spool) {
	offset := int64(0)
	for _, part := range s.parts {
		f.keepBlob(ctx, part, s.open(offset, part.Size))
		offset += part.Size
	}
}

// Mkdir makes an empty directory. What an earlier directory of that name left behind goes first, while nobody can see
// it: an orphan must not come back to life.
func (f *FS) Mkdir(ctx context.Context, name string, check func(fs.FileInfo) error) error {
	if name == "/" {
		return fmt.Errorf("/ is there: %w", fs.ErrExist)
	}
	p, err := f.layout.place(name)
	if err != nil {
		return err
	}
	if _, err := f.layout.repository(name); err != nil {
		return err
	}
	unlock, err := f.lock(ctx, name)
	if err != nil {
		return failure(err, "wait to make %s", name)
	}
	defer unlock()
	s, err := f.look(ctx, p, f.tag)
	switch {
	case err != nil:
		return err
	case s.foreign:
		return errForeign(name)
	case s.shown() != nil:
		return fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	if err := s.agree(check); err != nil {
		return err
	}
	if err := f.clearOrphans(ctx, p); err != nil {
		return err
	}
	now := time.Now()
	_, err = f.commit(ctx, p.repo, p.marker, &artifact{kind: kindDirectory, name: p.base, modTime: now, birthTime: now}, nothing)
	return err
}

func nothing() error { return nil }

// Props gives the dead properties of what i describes.
func (f *FS) Props(ctx context.Context, name string, i fs.FileInfo) ([]property, error) {
	described, ok := i.(*info)
	if !ok {
		return nil, fmt.Errorf("properties of %s: it is nothing of this tree: %w", name, fs.ErrInvalid)
	}
	data, err := f.propertiesBlob(ctx, described)
	if err != nil || data == nil {
		return nil, err
	}
	props, err := decodeProperties(data)
	if err != nil { // somebody else's: what it means nobody can say
		f.log.Warn("a file's properties are none that ocidav has written, and left out", "name", name, "error", err)
		return nil, nil
	}
	return props, nil
}

// propertiesBlob reads the blob of the properties; nil for none.
func (f *FS) propertiesBlob(ctx context.Context, i *info) ([]byte, error) {
	if i.props.Digest == "" {
		return nil, nil
	}
	r, err := f.repository(i.repo)
	if err != nil {
		return nil, err
	}
	data, err := f.readBlob(ctx, i.props, f.source(r, i.props))
	return data, failure(err, "read properties of %s", i.name)
}

// PatchProps sets and removes dead properties and sets times: a new manifest with the same content.
func (f *FS) PatchProps(ctx context.Context, name string, o propPatch) error {
	if name == "/" { // the root has no marker to keep them at
		return fmt.Errorf("the root keeps no properties: %w", fs.ErrPermission)
	}
	p, err := f.layout.place(name)
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
	case old == nil:
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
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
	a.props = ocispec.Descriptor{}
	push := nothing
	if props = patch(props, o.Set, o.Remove); len(props) > 0 {
		desc, data, err := encodeProperties(props)
		if err != nil {
			return err
		}
		a.props = desc
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

// RemoveAll removes a file, or a directory with its members: its marker goes first, and with it all of it is gone.
func (f *FS) RemoveAll(ctx context.Context, name string, check func(fs.FileInfo) error) error {
	if name == "/" {
		return fmt.Errorf("the root stays: %w", fs.ErrPermission)
	}
	p, err := f.layout.place(name)
	if err != nil {
		return err
	}
	unlock, err := f.lock(ctx, name)
	if err != nil {
		return failure(err, "wait to remove %s", name)
	}
	defer unlock()
	s, err := f.look(ctx, p, f.last(check))
	if err != nil && isLost(err) {
		s, err = f.lost(ctx, p, err)
	}
	switch {
	case err != nil:
		return err
	case s.shown() == nil && s.foreign:
		return errForeign(name)
	case s.shown() == nil:
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if err := s.agree(check); err != nil {
		return err
	}
	return f.remove(ctx, p, s)
}

// lost is the state of a name whose tag the registry has and cannot read. It is taken for a file of ours, so that it can
// be removed: nothing else would make its directory readable again. failure is given back where that is not so.
func (f *FS) lost(ctx context.Context, p place, failure error) (state, error) {
	if _, i, err := f.lookup(ctx, path.Dir(p.name)); err != nil || !i.IsDir() {
		return state{}, failure
	}
	if i, err := f.askTag(ctx, p.repo, p.marker); err != nil || i != nil {
		return state{}, failure
	}
	f.lists.forget(reference{repo: p.repo})
	tags, err := f.listTags(ctx, p.repo)
	if err != nil || !slices.Contains(tags, p.file) {
		return state{}, failure
	}
	f.log.Warn("a tag that cannot be read is removed", "repository", p.repo, "tag", p.file, "error", failure)
	return state{file: &info{name: p.base, repo: p.repo, artifact: artifact{kind: kindFile, name: p.base}}}, nil
}

// remove takes away what s says is at p. The caller holds the lock of p.
func (f *FS) remove(ctx context.Context, p place, s state) error {
	if s.file != nil { // under a directory, first: it must not come to light when the marker goes
		if err := f.removeTag(ctx, p.repo, p.file); err != nil {
			return err
		}
	}
	if s.dir == nil {
		return nil
	}
	if err := f.removeTag(ctx, p.repo, p.marker); err != nil {
		return err
	}
	f.clearBehind(ctx, p.name)
	return nil
}

// clearBehind clears the place of a directory that is gone. It is gone whatever happens now, so a failure is not the
// client's: what stays is an orphan, cleared when a directory of that name is made again.
func (f *FS) clearBehind(ctx context.Context, dir string) {
	ctx = context.WithoutCancel(ctx)
	if err := f.clear(ctx, dir); err != nil {
		f.log.Warn("members of a removed directory are left in the registry", "directory", dir, "error", err)
	}
}

// clearOrphans clears the place where a directory is about to be made. Its marker is asked for once more before
// anything goes: another server may have made it in between.
func (f *FS) clearOrphans(ctx context.Context, p place) error {
	l, err := f.listTo(ctx, p.name, isLost)
	if err != nil || len(l.ours) == 0 {
		return err
	}
	if i, err := f.askTag(ctx, p.repo, p.marker); err != nil || i != nil {
		return errors.Join(err, existing(i, p.name))
	}
	return f.clear(ctx, p.name)
}

func existing(i *info, name string) error {
	if i == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, fs.ErrExist)
}

// clear removes all that ocidav has written in the place of dir, from the bottom up. What others pushed stays.
func (f *FS) clear(ctx context.Context, dir string) error {
	l, err := f.listTo(ctx, dir, isLost)
	if err != nil {
		return err
	}
	for _, m := range l.members {
		if m.IsDir() {
			if err := f.clear(ctx, join(dir, m.name)); err != nil {
				return err
			}
		}
	}
	repo, err := f.layout.repository(dir)
	if err != nil {
		return err
	}
	return each(ctx, f, l.ours, func(ctx context.Context, _ int, tag string) error { return f.removeTag(ctx, repo, tag) })
}

// join gives the name of a member of dir.
func join(dir, base string) string {
	if dir == "/" {
		return dir + base
	}
	return dir + "/" + base
}
