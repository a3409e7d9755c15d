package cache

import (
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// linkFile gives an open file a name, also one that has none (O_TMPFILE). One whose only name was removed cannot be
// given another.
func linkFile(file *os.File, name string) error {
	c, err := file.SyscallConn()
	if err != nil {
		return err
	}
	to, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	const atCwd, atSymlinkFollow = -0x64, 0x400 // linux/fcntl.h
	cwd := atCwd
	var errno syscall.Errno
	err = c.Control(func(fd uintptr) {
		from, _ := syscall.BytePtrFromString(descriptorName(fd))
		_, _, errno = syscall.Syscall6(syscall.SYS_LINKAT, uintptr(cwd), uintptr(unsafe.Pointer(from)),
			uintptr(cwd), uintptr(unsafe.Pointer(to)), atSymlinkFollow, 0)
	})
	if err == nil && errno != 0 {
		err = &os.LinkError{Op: "linkat", Old: file.Name(), New: name, Err: errno}
	}
	return err
}

// reopen gives another descriptor of an open file, with an offset of its own.
func reopen(file *os.File) (own *os.File, err error) {
	c, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	if e := c.Control(func(fd uintptr) { own, err = os.Open(descriptorName(fd)) }); e != nil {
		return nil, e
	}
	return own, err
}

func descriptorName(fd uintptr) string { return "/proc/self/fd/" + strconv.FormatUint(uint64(fd), 10) }
