package foreign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// An item is a member of a folder, as far as it is known without asking.
type item struct {
	Entry
	ask   func(context.Context, *Entry) error    // completes the entry; nil: it is complete
	enter func(context.Context) (*folder, error) // of a directory
}

// errNone is what ask and enter give if there is no such item after all.
var errNone = errors.New("there is none")

// A folder is a directory of a view, sorted by name. Looking up a name costs what that name needs, listing what all need.
type folder struct{ items []item }

func newFolder(items []item) *folder {
	slices.SortFunc(items, func(a, b item) int { return strings.Compare(a.Name, b.Name) })
	return &folder{items}
}

func (f *folder) find(name string) (item, bool) {
	i, ok := slices.BinarySearchFunc(f.items, norm.NFC.String(name), func(i item, name string) int {
		return strings.Compare(i.Name, name)
	})
	if !ok {
		return item{}, false
	}
	return f.items[i], true
}

// list describes all members.
func (f *folder) list(ctx context.Context) ([]Entry, error) {
	all := make([]Entry, 0, len(f.items))
	for _, i := range f.items {
		switch e, err := i.describe(ctx); {
		case err == nil:
			all = append(all, e)
		case !errors.Is(err, errNone):
			return nil, err
		}
	}
	return all, nil
}

func (i item) describe(ctx context.Context) (Entry, error) {
	var err error
	if i.ask != nil {
		err = i.ask(ctx, &i.Entry)
	}
	return i.Entry, err
}

// find walks from i to what is at a path below it.
func (i item) find(ctx context.Context, path string) (item, error) {
	if path == "" {
		return i, nil
	}
	for name := range strings.SplitSeq(path, "/") {
		if i.enter == nil {
			return item{}, errNone
		}
		f, err := i.enter(ctx)
		if err != nil {
			return item{}, err
		}
		member, ok := f.find(name)
		if !ok {
			return item{}, errNone
		}
		i = member
	}
	return i, nil
}

// failed wraps an error of the Source. That the registry does not have something is a failure here: absent is only what
// the view has no name for.
func failed(err error, format string, args ...any) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("it is not in the registry (%v)", err)
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
