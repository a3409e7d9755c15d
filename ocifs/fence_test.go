package ocifs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// led is a tree on a registry that leads some of its requests elsewhere; the tree has read nothing yet.
func led(t *testing.T, server *httptest.Server, g *registrytest.Registry, host string, transport http.RoundTripper, match registrytest.Match, code int, header, value string) (*ocifs.FS, *registrytest.Rule) {
	t.Helper()
	client, err := ocifs.Dial(host, !strings.HasPrefix(server.URL, "https:"), transport, auth.StaticCredential(host, auth.Credential{Username: "user", Password: "secret"}))
	if err != nil {
		t.Fatal(err)
	}
	open := func() *ocifs.FS {
		tree, err := ocifs.New(ocifs.Options{Registry: client, Blobs: noBlobs{}, SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tree.Close(context.Background()) })
		return tree
	}
	if err := put(t.Context(), open(), "/f", "content"); err != nil {
		t.Fatal(err)
	}
	rule := g.Fail(match, func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		w.Header().Set(header, value)
		w.WriteHeader(code)
	}, 0)
	return open(), rule
}

// TestFence: what a registry leads to that it has no business with is not asked at all, whatever it is that leads there.
func TestFence(t *testing.T) {
	blob, manifest := registrytest.Match{Method: "GET", Path: "/blobs/"}, registrytest.Match{Method: "GET HEAD", Path: "/manifests/"}
	for what, c := range map[string]struct {
		match  registrytest.Match
		code   int
		header string
		value  string // with STRANGER for the address of one on this machine
		tls    bool   // the registry is asked by HTTPS, and is near
		says   string
	}{
		"a blob to this machine":        {blob, 307, "Location", "http://STRANGER/x", false, "leads to this machine"},
		"a blob to a name of it":        {blob, 307, "Location", "http://localhost:PORT/x", false, "leads to this machine"},
		"a manifest to this machine":    {manifest, 302, "Location", "http://STRANGER/x", false, "leads to this machine"},
		"a list to this machine":        {registrytest.Match{Path: "/tags/list"}, 302, "Location", "http://STRANGER/x", false, "leads to this machine"},
		"a token of this machine":       {blob, 401, "WWW-Authenticate", `Bearer realm="http://STRANGER/token",service="x"`, false, "realm"},
		"a blob to the cloud's secrets": {blob, 307, "Location", "http://169.254.169.254/latest/meta-data/", false, "machines of a link or cloud"},
		"by HTTPS to plain HTTP":        {blob, 307, "Location", "http://STRANGER/x", true, "from HTTPS to plain HTTP"},
		"by HTTPS to itself, plain":     {blob, 307, "Location", "http://SELF/x", true, "from HTTPS to plain HTTP"},
		"by HTTPS to a plain token":     {blob, 401, "WWW-Authenticate", `Bearer realm="http://STRANGER/token",service="x"`, true, "http"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newStranger(t)
			g := registrytest.New(registrytest.Defects{})
			start := httptest.NewServer
			if c.tls {
				start = httptest.NewTLSServer
			}
			server := start(guarded(g))
			defer server.Close()
			transport, host := ocifs.NewTransport(), server.Listener.Addr().String()
			if c.tls {
				pool := x509.NewCertPool()
				pool.AddCert(server.Certificate())
				transport.TLSClientConfig = &tls.Config{RootCAs: pool}
			} else { // one that is far away, for what the fence sees
				host = "registry.example.com"
				dial := transport.DialContext
				transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					if address == host+":80" {
						return net.Dial("tcp", server.Listener.Addr().String())
					}
					return dial(ctx, network, address)
				}
			}
			stranger := strings.TrimPrefix(s.URL, "http://")
			_, port, _ := net.SplitHostPort(stranger)
			value := strings.NewReplacer("STRANGER", stranger, "SELF", server.Listener.Addr().String(), "PORT", port).Replace(c.value)
			tree, rule := led(t, server, g, host, transport, c.match, c.code, c.header, value)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var err error
			if strings.Contains(c.match.Path, "tags") {
				_, err = tree.ReadDir(ctx, "/")
			} else {
				_, err = read(ctx, tree, "/f")
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if n := rule.Hits(); n == 0 || n > 2 { // a tag and what it was
				t.Errorf("the registry has led away %d requests: it is asked again", n)
			}
			if asked := s.said(t); asked != "" {
				t.Errorf("the stranger was asked %s", asked)
			}
		})
	}
}

// TestObjectStore: a blob that lies elsewhere is read, without credentials and without a word of where it was asked for.
func TestObjectStore(t *testing.T) {
	var header http.Header
	code := http.StatusOK
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		w.WriteHeader(code)
		io.WriteString(w, "content")
	}))
	defer store.Close()
	g := registrytest.New(registrytest.Defects{})
	server := httptest.NewServer(guarded(g))
	defer server.Close()
	tree, rule := led(t, server, g, server.Listener.Addr().String(), ocifs.NewTransport(), registrytest.Match{Method: "GET", Path: "/blobs/"}, 307, "Location", store.URL+"/bucket/x?signature=y")
	got, err := read(t.Context(), tree, "/f")
	code = http.StatusForbidden
	_, refused := read(t.Context(), tree, "/f")
	store.CloseClientConnections()
	store.Listener.Close()
	_, down := read(t.Context(), tree, "/f")
	for _, err := range []error{refused, down} {
		if err == nil || !strings.Contains(err.Error(), "/bucket/x?...") || strings.Contains(err.Error(), "signature") {
			t.Errorf("the error is %v", err)
		}
	}
	if err != nil || got != "content" || rule.Hits() == 0 {
		t.Fatalf("%q, %v, led %d times", got, err, rule.Hits())
	}
	for _, never := range []string{"Authorization", "Referer", "Cookie"} {
		if header.Get(never) != "" {
			t.Errorf("the store is told %s: %s", never, header.Get(never))
		}
	}
}
