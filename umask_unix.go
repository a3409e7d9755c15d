//go:build unix

package main

import "syscall"

// keepPrivate makes what this process writes its owner's alone: files and directories of the embedded registry are made by
// its storage driver, which leaves their modes to the umask.
func keepPrivate() { syscall.Umask(0o077) }
