package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// drive is an ocidav that serves, with directories that outlive its process.
type drive struct {
	t       testing.TB
	program string
	args    []string
	env     []string
	data    string // of the embedded registry
	cache   string
	home    string

	*process
	url         string // of the root, without the last slash
	registryURL string // of what --registry-listen shows, without /v2/
}

// newDrive prepares a drive without starting it; args come after the ones that every drive has.
func newDrive(t testing.TB, args ...string) *drive {
	t.Helper()
	dir := t.TempDir()
	d := &drive{
		t: t, program: ocidav(t), args: args, home: filepath.Join(dir, "home"),
		data: filepath.Join(dir, "data"), cache: filepath.Join(dir, "cache"),
	}
	if err := os.Mkdir(d.home, 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

// startDrive starts a drive that is stopped when the test ends.
func startDrive(t testing.TB, args ...string) *drive {
	t.Helper()
	d := newDrive(t, args...)
	d.start()
	return d
}

func (d *drive) start() {
	d.t.Helper()
	d.startOnly()
	d.url = strings.TrimSuffix("http://"+d.waitLine(d.t, "\nserving http://"), "/")
	d.registryURL = ""
	if strings.Contains(d.log.String(), "registry also at ") {
		d.registryURL = strings.TrimSuffix(d.waitLine(d.t, "registry also at "), "/v2/")
	}
}

// startOnly does not wait until the drive serves.
func (d *drive) startOnly() {
	d.t.Helper()
	first := d.process == nil
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--data", d.data, "--cache-dir", d.cache}, d.args...)
	d.process = startProcess(d.t, d.home, environment(d.home, d.env...), d.program, args...)
	if first { // before the first wait, which may end the test
		d.t.Cleanup(d.cleanup)
	}
}

// stop ends the drive by SIGTERM and expects that it takes this well.
func (d *drive) stop() {
	d.t.Helper()
	if code := d.terminate(d.t); code != 0 {
		d.t.Errorf("exit code %d after SIGTERM", code)
	}
	d.inspect()
}

// crash ends the drive by kill -9.
func (d *drive) crash() {
	d.kill()
	d.inspect()
}

func (d *drive) cleanup() {
	if d.running() {
		d.stop()
	}
	if d.t.Failed() {
		d.t.Logf("the log of the drive ends:\n%s", tail(d.log.String(), 40))
	}
}

// inspect looks for what must never be in a log.
func (d *drive) inspect() {
	log := d.log.String()
	for _, never := range []string{"DATA RACE", "panic", "superfluous", "goroutine "} {
		if _, from, ok := strings.Cut(log, never); ok {
			d.t.Errorf("the log has %q:\n%s%.4000s", never, never, from)
			return
		}
	}
}

// wantNoSpool checks that uploads which nobody waits for any more take no space. A kill between the making of a spool
// file and the removal of its name leaves a name, and nothing in it.
func (d *drive) wantNoSpool() {
	d.t.Helper()
	err := filepath.WalkDir(filepath.Join(d.cache, "spool"), func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if fi, err := e.Info(); err != nil || fi.Size() > 0 {
			d.t.Errorf("%s is left over (%v)", name, err)
		}
		return nil
	})
	if err != nil {
		d.t.Error(err)
	}
}
