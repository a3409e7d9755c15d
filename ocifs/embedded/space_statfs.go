//go:build !noembed && (darwin || freebsd || linux)

package embedded

import "syscall"

// Space tells how many bytes this process may still write to the file system of the data directory, and how many are
// taken there, by whatever. Negative: it cannot be told.
func (r *Registry) Space() (available, used int64) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(r.path, &s); err != nil {
		r.journal.log.Warn("the space of the data directory is not known", "error", err)
		return -1, -1
	}
	size := int64(s.Bsize)
	return int64(s.Bavail) * size, int64(s.Blocks-s.Bfree) * size
}
