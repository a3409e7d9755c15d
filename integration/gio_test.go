package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// gioScript does by gio what GNOME's file manager and its programs do; $D is the drive.
const gioScript = `
gio mount "$D/"
gio list "$D/"
gio mkdir "$D/box"
gio copy big "$D/box/big"
echo first | gio save "$D/box/text"
gio cat "$D/box/text"
echo second, longer | gio save "$D/box/text"
echo third | gio save --append "$D/box/text" && exit 1 # gvfs cannot, and must not replace it
echo fourth | gio save --create "$D/box/text" && exit 1
gio cat "$D/box/text"
gio rename "$D/box/text" "two words & März.txt"
gio copy "$D/box/big" "$D/box/copied"
gio move "$D/box/two%20words%20&%20M%C3%A4rz.txt" "$D/box/moved text"
gio move "$D/box/copied" big-again
gio copy "$D/box/big" big-copied
gio mkdir "$D/deep" "$D/deep/er" "$D/deep/er/est"
gio copy big "$D/deep/er/est/big"
gio info "$D/box/big"
gio tree "$D/"
gio remove "$D/deep/er/est/big" "$D/deep/er/est"
gio rename "$D/deep/er" renamed
gio remove "$D/none" && exit 1
gio cat "$D/none" && exit 1
gio list "$D/box"
gio mount --unmount "$D/"
echo all done
`

// TestGio works on a drive by gvfs, with a session bus of its own.
func TestGio(t *testing.T) {
	need(t, "gio")
	program := need(t, "dbus-run-session")
	if _, err := os.Stat("/usr/libexec/gvfsd-dav"); err != nil && required() {
		t.Fatalf("gvfs-backends is not installed, and OCIDAV_INTEGRATION=required: %v", err)
	} else if err != nil {
		t.Skip(err)
	}
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		dir := t.TempDir()
		big := random(3 << 20)
		if err := os.WriteFile(filepath.Join(dir, "big"), big, 0o600); err != nil {
			t.Fatal(err)
		}
		runtime, err := os.MkdirTemp("", "gvfs") // sockets want short paths
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(runtime) })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		// When the script ends, so does the bus, and with it what it has started.
		cmd := exec.CommandContext(ctx, program, "--", "sh", "-e", "-c", gioScript)
		cmd.Dir, cmd.WaitDelay = dir, 10*time.Second
		cmd.Env = environment(d.home, "D="+strings.Replace(d.url, "http:", "dav:", 1), "XDG_RUNTIME_DIR="+runtime,
			"GVFS_DISABLE_FUSE=1", "GVFS_REMOTE_VOLUME_MONITOR_IGNORE=1", "GIO_USE_VOLUME_MONITOR=unix", "LC_ALL=C.UTF-8")
		var said strings.Builder
		var log buffer
		cmd.Stdout, cmd.Stderr = &said, &log
		if err := cmd.Run(); err != nil {
			t.Fatalf("gio: %v\n%s\n%s", err, said.String(), tail(log.String(), 20))
		}
		contains(t, said.String(), "first\n", "second, longer\n", "display name: big\n", "size:  3145728\n",
			"etag::value: \"", "|-- big", "`-- moved text", "est", "big\nmoved text\n", "all done\n")
		for _, name := range []string{"big-again", "big-copied"} {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !slices.Equal(got, big) {
				t.Errorf("%s has %d bytes, want %d (%v)", name, len(got), len(big), err)
			}
		}
		d.want("/box/big", big)
		d.want("/box/moved text", []byte("second, longer\n"))
		for name, want := range map[string][]string{
			"/": {"box", "deep"}, "/box": {"big", "moved text"}, "/deep": {"renamed"}, "/deep/renamed": nil,
		} {
			if got := d.names(name); !slices.Equal(got, want) {
				t.Errorf("%s has %q, want %q", name, got, want)
			}
		}
	})
}
