package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// davfs2Config makes davfs2 do everything at once, so that what it was told can be seen. With its default buffer the
// kernel refuses long directories.
const davfs2Config = `use_locks 1
ask_auth 0
delay_upload 0
dir_refresh 1
file_refresh 0
gui_optimize 0
buf_size 128
cache_dir %s
`

// mayMount ends the test where nothing can be mounted.
func mayMount(t *testing.T) {
	t.Helper()
	// These two are the machine's and come with no package, so they are no error where tools are required.
	if os.Geteuid() != 0 {
		t.Skip("mounting takes root")
	}
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("there is no FUSE here: %v", err)
	}
	fuse.Close()
}

// mountDrive mounts the drive by davfs2 and gives the directory and what unmounts it. The lines of config come after
// davfs2Config and win.
func mountDrive(t *testing.T, d *drive, config ...string) (dir string, unmount func()) {
	t.Helper()
	mayMount(t)
	need(t, "mount")
	need(t, "mount.davfs")
	// davfs2 keeps its cache as a user of its own, who cannot look into t.TempDir.
	cache, err := os.MkdirTemp("", "ocidav-davfs2-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(cache) })
	if err := os.Chmod(cache, 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(cache, "davfs2.conf")
	text := fmt.Sprintf(davfs2Config, cache) + strings.Join(config, "\n") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if out, err := command("mount", "-t", "davfs", "-o", "conf="+file+",uid=0,gid=0", d.url+"/", dir); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	mounted := true
	unmount = func() {
		t.Helper()
		if !mounted {
			return
		}
		mounted = false
		if out, err := command("umount", dir); err != nil { // it waits until all is uploaded
			command("umount", "-l", dir)
			t.Errorf("umount: %v\n%s", err, out)
		}
	}
	t.Cleanup(unmount)
	return dir, unmount
}

func command(name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return exec.CommandContext(ctx, name, args...).CombinedOutput()
}

// TestDavfs2 works in a mounted drive as programs do in any directory.
func TestDavfs2(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		dir, unmount := mountDrive(t, d)
		src := t.TempDir()
		copyTree(t, src, "net/url", "net/http/httputil")
		check := func(out []byte, err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		check(command("cp", "-r", filepath.Join(src, "net"), dir))
		check(command("diff", "-r", filepath.Join(src, "net"), filepath.Join(dir, "net")))

		name := filepath.Join(dir, "notes and März.txt")
		check(nil, os.WriteFile(name, []byte("first\n"), 0o600))
		check(nil, os.WriteFile(name, []byte("second, longer\n"), 0o600))
		// In the second of the upload, where davfs2 loses it if the server's entity tag then changes by itself.
		f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		check(nil, err)
		_, err = f.WriteString("third\n")
		check(nil, err)
		check(nil, f.Close())
		check(nil, os.Mkdir(filepath.Join(dir, "new"), 0o700))
		check(nil, os.Rename(name, filepath.Join(dir, "new", "moved.txt")))
		check(nil, os.Rename(filepath.Join(dir, "net", "url"), filepath.Join(dir, "url")))
		check(nil, os.RemoveAll(filepath.Join(dir, "net")))
		unmount()

		d.want("/new/moved.txt", []byte("second, longer\nthird\n"))
		d.wantAbsent("/net", "/notes and März.txt")
		want, err := os.ReadFile(filepath.Join(src, "net", "url", "url.go"))
		if err != nil {
			t.Fatal(err)
		}
		d.want("/url/url.go", want)

		dir, unmount = mountDrive(t, d)
		check(command("diff", "-r", filepath.Join(src, "net", "url"), filepath.Join(dir, "url")))
		got, err := os.ReadFile(filepath.Join(dir, "new", "moved.txt"))
		if !bytes.Equal(got, []byte("second, longer\nthird\n")) {
			t.Errorf("mounted again, the file has %q, %v", got, err)
		}
		unmount()
	})
}
