package cache

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
)

// The places in the directory, and what is put after a blob's name for that of its map.
const (
	blobsFolder     = "blobs"
	manifestsFolder = "manifests"
	partialFolder   = "partial"
	incomingFolder  = "incoming"
	lockName        = "lock"
	sumsSuffix      = ".crc"
)

// errShared: another process has the directory.
var errShared = errors.New("another process uses the directory")

// directory is the names in the cache's directory.
type directory struct {
	root   string
	locked *os.File // nil where there are no locks
	serial atomic.Int64
}

// prepare makes the folders, takes the lock and removes what a crash has left.
func (d *directory) prepare() error {
	if err := os.MkdirAll(d.root, 0o700); err != nil {
		return err
	}
	var err error
	if d.locked, err = lockFile(filepath.Join(d.root, lockName)); err != nil {
		return err
	}
	for _, folder := range []string{blobsFolder, manifestsFolder, partialFolder, incomingFolder} {
		if err := os.MkdirAll(filepath.Join(d.root, folder), 0o700); err != nil {
			return err
		}
	}
	left, err := filepath.Glob(filepath.Join(d.root, incomingFolder, "blob-*"))
	if err != nil {
		return err
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// readOnly says whether err is that of a file system that takes no writes.
func readOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// close lets another process have the directory.
func (d *directory) close() {
	if d.locked != nil {
		d.locked.Close()
	}
}

// receive has a file made under a new name in incoming, which is made again if somebody has removed it.
func (d *directory) receive(make func(name string) error) (name string, err error) {
	name = filepath.Join(d.root, incomingFolder, "blob-"+strconv.FormatInt(d.serial.Add(1), 10))
	err = make(name)
	if errors.Is(err, fs.ErrNotExist) {
		if e := os.MkdirAll(filepath.Dir(name), 0o700); e != nil {
			return "", e
		}
		err = make(name)
	}
	return name, err
}

func (d *directory) path(folder string, blob digest.Digest) string {
	algorithm, hex, _ := strings.Cut(string(blob), ":")
	const sep = string(filepath.Separator)
	return d.root + sep + folder + sep + algorithm + sep + hex[:2] + sep + hex
}

// digestOf reads path's result back.
func (d *directory) digestOf(folder, path string) (digest.Digest, bool) {
	rel, err := filepath.Rel(filepath.Join(d.root, folder), path)
	if err != nil {
		return "", false
	}
	blob := digest.NewDigestFromEncoded(digest.Algorithm(filepath.Dir(filepath.Dir(rel))), filepath.Base(rel))
	return blob, blob.Validate() == nil && d.path(folder, blob) == path
}

// unlink removes a blob and its map. That there is none is no error.
func (d *directory) unlink(folder string, blob digest.Digest) error {
	path := d.path(folder, blob)
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if e := os.Remove(path + sumsSuffix); !errors.Is(e, fs.ErrNotExist) {
		err = cmp.Or(err, e)
	}
	return err
}

// found is a blob's file.
type found struct {
	folder          string
	digest          digest.Digest
	size, allocated int64 // allocated with the map
	modified        time.Time
}

// scan finds the blobs, the oldest first. Maps without a blob, and partial blobs without a map, are of no use and removed.
func (d *directory) scan() []found {
	var all []found
	for _, folder := range []string{blobsFolder, manifestsFolder, partialFolder} {
		_ = filepath.WalkDir(filepath.Join(d.root, folder), func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil // what cannot be read is not ours
			}
			blob, ours := d.digestOf(folder, strings.TrimSuffix(path, sumsSuffix))
			if !ours {
				return nil
			}
			if strings.HasSuffix(path, sumsSuffix) {
				if _, err := os.Lstat(strings.TrimSuffix(path, sumsSuffix)); errors.Is(err, fs.ErrNotExist) {
					_ = os.Remove(path)
				}
				return nil
			}
			i, err := e.Info()
			if err != nil {
				return nil
			}
			f := found{folder: folder, digest: blob, size: i.Size(), allocated: allocated(i), modified: i.ModTime()}
			if m, err := os.Stat(path + sumsSuffix); err == nil {
				f.allocated += allocated(m)
			} else if folder == partialFolder {
				_ = os.Remove(path)
				return nil
			}
			all = append(all, f)
			return nil
		})
	}
	slices.SortFunc(all, byAge)
	return all
}

func byAge(a, b found) int {
	return cmp.Or(a.modified.Compare(b.modified), cmp.Compare(a.digest, b.digest))
}
