package ocifs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

// A bare directory has no marker: it is there because others have pushed artifacts into its repository, or into one below
// it. Of what ocidav itself has there nothing is shown, for it is what a removed directory has left. Whoever writes into it
// has its marker put first.

// discovers says whether there are bare directories: not in a flat layout.
func (f *FS) discovers() bool {
	_, paths := f.layout.(pathLayout)
	return f.discover && paths
}

// bareAt gives the bare directory of a name that has no marker; nil: there is none.
func (f *FS) bareAt(ctx context.Context, name string) (*info, error) {
	if !f.discovers() || name == "/" {
		return nil, nil
	}
	d, ok := f.bareDirectory(name)
	if !ok {
		return nil, nil
	}
	repos, listed, err := f.catalogued(ctx)
	if err != nil {
		return nil, err
	}
	if listed {
		repos = within(repos, d.repo)
	} else {
		repos = []string{d.repo}
	}
	is, err := f.areAlive(ctx, [][]string{repos})
	if err != nil || !is[0] {
		return nil, err
	}
	return bareInfo(name), nil
}

// bareDirectory gives the place of a name, and whether it can be that of a bare directory.
func (f *FS) bareDirectory(name string) (d directory, ok bool) {
	d, err := f.layout.directory(name)
	if err != nil {
		return d, false // too long to be a repository
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(d.repo, f.prefix), "/")
	return d, rest == name[1:] // others have no names that need to be spelt another way
}

func bareInfo(name string) *info {
	return &info{artifact: artifact{kind: kindBare, name: name[strings.LastIndexByte(name, '/')+1:], modTime: time.Unix(0, 0)}}
}

// bareIn gives the bare directories in dir, but for those whose names are taken.
func (f *FS) bareIn(ctx context.Context, dir string, taken func(base string) bool) ([]*info, error) {
	if !f.discovers() {
		return nil, nil
	}
	repos, listed, err := f.catalogued(ctx)
	if err != nil || !listed {
		return nil, err
	}
	above := f.prefix
	if dir != "/" {
		d, err := f.layout.directory(dir)
		if err != nil {
			return nil, err
		}
		above = d.repo
	}
	if above != "" {
		repos = within(repos, above)
	}
	in := map[string][]string{}
	for _, repo := range repos {
		base, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(repo, above), "/"), "/")
		if base == "" || taken(base) {
			continue
		}
		if _, known := in[base]; known {
			in[base] = append(in[base], repo)
		} else if _, ok := f.bareDirectory(join(dir, base)); ok {
			in[base] = []string{repo}
		}
	}
	names := slices.Sorted(maps.Keys(in))
	sets := make([][]string, len(names))
	for n, base := range names {
		sets[n] = in[base]
	}
	is, err := f.areAlive(ctx, sets)
	if err != nil {
		return nil, err
	}
	var found []*info
	for n, base := range names {
		if is[n] {
			found = append(found, bareInfo(join(dir, base)))
		}
	}
	return found, nil
}

// absent is the answer to whoever would change what has no marker and is no file: a bare directory itself is not changed.
func (f *FS) absent(ctx context.Context, name string) error {
	b, err := f.bareAt(ctx, name)
	switch {
	case err != nil:
		return err
	case b != nil:
		return fmt.Errorf("%s is there because of artifacts that were not written by ocidav, and goes when they are gone: %w", name, fs.ErrPermission)
	}
	return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
}

// lookToWrite is look for who will write there if check agrees: a bare directory gets its marker.
func (f *FS) lookToWrite(ctx context.Context, p place, check func(fs.FileInfo) error, ask asker) (state, error) {
	s, err := f.look(ctx, p, ask)
	if err != nil || !s.bare || s.foreign {
		return s, err
	}
	if err := s.agree(check); err != nil {
		return state{}, err
	}
	return f.lookFurnished(ctx, p, ask)
}

// lookFurnished looks at p when the bare directories above it have their markers.
func (f *FS) lookFurnished(ctx context.Context, p place, ask asker) (state, error) {
	if err := f.furnish(ctx, p); err != nil {
		return state{}, err
	}
	s, err := f.look(ctx, p, ask)
	if err == nil && s.bare && !s.foreign { // what is written now would be acknowledged and never seen
		err = fmt.Errorf("%s: its directory does not exist any more: %w", p.name, fs.ErrNotExist)
	}
	return s, err
}

// furnish puts the markers of the bare directories above p, the uppermost first, so that something can be written there. What
// removed directories have left in them goes before, as in Mkdir.
func (f *FS) furnish(ctx context.Context, p place) error {
	above, err := f.above(p.name)
	if err != nil {
		return err
	}
	slices.Reverse(above)
	for _, a := range above {
		d, err := f.layout.directory(a.name)
		if err != nil {
			return err
		}
		leave, err := f.furnishing.join(ctx, d)
		if err != nil {
			return failure(err, "wait for the marker of %s", a.name)
		}
		err = f.furnishOne(ctx, a, d)
		leave()
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *FS) furnishOne(ctx context.Context, p place, d directory) error {
	if i, err := f.tag(ctx, p.repo, p.marker); err != nil || i != nil {
		return err
	}
	if err := f.clearings.join(ctx, d); err != nil {
		return err
	}
	err := f.clearFor(ctx, p, nil, time.Now())
	if errors.Is(err, fs.ErrExist) { // another server may have put it meanwhile, or before, and we did not know
		if i, err := f.tag(ctx, p.repo, p.marker); err != nil || i != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return f.mark(ctx, p)
}

// knownBare says whether there is a bare directory of that name, which a file would hide, if one was seen there: a Put does not
// wait for the list of repositories, and whoever shows the directory to somebody has it in memory.
func (f *FS) knownBare(ctx context.Context, name string) (bool, error) {
	d, ok := f.bareDirectory(name)
	if !ok || !f.discovers() {
		return false, nil
	}
	repos := f.catalog.seenAlive(d.repo)
	if len(repos) == 0 {
		return false, nil
	}
	is, err := f.areAlive(ctx, [][]string{repos})
	return err == nil && is[0], err
}

// mayCover looks whether i may be copied to p, where nothing has a marker: a file would hide a bare directory.
func (f *FS) mayCover(ctx context.Context, i *info, p place) error {
	b, err := f.bareAt(ctx, p.name)
	if err != nil || b == nil {
		return err
	}
	if !i.IsDir() {
		return fmt.Errorf("%s is a directory of artifacts that were not written by ocidav, and is not replaced by a file: %w", p.name, fs.ErrPermission)
	}
	d, err := f.layout.directory(p.name)
	if err != nil {
		return err
	}
	tags, err := f.listTags(ctx, d)
	if err != nil {
		return err
	}
	return noRoot(p.name, tags)
}
