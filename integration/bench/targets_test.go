package bench

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// client keeps as many connections as there are readers.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}

// target is a server that does the work.
type target struct {
	name string
	base string                                  // URL of the root, with a slash
	put  func(name string, content []byte) error // nil: a PUT
	url  func(name string) string                // nil: below base
	cool func() error                            // nil: nothing of it can be cold
	cmd  func() *exec.Cmd                        // its process
}

// write puts a content at a name.
func (t *target) write(name string, content []byte) error {
	if t.put != nil {
		return t.put(name, content)
	}
	return expect(http.MethodPut, t.base+name, bytes.NewReader(content), http.StatusCreated, http.StatusNoContent)
}

func (t *target) address(name string) string {
	if t.url != nil {
		return t.url(name)
	}
	return t.base + name
}

func expect(method, url string, body io.Reader, codes ...int) error {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	for _, code := range codes {
		if resp.StatusCode == code {
			return nil
		}
	}
	return fmt.Errorf("%s %s: %s", method, url, resp.Status)
}

// directory makes one of the run.
func directory(name string) (string, error) {
	dir := filepath.Join(scratch, name)
	return dir, os.MkdirAll(dir, 0o755)
}

// targets are started once, those that there are programs for.
var targets = sync.OnceValues(func() (map[string]*target, error) {
	all := map[string]*target{}
	registry, err := startRegistry()
	if err != nil {
		return nil, err
	}
	if registry != nil {
		all[registry.name] = registry
	}
	for name, start := range map[string]func() (*target, error){
		"embedded": func() (*target, error) { return startOcidav("embedded", "") },
		"over28":   func() (*target, error) { return startOver("over28", registry) },
		"cold28":   func() (*target, error) { return startOver("cold28", registry) },
		"stock":    startStock,
		"apache":   startApache,
		"rclone":   startRclone,
	} {
		t, err := start()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if t != nil {
			all[name] = t
		}
	}
	return all, nil
})

func startOver(name string, registry *target) (*target, error) {
	if registry == nil {
		return nil, nil
	}
	return startOcidav(name, strings.TrimSuffix(registry.base, "/")+"/team")
}

// startOcidav starts ocidav over a registry, or on the embedded one.
func startOcidav(name, ref string) (*target, error) {
	program, err := ocidav()
	if err != nil {
		return nil, err
	}
	dir, err := directory(name)
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--listen", address, "--cache-dir", filepath.Join(dir, "cache"), "--log-level", "warn"}
	if ref != "" {
		args = append(args, "--registry", ref)
	} else {
		args = append(args, "--data", filepath.Join(dir, "data"))
	}
	t := &target{name: name, base: "http://" + address + "/"}
	var cmd *exec.Cmd
	begin := func() (err error) {
		if cmd, err = start([]string{"HOME=" + dir}, program, args...); err != nil {
			return err
		}
		return ready(t.base)
	}
	t.cmd = func() *exec.Cmd { return cmd }
	t.cool = func() error {
		stop(cmd)
		client.CloseIdleConnections()
		if err := os.RemoveAll(filepath.Join(dir, "cache")); err != nil {
			return err
		}
		return begin()
	}
	return t, begin()
}

func startStock() (*target, error) {
	dir, err := directory("stock")
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if _, err := start([]string{"OCIDAV_BENCH_STOCK=" + dir, "OCIDAV_BENCH_ADDRESS=" + address}, self); err != nil {
		return nil, err
	}
	t := &target{name: "stock", base: "http://" + address + "/"}
	return t, ready(t.base)
}

func startRclone() (*target, error) {
	program, err := exec.LookPath("rclone")
	if err != nil {
		return nil, nil
	}
	dir, err := directory("rclone")
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if _, err := start([]string{"HOME=" + dir}, program, "serve", "webdav", dir, "--addr", address, "--log-level", "ERROR"); err != nil {
		return nil, err
	}
	t := &target{name: "rclone", base: "http://" + address + "/"}
	return t, ready(t.base)
}

const apacheConfig = `ServerRoot %[1]q
ServerName localhost
Listen %[2]s
PidFile %[1]s/pid
ErrorLog %[1]s/error.log
LoadModule mpm_event_module %[3]s/mod_mpm_event.so
LoadModule authz_core_module %[3]s/mod_authz_core.so
LoadModule dav_module %[3]s/mod_dav.so
LoadModule dav_fs_module %[3]s/mod_dav_fs.so
User www-data
Group www-data
DavLockDB %[1]s/var/lock
DocumentRoot %[1]s/www
<Directory %[1]s/www>
Dav On
Require all granted
EnableSendfile On
</Directory>
`

func startApache() (*target, error) {
	const modules = "/usr/lib/apache2/modules"
	program, err := exec.LookPath("apache2")
	if err != nil {
		program = "/usr/sbin/apache2"
	}
	if _, err := os.Stat(program); err != nil {
		return nil, nil
	}
	dir, err := directory("apache")
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"www", "var"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
		if err := os.Chmod(filepath.Join(dir, sub), 0o777); err != nil { // it may run as another user
			return nil, err
		}
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "httpd.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, apacheConfig, dir, address, modules), 0o644); err != nil {
		return nil, err
	}
	if _, err := start(nil, program, "-D", "FOREGROUND", "-f", config); err != nil {
		return nil, err
	}
	t := &target{name: "apache", base: "http://" + address + "/"}
	return t, ready(t.base)
}

const registryConfig = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
http: {addr: %q, secret: bench}
`

// startRegistry starts docker-registry. Its files are blobs, asked for by their digest.
func startRegistry() (*target, error) {
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		return nil, nil
	}
	dir, err := directory("registry")
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, registryConfig, filepath.Join(dir, "storage"), address), 0o600); err != nil {
		return nil, err
	}
	if _, err := start(nil, program, "serve", config); err != nil {
		return nil, err
	}
	t := &target{name: "registry", base: "http://" + address + "/"}
	digests := map[string]string{}
	t.url = func(name string) string { return t.base + "v2/bench/blobs/sha256:" + digests[name] }
	t.put = func(name string, content []byte) error {
		resp, err := client.Post(t.base+"v2/bench/blobs/uploads/", "", nil)
		if err != nil {
			return err
		}
		resp.Body.Close()
		at, err := url.Parse(resp.Header.Get("Location"))
		if err != nil {
			return err
		}
		digests[name] = fmt.Sprintf("%x", sha256.Sum256(content))
		q := at.Query()
		q.Set("digest", "sha256:"+digests[name])
		at.RawQuery = q.Encode()
		return expect(http.MethodPut, at.String(), bytes.NewReader(content), http.StatusCreated)
	}
	return t, ready(t.base + "v2/")
}
