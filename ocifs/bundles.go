package ocifs

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// keptBundleBytes is what the bundles of one directory take on the disk at most; those that were written longest ago go
// first. A member of a directory takes about 200 bytes.
const keptBundleBytes = 256 << 20

// bundles keeps bundles of repositories in a directory of the local disk, so that a process that starts knows what the
// last one knew. Nothing is lost with them but time: a bundle that is cut short or damaged is none, and none is synced.
// A file appears by a rename, whole. Safe for concurrent use, also of several processes.
type bundles struct {
	dir   string
	host  string // of the registry, which names alone do not tell
	user  string // whose they are; nobody else's are looked at
	limit int64

	mu sync.Mutex // of prune
}

const bundleSuffix = ".bundle"

func (b *bundles) path(repo string) string {
	sum := sha256.Sum256([]byte(b.host + "/" + repo))
	if b.user != "" {
		sum = sha256.Sum256([]byte(hex.EncodeToString(sum[:]) + " of " + b.user))
	}
	return filepath.Join(b.dir, hex.EncodeToString(sum[:16])+bundleSuffix)
}

// open opens the bundle of repo, as it is in the registry too. fs.ErrNotExist: there is none.
func (b *bundles) open(repo string) (*os.File, error) {
	return os.Open(b.path(repo))
}

// read is readBundle of the bundle of repo; one that is not there has no members. A damaged one is removed.
func (b *bundles) read(repo string, each func(bundled) error) error {
	file, err := b.open(repo)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if err = readBundle(file, repo, each); errors.Is(err, errBundle) {
		_ = os.Remove(file.Name())
	}
	return err
}

// write replaces the bundle of repo. members may read the old one meanwhile.
func (b *bundles) write(repo string, members iter.Seq[bundled]) (err error) {
	temp, err := os.CreateTemp(b.dir, "new-*"+bundleSuffix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	out := bufio.NewWriter(temp)
	err = writeBundle(out, repo, members)
	if err = cmp.Or(err, out.Flush()); err != nil {
		_ = temp.Close()
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), b.path(repo)); err != nil {
		return err
	}
	return b.prune()
}

// members gives the members of the bundle of repo, as far as they can be read.
func (b *bundles) members(repo string) iter.Seq[bundled] {
	return func(yield func(bundled) bool) {
		_ = b.read(repo, untilEnough(yield))
	}
}

var errEnough = errors.New("enough")

// untilEnough gives members to yield until it wants no more.
func untilEnough(yield func(bundled) bool) func(bundled) error {
	return func(m bundled) error {
		if !yield(m) {
			return errEnough
		}
		return nil
	}
}

// keep makes a bundle that comes from somewhere else the one of repo, if it is good.
func (b *bundles) keep(repo string, r io.Reader) error {
	var bad error
	err := b.write(repo, func(yield func(bundled) bool) {
		bad = readBundle(r, repo, untilEnough(yield))
	})
	if bad != nil {
		b.drop(repo)
	}
	return cmp.Or(err, bad)
}

func (b *bundles) drop(repo string) { _ = os.Remove(b.path(repo)) }

// prune removes the oldest bundles until the rest is within the limit, and what a killed process left unfinished.
func (b *bundles) prune() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	var files []fs.FileInfo
	total := int64(0)
	for _, e := range entries {
		i, err := e.Info()
		if err != nil || filepath.Ext(e.Name()) != bundleSuffix || !i.Mode().IsRegular() {
			continue // gone meanwhile, or not ours
		}
		if unfinished, _ := filepath.Match("new-*", i.Name()); unfinished {
			if time.Since(i.ModTime()) > time.Hour {
				_ = os.Remove(filepath.Join(b.dir, i.Name()))
			}
			continue
		}
		files = append(files, i)
		total += i.Size()
	}
	slices.SortFunc(files, func(x, y fs.FileInfo) int { return x.ModTime().Compare(y.ModTime()) })
	for _, i := range files {
		if total <= b.limit {
			break
		}
		if err := os.Remove(filepath.Join(b.dir, i.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove an old bundle: %w", err)
		}
		total -= i.Size()
	}
	return nil
}
