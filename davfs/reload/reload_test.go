//go:build unix

package reload

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestFiles: a change is told once, whatever kind it is of, and not before the next look.
func TestFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	f := Watch(filepath.Join(t.TempDir(), "never"), name)
	for i, change := range []func() error{
		func() error { return os.WriteFile(name, []byte("new"), 0o600) },
		func() error { return os.WriteFile(name, []byte("longer"), 0o600) },
		func() error { return os.Chtimes(name, time.Time{}, time.Unix(1e9, 0)) },
		func() error { return os.Remove(name) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if f.Changed() {
			t.Errorf("change %d is seen at once", i)
		}
		f.looked = time.Now().Add(-lookAgain)
		if !f.Changed() {
			t.Errorf("change %d is not seen", i)
		}
		f.looked = time.Now().Add(-lookAgain)
		if f.Changed() {
			t.Errorf("change %d is seen twice", i)
		}
	}
}

// TestHangup: a SIGHUP to the process reaches all that is to be read anew.
func TestHangup(t *testing.T) {
	called := make(chan int, 2)
	OnHangup(t.Context(), func() { called <- 1 }, func() { called <- 2 })
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if a, b := <-called, <-called; a != 1 || b != 2 {
		t.Errorf("%d, %d", a, b)
	}
}
