//go:build !linux

package ocifs

import (
	"errors"
	"os"
)

// unnamedFile is of Linux only.
func unnamedFile(string) (*os.File, error) { return nil, errors.ErrUnsupported }
