//go:build !linux

package tree

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }
