package davfs

import (
	"context"
	"fmt"
	"io/fs"
)

// PrepareCopy is Preparer's.
func (m *junkMemory) PrepareCopy(ctx context.Context, src, dst string) {
	prepareCopy(ctx, m.tree, src, dst)
}

func (m *junkMemory) Copy(ctx context.Context, src, dst string, check Check) (fs.FileInfo, error) {
	return m.place(ctx, src, dst, check, false)
}

func (m *junkMemory) Rename(ctx context.Context, oldName, newName string, check Check) error {
	_, err := m.place(ctx, oldName, newName, check, true)
	return err
}

// place is Copy and Rename. A file that stays junk stays in memory. One that becomes something else sinks into the tree
// under its old name, where nobody sees it, and the tree then does the rest as it does for all others, in one step.
func (m *junkMemory) place(ctx context.Context, src, dst string, check Check, move bool) (fs.FileInfo, error) {
	end, err := m.take(ctx, false, src, dst)
	if err != nil {
		return nil, fmt.Errorf("wait for %s and %s: %w", src, dst, err)
	}
	defer end()
	f, err := m.find(ctx, src)
	if err != nil {
		return nil, err
	}
	if f != nil {
		if s, d := m.tree.Key(src), m.tree.Key(dst); src == dst || s == d && !move || s != d && (within(s, d) || within(d, s)) {
			return nil, fmt.Errorf("%s and %s are one, or one within the other: %w", src, dst, fs.ErrInvalid)
		}
		if m.isJunk(dst) {
			under, err := m.under(ctx, dst)
			if err != nil {
				return nil, err
			}
			if under == nil || !under.IsDir() { // a directory is the tree's to replace
				return m.placeFile(ctx, f, dst, under, check, move)
			}
		}
		if err := m.sink(ctx, f); err != nil {
			return nil, err
		}
	}

	check = about(m.files.get(dst), check)
	var fi fs.FileInfo
	if move {
		err = m.tree.Rename(ctx, src, dst, check)
	} else {
		fi, err = m.tree.Copy(ctx, src, dst, check)
	}
	if err != nil {
		return nil, err
	}
	m.files.follow(src, dst, move)
	return fi, nil
}

// placeFile is place within memory. under is the tree's file at dst.
func (m *junkMemory) placeFile(ctx context.Context, f *junkFile, dst string, under fs.FileInfo, check Check,
	move bool) (fs.FileInfo, error) {
	if err := ask(check, m.files.get(dst), under); err != nil {
		return nil, err
	}
	gone := ""
	if move {
		if err := m.unshadow(ctx, f, nil); err != nil {
			return nil, err
		}
		gone = f.name
	}
	g := f.as(dst)
	m.files.set(g, gone)
	return g, nil
}
