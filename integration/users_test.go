package integration

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tokenServer is a server of distribution's token authentication ("Token Authentication Specification"): it gives users, whose
// passwords are their names, signed tokens for what they may do. It is at 127.0.0.1, as the registry is.
type tokenServer struct {
	*httptest.Server
	key    *rsa.PrivateKey
	issued string // the file with its certificate

	mu       sync.Mutex
	rules    map[string]map[string]string // by user and repository below the prefix, actions
	down     bool
	lifetime time.Duration
}

// leeway is how long distribution takes a token longer than it is good.
const leeway = time.Minute

func newTokenServer(t *testing.T) *tokenServer {
	t.Helper()
	s := &tokenServer{rules: map[string]map[string]string{}, lifetime: 2 * time.Second, issued: filepath.Join(t.TempDir(), "tokens.pem")}
	var err error
	if s.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tokens"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, s.key.Public(), s.key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.issued, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// config is for the registry.
func (s *tokenServer) config() string {
	return fmt.Sprintf("auth:\n  token: {realm: %q, service: registry, issuer: tests, rootcertbundle: %q}\n", s.URL+"/token", s.issued)
}

// allow says what a user may do in a repository below the prefix, or in all that are in it ("alice/"); without actions he may do nothing there. No name is nobody.
func (s *tokenServer) allow(user, repo, actions string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rules[user] == nil {
		s.rules[user] = map[string]string{}
	}
	s.rules[user][repo] = actions
}

func (s *tokenServer) remove(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rules, user)
}

func (s *tokenServer) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	user, password, given := r.BasicAuth()
	switch {
	case s.down:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case given && password != user || s.rules[user] == nil:
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	type access struct {
		Type    string   `json:"type"`
		Name    string   `json:"name"`
		Actions []string `json:"actions"`
	}
	granted := []access{}
	for _, scope := range r.URL.Query()["scope"] {
		parts := strings.Split(scope, ":")
		if len(parts) != 3 || parts[0] != "repository" {
			continue
		}
		repo := strings.Trim(strings.TrimPrefix(parts[1], testPrefix), "/")
		rule, ok := s.rules[user][repo]
		if !ok { // as what it is in
			rule = s.rules[user][strings.Split(repo, "/")[0]+"/"]
		}
		may := strings.Split(rule, " ")
		a := access{Type: parts[0], Name: parts[1]}
		for _, action := range strings.Split(parts[2], ",") {
			if slices.Contains(may, action) {
				a.Actions = append(a.Actions, action)
			}
		}
		granted = append(granted, a)
	}
	now := time.Now()
	token := s.sign(map[string]any{"iss": "tests", "sub": user, "aud": "registry", "jti": rand.Text(), "access": granted,
		"exp": now.Add(s.lifetime - leeway).Unix(), "nbf": now.Add(-time.Hour).Unix(), "iat": now.Unix()})
	_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
}

// sign makes a JSON Web Token, whose key is named as libtrust names keys.
func (s *tokenServer) sign(claims any) string {
	der, _ := x509.MarshalPKIXPublicKey(s.key.Public())
	sum := sha256.Sum256(der)
	id := strings.Join(regexp.MustCompile("....").FindAllString(base32.StdEncoding.EncodeToString(sum[:30]), -1), ":")
	part := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(map[string]string{"typ": "JWT", "alg": "RS256", "kid": id}) + "." + part(claims)
	hash := sha256.Sum256([]byte(text))
	signature, _ := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, hash[:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// TestUsersOfRegistry: two users, a guest and nobody, of whom the registry knows who may do what: neither names, sizes, contents
// nor locks of one come to another, whatever the drive has in its memory and in its cache.
func TestUsersOfRegistry(t *testing.T) {
	t.Parallel()
	tokens := newTokenServer(t)
	const all = "pull push delete"
	for _, user := range []string{"alice", "bob"} {
		for _, repo := range []string{"", "shared", user, user + "/"} {
			tokens.allow(user, repo, all)
		}
	}
	tokens.allow("guest", "", "pull")
	tokens.allow("guest", "shared", "pull")
	tokens.allow("", "", "pull")
	reg := startRegistry(t, true, tokens.config())
	d := startDrive(t, "--registry", reg.ref(), "--auth", "registry", "--anonymous-read", "--freshness", "1s", "--admin-listen", "127.0.0.1:0")
	as := func(user, method, name string, content []byte, want int, header ...string) answer {
		t.Helper()
		if user != "" {
			name, password, given := strings.Cut(user, ":")
			if !given {
				password = name
			}
			header = append(header, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(name+":"+password)))
		}
		a := d.try(method, name, content, header...)
		if a.status != want {
			t.Errorf("%s %s by %q: %v, want %d", method, name, user, a, want)
		}
		return a
	}
	admin := d.waitLine(t, "admin http://")
	if a := send(client, "GET", "http://"+strings.TrimSuffix(admin, "/")+"/readyz", nil); a.status != 200 {
		t.Errorf("ready: %v", a)
	}

	secret, large := []byte("alice's own"), random(3<<20)
	as("alice", "MKCOL", "/alice", nil, 201)
	as("alice", "MKCOL", "/shared", nil, 201)
	as("bob", "MKCOL", "/bob", nil, 201)
	for name, content := range map[string][]byte{"/alice/secret": secret, "/alice/large": large, "/shared/f": secret} {
		as("alice", "PUT", name, content, 201)
		if a := as("alice", "GET", name, nil, 200); string(a.body) != string(content) {
			t.Errorf("%s is another for alice", name)
		}
	}
	const exclusive = `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`
	token := as("alice", "LOCK", "/alice/secret", []byte(exclusive), 200).header.Get("Lock-Token")
	for user, denied := range map[string]int{"bob": 403, "guest": 403, "": 401} {
		for _, name := range []string{"/alice/secret", "/alice/large", "/alice/absent"} {
			for _, method := range []string{"GET", "HEAD", "PROPFIND", "PUT", "DELETE", "MKCOL", "LOCK", "OPTIONS"} {
				body := map[string][]byte{"LOCK": []byte(exclusive), "PUT": secret}[method]
				as(user, method, name, body, denied, "Depth", "0")
			}
		}
		as(user, "PROPFIND", "/alice", nil, denied, "Depth", "1")
		as(user, "GET", "/alice", nil, denied)
		as(user, "COPY", "/alice/secret", nil, denied, "Destination", d.href("/copy"))
		for _, name := range []string{"/", "/alice"} {
			a := as(user, "PROPFIND", name, []byte(`<D:propfind xmlns:D="DAV:"><D:allprop/><D:include><D:lockdiscovery/></D:include></D:propfind>`), 207, "Depth", "0")
			if strings.Contains(string(a.body), "secret") || strings.Contains(string(a.body), strings.Trim(token, "<>")) {
				t.Errorf("%q is told of a lock: %s", user, a.body)
			}
		}
	}
	for _, method := range []string{"DELETE", "MOVE"} {
		a := as("bob", method, "/alice", nil, 423, "Destination", d.href("/bob/hers"))
		if strings.Contains(string(a.body), "secret") {
			t.Errorf("bob is told of a lock: %s", a.body)
		}
	}
	as("alice", "UNLOCK", "/alice/secret", nil, 204, "Lock-Token", token)

	// What they share, each sees and changes at once, and who may only read reads.
	for _, user := range []string{"bob", "guest"} {
		if a := as(user, "GET", "/shared/f", nil, 200); string(a.body) != string(secret) {
			t.Errorf("%s reads %q", user, a.body)
		}
	}
	as("bob", "PUT", "/shared/f", []byte("bob's"), 204)
	if a := as("alice", "GET", "/shared/f", nil, 200); string(a.body) != "bob's" {
		t.Errorf("alice reads %q", a.body)
	}
	as("guest", "PUT", "/shared/f", []byte("guest's"), 403)
	as("guest", "DELETE", "/shared/f", nil, 403)
	as("guest", "LOCK", "/shared/f", []byte(exclusive), 403)
	as("guest", "GET", "/absent", nil, 404)
	as("bob", "LOCK", "/shared/f", []byte(exclusive), 200)
	as("alice", "PUT", "/shared/f", []byte("alice's"), 423)

	// A real client, for many files at once.
	if rclone, err := exec.LookPath("rclone"); err == nil {
		from := t.TempDir()
		for n := range 30 {
			if err := os.WriteFile(filepath.Join(from, fmt.Sprint(n)), random(1000*n), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		run := func(user string, args ...string) error {
			all := append([]string{"--config", os.DevNull, "--webdav-url", d.url, "--webdav-user", user, "--webdav-pass", obscured(t, rclone, user), "--retries", "1"}, args...)
			out, err := exec.CommandContext(t.Context(), rclone, all...).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, tail(string(out), 3))
			}
			return err
		}
		if err := run("alice", "copy", from, ":webdav:alice/many"); err != nil {
			t.Error(err)
		}
		if err := run("alice", "check", "--download", from, ":webdav:alice/many"); err != nil {
			t.Error(err)
		}
		if err := run("bob", "lsf", ":webdav:alice/many"); err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("rclone of bob: %v", err)
		}
	}

	// A token that runs out in the middle of an upload is nobody's failure.
	slow, w := io.Pipe()
	go func() {
		for part := range slices.Chunk(large, len(large)/4) {
			w.Write(part)
			time.Sleep(time.Second)
		}
		w.Close()
	}()
	if a := send(client, "PUT", d.href("/alice/slow"), slow, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("alice:alice"))); a.status != 201 {
		t.Errorf("a slow upload: %v", a)
	}
	if a := as("alice", "GET", "/alice/slow", nil, 200); string(a.body) != string(large) {
		t.Error("what was uploaded slowly is another")
	}

	// What is withdrawn is gone, from the cache too, and who is gone is a stranger.
	until := func(user, name string, want int, never ...int) {
		t.Helper()
		eventually(t, 20*time.Second, fmt.Sprintf("GET %s by %s is never %d", name, user, want), func() bool {
			a := d.try("GET", name, nil, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+user)))
			if slices.Contains(never, a.status) {
				t.Errorf("GET %s by %s: %v", name, user, a)
			}
			return a.status == want
		})
	}
	tokens.allow("bob", "shared", "")
	until("bob", "/shared/f", 403, 401, 404, 503)
	as("bob", "GET", "/shared/absent", nil, 403)
	as("alice", "GET", "/shared/f", nil, 200)
	tokens.setDown(true)
	until("alice", "/alice/secret", 503, 401, 403, 404)
	as("alice:wrong", "GET", "/alice/secret", nil, 503)
	tokens.setDown(false)
	until("alice", "/alice/secret", 200, 401, 403, 404)
	tokens.remove("bob")
	until("bob", "/bob", 401, 404, 503)
	as("alice:wrong", "GET", "/alice/secret", nil, 401)
	line := regexp.MustCompile(`msg="authentication failed" remote=127\.0\.0\.1 user=alice `)
	eventually(t, 5*time.Second, "the failure is not in the log", func() bool { return line.MatchString(d.log.String()) })
}
