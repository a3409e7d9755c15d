package davfs

import (
	"context"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Junk says what becomes of the files that operating systems make for themselves beside those of their users: ._* (the
// AppleDouble files of macOS), .DS_Store, Thumbs.db, ehthumbs.db and desktop.ini. A directory of such a name is
// ordinary, and so is everything else: lock files, swap files and .TemporaryItems look alike, but other people or the
// safety of a document depend on them.
type Junk string

const (
	JunkStore  Junk = "store"  // files like any other
	JunkMemory Junk = "memory" // in this process only, while there is room: gone when it ends
	JunkReject Junk = "reject" // refused, as far as they are not there already
)

// WithJunk gives t with the policy; the empty one is JunkStore, which gives t itself. Any other that is none of the
// three is a mistake of the caller, who was to look, and panics.
func WithJunk(t Tree, policy Junk) Tree {
	switch policy {
	case "", JunkStore:
		return t
	case JunkMemory:
		return newJunkMemory(t, isJunk, junkFiles{newJunkStore(junkLimits), t.Key})
	case JunkReject:
		return junkReject{t}
	}
	panic("davfs: no junk policy: " + string(policy))
}

// isJunk says whether a file of this name is junk. The names of Windows are compared as Windows does, without regard to
// case: of ASCII only, since a letter that Unicode folds to one of ASCII has more bytes.
func isJunk(name string) bool {
	base := path.Base(name)
	if strings.HasPrefix(base, "._") || base == ".DS_Store" {
		return true
	}
	for _, w := range []string{"Thumbs.db", "ehthumbs.db", "desktop.ini"} {
		if len(base) == len(w) && strings.EqualFold(base, w) {
			return true
		}
	}
	return false
}

// A junkReject takes no new junk. What the tree holds already is shown, and can be read, removed and moved away; a
// directory that holds junk is copied and moved as a whole.
type junkReject struct{ Tree }

// A junkError is an answer whose text goes to the user as it is.
type junkError struct {
	text string
	kind error
}

func (e *junkError) Error() string { return e.text }
func (e *junkError) Unwrap() error { return e.kind }

var errJunk = &junkError{"This drive does not keep the files that operating systems make for themselves.",
	fs.ErrPermission}

func (t junkReject) Put(ctx context.Context, name string, r io.Reader, o PutOptions) (fs.FileInfo, error) {
	if isJunk(name) {
		return nil, errJunk
	}
	return t.Tree.Put(ctx, name, r, o)
}

func (t junkReject) Mkdir(ctx context.Context, name string, check Check) error {
	if isJunk(name) {
		return errJunk
	}
	return t.Tree.Mkdir(ctx, name, check)
}

// PrepareCopy is Preparer's.
func (t junkReject) PrepareCopy(ctx context.Context, src, dst string) {
	prepareCopy(ctx, t.Tree, src, dst)
}

func (t junkReject) Copy(ctx context.Context, src, dst string, check Check) (fs.FileInfo, error) {
	if err := t.admit(ctx, src, dst); err != nil {
		return nil, err
	}
	return t.Tree.Copy(ctx, src, dst, check)
}

func (t junkReject) Rename(ctx context.Context, oldName, newName string, check Check) error {
	if err := t.admit(ctx, oldName, newName); err != nil {
		return err
	}
	return t.Tree.Rename(ctx, oldName, newName, check)
}

// admit refuses what would make src, a file, junk.
func (t junkReject) admit(ctx context.Context, src, dst string) error {
	if !isJunk(dst) {
		return nil
	}
	fi, err := t.Stat(ctx, src)
	if err == nil && !fi.IsDir() {
		err = errJunk
	}
	return err
}
