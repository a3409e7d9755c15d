package ocifs

import (
	"os"
	"syscall"
)

// oTmpfile is O_TMPFILE, which package syscall does not have.
const oTmpfile = 0x400000 | syscall.O_DIRECTORY

// unnamedFile makes a file in dir that has no name, and can be given one later. Not every file system can.
func unnamedFile(dir string) (*os.File, error) { return os.OpenFile(dir, os.O_RDWR|oTmpfile, 0o600) }
