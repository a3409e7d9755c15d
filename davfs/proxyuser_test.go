package davfs_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"ocidav/davfs"
)

// behindProxy is a drive whose users log in at the proxy 10.0.0.7; reader may only read.
func behindProxy(t *testing.T, log *bytes.Buffer) *drive {
	d := newDrive(t)
	d.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32")}
	d.Auth = &davfs.Auth{UserHeader: davfs.DefaultUserHeader, ReadOnlyUsers: []string{"reader"}}
	d.Log = slog.New(slog.NewTextHandler(log, nil))
	return d
}

// from sends a request from an address; headers are name and value in turn, and a name may come again.
func (d *drive) from(address, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	d.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr = address
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

const (
	proxyAddress = "10.0.0.7:1234"
	userHeader   = "X-Forwarded-User"
)

// TestProxyUser: what a trusted proxy says is who the request is from, and whoever else says so is refused before anything
// of it is done.
func TestProxyUser(t *testing.T) {
	var log bytes.Buffer
	d := behindProxy(t, &log)
	want := func(code int, w *httptest.ResponseRecorder) {
		t.Helper()
		if w.Code != code {
			t.Errorf("%d %s, want %d", w.Code, w.Body, code)
		}
		if code == http.StatusForbidden && (w.Header().Get("WWW-Authenticate") != "" || w.Body.Len() > 0 && !strings.HasSuffix(w.Body.String(), ".\n")) {
			t.Errorf("the refusal is %v %s", w.Header(), w.Body)
		}
	}
	all := []string{"PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPPATCH", "LOCK", "UNLOCK", "GET", "HEAD", "OPTIONS", "PROPFIND", "INVENTED", "POST"}
	for _, anonymous := range []bool{false, true} {
		d.Auth.AnonymousRead = anonymous
		for _, method := range all {
			for _, target := range []string{"/top", "/absent", "/bad%00name"} {
				for _, address := range []string{"10.0.0.8:1234", "192.0.2.1:1234", "[::1]:1234", "127.0.0.1:1234", "@", "", "[::ffff:10.0.0.8]:1"} {
					want(403, d.from(address, method, target, "", userHeader, "alice"))
					want(403, d.from(address, method, target, "", userHeader, "alice", "X-Forwarded-For", "10.0.0.7", "Forwarded", "for=10.0.0.7", "X-Real-Ip", "10.0.0.7"))
					want(403, d.from(address, method, target, ""))
				}
				for _, values := range [][]string{{""}, {"alice", "alice"}, {"alice", "bob"}, {"", "alice"}, {"mallory, alice"}, {" "}, {"a\tb"}, {"a\x00"},
					{"a\x7f"}, {"a\u0085b"}, {"\xff"}, {strings.Repeat("a", 257)}} {
					var headers []string
					for _, v := range values {
						headers = append(headers, userHeader, v)
					}
					want(403, d.from(proxyAddress, method, target, "", headers...))
				}
			}
		}
	}
	if calls := d.tree.Calls(); calls != nil {
		t.Errorf("for nobody the tree was asked %v", calls)
	}
	log.Reset()
	d.Auth.AnonymousRead = false
	want(403, d.from(proxyAddress, "GET", "/top", "", "Authorization", as("alice", "alice"), "Remote-User", "alice"))
	want(204, d.from(proxyAddress, "PUT", "/top", "new", userHeader, "alice", "X-Forwarded-For", "192.0.2.9"))
	want(204, d.from("[::ffff:10.0.0.7]:1234", "PUT", "/top", "new", "x-forwarded-user", "Jürgen O'Neil"))
	want(200, d.from(proxyAddress, "GET", "/top", "", userHeader, strings.Repeat("a", 256)))
	for _, says := range []string{"status=204", " user=alice", " remote=192.0.2.9", ` user="Jürgen O'Neil"`, `err="The proxy in front of this drive does not say who you are."`} {
		if !strings.Contains(log.String(), says) {
			t.Errorf("the log does not say %s\n%s", says, &log)
		}
	}
	// Who may only read, and nobody.
	want(200, d.from(proxyAddress, "GET", "/top", "", userHeader, "reader"))
	d.Auth.AnonymousRead = true
	for _, method := range all[:8] {
		want(403, d.from(proxyAddress, method, "/top", "", userHeader, "reader"))
		want(403, d.from(proxyAddress, method, "/top", ""))
	}
	for _, method := range all[8:11] {
		want(200, d.from(proxyAddress, method, "/top", ""))
	}
	d.hasFile("/top", "new")
	d.Auth.UserHeader = "remote-user"
	want(403, d.from(proxyAddress, "PUT", "/top", "x", userHeader, "alice"))
	want(204, d.from(proxyAddress, "PUT", "/top", "x", "Remote-User", "alice"))
}

// TestProxyUserIsSeenByNobody: the header is gone behind the door, whoever has sent it.
func TestProxyUserIsSeenByNobody(t *testing.T) {
	var log bytes.Buffer
	d := behindProxy(t, &log)
	for _, address := range []string{proxyAddress, "192.0.2.1:1"} {
		r := httptest.NewRequest("GET", "/top", nil)
		r.RemoteAddr = address
		r.Header.Set(userHeader, "alice")
		d.ServeHTTP(httptest.NewRecorder(), r)
		if got, ok := r.Header[userHeader]; ok {
			t.Errorf("%s: the header still says %q", address, got)
		}
	}
}

// TestProxyUserOwnsLocks: a lock is its maker's alone, as with a password.
func TestProxyUserOwnsLocks(t *testing.T) {
	var log bytes.Buffer
	d := behindProxy(t, &log)
	w := d.from(proxyAddress, "LOCK", "/top", lockBody, userHeader, "alice")
	token := w.Header().Get("Lock-Token")
	for user, code := range map[string]int{"bob": 423, "alice": 204} {
		if w := d.from(proxyAddress, "PUT", "/top", "new", userHeader, user, "If", "("+token+")"); w.Code != code {
			t.Errorf("PUT by %s with the token: %d, want %d", user, w.Code, code)
		}
	}
	if w := d.from(proxyAddress, "UNLOCK", "/top", "", userHeader, "bob", "Lock-Token", token); w.Code != 403 {
		t.Errorf("UNLOCK by bob: %d", w.Code)
	}
	if w := d.from(proxyAddress, "UNLOCK", "/top", "", userHeader, "alice", "Lock-Token", token); w.Code != 204 {
		t.Errorf("UNLOCK by alice: %d", w.Code)
	}
}

func TestCheckUserHeader(t *testing.T) {
	for name, ok := range map[string]bool{"X-Forwarded-User": true, "Remote_User": true, "": false, "a b": false, "a:": false, "é": false, "a\n": false} {
		if err := davfs.CheckUserHeader(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
