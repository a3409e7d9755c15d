package ocifs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"
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
		return f.respell(ctx, from, to, check)
	}
	s, _, err := f.copyOver(ctx, from, to, check, true)
	if err != nil {
		return err
	}
	// A large directory takes its time, and what is not reachable any more by then is no reason to remove anything.
	if err := f.beside(ctx, to, time.Now().Add(-requestIsNow), func(func()) error { return nil }); err != nil {
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
	if from, err = f.place(src); err != nil {
		return from, to, nil, err
	}
	if to, err = f.place(dst); err != nil {
		return from, to, nil, err
	}
	if unlock, err = f.lock(ctx, src, dst); err != nil {
		return from, to, nil, failure(err, "wait for %s and %s", src, dst)
	}
	return from, to, unlock, nil
}

// copyOver copies what is shown at from to to, over what is there. The target changes in one step: a file's tag is
// replaced; a directory's marker, which outranks a file, comes last when it is new and goes last when it is replaced by
// a file. Only a directory in a directory's place changes member by member, since both live in one repository: merge.go.
// move says that the source will be removed, so that it must hold nothing that is not copied.
func (f *FS) copyOver(ctx context.Context, from, to place, check func(fs.FileInfo) error, move bool) (source state, _ *info, err error) {
	ahead, cancel := context.WithCancel(ctx)
	mounted := f.mountAhead(ahead, from, to)
	defer mounted()
	defer cancel()
	source, target, err := f.lookBoth(ctx, from, to, move)
	if err != nil {
		return source, nil, err
	}
	i := source.shown()
	if err := target.agree(check); err != nil {
		return source, nil, err
	}
	var copied *info
	switch {
	case !i.IsDir():
		copied, err = f.copyFile(ctx, f.hands(), i, to.repo, to.file, to.base)
		if err == nil && target.dir != nil {
			err = f.remove(ctx, to, state{dir: target.dir})
		}
		return source, copied, err
	case target.dir != nil:
		copied, err = f.merge(ctx, i, from.name, to, move)
	default:
		if copied, err = f.copyTree(ctx, f.newWalk(f.hands()), i, from.name, to, move); err != nil {
			f.clearBehind(ctx, to) // nobody has seen it
		}
	}
	if err == nil && target.file != nil { // hidden from now on: the copy is done, so a failure is not the client's
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearingInline) // who waits for the answer
		defer cancel()
		if err := f.removeTag(ctx, to.repo, to.file); err != nil {
			f.log.WarnContext(ctx, "a replaced file is left in the registry, under a directory", "name", to.name, "error", err)
		}
	}
	return source, copied, err
}

// lookBoth looks at the source and at the target at once, as the registry knows them now. There is something at the
// source, a file of an exhibit too if it stays there, and the target is reachable, and free or ours.
func (f *FS) lookBoth(ctx context.Context, from, to place, move bool) (source, target state, err error) {
	var missing error
	var wg sync.WaitGroup
	began, _ := requestTime(ctx)
	wg.Go(func() {
		target, missing = f.lookBy(ctx, to, f.tagNow, f.since(began))
		if missing == nil && target.bare {
			target, missing = f.lookFurnished(ctx, to, f.tagNow)
		}
	})
	source, err = f.look(ctx, from, f.tagNow)
	wg.Wait()
	if in, ok := inside(err); ok && !move {
		source, err = f.fileInside(ctx, in)
	}
	switch {
	case err != nil:
		return source, target, err
	case source.shown() == nil && source.foreign:
		return source, target, errForeign(from.name)
	case source.shown() == nil:
		return source, target, f.absent(ctx, from.name)
	case missing != nil:
		return source, target, missing
	case target.foreign:
		return source, target, errForeign(to.name)
	case target.shown() == nil:
		err = f.mayCover(ctx, source.shown(), to)
	}
	return source, target, err
}

// PrepareCopy does what Copy or Rename will need, while the caller looks at both names: it mounts, and asks about the source, of
// which the caller may know enough by an older answer, and Copy does not. It ends with ctx, and does not wait.
func (f *FS) PrepareCopy(ctx context.Context, src, dst string) {
	from, err := f.place(src)
	to, e := f.place(dst)
	if err != nil || e != nil {
		return
	}
	f.behind(func(context.Context) {
		defer f.mountAhead(ctx, from, to)()
		_ = each(ctx, f, []string{from.file, from.marker}, func(ctx context.Context, _ int, tag string) error {
			_, err := f.tagNow(ctx, from.repo, tag)
			return err // Copy will ask again, and say so
		})
	})
}

// mountAhead mounts what the file from held when it was last looked at while it is looked at again, which saves a round
// trip: a blob more in a repository means nothing. Only where mounts were seen to work, or it would cost one, and where there
// was a directory: the mount would make a repository. The function that it gives waits for it.
func (f *FS) mountAhead(ctx context.Context, from, to place) (wait func()) {
	t, known, _ := f.tags.get(reference{from.repo, from.file})
	if !known || t.digest == "" || from.repo == to.repo || !f.mounts.Load() || !f.knownDirectory(parent(to.name)) {
		return func() {}
	}
	a, known := f.artifacts.get(artifactKey{t.digest, from.file})
	if !known || a.kind == kindTombstone || a.kind == kindForeign || f.wasThere(from.repo, from.marker) {
		return func() {}
	}
	var wg sync.WaitGroup
	for _, b := range append(slices.Clone(a.layers[:min(len(a.layers), f.parallel)]), blobOf(emptyBlob)) {
		wg.Go(func() { _ = f.mountBlob(ctx, to.repo, from.repo, b.descriptor(typeContent)) }) // what goes wrong will go wrong again
	}
	return wg.Wait
}

// knownDirectory says whether the last answer about a directory's marker, however old, was that it is there.
func (f *FS) knownDirectory(name string) bool {
	if name == "/" {
		return true
	}
	p, err := f.place(name)
	return err == nil && f.wasThere(p.repo, p.marker)
}

// copyFile copies one artifact, a file or a marker, to a tag under a name: a mount for each blob that repo does not hold,
// "{}" among them, and a manifest.
func (f *FS) copyFile(ctx context.Context, h hands, i *info, repo, tag, name string) (*info, error) {
	a := i.artifact
	a.name = name
	if a.kind == kindShared {
		a.kind = kindFile
	}
	blobs := append(a.layers[:len(a.layers):len(a.layers)], blobOf(emptyBlob))
	if a.props.digest != "" {
		blobs = append(blobs, a.props)
	}
	mount := func() error {
		return eachBy(ctx, h, blobs, func(ctx context.Context, _ int, b blob) error {
			return f.mountBlob(ctx, repo, i.repo, b.descriptor(typeContent))
		})
	}
	if err := mount(); err != nil {
		return nil, err
	}
	return f.commit(ctx, repo, tag, &a, mount)
}

// respell gives a name another spelling: it is kept in the manifest, the tag is the same for all. All else is written anew
// as it is, so it is asked for: others may have written it since the last answer.
func (f *FS) respell(ctx context.Context, from, to place, check func(fs.FileInfo) error) error {
	s, err := f.look(ctx, from, f.tagNow)
	switch {
	case err != nil:
		return err
	case s.shown() == nil && s.foreign:
		return errForeign(from.name)
	case s.shown() == nil:
		return fmt.Errorf("%s: %w", from.name, fs.ErrNotExist)
	}
	if err := s.agree(check); err != nil {
		return err
	}
	var errs []error
	if s.file != nil {
		_, err := f.copyFile(ctx, f.hands(), s.file, to.repo, to.file, to.base)
		errs = append(errs, err)
	}
	if s.dir != nil {
		_, err := f.copyFile(ctx, f.hands(), s.dir, to.repo, to.marker, to.base)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
