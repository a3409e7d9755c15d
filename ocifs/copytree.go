package ocifs

import (
	"context"
	"fmt"
	"io/fs"
	"sync"
)

// copyTree copies the directory i at src to the place to, where no directory is: the members, wherever in the tree and in
// any order, and when they are all there the marker. So nobody sees a part of it.
func (f *FS) copyTree(ctx context.Context, w *walk, i *info, src string, to place, move bool) (copied *info, err error) {
	gone := f.goneAt(to)
	below := w.within()
	below.enter(to.name, func() error { return f.copyMembers(ctx, below, src, to.name, move, gone) })
	if err := below.wait(); err != nil {
		return nil, err
	}
	err = w.hands.do(ctx, func() (err error) {
		copied, err = f.copyFile(ctx, oneHand(), i, to.repo, to.marker, to.base)
		return err
	})
	return copied, err
}

// copyMembers copies the members of the directory src to the place dst, in a tree that nobody sees yet. What an earlier
// directory left there is replaced, or goes first.
func (f *FS) copyMembers(ctx context.Context, w *walk, src, dst string, move bool, gone func(context.Context) error) error {
	d, err := f.layout.directory(dst)
	if err != nil {
		return err
	}
	if err := f.clearings.join(ctx, d); err != nil {
		return err
	}
	l, there, err := f.listBoth(ctx, w, src, dst, move)
	if err != nil {
		return err
	}
	if err := f.clearRest(ctx, w, dst, d, l, there, gone); err != nil {
		return err
	}
	if len(l.members) > 0 { // once, not for each of them
		err := w.hands.do(ctx, func() error { return f.mountBlob(ctx, d.repo, l.members[0].repo, emptyBlob) })
		if err != nil {
			return err
		}
	}
	for _, m := range l.members {
		from, to, tag := join(src, m.name), join(dst, m.name), d.member(m.name, m.IsDir())
		w.do(ctx, to, func() error {
			_, err := f.copyFile(ctx, oneHand(), m, d.repo, tag, m.name)
			return err
		})
		if m.IsDir() {
			w.enter(to, func() error { return f.copyMembers(ctx, w, from, to, move, gone) })
		}
	}
	return nil
}

// oneHand is for the requests about one file where there are many files.
func oneHand() hands { return make(hands, 1) }

// listBoth lists the source and the place of a copy, asked anew, and checks that artifacts of others stay as they are.
// What will be removed is taken as the registry knows it now, for another server may have written since it was asked.
func (f *FS) listBoth(ctx context.Context, w *walk, src, dst string, move bool) (l, there listing, err error) {
	for _, dir := range []string{src, dst} {
		if err := f.forgetList(dir, w.began); err != nil {
			return l, there, err
		}
	}
	ask := f.member
	if move {
		ask = f.askNow()
	}
	var missing error
	var wg sync.WaitGroup
	wg.Go(func() { there, missing = f.list(ctx, w.hands, dst, f.member) })
	l, err = f.list(ctx, w.hands, src, ask)
	wg.Wait()
	if err == nil {
		err = missing
	}
	if err != nil {
		return l, there, err
	}
	d, err := f.layout.directory(dst)
	if err != nil {
		return l, there, err
	}
	for _, m := range l.members {
		for _, tag := range []string{d.file(m.name), d.marker(m.name)} {
			if t := there.at(tag); t != nil && t.kind == kindForeign {
				return l, there, errForeign(join(dst, m.name))
			}
		}
	}
	others := l.foreign > 0
	if move && !others {
		bare, err := f.bareIn(ctx, src, func(base string) bool { return isNamed(l.members, base) })
		if err != nil {
			return l, there, err
		}
		others = len(bare) > 0
	}
	if move && others {
		err = fmt.Errorf("%s holds artifacts that were not written by ocidav and cannot be moved: %w", src, fs.ErrPermission)
	}
	return l, there, err
}

// clearRest clears what is left of an earlier directory in the place dst and will not be replaced by l.
func (f *FS) clearRest(ctx context.Context, w *walk, dst string, d directory, l, there listing, gone func(context.Context) error) error {
	if err := noRoot(dst, there.names); err != nil {
		return err
	}
	comes := l.tags(d)
	below := w.within()
	var rest []string
	for _, tag := range there.ours {
		if comes[tag] {
			continue
		}
		rest = append(rest, tag)
		if m := there.at(tag); m.IsDir() {
			name := join(dst, m.name)
			below.enter(name, func() error { return f.clearDirectory(ctx, w, name, gone) })
		}
	}
	if err := below.wait(); err != nil {
		return err
	}
	return f.removeTags(ctx, w.hands, d.repo, rest, gone)
}

// tags are those that the members have in d.
func (l listing) tags(d directory) map[string]bool {
	tags := make(map[string]bool, len(l.members))
	for _, m := range l.members {
		tags[d.member(m.name, m.IsDir())] = true
	}
	return tags
}
