package ocifs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Copy makes dst a copy of src: blobs are mounted, and one manifest is pushed for each file.
func (f *FS) Copy(ctx context.Context, src, dst string, check func(fs.FileInfo) error) (fs.FileInfo, error) {
	from, to, unlock, err := f.lockPair(ctx, src, dst)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if to.name == from.name || to.repo == from.repo && to.file == from.file {
		return nil, fmt.Errorf("%s cannot be copied onto itself: %w", src, fs.ErrInvalid)
	}
	_, i, err := f.copyOver(ctx, from, to, check, false)
	if err != nil {
		return nil, err
	}
	return i, nil
}

// Rename is Copy, and when that is whole the old place is removed.
func (f *FS) Rename(ctx context.Context, oldName, newName string, check func(fs.FileInfo) error) error {
	from, to, unlock, err := f.lockPair(ctx, oldName, newName)
	if err != nil {
		return err
	}
	defer unlock()
	if to.repo == from.repo && to.file == from.file { // the same name in another spelling (NFC, NFD)
		return f.respell(ctx, from, to)
	}
	s, _, err := f.copyOver(ctx, from, to, check, true)
	if err != nil {
		return err
	}
	return f.remove(ctx, from, s)
}

// lockPair checks two names against each other and locks both: a source that is removed meanwhile would be copied in
// part.
func (f *FS) lockPair(ctx context.Context, src, dst string) (from, to place, unlock func(), err error) {
	for _, name := range []string{src, dst} {
		if name == "/" {
			return from, to, nil, fmt.Errorf("the root is neither copied, moved nor replaced: %w", fs.ErrInvalid)
		}
	}
	if s, d := f.Key(src), f.Key(dst); src == dst || strings.HasPrefix(d, s+"/") || strings.HasPrefix(s, d+"/") {
		return from, to, nil, fmt.Errorf("%s and %s are one, or one within the other: %w", src, dst, fs.ErrInvalid)
	}
	if from, err = f.layout.place(src); err != nil {
		return from, to, nil, err
	}
	if to, err = f.layout.place(dst); err != nil {
		return from, to, nil, err
	}
	if unlock, err = f.lock(ctx, src, dst); err != nil {
		return from, to, nil, failure(err, "wait for %s and %s", src, dst)
	}
	return from, to, unlock, nil
}

// copyOver copies what is shown at from to to, over what is there. The target changes in one step: a file's tag is
// replaced; a directory's marker, which outranks a file, comes last when it is new and goes last when it is replaced by
// a file. Only a directory in a directory's place changes member by member, since both live in one repository: merge.
// move says that the source will be removed, so that it must hold nothing that is not copied.
func (f *FS) copyOver(ctx context.Context, from, to place, check func(fs.FileInfo) error, move bool) (source state, _ *info, err error) {
	source, err = f.look(ctx, from, f.askNow())
	if err != nil {
		return source, nil, err
	}
	i := source.shown()
	if i == nil {
		return source, nil, fmt.Errorf("%s: %w", from.name, fs.ErrNotExist)
	}
	target, err := f.look(ctx, to, f.last(check))
	switch {
	case err != nil:
		return source, nil, err
	case target.foreign:
		return source, nil, errForeign(to.name)
	}
	if err := target.agree(check); err != nil {
		return source, nil, err
	}
	if !i.IsDir() {
		copied, err := f.copyFile(ctx, i, to.repo, to.file, to.base)
		if err == nil && target.dir != nil {
			err = f.remove(ctx, to, state{dir: target.dir})
		}
		return source, copied, err
	}

	if err := f.survey(ctx, from.name, to.name, move); err != nil { // what can fail fails before anything is changed
		return source, nil, err
	}
	var copied *info
	if target.dir != nil {
		copied, err = f.merge(ctx, i, from.name, to)
		if err == nil {
			err = f.prune(ctx, from.name, to.name)
		}
	} else {
		copied, err = f.copyTree(ctx, i, from.name, to)
	}
	if err == nil && target.file != nil { // hidden from now on: the copy is done, so a failure is not the client's
		if err := f.removeTag(context.WithoutCancel(ctx), to.repo, to.file); err != nil {
			f.log.Warn("a replaced file is left in the registry, under a directory", "name", to.name, "error", err)
		}
	}
	return source, copied, err
}

// survey walks a directory that is about to be copied: whether all of it can be read and fits the new place, where
// others' artifacts stay as they are. What others have just written is seen.
func (f *FS) survey(ctx context.Context, src, dst string, move bool) error {
	for _, dir := range []string{src, dst} {
		if err := f.forgetList(dir); err != nil {
			return err
		}
	}
	l, there, err := f.listBoth(ctx, src, dst)
	if err != nil {
		return err
	}
	for _, m := range l.members {
		for _, tag := range []string{fileTag(m.name), markerTag(m.name)} {
			if t := there.at[tag]; t != nil && t.kind == kindForeign {
				return errForeign(join(dst, m.name))
			}
		}
	}
	if move && l.foreign > 0 {
		return fmt.Errorf("%s holds artifacts that were not written by ocidav and cannot be moved: %w", src, fs.ErrPermission)
	}
	for _, m := range l.members {
		if m.IsDir() {
			if err := f.survey(ctx, join(src, m.name), join(dst, m.name), move); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *FS) listBoth(ctx context.Context, src, dst string) (l, there listing, err error) {
	if l, err = f.list(ctx, src); err != nil {
		return l, there, err
	}
	there, err = f.list(ctx, dst)
	return l, there, err
}

// copyTree copies the directory i at src to the place to, where no directory is: what is left there of an earlier one
// goes first, then come the members, and when they are all there the marker.
func (f *FS) copyTree(ctx context.Context, i *info, src string, to place) (*info, error) {
	if err := f.clear(ctx, to.name); err != nil {
		return nil, err
	}
	l, err := f.list(ctx, src)
	if err != nil {
		return nil, err
	}
	return f.copyMembers(ctx, l, i, src, to, func(m *info, src string, p place) error {
		_, err := f.copyTree(ctx, m, src, p)
		return err
	})
}

// copyMembers copies the members l of the directory i at src, its directories by copyDir, and then i itself.
func (f *FS) copyMembers(ctx context.Context, l listing, i *info, src string, to place, copyDir func(m *info, src string, p place) error) (*info, error) {
	repo, err := f.layout.repository(to.name)
	if err != nil {
		return nil, err
	}
	var files []*info
	for _, m := range l.members {
		if !m.IsDir() {
			files = append(files, m)
			continue
		}
		p, err := f.layout.place(join(to.name, m.name))
		if err != nil {
			return nil, err
		}
		if err := copyDir(m, join(src, m.name), p); err != nil {
			return nil, err
		}
	}
	err = each(ctx, f, files, func(ctx context.Context, _ int, m *info) error {
		_, err := f.copyFile(ctx, m, repo, fileTag(m.name), m.name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f.copyFile(ctx, i, to.repo, to.marker, to.base)
}

// merge brings the members of the directory i at src into the directory at to: they take the places of those that are
// there, each in one step. prune then takes away what does not belong. So nothing is gone before all that comes is there,
// and whatever ends it, to holds members of both, each whole, and src is as it was.
func (f *FS) merge(ctx context.Context, i *info, src string, to place) (*info, error) {
	l, there, err := f.listBoth(ctx, src, to.name)
	if err != nil {
		return nil, err
	}
	return f.copyMembers(ctx, l, i, src, to, func(m *info, src string, p place) error {
		var err error
		if there.at[p.marker] != nil {
			_, err = f.merge(ctx, m, src, p)
		} else {
			_, err = f.copyTree(ctx, m, src, p)
		}
		return err
	})
}

// prune takes away from the directory dst what the directory src does not have.
func (f *FS) prune(ctx context.Context, src, dst string) error {
	l, there, err := f.listBoth(ctx, src, dst)
	if err != nil {
		return err
	}
	repo, err := f.layout.repository(dst)
	if err != nil {
		return err
	}
	stays := map[string]bool{}
	for _, m := range l.members {
		if !m.IsDir() {
			stays[fileTag(m.name)] = true
			continue
		}
		stays[markerTag(m.name)] = true
		if err := f.prune(ctx, join(src, m.name), join(dst, m.name)); err != nil {
			return err
		}
	}
	// A file that a directory hides goes before its marker, or it would come to light.
	for _, directories := range []bool{false, true} {
		err := each(ctx, f, there.ours, func(ctx context.Context, _ int, tag string) error {
			if stays[tag] || there.at[tag].IsDir() != directories {
				return nil
			}
			if err := f.removeTag(ctx, repo, tag); err != nil || !directories {
				return err
			}
			f.clearBehind(ctx, join(dst, there.at[tag].name))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies one artifact, a file or a marker, to a tag under a name.
func (f *FS) copyFile(ctx context.Context, i *info, repo, tag, name string) (*info, error) {
	a := i.artifact
	a.name = name
	if a.kind == kindShared {
		a.kind = kindFile
	}
	blobs := a.layers
	if a.props.Digest != "" {
		blobs = append(blobs[:len(blobs):len(blobs)], a.props)
	}
	mount := func() error {
		return each(ctx, f, blobs, func(ctx context.Context, _ int, desc ocispec.Descriptor) error {
			return f.mountBlob(ctx, repo, i.repo, desc)
		})
	}
	if err := mount(); err != nil {
		return nil, err
	}
	return f.commit(ctx, repo, tag, &a, mount)
}

// respell gives a name another spelling: it is kept in the manifest, the tag is the same for all.
func (f *FS) respell(ctx context.Context, from, to place) error {
	s, _, err := f.lookup(ctx, from.name)
	if err != nil {
		return err
	}
	var errs []error
	if s.file != nil {
		_, err := f.copyFile(ctx, s.file, to.repo, to.file, to.base)
		errs = append(errs, err)
	}
	if s.dir != nil {
		_, err := f.copyFile(ctx, s.dir, to.repo, to.marker, to.base)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
