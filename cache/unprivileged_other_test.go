//go:build !linux

package cache

import (
	"os"
	"testing"
)

func unprivileged(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere")
	}
}
