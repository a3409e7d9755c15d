//go:build !noembed

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
)

// list gives the names in a directory; one that is not there has none, nor has a file. A symbolic link to nothing is a
// failure: what it led to may be there again later, with all that is in it.
func list(dir string) ([]string, error) {
	f, err := os.Open(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if fi, err := os.Lstat(dir); err == nil && fi.Mode().Type() == fs.ModeSymlink {
			return nil, fmt.Errorf("%s is a link to nothing", dir)
		}
		return nil, nil
	case errors.Is(err, syscall.ENOTDIR):
		return nil, nil
	case err != nil:
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	return names, err
}

// eachName calls do for the names in a directory.
func eachName(ctx context.Context, dir string, do func(name string) error) error {
	names, err := list(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := do(name); err != nil {
			return err
		}
	}
	return nil
}

// eachDigest calls do for the directories ALGORITHM/HEX in dir.
func eachDigest(ctx context.Context, dir string, do func(d digest.Digest, dir string) error) error {
	return eachName(ctx, dir, func(algorithm string) error {
		return eachName(ctx, filepath.Join(dir, algorithm), func(hex string) error {
			d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex)
			if d.Validate() != nil {
				return nil
			}
			return do(d, filepath.Join(dir, algorithm, hex))
		})
	})
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// lastUse is when the newest file of an upload was written.
func lastUse(dir string) (t time.Time, bytes int64, err error) {
	names, err := list(dir)
	if err != nil {
		return t, 0, err
	}
	for _, name := range append(names, ".") {
		fi, err := os.Lstat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return t, 0, err
		}
		if fi.ModTime().After(t) {
			t = fi.ModTime()
		}
		if fi.Mode().IsRegular() {
			bytes += fi.Size()
		}
	}
	return t, bytes, nil
}
