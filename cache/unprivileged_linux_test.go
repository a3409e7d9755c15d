package cache

import (
	"os"
	"syscall"
	"testing"
)

// unprivileged takes root's rights away from this process until the test ends. Tests of this package run one by one.
func unprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		return
	}
	if err := syscall.Setresuid(-1, 65534, -1); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setresuid(-1, 0, -1); err != nil {
			t.Fatal(err)
		}
	})
}
