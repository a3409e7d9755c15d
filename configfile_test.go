package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// write makes a file and gives its name.
func write(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "drive.yaml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestConfigFile: the file comes after the command line and the variables, and before the defaults.
func TestConfigFile(t *testing.T) {
	file := write(t, "prefix: /file\ncache-size: 20MiB\nread-only: true\nlisten: nowhere\n")
	p := start(t, "--config", file) // which says --listen itself
	url := p.url(t)
	if !strings.HasSuffix(url, "/file/") {
		t.Errorf("the drive is at %s", url)
	}
	if got := p.line(t, `^cache .*, at most (.*)$`); got != "20MiB" {
		t.Errorf("the cache has %s", got)
	}
	if code, _ := request(t, http.MethodPut, url+"a.txt", "hello"); code != http.StatusForbidden {
		t.Errorf("PUT on a drive that the file has read-only: %d", code)
	}
	p.end()

	t.Setenv("OCIDAV_CONFIG", file)
	t.Setenv("OCIDAV_PREFIX", "/variable")
	p = start(t, "--cache-size", "30MiB", "--read-only=false")
	url = p.url(t)
	if !strings.HasSuffix(url, "/variable/") {
		t.Errorf("the drive is at %s, the variable said otherwise", url)
	}
	if got := p.line(t, `^cache .*, at most (.*)$`); got != "30MiB" {
		t.Errorf("the cache has %s, the command line said 30MiB", got)
	}
	if code, _ := request(t, http.MethodPut, url+"a.txt", "hello"); code != http.StatusCreated {
		t.Errorf("PUT on a drive that the command line has writable: %d", code)
	}
}

// parse gives the context of a command line of serve, as its action sees it.
func parse(t *testing.T, see func(*cli.Context) error, args ...string) error {
	t.Helper()
	app := newApp(&bytes.Buffer{}, &bytes.Buffer{})
	app.Commands = []*cli.Command{configured(&cli.Command{Name: "serve", Flags: serveFlags(), Action: see})}
	return app.RunContext(t.Context(), append([]string{"ocidav", "serve"}, args...))
}

// TestConfigFileSetsEveryFlag in each form that it may have.
func TestConfigFileSetsEveryFlag(t *testing.T) {
	var content strings.Builder
	want := map[string]string{}
	for _, f := range serveFlags() {
		name := f.Names()[0]
		switch f.(type) {
		case *cli.BoolFlag:
			want[name] = "true"
		case *cli.DurationFlag:
			want[name] = "17m0s"
		case *cli.IntFlag, *cli.Float64Flag:
			want[name] = "5"
		case *cli.GenericFlag:
			want[name] = "3GiB"
		default:
			want[name] = "some " + name
		}
		fmt.Fprintf(&content, "%s: %s\n", name, want[name])
	}
	err := parse(t, func(c *cli.Context) error {
		for name, value := range want {
			if got := fmt.Sprint(c.Generic(name)); got != value || !c.IsSet(name) { // Generic is the flag.Value of any flag
				t.Errorf("%s is %s, want %s", name, got, value)
			}
		}
		return nil
	}, "--config", write(t, content.String()))
	if err != nil {
		t.Error(err)
	}

	t.Setenv("OCIDAV_WRITE_TIMEOUT", "")
	err = parse(t, func(c *cli.Context) error {
		if got := c.String("trusted-proxies"); got != "10.0.0.7,fd00::/8" {
			t.Errorf("trusted-proxies is %s", got)
		}
		if got := c.String("registry-profile"); got != "gitlab,page=50" {
			t.Errorf("registry-profile is %s", got)
		}
		if got := int64(*c.Generic("part-size").(*byteSize)); got != 1<<20 {
			t.Errorf("part-size is %d", got)
		}
		if got := c.Duration("write-timeout"); got != 5*time.Minute {
			t.Errorf("write-timeout is %s, with an empty variable", got)
		}
		if c.Duration("freshness") != 0 || c.IsSet("quota") || !c.IsSet("registry") {
			t.Errorf("freshness %s, quota %t, registry %t", c.Duration("freshness"), c.IsSet("quota"), c.IsSet("registry"))
		}
		return nil
	}, "--config", write(t, "# ours\ntrusted-proxies:\n  - 10.0.0.7\n  - fd00::/8\nregistry-profile: [gitlab, page=50]\npart-size: 1048576\nfreshness: 0\nregistry: ''\nwrite-timeout: 5m\n"))
	if err != nil {
		t.Error(err)
	}
	for _, name := range lists {
		if !slices.ContainsFunc(serveFlags(), func(f cli.Flag) bool { return f.Names()[0] == name }) {
			t.Errorf("the list %s is no flag", name)
		}
	}
}

// TestConfigFileRefusals: one line that names the key and the place.
func TestConfigFileRefusals(t *testing.T) {
	for _, c := range []struct {
		content string
		says    string // with the file's name before what begins with a colon
	}{
		{"\nlisten: 127.0.0.1:0\nlistne: x\n", `:3: there is no setting "listne"`},
		{"config: other.yaml\n", `:1: there is no setting "config"`},
		{"dry-run: true\n", `:1: there is no setting "dry-run"`},
		{"--listen: x\n", `:1: there is no setting "--listen"`},
		{"cache-size: lots\n", `:1: cache-size: "lots" is no size`},
		{"cache-size: -1\n", `:1: cache-size: "-1" is no size`},
		{"freshness: soon\n", `:1: freshness: time: invalid duration "soon"`},
		{"freshness: 2\n", `:1: freshness: time: missing unit`},
		{"read-only: maybe\n", `:1: read-only: "maybe" is neither true nor false`},
		{"registry-rps: many\n", `:1: registry-rps: "many" is no number`},
		{"prefix: [/a, /b]\n", `:1: prefix: want one value`},
		{"prefix: {a: b}\n", `:1: prefix: want one value`},
		{"listen: [::1]:80\n", `: yaml: did not find expected`},
		{"trusted-proxies: [[10.0.0.7]]\n", `:1: trusted-proxies: want a list of single values`},
		{"registry:\n", `:1: registry: it has no value`},
		{"prefix: /a\nprefix: /b\n", `:2: prefix is there twice`},
		{"- prefix\n", `: want lines of KEY: VALUE`},
		{"prefix: /a\n---\nprefix: /b\n", `: want one YAML document`},
		{"prefix: 'a\n", `: yaml: `},
		{"log-level: loud\n", `--log-level loud: want debug, info, warn or error (--log-level is at FILE:1)`},
		{"prefix: /\nadmin-listen: 9090\n", `--admin-listen is at FILE:2)`},
		{"auth: htpasswd\nhtpasswd: /nowhere\n", `--htpasswd is at FILE:2)`},
		{"tls-key: /nowhere\n", `--tls-key is at FILE:1)`},
	} {
		file := write(t, c.content)
		says := strings.ReplaceAll(c.says, "FILE", file)
		if strings.HasPrefix(says, ":") {
			says = file + says
		}
		var out output
		dir := t.TempDir()
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second) // one that is taken would serve
		code := run(ctx, []string{"ocidav", "serve", "--data", dir, "--cache-dir", dir, "--listen", "127.0.0.1:0", "--config", file}, &out, &out)
		stop()
		if got := out.String(); code != 2 || !strings.Contains(got, says) || !strings.Contains(got, file) ||
			strings.Count(strings.TrimPrefix(got, "ocidav "+version()+"\n"), "\n") != 1 {
			t.Errorf("%q: exit %d, want 2 and a line with %q:\n%s", c.content, code, says, got)
		}
	}
	for _, file := range []string{filepath.Join(t.TempDir(), "none.yaml"), t.TempDir(), "http://127.0.0.1:1/drive.yaml"} {
		var out bytes.Buffer
		if code := run(t.Context(), []string{"ocidav", "health", "--config", file}, &out, &out); code != 2 || !strings.Contains(out.String(), "--config: ") || !strings.Contains(out.String(), file) {
			t.Errorf("%s: exit %d\n%s", file, code, out.String())
		}
	}
}

// TestConfigFileBlame: what the file does not say is not its fault.
func TestConfigFileBlame(t *testing.T) {
	fail := errors.New("broken")
	for _, c := range []struct{ err, want error }{
		{usage("--prefix is wrong"), nil},
		{usage("--listen is wrong, and --listen-more"), errors.New("--listen is wrong, and --listen-more (--listen is at FILE:1)")},
		{fail, fail},
	} {
		file := write(t, "listen: x\nprefix: y\n")
		err := parse(t, func(*cli.Context) error { return c.err }, "--prefix", "z", "--config", file)
		want := c.want
		if want == nil {
			want = c.err
		}
		if err == nil || err.Error() != strings.ReplaceAll(want.Error(), "FILE", file) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

// TestConfigFileOfOthers: the drive's file serves the other commands too, which take from it what they have.
func TestConfigFileOfOthers(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	file := write(t, "data: "+data+"\nlisten: 127.0.0.1:1\njunk: reject\n")
	var out bytes.Buffer
	if code := run(t.Context(), []string{"ocidav", "gc", "--config", file}, &out, &out); code != 1 || !strings.Contains(out.String(), data) {
		t.Errorf("gc: exit %d\n%s", code, out.String())
	}
	out.Reset()
	if code := run(t.Context(), []string{"ocidav", "health", "--config", file}, &out, &out); code != 1 || !strings.Contains(out.String(), "127.0.0.1:1") {
		t.Errorf("health: exit %d\n%s", code, out.String())
	}
}

// TestConfigFileAgainstVariableOfAuth: who may enter is not decided by a variable that somebody has not thought of.
func TestConfigFileAgainstVariableOfAuth(t *testing.T) {
	file := write(t, "auth: htpasswd\nhtpasswd: /somewhere\n")
	nothing := func(*cli.Context) error { return nil }
	t.Setenv("OCIDAV_AUTH", "none")
	err := parse(t, nothing, "--config", file)
	if !errors.As(err, new(usageError)) || !strings.Contains(err.Error(), file+":1: auth is htpasswd here and none in OCIDAV_AUTH") {
		t.Errorf("%v", err)
	}
	if err := parse(t, nothing, "--config", file, "--auth", "htpasswd"); err != nil {
		t.Errorf("on the command line: %v", err)
	}
	t.Setenv("OCIDAV_AUTH", "htpasswd")
	if err := parse(t, nothing, "--config", file); err != nil {
		t.Errorf("both say the same: %v", err)
	}
}
