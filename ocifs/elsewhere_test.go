package ocifs_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// A stranger is a host that a registry sends its clients to, and that would like to have their credentials.
type stranger struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
	secrets  []string
}

func newStranger(t *testing.T) *stranger {
	s := &stranger{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		if secret := r.Header.Get("Authorization"); secret != "" || strings.Contains(string(body)+r.URL.RawQuery, "secret") {
			s.secrets = append(s.secrets, r.Method+" "+r.URL.String()+" "+secret+" "+string(body))
		}
		// It asks for them too, as a registry does and as the place where a registry's tokens are made.
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL+`/token",service="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(s.Close)
	return s
}

// said gives what was asked of it, and fails the test if there was a secret.
func (s *stranger) said(t *testing.T) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.secrets) > 0 {
		t.Errorf("the stranger has got %q", s.secrets)
	}
	slices.Sort(s.requests)
	return strings.Join(slices.Compact(s.requests), ", ")
}

// guarded is a registry that wants a password.
func guarded(g http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "user" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		g.ServeHTTP(w, r)
	})
}

// TestCredentialsStay: a registry that redirects, or lets uploads go on, at another host (here one that differs in its port
// alone) has no credentials sent there, neither at once nor when that host asks for them.
func TestCredentialsStay(t *testing.T) {
	push := func(tree *ocifs.FS) error { return put(context.Background(), tree, "/g", "other content") }
	for what, c := range map[string]struct {
		match registrytest.Match
		code  int // of the redirect, or 202
		do    func(tree *ocifs.FS) error
		asked string // of the stranger
	}{
		"a blob": {registrytest.Match{Method: "GET", Path: "/blobs/sha256:" + digest.FromString("content").Encoded()}, 307, func(tree *ocifs.FS) error {
			fi, err := tree.Stat(context.Background(), "/f")
			if err != nil {
				return err
			}
			f, err := tree.Open(context.Background(), "/f", fi)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.ReadAll(f)
			return err
		}, "GET /there"},
		"a manifest": {registrytest.Match{Method: "GET HEAD", Path: "/manifests/f$"}, 302, func(tree *ocifs.FS) error {
			_, err := tree.Stat(context.Background(), "/f")
			return err
		}, "GET /there"},
		"a pushed manifest": {registrytest.Match{Method: "PUT", Path: "/manifests/"}, 307, push, "PUT /there"},
		"an upload":         {registrytest.Match{Method: "POST"}, 202, push, ""},
		"an upload's PUT":   {registrytest.Match{Method: "PUT", Path: "/blobs/"}, 307, push, "PUT /there"},
		"a new session":     {registrytest.Match{Method: "POST"}, 308, push, "POST /there"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newStranger(t)
			g := registrytest.New(registrytest.Defects{})
			server := httptest.NewServer(guarded(g))
			defer server.Close()
			host := strings.TrimPrefix(server.URL, "http://")
			client, err := ocifs.Dial(host, true, ocifs.NewTransport(),
				auth.StaticCredential(host, auth.Credential{Username: "user", Password: "secret"}))
			if err != nil {
				t.Fatal(err)
			}
			tree := func() *ocifs.FS {
				tree, err := ocifs.New(ocifs.Options{Registry: client, Blobs: noBlobs{}, SpoolDir: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { tree.Close(context.Background()) })
				return tree
			}
			if err := put(t.Context(), tree(), "/f", "content"); err != nil {
				t.Fatal(err)
			}
			rule := g.Fail(c.match, func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
				w.Header().Set("Location", s.URL+"/there")
				w.WriteHeader(c.code)
			}, 0)
			if err := c.do(tree()); err == nil || rule.Hits() == 0 {
				t.Errorf("%v, and %d requests were led away", err, rule.Hits())
			}
			if asked := s.said(t); asked != c.asked {
				t.Errorf("the stranger was asked %q, want %q", asked, c.asked)
			}
		})
	}
}
