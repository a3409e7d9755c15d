//go:build !noembed && (darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package embedded

import (
	"errors"
	"os"
	"syscall"
)

// lockFile locks f until it is closed or the process ends, however it ends. It does not wait.
func lockFile(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errLocked
		default:
			return err
		}
	}
}
