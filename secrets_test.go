package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"ocidav/ocifs/registrytest"
)

// TestSecrets: a drive that knows secrets, hears others and meets failures says none of them, at the level debug, in its
// answers, its metrics or what its admin address shows of the process.
func TestSecrets(t *testing.T) {
	const registrySecret, userSecret, wrongSecret, notifySecret, querySecret, signature = "reg1stry-secret", "us3r-secret", "wr0ng-secret", "n0tify-secret", "qu3ry-secret", "s1gnature-secret"
	dir := t.TempDir()
	file := func(name, content string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(userSecret), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	}))
	defer store.Close()
	g := registrytest.New(registrytest.Defects{})
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "user" || password != registrySecret {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		g.ServeHTTP(w, r)
	}))
	defer registry.Close()
	p := start(t, "--registry", registry.URL+"/team", "--registry-username", "user", "--registry-password-file", file("registry", registrySecret+"\n"),
		"--auth", "htpasswd", "--htpasswd", file("passwords", "alice:"+string(hash)+"\n"), "--admin-listen", "127.0.0.1:0",
		"--notify-token-file", file("token", notifySecret), "--log-level", "debug", "--cache-size", "0", "--write-timeout", "1s")
	url, admin := p.url(t), p.line(t, `^admin (http://\S+/)$`)
	var said strings.Builder
	ask := func(code int, method, url, body string, header ...string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		if req.Header.Get("Authorization") == "" {
			req.SetBasicAuth("alice", userSecret)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != code {
			t.Errorf("%s %s: %d, want %d", method, url, resp.StatusCode, code)
		}
		resp.Header.Write(&said)
		io.Copy(&said, resp.Body)
	}
	ask(201, "PUT", url+"f", "content")
	ask(200, "GET", url+"f?token="+querySecret, "")
	ask(404, "GET", url+"none?token="+querySecret, "", "Cookie", "session="+querySecret, "Referer", "http://x/?"+querySecret)
	ask(401, "GET", url+"f", "", "Authorization", "Basic YWxpY2U6d3IwbmctNzNjcmV0LXNlY3JldA==") // of which nothing is to be seen either
	wrong, _ := http.NewRequest("GET", "/", nil)
	wrong.SetBasicAuth("alice", wrongSecret)
	ask(401, "GET", url+"f", "", "Authorization", wrong.Header.Get("Authorization"))
	ask(401, "GET", url+"f", "", "Authorization", "Bearer "+wrongSecret)
	ask(401, "POST", admin+"-/notify", `{"events":[]}`, "Authorization", "Bearer "+wrongSecret)
	ask(204, "POST", admin+"-/notify", `{"events":[]}`, "Authorization", "Bearer "+notifySecret)

	redirects := g.Fail(registrytest.Match{Method: "GET", Path: "/blobs/"}, func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Location", store.URL+"/bucket/x?X-Amz-Signature="+signature)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}, 0)
	ask(403, "GET", url+"f", "")
	store.Close()
	ask(503, "GET", url+"f", "")
	g.Fail(registrytest.Match{}, registrytest.Status(http.StatusInternalServerError), 0)
	ask(503, "PUT", url+"g?token="+querySecret, "content")
	registry.Close()
	ask(503, "PUT", url+"h", "content")
	ask(503, "GET", admin+"readyz", "")
	for _, page := range []string{"metrics", "debug/pprof/cmdline", "debug/pprof/goroutine?debug=2"} {
		ask(200, "GET", admin+page, "")
	}
	if redirects.Hits() == 0 {
		t.Error("nothing was led to the store")
	}
	p.end()
	log := p.stderr.String()
	for what, text := range map[string]string{"the log": log, "an answer": said.String()} {
		for _, secret := range []string{registrySecret, userSecret, wrongSecret, notifySecret, querySecret, signature, "Basic Y", wrong.Header.Get("Authorization")[6:], string(hash)} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s has %s: %.300s", what, secret, text[max(0, i-200):])
			}
		}
	}
	for _, sees := range []string{"registry request", "request_id=", "authentication failed", "/bucket/x?...", "a notification was refused"} {
		if !strings.Contains(log, sees) {
			t.Errorf("the log does not have %q, so this test sees nothing\n%s", sees, log)
		}
	}
}
