package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// runOcidav runs a command line that ends by itself.
func runOcidav(t *testing.T, program string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var out, errs strings.Builder
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = home, environment(home, env...), &out, &errs
	timer := time.AfterFunc(startLimit, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// TestBadStart starts the program wrongly: one clear line, 2 for what cannot be meant and 1 for what cannot be done.
func TestBadStart(t *testing.T) {
	t.Parallel()
	program := ocidav(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	noRegistry, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := noRegistry.Addr().String()
	noRegistry.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(file, "below")
	at := func(more ...string) []string {
		data, cache := filepath.Join(dir, "data"), filepath.Join(dir, "cache")
		return append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data, "--cache-dir", cache}, more...)
	}
	for _, c := range []struct {
		name string
		args []string
		env  []string
		code int
		says string // what the line must name
	}{
		{"unknown command", []string{"sreve"}, nil, 2, "sreve"},
		{"unknown flag", at("--no-such"), nil, 2, "no-such"},
		{"unknown global flag", []string{"--no-such"}, nil, 2, "no-such"},
		{"argument", at("extra"), nil, 2, "extra"},
		{"bad size", at("--cache-size", "lots"), nil, 2, "lots"},
		{"negative size", at("--cache-size", "-1"), nil, 2, "-1"},
		{"bad duration", at("--freshness", "soon"), nil, 2, "soon"},
		{"negative duration", at("--freshness", "-1s"), nil, 2, "freshness"},
		{"bad level", at("--log-level", "loud"), nil, 2, "loud"},
		{"bad format", at("--log-format", "xml"), nil, 2, "xml"},
		{"bad listen address", at("--listen", "nowhere"), nil, 2, "nowhere"},
		{"bad registry", at("--registry", "http:///x"), nil, 2, "registry"},
		{"bad prefix in the registry", at("--registry", "127.0.0.1:1/UPPER"), nil, 2, "UPPER"},
		{"registry shown without one", at("--registry", nobody, "--registry-listen", "127.0.0.1:0"), nil, 2,
			"registry-listen"},
		{"user without password", at("--registry", nobody, "--registry-username", "u"), nil, 2, "registry-password-file"},
		{"missing password file", at("--registry", nobody, "--registry-username", "u", "--registry-password-file", below),
			nil, 2, "password"},
		{"missing docker configuration", at("--registry", nobody, "--registry-config", below), nil, 2, "registry-config"},
		{"bad variable", at(), []string{"OCIDAV_FRESHNESS=soon"}, 2, "soon"},
		{"bad variable of size", at(), []string{"OCIDAV_CACHE_SIZE=lots"}, 2, "lots"},
		{"unreachable registry", at("--registry", nobody), nil, 1, nobody},
		{"taken port", at("--listen", taken.Addr().String()), nil, 1, taken.Addr().String()},
		{"taken registry port", at("--registry-listen", taken.Addr().String()), nil, 1, taken.Addr().String()},
		{"data below a file", at("--data", below), nil, 1, below},
		{"data is a file", at("--data", file), nil, 1, file},
		{"cache below a file", at("--cache-dir", below), nil, 1, file},
		{"cache is a file", at("--cache-dir", file), nil, 1, file},
		{"health of nobody", []string{"health", "--listen", nobody}, nil, 1, nobody},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := runOcidav(t, program, c.env, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			last := lines[len(lines)-1]
			if !strings.HasPrefix(last, "ocidav: ") || !strings.Contains(last, c.says) {
				t.Errorf("the last line is %q, want one that begins with \"ocidav: \" and names %q", last, c.says)
			}
			// What comes before is the beginning of the start-up message, and for a bad command line nothing.
			if stdout != "" || c.code == 2 && c.says != "UPPER" && len(lines) > 1 || len(lines) > 4 {
				t.Errorf("more than one line of reason:\n%s%s", stdout, stderr)
			}
		})
	}
}

func TestSmallCommands(t *testing.T) {
	t.Parallel()
	program := ocidav(t)
	lines := regexp.MustCompile(`^ocidav \S+\nrevision \S.*\ngo1\S+ \w+/\w+\n$`)
	for _, arg := range []string{"version", "--version"} {
		if code, out, errs := runOcidav(t, program, nil, arg); code != 0 || !lines.MatchString(out) {
			t.Errorf("%s: %d, %q, %q", arg, code, out, errs)
		}
	}
	for _, args := range [][]string{{"help"}, {"--help"}, {"serve", "--help"}} {
		code, out, errs := runOcidav(t, program, nil, args...)
		if code != 0 || !strings.Contains(out, "serve") || errs != "" {
			t.Errorf("%v: %d, %q, %q", args, code, out, errs)
		}
	}
	d := startDrive(t, "--prefix", "/dav")
	address := strings.TrimSuffix(strings.TrimPrefix(d.url, "http://"), "/dav")
	if code, _, errs := runOcidav(t, program, nil, "health", "--listen", address, "--prefix", "/dav"); code != 0 {
		t.Errorf("health: %d, %s", code, errs)
	}
	variables := []string{"OCIDAV_LISTEN=" + address, "OCIDAV_PREFIX=dav"}
	if code, _, errs := runOcidav(t, program, variables, "health"); code != 0 {
		t.Errorf("health by variables: %d, %s", code, errs)
	}
	// A data directory has one server.
	code, _, errs := runOcidav(t, program, nil,
		"serve", "--listen", "127.0.0.1:0", "--data", d.data, "--cache-dir", d.cache+"2")
	if code != 1 || !strings.Contains(errs, d.data) {
		t.Errorf("a second server on one data directory: %d, %s", code, errs)
	}
}

// TestPrefix serves under a path, and not beside it.
func TestPrefix(t *testing.T) {
	t.Parallel()
	d := startDrive(t, "--prefix", "/dav")
	if !strings.HasSuffix(d.url, "/dav") {
		t.Fatalf("the drive is at %s", d.url)
	}
	d.put("/f", []byte("content"))
	d.want("/f", []byte("content"))
	d.do("COPY", "/f", nil, made, "Destination", d.href("/g"))
	if got := d.names("/"); strings.Join(got, " ") != "f g" {
		t.Errorf("/dav/ has %q", got)
	}
	host := strings.TrimSuffix(d.url, "/dav")
	for _, path := range []string{"/f", "/davfoo", "/davfoo/f", "/"} {
		if a := send(client, http.MethodGet, host+path, nil); a.status != http.StatusNotFound {
			t.Errorf("GET %s outside of the prefix: %v", path, a)
		}
	}
}

// TestReadOnly refuses whatever writes.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	d := startDrive(t)
	d.mkcol("/d")
	d.put("/d/f", []byte("content"))
	before := d.tree("/")
	d.stop()
	d.args = append(d.args, "--read-only")
	d.start()
	for _, method := range []string{"PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPPATCH", "LOCK"} {
		for _, name := range []string{"/d/f", "/d/new"} {
			a := d.try(method, name, nil, "Destination", d.href("/d/other"))
			if a.status != http.StatusForbidden && a.status != http.StatusMethodNotAllowed {
				t.Errorf("%s %s on a read-only drive: %v", method, name, a)
			}
		}
	}
	d.wantTree("/", before)
	if allow := d.do(http.MethodOptions, "/d/f", nil, okay).header.Get("Allow"); strings.Contains(allow, "PUT") {
		t.Errorf("OPTIONS allows %s", allow)
	}
}

// TestVariables sets every flag that can be seen from outside by its variable.
func TestVariables(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	data, cache := filepath.Join(d.home, "other", "data"), filepath.Join(d.home, "other", "cache")
	env := environment(d.home, "OCIDAV_LISTEN=127.0.0.1:0", "OCIDAV_DATA="+data, "OCIDAV_CACHE_DIR="+cache,
		"OCIDAV_CACHE_SIZE=12MiB", "OCIDAV_PREFIX=/p", "OCIDAV_READ_ONLY=true", "OCIDAV_REGISTRY_LISTEN=127.0.0.1:0",
		"OCIDAV_LOG_FORMAT=json", "OCIDAV_LOG_LEVEL=debug")
	p := startProcess(t, d.home, env, d.program, "serve")
	defer p.kill()
	url := "http://" + p.waitLine(t, "\nserving http://")
	if !strings.HasSuffix(url, "/p/") {
		t.Errorf("OCIDAV_PREFIX: the drive is at %s", url)
	}
	for _, want := range []string{"registry also at http://127.0.0.1:", data, cache, "12MiB"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the start-up message does not tell %q:\n%s", want, p.log.String())
		}
	}
	if a := send(client, http.MethodPut, url+"f", strings.NewReader("x")); a.status/100 == 2 {
		t.Errorf("OCIDAV_READ_ONLY: PUT %v", a)
	}
	if code := p.terminate(t); code != 0 {
		t.Errorf("exit code %d", code)
	}

	// Without any, everything is below the home directory.
	p = startProcess(t, d.home, environment(d.home), d.program, "serve", "--listen", "127.0.0.1:0")
	defer p.kill()
	p.waitLine(t, "\nserving http://")
	for _, dir := range []string{".local/share/ocidav", ".cache/ocidav"} {
		if _, err := os.Stat(filepath.Join(d.home, filepath.FromSlash(dir))); err != nil {
			t.Error(err)
		}
	}
	if code := p.terminate(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestLog wants one line for each request, in both formats.
func TestLog(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		d := startDrive(t, "--log-format", format)
		d.do(http.MethodPut, "/f?.txt", []byte("content"), made, "X-Request-Id", "from-a-proxy")
		d.want("/f?.txt", []byte("content"))
		d.wantAbsent("/missing")
		d.try("NONSENSE", "/f", nil)
		const requests = 1 + 2 + 3 + 1
		lines := func() (n int) {
			for line := range strings.Lines(d.log.String()) {
				var fields struct {
					Level, Msg, Method, Path string
					Status                   int
				}
				switch {
				case format == "text" && strings.Contains(line, " msg=request ") && strings.Contains(line, " status="):
					n++
				case format == "json" && json.Unmarshal([]byte(line), &fields) == nil && fields.Msg == "request" &&
					fields.Method != "" && fields.Path != "" && fields.Status != 0:
					n++
				}
			}
			return n
		}
		eventually(t, 5*time.Second, "there are requests without a line", func() bool { return lines() >= requests })
		if l := d.log.String(); strings.Count(l, "from-a-proxy") != 1 || !strings.Contains(l, "calls") {
			t.Errorf("the id of a request is not in its line:\n%s", l)
		}
		if n := lines(); n != requests {
			t.Errorf("%s: %d lines for %d requests:\n%s", format, n, requests, d.log.String())
		}
	}
}

// TestDrain sends SIGTERM while a PUT and a GET run: both come to their end, new connections do not begin.
func TestDrain(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		large, content := random(64<<20), random(300_000)
		d.put("/large", large)
		conn := dialDrive(t, d, http.MethodPut, "/new", fmt.Sprintf("Content-Length: %d\r\nConnection: close", len(content)))
		conn.Write(content[:1000])
		resp, err := client.Get(d.href("/large")) // more than the buffers of a connection take
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		begin := make([]byte, 1000)
		if _, err := io.ReadFull(resp.Body, begin); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		code := make(chan int)
		go func() { code <- d.terminate(t) }()
		eventually(t, 10*time.Second, "new connections are still taken", func() bool {
			_, err := net.DialTimeout("tcp", conn.RemoteAddr().String(), time.Second)
			return err != nil
		})
		conn.Write(content[1000:])
		answer, _ := io.ReadAll(conn)
		if !strings.HasPrefix(string(answer), "HTTP/1.1 201 ") {
			t.Errorf("the PUT was answered %q", answer)
		}
		rest, err := io.ReadAll(resp.Body)
		if err != nil || digestOf(append(begin, rest...)) != digestOf(large) {
			t.Errorf("the GET gave %d of %d bytes, %v", len(begin)+len(rest), len(large), err)
		}
		if got := <-code; got != 0 {
			t.Errorf("exit code %d", got)
		}
		d.inspect()
		d.start()
		d.want("/new", content)
	})
}

// TestWithoutEmbedded builds the small binary, which needs a registry of somebody else.
func TestWithoutEmbedded(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short")
	}
	program, err := build("ocidav-noembed", "-tags", "noembed")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	code, _, stderr := runOcidav(t, program, nil, "serve", "--listen", "127.0.0.1:0", "--data", dir, "--cache-dir", dir)
	if code == 0 || !strings.Contains(stderr, "--registry") {
		t.Errorf("without a registry: exit code %d, %s", code, stderr)
	}
	b := backend{name: onDeleting, registry: startRegistry(t, true)}
	d := b.drive(t)
	d.program = program
	d.start()
	d.put("/f", []byte("content"))
	d.want("/f", []byte("content"))
}
