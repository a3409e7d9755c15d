package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// output collects what a program writes while it runs.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// program is a run in the background.
type program struct {
	stderr output
	stop   context.CancelFunc
	code   chan int
}

// start runs serve on free ports and in directories of its own, unless args say otherwise.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	p := &program{stop: stop, code: make(chan int, 1)}
	dir := t.TempDir()
	all := append([]string{"ocidav", "serve", "--listen", "127.0.0.1:0",
		"--data", filepath.Join(dir, "data"), "--cache-dir", filepath.Join(dir, "cache")}, args...)
	go func() { p.code <- run(ctx, all, io.Discard, &p.stderr) }()
	t.Cleanup(func() {
		stop()
		if p.code != nil {
			<-p.code
		}
		if t.Failed() {
			t.Log(p.stderr.String())
		}
	})
	return p
}

// line waits for a line of the start-up message and gives what the group of the pattern matches.
func (p *program) line(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	for range 1000 {
		if m := re.FindStringSubmatch(p.stderr.String()); m != nil {
			return m[1]
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no line %s", pattern)
	return ""
}

func (p *program) url(t *testing.T) string { t.Helper(); return p.line(t, `^serving (http://\S+/)$`) }

// end stops the program and gives its exit code.
func (p *program) end() int {
	p.stop()
	code := <-p.code
	p.code = nil
	return code
}

func request(t *testing.T, method, url, body string) (status int, got string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	req.Header.Set("Depth", "0") // for PROPFIND
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestServe(t *testing.T) {
	p := start(t, "--prefix", "/dav", "--registry-listen", "127.0.0.1:0", "--log-format", "json")
	url := p.url(t)
	if !strings.HasSuffix(url, "/dav/") {
		t.Errorf("the drive is at %s", url)
	}
	if code, _ := request(t, http.MethodPut, url+"a.txt", "hello"); code != http.StatusCreated {
		t.Errorf("PUT: %d", code)
	}
	if code, got := request(t, http.MethodGet, url+"a.txt", ""); code != http.StatusOK || got != "hello" {
		t.Errorf("GET: %d %q", code, got)
	}

	// What another client pushes is seen at once, and what the drive wrote is there for others.
	registry := p.line(t, `^registry also at (http://\S+)$`)
	code, manifest := request(t, http.MethodGet, registry+"x.root/manifests/a.txt", "")
	if code != http.StatusOK || !strings.Contains(manifest, `"application/vnd.ocidav.file.v1"`) {
		t.Errorf("manifest: %d %s", code, manifest)
	}
	var table bytes.Buffer
	if code := run(t.Context(), []string{"ocidav", "probe", strings.Split(registry, "/v2/")[0]}, &table, &table); code != 0 || strings.Contains(table.String(), "NO") {
		t.Errorf("probe: exit %d\n%s", code, table.String())
	}
	if code, _ := request(t, http.MethodDelete, registry+"x.root/manifests/a.txt", ""); code != http.StatusAccepted {
		t.Errorf("DELETE of the tag: %d", code)
	}
	if code, _ := request(t, http.MethodGet, url+"a.txt", ""); code != http.StatusNotFound {
		t.Errorf("GET of what another client removed: %d", code)
	}

	if code := run(t.Context(), []string{"ocidav", "health", "--listen", strings.Split(url, "/")[2], "--prefix", "/dav"}, &table, &table); code != 0 {
		t.Errorf("health: exit %d\n%s", code, table.String())
	}
	if code := p.end(); code != 0 {
		t.Errorf("exit %d", code)
	}
	requests := 0
	for line := range strings.Lines(p.stderr.String()) {
		if strings.HasPrefix(line, "{") {
			var entry struct{ Msg, Method string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if entry.Msg == "request" {
				requests++
			}
		}
	}
	if requests != 4 {
		t.Errorf("%d lines for 4 requests", requests)
	}
}

// begin begins to upload, and gives what sends the rest and what says how it ended.
func begin(t *testing.T, url string) (rest *io.PipeWriter, done chan error) {
	t.Helper()
	body, writer := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, body)
	if err != nil {
		t.Fatal(err)
	}
	done = make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusCreated {
				err = fmt.Errorf("status %s", resp.Status)
			}
		}
		done <- err
	}()
	if _, err := io.WriteString(writer, "first "); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // the server reads it
	return writer, done
}

// TestDrain: a request that runs when the program is told to stop comes to its end.
func TestDrain(t *testing.T) {
	p := start(t)
	rest, done := begin(t, p.url(t)+"slow.txt")
	p.stop()
	p.line(t, `(stopping)`)
	if _, err := io.WriteString(rest, "second"); err != nil {
		t.Fatal(err)
	}
	rest.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if code := p.end(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// TestDrainEnds: a request that does not come to its end is cut, and that is no failure.
func TestDrainEnds(t *testing.T) {
	p := start(t, "--shutdown-timeout", "100ms")
	rest, done := begin(t, p.url(t)+"endless.txt")
	if code := p.end(); code != 0 || !strings.Contains(p.stderr.String(), "requests were cut") {
		t.Errorf("exit %d: %s", code, p.stderr.String())
	}
	rest.Close()
	if err := <-done; err == nil {
		t.Error("an upload that was cut has succeeded")
	}
}

// TestAdmin: what the wiring counts, and a warning where others can reach it.
func TestAdmin(t *testing.T) {
	p := start(t, "--admin-listen", "127.0.0.1:0")
	admin := p.line(t, `^admin (http://\S+/)$`)
	url := p.url(t)
	request(t, http.MethodPut, url+"a.txt", "hello")
	for path, says := range map[string]string{
		"healthz": "ok", "readyz": "ready", "debug/pprof/cmdline": "",
		"metrics": `ocidav_registry_requests_total{code="201",operation="manifest_put"} 2`, // the layout, and a.txt
	} {
		if code, got := request(t, http.MethodGet, admin+path, ""); code != http.StatusOK || !strings.Contains(got, says) {
			t.Errorf("%s: %d, without %q:\n%s", path, code, says, got)
		}
	}
	if code, got := request(t, http.MethodPost, admin+"-/notify", `{"events":[{"action":"push","target":{"repository":"x.root","tag":"a.txt"}}]}`); code != http.StatusNoContent {
		t.Errorf("notification: %d %s", code, got)
	}
	rest, done := begin(t, url+"slow.txt")
	p.stop()
	p.line(t, `(stopping)`)
	if code, got := request(t, http.MethodGet, admin+"readyz", ""); code != http.StatusServiceUnavailable || !strings.Contains(got, "stopping") {
		t.Errorf("readyz while the drive ends: %d %s", code, got)
	}
	rest.Close()
	<-done
	if p.end(); strings.Contains(p.stderr.String(), "level=WARN") {
		t.Errorf("a warning about loopback addresses:\n%s", p.stderr.String())
	}
	p = start(t, "--admin-listen", ":0", "--listen", ":0", "--auth", "none", "--insecure-anonymous")
	p.url(t)
	p.line(t, `(level=WARN .*what=admin)`)
	p.line(t, `(level=WARN .*what=drive)`)
}

func TestReadOnly(t *testing.T) {
	p := start(t, "--read-only")
	if code, _ := request(t, http.MethodPut, p.url(t)+"a.txt", "hello"); code != http.StatusForbidden {
		t.Errorf("PUT: %d", code)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("OCIDAV_PREFIX", "/by/variable")
	t.Setenv("OCIDAV_CACHE_SIZE", "20MiB")
	p := start(t)
	if url := p.url(t); !strings.HasSuffix(url, "/by/variable/") {
		t.Errorf("the drive is at %s", url)
	}
	if got := p.line(t, `^cache .*, at most (.*)$`); got != "20MiB" {
		t.Errorf("the cache has %s", got)
	}
}

// TestEveryFlagHasAVariable, named after it.
func TestEveryFlagHasAVariable(t *testing.T) {
	for _, f := range serveFlags() {
		name := f.Names()[0]
		want := "OCIDAV_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if d, ok := f.(interface{ GetEnvVars() []string }); !ok || len(d.GetEnvVars()) != 1 || d.GetEnvVars()[0] != want {
			t.Errorf("--%s has no variable %s", name, want)
		}
	}
}

// TestRefusals: one clear line that names the trouble, and the exit code.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	noRegistry := httptest.NewServer(http.NotFoundHandler())
	defer noRegistry.Close()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--listne", "x"}, 2, "listne"},
		{[]string{"--listen", "8080"}, 2, "--listen 8080"},
		{[]string{"--listen", "127.0.0.1:99999"}, 2, "--listen 127.0.0.1:99999"},
		{[]string{"--registry-listen", "x"}, 2, "--registry-listen"},
		{[]string{"--admin-listen", "9090"}, 2, "--admin-listen 9090"},
		{[]string{"--admin-listen", taken.Addr().String()}, 1, "address already in use"},
		{[]string{"--notify-token-file", file + "x"}, 2, "--notify-token-file"},
		{[]string{"--notify-token-file", file}, 2, "is empty"},
		{[]string{"--tls-cert", file}, 2, "--tls-key"},
		{[]string{"--tls-client-ca", file}, 2, "--tls-cert"},
		{[]string{"--auth", "basic"}, 2, "--auth basic"},
		{[]string{"--auth", "htpasswd"}, 2, "--htpasswd FILE"},
		{[]string{"--htpasswd", file}, 2, "--auth htpasswd"},
		{[]string{"--anonymous-read"}, 2, "--auth htpasswd"},
		{[]string{"--auth", "proxy"}, 2, "--trusted-proxies ADDRESSES"},
		{[]string{"--auth", "proxy", "--trusted-proxies", "10.0.0.7,0.0.0.0/0"}, 2, "--trusted-proxies 0.0.0.0/0"},
		{[]string{"--auth", "proxy", "--trusted-proxies", "::/0"}, 2, "--trusted-proxies ::/0"},
		{[]string{"--auth", "proxy", "--trusted-proxies", "10.0.0.7", "--htpasswd", file}, 2, "--auth proxy"},
		{[]string{"--auth", "proxy", "--trusted-proxies", "10.0.0.7", "--proxy-user-header", "Remote User"}, 2, "--proxy-user-header"},
		{[]string{"--proxy-user-header", "Remote-User"}, 2, "--auth proxy"},
		{[]string{"--listen", ":0"}, 2, "--insecure-anonymous"},
		{[]string{"--listen", ":0", "--auth", "none"}, 2, "--insecure-anonymous"},
		{[]string{"--listen", "0.0.0.0:0", "--insecure-anonymous"}, 2, "--auth none"},
		{[]string{"--listen", ":0", "--auth", "htpasswd", "--htpasswd", file}, 2, "--insecure-basic"},
		{[]string{"--tls-key", file}, 2, "--tls-cert"},
		{[]string{"--registry-username", "me"}, 2, "--registry-username"},
		{[]string{"--registry-config", file}, 2, "--registry-config"},
		{[]string{"--registry", "ftp://registry.example.com/x"}, 2, "ftp"},
		{[]string{"--registry", "registry.example.com:port/x"}, 2, "port"},
		{[]string{"--cache-size", "many"}, 2, "many"},
		{[]string{"--cache-size", "-1"}, 2, "-1"},
		{[]string{"--part-size", "10"}, 2, "--part-size"},
		{[]string{"--max-requests-per-client", "-1"}, 2, "--max-requests-per-client -1"},
		{[]string{"--freshness", "soon"}, 2, "soon"},
		{[]string{"--freshness", "-1s"}, 2, "--freshness"},
		{[]string{"--gc-interval", "10s"}, 2, "--gc-interval 10s"},
		{[]string{"--gc-interval", "-1h"}, 2, "--gc-interval"},
		{[]string{"--log-level", "loud"}, 2, "--log-level loud"},
		{[]string{"--log-format", "xml"}, 2, "--log-format xml"},
		{[]string{"--public-url", "drive.example.com"}, 2, "--public-url"},
		{[]string{"--public-url", "ftp://drive.example.com/"}, 2, "--public-url"},
		{[]string{"--public-url", "https://drive.example.com/?x"}, 2, "--public-url"},
		{[]string{"--trusted-proxies", "10.0.0.1,proxy"}, 2, "--trusted-proxies proxy"},
		{[]string{"--trusted-proxies", "10.0.0.0/40"}, 2, "--trusted-proxies"},
		{[]string{"--shutdown-timeout", "-1s"}, 2, "--shutdown-timeout -1s"},
		{[]string{"--cors-origins", "https://app.example.com,null"}, 2, "--cors-origins null"},
		{[]string{"--cors-origins", "https://app.example.com/"}, 2, "--cors-origins https"},
		{[]string{"--cors-origins", "*"}, 2, "--read-only"},
		{[]string{"--quota", "all"}, 2, "all"},
		{[]string{"--junk", "burn"}, 2, "--junk burn"},
		{[]string{"extra"}, 2, "extra"},
		{[]string{"--registry", "http://"}, 2, "--registry"},
		{[]string{"--registry", "localhost:5000/UPPER"}, 2, "UPPER"},
		{[]string{"--registry", "localhost:5000/a/../b"}, 2, "--registry"},
		{[]string{"--registry", "localhost:5000", "--registry-listen", "127.0.0.1:0"}, 2, "--registry-listen"},
		{[]string{"--registry", "localhost:5000", "--registry-username", "me"}, 2, "--registry-password-file"},
		{[]string{"--registry", "localhost:5000", "--registry-username", "me", "--registry-password-file", file + "x"}, 2, "no such file"},
		{[]string{"--registry", "localhost:5000", "--registry-config", file + "x"}, 2, "--registry-config"},

		{[]string{"--registry", "http://" + free.Addr().String()}, 1, free.Addr().String()},
		{[]string{"--registry", noRegistry.URL}, 1, noRegistry.Listener.Addr().String()},
		{[]string{"--listen", taken.Addr().String()}, 1, "address already in use"},
		{[]string{"--registry-listen", taken.Addr().String()}, 1, "address already in use"},
		{[]string{"--data", filepath.Join(file, "data")}, 1, "not a directory"},
		{[]string{"--cache-dir", filepath.Join(file, "cache")}, 1, "not a directory"},
	} {
		p := start(t, c.args...)
		select {
		case code := <-p.code:
			p.code = nil
			last := p.stderr.String()
			last = last[strings.LastIndex(strings.TrimSuffix(last, "\n"), "\n")+1:]
			if code != c.code || !strings.HasPrefix(last, "ocidav: ") || !strings.Contains(last, c.says) {
				t.Errorf("%q: exit %d, want %d and a last line with %q:\n%s", c.args, code, c.code, c.says, p.stderr.String())
			}
			if c.code == 2 && strings.Count(p.stderr.String(), "\n") != 1 {
				t.Errorf("%q: more than one line:\n%s", c.args, p.stderr.String())
			}
		case <-time.After(30 * time.Second):
			t.Errorf("%q: does not end", c.args)
		}
	}
}

// TestLocksSurviveARestart of the program, and belong to its drive alone.
func TestLocksSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--data", filepath.Join(dir, "data"), "--cache-dir", filepath.Join(dir, "cache")}
	lock := `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`
	first := start(t, args...)
	if code, got := request(t, "LOCK", first.url(t)+"a.txt", lock); code != http.StatusCreated {
		t.Errorf("LOCK: %d %s", code, got)
	}
	first.end()
	second := start(t, args...)
	if code, _ := request(t, http.MethodPut, second.url(t)+"a.txt", "x"); code != http.StatusLocked {
		t.Errorf("PUT after a restart: %d, want 423", code)
	}
	second.end()
	other := start(t, "--data", filepath.Join(dir, "other"), "--cache-dir", filepath.Join(dir, "cache"))
	if code, _ := request(t, http.MethodPut, other.url(t)+"a.txt", "x"); code != http.StatusCreated {
		t.Errorf("PUT on another drive with the same cache: %d, want 201", code)
	}
}

// TestOnlyLocal: by a name that leads here a drive without passwords is not to be had, unless it was given one.
func TestOnlyLocal(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
	}{{nil, 403}, {[]string{"--public-url", "http://drive.example.com/"}, 200}, {[]string{"--trusted-proxies", "127.0.0.1"}, 200},
		{[]string{"--listen", ":0", "--auth", "none", "--insecure-anonymous"}, 200}} {
		p := start(t, c.args...)
		url := strings.Replace(p.url(t), "[::]", "127.0.0.1", 1)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "drive.example.com"
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.code {
			t.Errorf("%q: %d, want %d", c.args, resp.StatusCode, c.code)
		}
		p.end()
	}
}

// TestPresentation: what the flags tell clients of the drive.
func TestPresentation(t *testing.T) {
	const ask = `<D:propfind xmlns:D="DAV:"><D:prop><D:quota-available-bytes/><D:quota-used-bytes/></D:prop></D:propfind>`
	propfind := func(p *program) string {
		_, got := request(t, "PROPFIND", p.url(t), ask)
		return got
	}
	p := start(t)
	if got := propfind(p); !regexp.MustCompile(`<D:quota-available-bytes>[1-9]\d+<.*<D:quota-used-bytes>[1-9]\d+<`).MatchString(got) {
		t.Errorf("the disk's space is not told: %s", got)
	}
	p = start(t, "--quota", "1MiB", "--public-url", "https://drive.example.com/team", "--junk", "reject")
	if got := propfind(p); !strings.Contains(got, ">1048576<") || !strings.Contains(got, "<D:href>/team/</D:href>") {
		t.Errorf("quota and public URL: %s", got)
	}
	if code, got := request(t, http.MethodPut, p.url(t)+".DS_Store", "x"); code != http.StatusForbidden {
		t.Errorf("PUT of .DS_Store: %d %s", code, got)
	}
}

// TestDataInUse: two programs on one data directory would each take the other's writes for its own.
func TestDataInUse(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	start(t, "--data", data).url(t)
	p := start(t, "--data", data)
	code := <-p.code
	p.code = nil
	if code != 1 || !strings.Contains(p.stderr.String(), data) {
		t.Errorf("exit %d: %s", code, p.stderr.String())
	}
}

// TestCollect frees what was overwritten and deleted, when no drive runs.
func TestCollect(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	gc := func(code int, says string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		if got := run(t.Context(), append([]string{"ocidav", "gc", "--data", data}, args...), &out, &out); got != code || !strings.Contains(out.String(), says) {
			t.Errorf("gc %q: exit %d, want %d and %q:\n%s", args, got, code, says, out.String())
		}
	}
	gc(1, "no registry in the data directory")
	if _, err := os.Stat(data); err == nil {
		t.Error("gc has made a data directory")
	}
	p := start(t, "--data", data)
	url := p.url(t)
	for _, content := range []string{"first", "second"} {
		request(t, http.MethodPut, url+"f", content)
		request(t, http.MethodPut, url+"g", content+" of another")
	}
	request(t, http.MethodDelete, url+"g", "")
	gc(1, "running drive")
	p.end()
	gc(0, "would free", "--dry-run")
	gc(0, "3 superseded manifests, 6 blobs")
	gc(0, "freed 0 bytes")
	if code, got := request(t, http.MethodGet, start(t, "--data", data).url(t)+"f", ""); code != http.StatusOK || got != "second" {
		t.Errorf("GET: %d %q", code, got)
	}
}

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"version"}, 0, "ocidav "},
		{[]string{"version"}, 0, runtime.Version()},
		{[]string{"--version"}, 0, "\nrevision "},
		{[]string{"completion"}, 2, "bash, zsh or fish"},
		{[]string{"completion", "tcsh"}, 2, "bash, zsh or fish"},
		{[]string{"completion", "zsh", "fish"}, 2, "bash, zsh or fish"},
		{[]string{}, 0, "COMMANDS"},
		{[]string{"help"}, 0, "COMMANDS"},
		{[]string{"serve", "--help"}, 0, "--registry"},
		{[]string{"sevre"}, 2, "sevre"},
		{[]string{"--verbose"}, 2, "verbose"},
		{[]string{"health", "--listen", "nowhere"}, 2, "nowhere"},
		{[]string{"health", "--listen", "127.0.0.1:1"}, 1, "refused"},
		{[]string{"gc", "--data", "/nowhere"}, 1, "/nowhere"},
		{[]string{"gc", "now"}, 2, "now"},
		{[]string{"gc", "--help"}, 0, "--dry-run"},
		{[]string{"probe"}, 2, "REF"},
		{[]string{"probe", "ftp://host"}, 2, "ftp"},
		{[]string{"probe", "--registry-username", "x", "localhost:1"}, 2, "together"},
		{[]string{"probe", "127.0.0.1:1"}, 1, "refused"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), append([]string{"ocidav"}, c.args...), &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%q: exit %d, want %d and %q:\n%s", c.args, code, c.code, c.says, out.String())
		}
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "123": 123, "10KiB": 10 << 10, "1.5 GiB": 3 << 29, "2tib": 2 << 40, "3MB": 3e6, "7B": 7, " 8 ": 8,
	} {
		var b byteSize
		if err := b.Set(text); err != nil || int64(b) != want {
			t.Errorf("%q is %d, %v; want %d", text, b, err, want)
		}
		var again byteSize
		if err := again.Set(b.String()); err != nil || again != b {
			t.Errorf("%q, written %q, is read as %d, %v", text, b, again, err)
		}
	}
	for _, text := range []string{"", "B", "KiB", "-1", "NaN", "Inf", "1e30", "10 apples", "0x"} {
		var b byteSize
		if err := b.Set(text); err == nil {
			t.Errorf("%q is %d", text, b)
		}
	}
}
