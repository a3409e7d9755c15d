package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocidav/ocifs/registrytest"
)

// TestRegistryAuth: the users of the registry are those of the drive, from the command line to the answer.
func TestRegistryAuth(t *testing.T) {
	tokens := registrytest.NewTokens(registrytest.New(registrytest.Defects{}))
	tokens.Anonymous = true
	for _, user := range []string{"alice", "bob"} {
		tokens.User(user, user)
		for _, repo := range []string{"team", "team/" + user} {
			tokens.Allow(user, repo, "pull push delete")
		}
	}
	tokens.User("reader", "reader")
	tokens.Allow("reader", "team", "pull push delete")
	tokens.Allow("", "team", "pull")
	registry := httptest.NewServer(tokens)
	defer registry.Close()
	p := start(t, "--registry", registry.URL+"/team", "--auth", "registry", "--anonymous-read", "--read-only-users", "reader", "--admin-listen", "127.0.0.1:0", "--freshness", "0")
	url := strings.TrimSuffix(p.url(t), "/")
	do := func(user, method, name, body string, want int, headers ...string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url+name, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if name, password, ok := strings.Cut(user, ":"); ok {
			req.SetBasicAuth(name, password)
		} else if user != "" {
			req.SetBasicAuth(user, user)
		}
		for n := 0; n < len(headers); n += 2 {
			req.Header.Set(headers[n], headers[n+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != want {
			t.Errorf("%s %s by %q: %d, want %d: %s", method, name, user, resp.StatusCode, want, got)
		}
		return string(got)
	}
	do("alice", "MKCOL", "/alice", "", 201)
	do("bob", "MKCOL", "/bob", "", 201)
	do("alice", "PUT", "/alice/f", "alice's", 201)
	do("alice", "PUT", "/top", "all's", 201)
	do("alice", "PUT", "/alice/._f", "junk", 201)
	do("bob:wrong", "GET", "/alice/f", "", 401)
	do("mallory", "PUT", "/alice/f", "mallory's", 401)
	for user, code := range map[string]int{"bob": 403, "": 401} {
		do(user, "GET", "/alice/f", "", code)
		do(user, "PROPFIND", "/alice", "", code, "Depth", "1")
		do(user, "PUT", "/alice/f", user, code)
	}
	for _, user := range []string{"alice", "bob", "", "reader"} {
		if got := do(user, "GET", "/top", "", 200); got != "all's" {
			t.Errorf("%s reads %q", user, got)
		}
	}
	do("", "PUT", "/top", "nobody's", 401)
	do("reader", "PUT", "/top", "reader's", 403)
	do("bob", "PUT", "/top", "bob's", 204)
	if got := do("alice", "GET", "/top", "", 200); got != "bob's" {
		t.Errorf("alice reads %q", got)
	}
	do("alice", "GET", "/alice/._f", "", 200)

	admin := p.line(t, `^admin (http://\S+)/$`)
	do("", "GET", "/absent", "", 404)
	tokens.Anonymous = false // a registry that asks for credentials is there all the same
	if code, got := request(t, http.MethodGet, admin+"/readyz", ""); code != http.StatusOK {
		t.Errorf("ready: %d %s", code, got)
	}
	tokens.User("alice", "")
	tokens.Expire()
	do("alice", "GET", "/alice/f", "", 401)
	if log := p.stderr.String(); !strings.Contains(log, `msg="authentication failed" remote=127.0.0.1 user=mallory`) || strings.Contains(log, "alice:alice") {
		t.Error("the log has no failure, or a password")
	}
	if code := p.end(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// TestRegistryAuthRefused: what --auth registry cannot go with.
func TestRegistryAuthRefused(t *testing.T) {
	open := httptest.NewServer(registrytest.New(registrytest.Defects{}))
	defer open.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "goes with --registry"},
		{[]string{"--registry", open.URL, "--registry-username", "x", "--registry-password-file", file}, 2, "--registry-username goes not with --auth registry"},
		{[]string{"--registry", open.URL, "--registry-config", file}, 2, "--registry-config goes not"},
		{[]string{"--registry", open.URL, "--htpasswd", file}, 2, "--auth htpasswd"},
		{[]string{"--registry", open.URL, "--listen", ":0"}, 2, "--insecure-basic"},
		{[]string{"--registry", open.URL}, 1, "cannot tell users apart"},
		{[]string{"--registry", "http://127.0.0.1:1/team"}, 1, "unavailable: "},
	} {
		var stderr output
		dir := t.TempDir()
		args := append([]string{"ocidav", "serve", "--listen", "127.0.0.1:0", "--cache-dir", dir, "--data", dir, "--auth", "registry"}, c.args...)
		code := run(t.Context(), args, io.Discard, &stderr)
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		if code != c.code || !strings.Contains(lines[len(lines)-1], c.says) {
			t.Errorf("%v: exit %d\n%s", c.args, code, stderr.String())
		}
	}
}
