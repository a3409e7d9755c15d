//go:build !noembed

package embedded

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"
)

// sweepAtOnce is how many things are removed while writers are held: some 10 ms of work.
const sweepAtOnce = 64

// kind is what a doomed thing is.
type kind int

const (
	blobContent kind = iota // the file, in a directory of its own; so are the next two
	revision
	layer
	emptyDirectory // with nothing in it, in a directory that may have nothing else
	tagHistory     // a directory with all that is in it; so is the next
	upload         //
	temporaryFile  // a killed process's
)

// doomed is one thing that is to be removed, unless somebody has used it since it was looked at.
type doomed struct {
	kind   kind
	path   string
	digest digest.Digest // of the first three kinds
}

// batch is what is removed together.
type batch struct {
	c      *collection
	things []doomed
	kept   func(doomed) // told of each thing that stays, if it is not nil
}

func (c *collection) batch() *batch { return &batch{c: c} }

func (b *batch) add(k kind, path string, d digest.Digest) {
	b.things = append(b.things, doomed{k, path, d})
}

// look looks for the file base in dir, which is there for nothing else, and gives its path; "" if there is none. What is
// left of files that were never whole is added, and dir itself if there is nothing in it: while the gate is held nobody
// is about to put something there.
func (b *batch) look(dir, base string) (file string, err error) {
	names, err := list(dir)
	if err != nil {
		return "", err
	}
	for _, name := range names {
		switch {
		case name == base:
			file = filepath.Join(dir, name)
		case strings.HasPrefix(name, base+".") && strings.HasSuffix(name, temporary):
			b.add(temporaryFile, filepath.Join(dir, name), "")
		}
	}
	if file == "" {
		b.add(emptyDirectory, dir, "")
	}
	return file, nil
}

// remove removes what was added, a little at a time, each time with the gate held.
func (b *batch) remove(ctx context.Context) error {
	if b.c.sweeps != nil {
		b.c.sweeps(b.things)
	}
	for len(b.things) > 0 {
		n := min(sweepAtOnce, len(b.things))
		var err error
		do := func() {
			for i := 0; i < n && err == nil; i++ {
				err = b.c.remove(b.things[i], b.kept)
			}
		}
		if b.c.rules.DryRun {
			do()
		} else if e := b.c.gate.hold(ctx, do); e != nil {
			return e
		}
		if err != nil {
			return err
		}
		b.things = b.things[n:]
	}
	return nil
}

// remove removes one thing, if it is still one that nobody uses.
func (c *collection) remove(d doomed, kept func(doomed)) error {
	old, bytes, err := c.check(d)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !old:
		if kept != nil {
			kept(d)
		}
		return nil
	}
	if c.fault != nil {
		if err := c.fault(d); err != nil {
			return err
		}
	}
	if !c.rules.DryRun {
		switch d.kind {
		case emptyDirectory:
			if syscall.Rmdir(d.path) == nil {
				syscall.Rmdir(filepath.Dir(d.path))
			}
			return nil
		case tagHistory, upload:
			err = os.RemoveAll(d.path)
		default:
			if err = os.Remove(d.path); err == nil && d.digest != "" {
				syscall.Rmdir(filepath.Dir(d.path))
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	c.done.Bytes += bytes
	switch d.kind {
	case blobContent:
		c.done.Blobs++
	case revision:
		c.done.Manifests++
	case upload:
		c.done.Uploads++
	}
	return nil
}

// check says whether nobody has used a thing lately, and how many bytes of content it has.
func (c *collection) check(d doomed) (old bool, bytes int64, err error) {
	switch d.kind {
	case tagHistory, emptyDirectory:
		return true, 0, nil
	case upload:
		last, bytes, err := lastUse(d.path)
		return last.Before(c.youngUpload), bytes, err
	}
	fi, err := os.Lstat(d.path)
	if err != nil {
		return false, 0, err
	}
	if d.kind == temporaryFile {
		return true, fi.Size(), nil
	}
	if d.kind == blobContent {
		bytes = fi.Size()
	}
	return fi.ModTime().Before(c.young) && !c.gate.isNoted(d.digest), bytes, nil
}
