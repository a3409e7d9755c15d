//go:build !noembed

package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	lockName    = "ocidav.lock"
	secretName  = "ocidav.secret"
	secretBytes = 32
)

// errLocked is what lockFile says of a file that another open file description has locked.
var errLocked = errors.New("locked")

// directory is a data directory that this process has for itself.
type directory struct {
	path   string
	secret string
	lock   io.Closer
}

// openDirectory makes dir if need be, locks it, and checks that it can hold a registry. foldsCase tells whether the
// file system of a directory ignores case.
func openDirectory(dir string, foldsCase func(dir string) (bool, error)) (d directory, err error) {
	if dir == "" {
		return d, errors.New("open data directory: no name given")
	}
	// The library falls back to a directory of its own for some names, and a later chdir must not matter.
	if d.path, err = filepath.Abs(dir); err != nil {
		return d, fmt.Errorf("open data directory %s: %w", dir, err)
	}
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return d, fmt.Errorf("make data directory %s: %w", dir, reason(err))
	}
	f, err := os.OpenFile(filepath.Join(d.path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return d, fmt.Errorf("data directory %s is not writable: %w", dir, reason(err))
	}
	d.lock = f
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	switch err := lockFile(f); {
	case errors.Is(err, errLocked):
		return d, fmt.Errorf("data directory %s is %w", dir, ErrInUse)
	case err != nil:
		return d, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	folds, err := foldsCase(d.path)
	if err != nil {
		return d, fmt.Errorf("data directory %s is not writable: %w", dir, reason(err))
	}
	if folds {
		return d, fmt.Errorf("data directory %s is on a file system that ignores the case of names, "+
			"where the files A and a would become one: put it on a case-sensitive one", dir)
	}
	if left, err := filepath.Glob(filepath.Join(d.path, "ocidav-probe-*")); err == nil { // of a process killed right there
		for _, name := range left {
			os.Remove(name)
		}
	}
	if d.secret, err = readSecret(d.path); err != nil {
		return d, fmt.Errorf("data directory %s: %w", dir, err)
	}
	return d, nil
}

// reason is err without the operation and the path, which the message has already.
func reason(err error) error {
	if p := (*os.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// ignoresCase makes a file and looks for it under the same name in capitals.
func ignoresCase(dir string) (bool, error) {
	f, err := os.CreateTemp(dir, "ocidav-probe-*")
	if err != nil {
		return false, err
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return false, err
	}
	_, err = os.Lstat(filepath.Join(dir, strings.ToUpper(filepath.Base(f.Name()))))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// readSecret gives the secret of the directory, and makes one if there is none that is whole.
func readSecret(dir string) (string, error) {
	name := filepath.Join(dir, secretName)
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read secret: %w", err)
	}
	if text := strings.TrimSpace(string(b)); len(text) >= hex.EncodedLen(secretBytes) {
		return text, nil
	}
	random := make([]byte, secretBytes)
	rand.Read(random)
	text := hex.EncodeToString(random)
	if err := os.WriteFile(name+".tmp", []byte(text+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write secret: %w", err)
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return "", fmt.Errorf("write secret: %w", err)
	}
	return text, nil
}
