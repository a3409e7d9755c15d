package integration

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// smallDisk mounts a file system of a few bytes.
func smallDisk(t *testing.T, mebibytes int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting takes root")
	}
	need(t, "mount")
	dir := t.TempDir()
	if out, err := command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mebibytes), "none", dir); err != nil {
		t.Skipf("mounting is not allowed here: %v: %s", err, out) // a container without the right
	}
	t.Cleanup(func() {
		if out, err := command("umount", dir); err != nil {
			command("umount", "-l", dir)
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// fill leaves no byte free in dir.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// TestFullCacheDisk has no room for the cache: what is there can be read, and what cannot be stored is refused whole.
func TestFullCacheDisk(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		disk := smallDisk(t, 16)
		d := b.drive(t)
		d.cache = filepath.Join(disk, "cache")
		d.start()
		small, large := random(3000), random(4<<20)
		d.put("/small", small)
		d.put("/large", large)
		d.stop()
		if err := os.RemoveAll(d.cache); err != nil {
			t.Fatal(err)
		}
		d.start()
		fill(t, disk)
		for range 2 {
			d.want("/small", small)
			d.want("/large", large)
		}
		before := d.tree("/")
		for _, name := range []string{"/large", "/new"} {
			a := d.try(http.MethodPut, name, random(5<<20))
			switch {
			case a.status == http.StatusInsufficientStorage:
			case b.embedded() && a.status/100 == 2: // it has room of its own
				before[name] = d.tree("/")[name]
			default:
				t.Errorf("PUT %s with a full cache disk: %v, want 507", name, a)
			}
		}
		d.wantTree("/", before)
		d.put("/tiny", []byte("in memory"))
		d.want("/tiny", []byte("in memory"))

		if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
			t.Fatal(err)
		}
		d.put("/large", small)
		d.put("/new", large)
		d.want("/large", small)
		d.want("/new", large)
	})
}

// TestFullDataDisk has no room for the embedded registry.
func TestFullDataDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 24)
	d := newDrive(t, "--log-level", "debug")
	d.data = filepath.Join(disk, "data")
	d.start()
	d.mkcol("/d")
	content := random(3 << 20)
	d.put("/d/f", content)
	d.put("/deleted", random(5<<20))
	d.put("/d/g", nil)
	before := d.tree("/")
	fill(t, disk)
	var wg sync.WaitGroup
	for _, request := range []func() (string, answer){
		func() (string, answer) { return "PUT over a file", d.try(http.MethodPut, "/d/f", random(4<<20)) },
		func() (string, answer) {
			return "PUT over an empty file", d.try(http.MethodPut, "/d/g", random(50_000))
		},
		func() (string, answer) { return "PUT", d.try(http.MethodPut, "/d/new", random(2<<20)) },
		func() (string, answer) { return "MKCOL", d.try("MKCOL", "/d/dir", nil) },
		func() (string, answer) { return "COPY", d.try("COPY", "/d/f", nil, "Destination", d.href("/d/copy")) },
	} {
		wg.Go(func() {
			if what, a := request(); a.status != http.StatusInsufficientStorage {
				t.Errorf("%s on a full disk: %v, want 507", what, a)
			}
		})
	}
	wg.Wait()
	if a := d.try("MOVE", "/d", nil, "Destination", d.href("/e")); a.status != http.StatusInsufficientStorage {
		t.Errorf("MOVE on a full disk: %v, want 507", a)
	}
	d.wantTree("/", before)
	for _, never := range []string{"status=500 bytes", "trying again"} {
		if log := d.log.String(); strings.Contains(log, never) {
			t.Errorf("there is %q in the log:\n%s", never, tail(log, 20))
		}
	}
	d.crash()
	d.start()
	d.wantTree("/", before)

	// Deletion and a collection make room, on the full disk.
	d.do(http.MethodDelete, "/deleted", nil, []int{http.StatusNoContent})
	delete(before, "/deleted")
	d.wantTree("/", before)
	d.stop()
	if code, out, errs := runOcidav(t, d.program, nil, "gc", "--data", d.data); code != 0 {
		t.Fatalf("gc: exit %d: %s%s", code, out, errs)
	}
	d.start()
	d.wantTree("/", before)
	other := random(4 << 20)
	d.put("/d/new", other)
	d.want("/d/new", other)
	if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
		t.Fatal(err)
	}
	d.put("/d/f", other)
	d.want("/d/f", other)
}
