package cache

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// readWhole reads a small blob that is pinned.
func (s *store) readWhole(e *entry, desc ocispec.Descriptor) ([]byte, error) {
	file, err := os.Open(s.path(e.account.folder, e.digest))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data := make([]byte, desc.Size+1) // one more than there should be
	n, err := io.ReadFull(file, data)
	if err != io.ErrUnexpectedEOF && err != io.EOF || int64(n) != desc.Size {
		return nil, fmt.Errorf("it has another size: %w", errDamaged)
	}
	return data[:n], nil
}

// write takes in a blob whose room is reserved; it is the entry's then. If it fails, the room is still reserved. A large
// blob's sums come with it.
func (s *store) write(desc ocispec.Descriptor, r io.Reader) error {
	var file *os.File
	name, err := s.receive(func(name string) (err error) { file, err = s.create(name); return err })
	if err != nil {
		return err
	}
	sums, err := s.fill(file, desc, r)
	if e := file.Close(); err == nil {
		err = e // some file systems tell of a full disk only now
	}
	if err == nil {
		err = s.keep(desc, name, sums, nil)
	}
	if err != nil {
		_ = os.Remove(name)
	}
	return err
}

func (s *store) fill(file *os.File, desc ocispec.Descriptor, r io.Reader) (sums []uint32, err error) {
	v := desc.Digest.Verifier()
	block := make([]byte, min(desc.Size+1, blockBytes)) // one more than there should be
	for offset := int64(0); ; {
		n, err := io.ReadFull(r, block)
		if n > 0 {
			if _, err := s.writeAt(file, block[:n], offset); err != nil {
				return nil, err
			}
			v.Write(block[:n])
			sums = append(sums, checksum(block[:n]))
			offset += int64(n)
		}
		switch {
		case offset > desc.Size:
			return nil, fmt.Errorf("blob %s: %w", desc.Digest, errDamaged)
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			if offset != desc.Size || !v.Verified() {
				return nil, fmt.Errorf("blob %s: %w", desc.Digest, errDamaged)
			}
			return sums, nil
		case err != nil:
			return nil, err
		}
	}
}

// keep makes an entry of a verified file, and of its reserved room. A large blob without sums gets them later, and is
// prepared before others see it.
func (s *store) keep(desc ocispec.Descriptor, name string, sums []uint32, prepare func(*entry)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accountOf(desc)
	if e, ok := a.kept.Peek(desc.Digest); ok {
		if !e.partial || e.users > 0 { // it has come, or is about to
			a.used -= chargeOf(desc, desc.Size)
			return os.Remove(name)
		}
		s.removeLocked(e)
	}
	path := s.path(a.folder, desc.Digest)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	e := &entry{digest: desc.Digest, account: a, size: desc.Size, charge: chargeOf(desc, desc.Size), stamped: time.Now()}
	if sums != nil && !isSmall(desc) {
		if err := os.WriteFile(path+sumsSuffix, encodeSums(desc.Size, sums), 0o600); err != nil {
			_ = os.Remove(path + sumsSuffix)
			return err
		}
	}
	if err := os.Rename(name, path); err != nil {
		_ = os.Remove(path + sumsSuffix)
		return err
	}
	if prepare != nil {
		prepare(e)
	}
	a.kept.Add(desc.Digest, e)
	return nil
}

// complete moves a partial blob, verified now, to its place.
func (s *store) complete(e *entry, desc ocispec.Descriptor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rechargeLocked(e, chargeOf(desc, desc.Size))
	if e.gone || !e.partial {
		return nil
	}
	from, to := s.path(partialFolder, e.digest), s.path(e.account.folder, e.digest)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	e.partial = false
	// Without its map, should this fail or the process end here, the blob is hashed when it is opened next.
	return os.Rename(from+sumsSuffix, to+sumsSuffix)
}

// openFiles opens a large blob's file and its map.
func (s *store) openFiles(e *entry) (file, sums *os.File, err error) {
	s.mu.Lock() // or else it could be removed, and another begin in its place
	defer s.mu.Unlock()
	if e.gone {
		return nil, nil, fs.ErrNotExist
	}
	path := s.path(e.folder(), e.digest)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, err
	}
	if file, err = s.create(path); err != nil {
		return nil, nil, err
	}
	if sums, err = s.create(path + sumsSuffix); err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, sums, nil
}

// openTrusted opens a large blob's file for one reader. Should the blob be removed meanwhile and another come to its
// place, that is whole and verified too.
func (s *store) openTrusted(e *entry) (*os.File, error) {
	s.mu.Lock()
	gone, folder := e.gone, e.folder()
	s.mu.Unlock()
	if gone {
		return nil, fs.ErrNotExist
	}
	return os.Open(s.path(folder, e.digest))
}
