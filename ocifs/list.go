package ocifs

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"slices"
)

// ReadDir describes all members of name, sorted: all of them or an error.
func (f *FS) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	_, i, err := f.lookup(ctx, name)
	if in, ok := inside(err); ok {
		return f.readDirInside(ctx, in)
	}
	if err != nil {
		return nil, err
	}
	if !i.IsDir() {
		return nil, fmt.Errorf("%s is no directory: %w", name, fs.ErrInvalid)
	}
	ask, behind, err := f.familiar(ctx, name)
	if err != nil {
		return nil, err
	}
	l, err := f.list(ctx, f.hands(), name, ask)
	if err != nil {
		return nil, err
	}
	behind()
	members := l.shown(i.kind == kindBare)
	infos := make([]fs.FileInfo, 0, len(members)+len(l.exhibits))
	for _, m := range members {
		infos = append(infos, m)
	}
	taken := map[string]bool{}
	for _, e := range l.exhibits {
		if fi := e.info(); !taken[fi.Name()] && !isNamed(members, fi.Name()) {
			taken[fi.Name()] = true
			infos = append(infos, fi)
		}
	}
	bare, err := f.bareIn(ctx, name, func(base string) bool { return taken[base] || isNamed(members, base) })
	if err != nil {
		return nil, err
	}
	for _, b := range bare {
		infos = append(infos, b)
	}
	if len(infos) > len(members) { // the members alone are sorted
		slices.SortFunc(infos, func(a, b fs.FileInfo) int { return cmp.Compare(a.Name(), b.Name()) })
	}
	return infos, nil
}

// isNamed says whether a member has that name.
func isNamed(members []*info, name string) bool {
	_, ok := slices.BinarySearchFunc(members, name, func(i *info, name string) int { return cmp.Compare(i.name, name) })
	return ok
}

func byName(a, b *info) int { return cmp.Compare(a.name, b.name) }

// listing is what a directory holds.
type listing struct {
	members  []*info   // shown, sorted by name
	ours     []string  // tags that ocidav wrote and may remove, shown or not
	foreign  int       // artifacts of others, but for those that refer to a manifest by its digest, as signatures do
	exhibits []exhibit // those of them that are shown as directories
	names    []string  // all tags that there are, sorted
	found    []*info   // what stands under each, shown or not; nil: nothing
}

// shown gives the members, of a bare directory those that are not ours, sorted by name.
func (l listing) shown(bare bool) []*info {
	if !bare {
		return l.members
	}
	shared := slices.DeleteFunc(slices.Clone(l.found), func(i *info) bool { return i == nil || i.kind != kindShared })
	slices.SortFunc(shared, byName)
	return shared
}

// at gives what stands under a tag, shown or not; nil for nothing.
func (l listing) at(tag string) *info {
	if i, ok := slices.BinarySearch(l.names, tag); ok {
		return l.found[i]
	}
	return nil
}

// list reads the directory dir, whether or not dir has a marker.
func (f *FS) list(ctx context.Context, h hands, dir string, ask asker) (listing, error) {
	return f.listTo(ctx, h, dir, ask, func(error) bool { return false })
}

// listTo is list where a tag may be unreadable for some reasons: it then counts as somebody else's.
func (f *FS) listTo(ctx context.Context, h hands, dir string, ask asker, spared func(error) bool) (listing, error) {
	d, err := f.layout.directory(dir)
	if err != nil {
		return listing{}, err
	}
	var tags []string
	err = h.do(ctx, func() (err error) { tags, err = f.listTags(ctx, d); return err })
	if err != nil {
		return listing{}, err
	}
	found := make([]*info, len(tags))
	err = eachBy(ctx, h, tags, func(ctx context.Context, i int, tag string) (err error) {
		switch _, kind := d.nameOf(tag); {
		case tag == d.index():
			found[i] = &info{artifact: artifact{kind: kindIndex}}
			return nil
		case kind == tagForeign:
			found[i] = &info{} // by its name: not worth a request
			return nil
		}
		// A tag may be listed and have no manifest: deleted meanwhile, or left by a crash of the registry. And a
		// tombstone reads as nothing.
		found[i], err = ask(ctx, d.repo, tag)
		if err != nil && spared(err) {
			f.log.WarnContext(ctx, "a tag cannot be read, and is left", "repository", d.repo, "tag", tag, "error", err)
			found[i], err = &info{}, nil
		}
		return err
	})
	if err != nil {
		return listing{}, failure(err, "list %s", dir)
	}
	l := listing{names: tags, found: found}
	directories := map[string]bool{}
	for i, m := range found {
		switch {
		case m == nil:
		case m.kind == kindIndex:
			l.ours = append(l.ours, tags[i])
		case m.kind == kindForeign && isDigestTag(tags[i]):
		case m.kind == kindForeign:
			l.foreign++
			if name, kind := d.nameOf(tags[i]); kind == tagFile && name != "" {
				l.exhibits = append(l.exhibits, exhibit{name: join(dir, name), repo: d.repo, tag: tags[i], modTime: m.modTime})
			}
		case m.kind == kindShared:
			l.members = append(l.members, m)
			l.foreign++
		default:
			l.ours = append(l.ours, tags[i])
			l.members = append(l.members, m)
		}
		if m != nil && m.IsDir() {
			directories[d.file(m.name)] = true
		}
	}
	l.members = slices.DeleteFunc(l.members, func(m *info) bool { // a directory outranks a file of its name
		return !m.IsDir() && directories[d.file(m.name)]
	})
	slices.SortFunc(l.members, byName)
	return l, nil
}

// forgetList has the registry asked anew for the members of dir, unless this tree is told of changes, or it has been asked
// since a walk began.
func (f *FS) forgetList(dir string, began stamp) error {
	d, err := f.layout.directory(dir)
	if err == nil && !f.told && !f.lists.askedSince(d.list(), began) && !f.scannedSince(d, began) {
		f.lists.forget(d.list())
	}
	return err
}

// listTags gives the tags of a directory, from a fresh answer if there is one, or if somebody is just asking: the list of
// 100,000 is not made for each of several clients. When that has failed all who have waited ask at once. The slice is shared.
func (f *FS) listTags(ctx context.Context, d directory) ([]string, error) {
	if tags, ok := f.listedTags(d); ok {
		return tags, nil
	}
	leave, busy := f.listing.take(d)
	if busy == nil {
		defer leave()
		return f.askTags(ctx, d)
	}
	select {
	case <-busy:
	case <-ctx.Done():
		return nil, failure(ctx.Err(), "list tags of %s", d)
	}
	if tags, ok := f.listedTags(d); ok {
		return tags, nil
	}
	return f.askTags(ctx, d)
}

// askTags asks the registry for the tags of a directory.
func (f *FS) askTags(ctx context.Context, d directory) ([]string, error) {
	if d.flat {
		tags, err := f.scan(ctx, d)
		return tags, failure(err, "list tags of %s", d)
	}
	asked, tagsAsked := f.lists.ask(), f.tags.ask()
	tags, err := f.allTags(ctx, d.repo)
	if err != nil {
		return nil, failure(err, "list tags of %s", d)
	}
	return f.keepList(d, tags, asked, tagsAsked), nil
}
