//go:build unix && !solaris && !aix

package cache

import (
	"io/fs"
	"os"
	"syscall"
)

// lockFile takes path as this process's alone; errShared if another has it. It ends with the process.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if err == syscall.EWOULDBLOCK {
			return nil, errShared
		}
		return nil, nil // a file system without locks: nothing can be said
	}
	return f, nil
}

// allocated is what a file takes on the disk.
func allocated(i fs.FileInfo) int64 {
	if s, ok := i.Sys().(*syscall.Stat_t); ok {
		return int64(s.Blocks) * 512
	}
	return i.Size()
}
