package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
)

// Upkeep is a cache's directory in the hands of one who looks after it, while no process uses it as a cache. What the next
// New would clear away is cleared away.
type Upkeep struct{ directory }

// Count is a number of files, blobs or manifests, and what they take on the disk with their maps.
type Count struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

func (c *Count) add(f found) {
	c.Files++
	c.Bytes += f.allocated
}

// Usage is what a directory has.
type Usage struct {
	Blobs     Count     `json:"blobs"`   // whole ones
	Partial   Count     `json:"partial"` // blobs of which some blocks are there
	Manifests Count     `json:"manifests"`
	Bytes     int64     `json:"bytes"`           // of all
	Oldest    time.Time `json:"oldest,omitzero"` // when that was used which has not been for longest, to ten minutes
}

// Verified is what Upkeep.Verify has found.
type Verified struct {
	Good    Count           `json:"good"`
	Damaged []digest.Digest `json:"damaged"` // and removed
	Maps    int             `json:"maps"`    // removed for their sums, not the blob: it is hashed when it is opened next
}

// OpenUpkeep takes the directory, which has to be a cache's. One that a process uses is an error, and not touched; so is
// any where there are no locks to tell.
func OpenUpkeep(dir string) (*Upkeep, error) {
	u := &Upkeep{directory{root: dir}}
	for _, name := range []string{lockName, blobsFolder} { // prepare would make them
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("there is no cache in %s: %w", dir, err)
		}
	}
	if err := u.prepare(); err != nil {
		u.close()
		return nil, fmt.Errorf("cache directory %s: %w", dir, err)
	}
	if u.locked == nil {
		return nil, fmt.Errorf("cache directory %s: no locks here tell whether a process uses it", dir)
	}
	return u, nil
}

// OpenWhole opens a blob or manifest that is whole in a cache's directory, whoever uses that. It is as it lies there: what
// has become of it on the disk is the caller's to find out. fs.ErrNotExist: it is not there.
func OpenWhole(dir string, d digest.Digest) (*os.File, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	in := directory{root: dir}
	f, err := os.Open(in.path(blobsFolder, d))
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(in.path(manifestsFolder, d))
	}
	return f, err
}

// Close lets others have the directory.
func (u *Upkeep) Close() { u.close() }

// Usage counts what is there.
func (u *Upkeep) Usage() Usage {
	var s Usage
	for _, f := range u.scan() { // the oldest first
		if s.Oldest.IsZero() {
			s.Oldest = f.modified
		}
		s.Bytes += f.allocated
		switch f.folder {
		case blobsFolder:
			s.Blobs.add(f)
		case partialFolder:
			s.Partial.add(f)
		default:
			s.Manifests.add(f)
		}
	}
	return s
}

// Prune removes what was last used before that time, and then the least recently used until all takes no more than
// maxBytes. It gives what it has removed.
func (u *Upkeep) Prune(maxBytes int64, before time.Time) (Count, error) {
	var removed Count
	all, left := u.scan(), int64(0)
	for _, f := range all {
		left += f.allocated
	}
	for _, f := range all {
		if left <= maxBytes && !f.modified.Before(before) {
			break // the others are younger
		}
		if err := u.unlink(f.folder, f.digest); err != nil {
			return removed, fmt.Errorf("remove blob %s: %w", f.digest, err)
		}
		removed.add(f)
		left -= f.allocated
	}
	return removed, nil
}

// Verify hashes what is whole and removes what does not have its digest. What cannot be read for lack of rights or for a
// context that ends is an error and stays.
func (u *Upkeep) Verify(ctx context.Context) (Verified, error) {
	v := Verified{Damaged: []digest.Digest{}}
	for _, f := range u.scan() {
		if f.folder == partialFolder {
			continue // its sums are looked at when it is read, its digest when it is whole
		}
		sums, err := u.hash(ctx, f)
		switch {
		case ctx.Err() != nil:
			return v, ctx.Err()
		case errors.Is(err, fs.ErrPermission):
			return v, fmt.Errorf("verify blob %s: %w", f.digest, err)
		case err != nil: // errDamaged, or a disk that cannot read it
			if err := u.unlink(f.folder, f.digest); err != nil {
				return v, fmt.Errorf("remove blob %s: %w", f.digest, err)
			}
			v.Damaged = append(v.Damaged, f.digest)
			continue
		}
		v.Good.add(f)
		name := u.path(f.folder, f.digest) + sumsSuffix
		if kept, err := os.ReadFile(name); err == nil && !bytes.Equal(kept, encodeSums(f.size, sums)) {
			if err := os.Remove(name); err != nil {
				return v, fmt.Errorf("remove the map of blob %s: %w", f.digest, err)
			}
			v.Maps++
		}
	}
	return v, nil
}

// hash gives the sums of a file's blocks; errDamaged if it does not have its digest.
func (u *Upkeep) hash(ctx context.Context, f found) ([]uint32, error) {
	file, err := os.Open(u.path(f.folder, f.digest))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	buf := takeBuffer()
	defer buf.give()
	var sums []uint32
	verifier := f.digest.Verifier()
	for {
		n, err := io.ReadFull(contextReader{ctx, file}, buf.bytes)
		if n > 0 {
			verifier.Write(buf.bytes[:n])
			sums = append(sums, checksum(buf.bytes[:n]))
		}
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			if !verifier.Verified() {
				return nil, errDamaged
			}
			return sums, nil
		case err != nil:
			return nil, err
		}
	}
}
