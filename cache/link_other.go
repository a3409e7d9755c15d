//go:build !linux

package cache

import (
	"errors"
	"os"
)

func linkFile(*os.File, string) error { return errors.ErrUnsupported }

func reopen(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }
