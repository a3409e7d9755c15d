package integration

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// registry is a docker-registry of its own process.
type registry struct {
	*process
	address string // host:port
	dir     string // of its configuration and storage
}

// The log level is info because the chosen port is said at that level.
const registryConfig = `version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: %t}
  redirect: {disable: true}
http: {addr: "127.0.0.1:0", relativeurls: true, secret: integration}
`

// startRegistry starts docker-registry on a new directory; it is killed when the test ends, after the drives on it. more is
// added to its configuration.
func startRegistry(t testing.TB, deletion bool, more ...string) *registry {
	t.Helper()
	program := need(t, "docker-registry")
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf(registryConfig, filepath.Join(dir, "storage"), deletion) + strings.Join(more, "")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &registry{process: startProcess(t, dir, environment(dir), program, "serve", config), dir: dir}
	t.Cleanup(func() { r.kill() }) // the process of that time
	r.address = r.waitLine(t, "listening on ")
	r.waitAnswer(t)
	return r
}

// restart starts the registry again after its end, on the same port and directory.
func (r *registry) restart(t testing.TB) {
	t.Helper()
	config := filepath.Join(r.dir, "config.yml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("127.0.0.1:0"), []byte(r.address), 1)
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	r.process = startProcess(t, r.dir, environment(r.dir), need(t, "docker-registry"), "serve", config)
	r.waitAnswer(t)
}

func (r *registry) waitAnswer(t testing.TB) {
	t.Helper()
	eventually(t, startLimit, "docker-registry does not answer", func() bool {
		resp, err := http.Get("http://" + r.address + "/v2/")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusUnauthorized
	})
}

// ref is what --registry takes for the drive's root.
func (r *registry) ref() string { return "http://" + r.address + "/" + testPrefix }

// testPrefix is the drive's root in external registries.
const testPrefix = "team/files"

// backend is a registry to put a drive on.
type backend struct {
	name     string
	registry *registry // nil is the embedded one
	flags    []string  // of every drive on it
}

// embedded says whether the registry is the drive's own.
func (b backend) embedded() bool { return b.registry == nil }

// drive prepares a drive on the backend without starting it.
func (b backend) drive(t testing.TB, args ...string) *drive {
	t.Helper()
	args = append(slices.Clone(b.flags), args...)
	if b.embedded() {
		return newDrive(t, args...)
	}
	return newDrive(t, append([]string{"--registry", b.registry.ref()}, args...)...)
}

// start starts a drive on the backend.
func (b backend) start(t testing.TB, args ...string) *drive {
	t.Helper()
	d := b.drive(t, args...)
	d.start()
	return d
}

// Names of the backends.
const (
	onEmbedded = "embedded"
	onDeleting = "docker-registry"
	onKeeping  = "docker-registry-without-deletion"
)

// eachBackend runs the test on every kind of registry that there is a program for, each with a fresh one.
func eachBackend(t *testing.T, test func(t *testing.T, b backend)) {
	t.Run(onEmbedded, func(t *testing.T) {
		t.Parallel()
		test(t, backend{name: onEmbedded})
	})
	for name, deletion := range map[string]bool{onDeleting: true, onKeeping: false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, backend{name: name, registry: startRegistry(t, deletion)})
		})
	}
}

// eachRegistry runs the test on one registry of each kind, where the ways to remove a tag make no difference.
func eachRegistry(t *testing.T, test func(t *testing.T, b backend)) {
	t.Run(onEmbedded, func(t *testing.T) {
		t.Parallel()
		test(t, backend{name: onEmbedded})
	})
	t.Run(onDeleting, func(t *testing.T) {
		t.Parallel()
		test(t, backend{name: onDeleting, registry: startRegistry(t, true)})
	})
}

// eachLayout is eachBackend, and on some of them once more with the whole tree in one repository.
func eachLayout(t *testing.T, test func(t *testing.T, b backend)) {
	eachBackend(t, test)
	flat := []string{"--layout", "flat"}
	t.Run(onEmbedded+"-flat", func(t *testing.T) {
		t.Parallel()
		test(t, backend{name: onEmbedded, flags: flat})
	})
	t.Run(onKeeping+"-flat", func(t *testing.T) {
		t.Parallel()
		test(t, backend{name: onKeeping, registry: startRegistry(t, false), flags: flat})
	})
}
