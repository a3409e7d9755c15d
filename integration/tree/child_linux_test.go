package tree

import "syscall"

// childAttributes makes the kernel end a child whose test process dies without its cleanup, at a timeout for instance.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
