package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// TestAuthProxy: the wiring, on an address that others reach too, which needs nothing else.
func TestAuthProxy(t *testing.T) {
	p := start(t, "--listen", ":0", "--auth", "proxy", "--trusted-proxies", "127.0.0.1", "--proxy-user-header", "Remote-User",
		"--anonymous-read", "--read-only-users", "guest")
	url := "http://127.0.0.1:" + p.line(t, `^serving http://\[::\]:(\d+)/$`) + "/"
	for _, c := range []struct {
		method, user string
		code         int
	}{
		{"PUT", "alice", 201}, {"PUT", "guest", 403}, {"GET", "guest", 200}, {"PUT", "", 403}, {"GET", "", 200}, {"GET", "a,b", 403},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, url+"f", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if c.user != "" {
			req.Header.Set("Remote-User", c.user)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.code {
			t.Errorf("%s by %q: %d, want %d", c.method, c.user, resp.StatusCode, c.code)
		}
	}
	// Whoever asks for its health from elsewhere is not its proxy.
	other := start(t, "--auth", "proxy", "--trusted-proxies", "192.0.2.7")
	address := strings.Split(other.url(t), "/")[2]
	for _, c := range []struct {
		args []string
		code int
	}{{nil, 1}, {[]string{"--auth", "proxy"}, 0}} {
		var out bytes.Buffer
		if code := run(t.Context(), append([]string{"ocidav", "health", "--listen", address}, c.args...), &out, &out); code != c.code {
			t.Errorf("health %q: exit %d, want %d\n%s", c.args, code, c.code, &out)
		}
	}
	if p.end(); strings.Contains(p.stderr.String(), "what=drive") || !strings.Contains(p.stderr.String(), "user=alice") {
		t.Errorf("the log is\n%s", &p.stderr)
	}
}
