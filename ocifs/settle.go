package ocifs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// The layout of a drive is recorded in its root, as the tag recordPrefix and its name, by the first server that may write.
// A registry has no compare-and-swap, so two servers that begin at once with different layouts are kept apart as Dekker
// has shown it: each puts its own record, then looks for the other's, and goes on only if there is none. Whoever finds a
// record looks for the other's after it. Records are never taken back, so of two layouts at most one is ever written. Both
// servers may refuse; and a record may be left of the one that did, beside which the directories say what the layout is:
// those of one layout have other markers than those of the other.
const (
	recordPrefix = "_l."
	typeLayout   = "application/vnd.ocidav.layout.v1"
)

// A LayoutError is a drive that has another layout than the one that was asked for.
type LayoutError struct {
	Repository string // of its root
	Has        string // empty: both are recorded
	Want       string
}

func (e *LayoutError) Error() string {
	if e.Has == "" {
		return fmt.Sprintf("the drive in %s has both layouts, by servers that were started at the same time: remove the tag %s or %s, whichever is wrong",
			e.Repository, recordPrefix+LayoutPath, recordPrefix+LayoutFlat)
	}
	return fmt.Sprintf("the drive in %s has the layout %s, not %s", e.Repository, e.Has, e.Want)
}

// Layout is the name of the tree's layout.
func (f *FS) Layout() string {
	if _, flat := f.layout.(flatLayout); flat {
		return LayoutFlat
	}
	return LayoutPath
}

// Settle finds out which layout the drive has, and takes it; a new drive gets Options.Layout. It is called before anything
// else. record says that it may be written down, where it is not. A *LayoutError: it is not Options.Layout.
func (f *FS) Settle(ctx context.Context, record bool) error {
	root, err := f.layout.directory("/")
	if err != nil {
		return err
	}
	path, flat, err := f.records(ctx, root.repo)
	if err != nil {
		return err
	}
	has := ""
	switch {
	case path && !flat:
		has = LayoutPath
	case flat && !path:
		has = LayoutFlat
	default:
		if has, err = f.layoutOfContent(ctx, root.repo); err != nil {
			return err
		}
		if has == "" && path && flat {
			return &LayoutError{Repository: root.repo}
		}
	}
	has = cmp.Or(has, f.wanted, LayoutPath)
	if f.wanted != "" && has != f.wanted {
		return &LayoutError{Repository: root.repo, Has: has, Want: f.wanted}
	}
	if f.layout, err = newLayout(has, f.registry.Reference.Registry, f.prefix); err != nil {
		return err
	}
	if !record || path || flat {
		return nil
	}
	return f.recordLayout(ctx, root.repo, has)
}

// recordLayout records the layout of a drive that has no record.
func (f *FS) recordLayout(ctx context.Context, repo, has string) error {
	a := &artifact{kind: kindLayout, name: has, modTime: time.Now()}
	if _, err := f.commit(ctx, repo, recordPrefix+has, a, nothing); err != nil {
		var known *Error
		if errors.As(err, &known) && (known.Class == classDenied || known.Class == classUnauthorized || known.Class == classQuota) {
			f.log.Log(ctx, f.forOne(slog.LevelWarn), "the layout of the drive cannot be recorded", "layout", has, "error", err) // nor can anything else be written
			return nil
		}
		return fmt.Errorf("record the layout: %w", err)
	}
	path, flat, err := f.records(ctx, repo)
	if err == nil && path && flat {
		err = &LayoutError{Repository: repo}
	}
	return err
}

// records says which layouts are recorded. Where there is one, the other was looked for after it.
func (f *FS) records(ctx context.Context, repo string) (path, flat bool, err error) {
	if path, err = f.recorded(ctx, repo, LayoutPath); err != nil {
		return false, false, err
	}
	if flat, err = f.recorded(ctx, repo, LayoutFlat); err == nil && flat && !path {
		path, err = f.recorded(ctx, repo, LayoutPath)
	}
	return path, flat, err
}

func (f *FS) recorded(ctx context.Context, repo, name string) (bool, error) {
	r, err := f.repository(repo)
	if err != nil {
		return false, err
	}
	_, data, err := r.fetchManifest(ctx, recordPrefix+name)
	if errors.Is(err, errAbsent) {
		return false, nil
	}
	if err != nil {
		return false, failure(err, "fetch manifest %s in %s", recordPrefix+name, repo)
	}
	return parse(directory{repo: repo}, recordPrefix+name, data).kind != kindTombstone, nil
}

// layoutOfContent says which layout the directories of a drive have; empty: there are none, or of both.
func (f *FS) layoutOfContent(ctx context.Context, repo string) (string, error) {
	tags, err := f.allTags(ctx, repo)
	if err != nil {
		return "", failure(err, "list tags of %s", repo)
	}
	byPath, flat := directory{repo: repo}, directory{repo: repo, flat: true}
	found := map[string]bool{}
	for _, tag := range tags {
		if _, kind := byPath.nameOf(tag); kind == tagDirectory {
			found[LayoutPath] = true
		}
		if _, kind := flat.nameOf(tag); kind == tagDirectory || keyOf(tag) != "" {
			found[LayoutFlat] = true
		}
	}
	if len(found) > 1 {
		return "", &LayoutError{Repository: repo}
	}
	for name := range found {
		return name, nil
	}
	return "", nil
}
