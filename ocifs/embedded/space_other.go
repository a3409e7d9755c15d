//go:build !noembed && !(darwin || freebsd || linux)

package embedded

// Space cannot tell on this system.
func (r *Registry) Space() (available, used int64) { return -1, -1 }
