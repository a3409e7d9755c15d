package davfs_test

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"ocidav/davfs"
)

func origins(t *testing.T, s string) *davfs.Origins {
	t.Helper()
	o, err := davfs.ParseOrigins(s)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestParseOrigins(t *testing.T) {
	for s, ok := range map[string]bool{
		"": true, "*": true, "https://app.example.com": true, "http://localhost:3000, app://obsidian.md": true, "http://[::1]:80": true,
		"null": false, "app.example.com": false, "https://app.example.com/": false, "https://a/b": false, "https://*.example.com": false,
		"https://u@a": false, "https://A.example.com": false, "https://": false, "https://a:": false, "https://a?b": false, "https://a,b": false,
		"https://a\n": true /* around it */, "https://a\nb": false, "http://::1": false,
	} {
		if _, err := davfs.ParseOrigins(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
	if origins(t, " , ") != nil || origins(t, "https://a").Any() || !origins(t, "https://a,*").Any() {
		t.Error("none and any are not told apart")
	}
}

// TestCORS: what a browser is told, for pages of each kind; the drive has users.
func TestCORS(t *testing.T) {
	var log bytes.Buffer
	for _, c := range []struct {
		allowed, origin string
		want            string // Access-Control-Allow-Origin
		credentials     bool
	}{
		{"https://app.example.com", "https://app.example.com", "https://app.example.com", true},
		{"https://app.example.com:443", "https://app.example.com", "https://app.example.com", true},
		{"http://a:80,https://b:80", "https://b:80", "https://b:80", true},
		{"http://a:80,https://b", "http://a", "http://a", true},
		{"https://app.example.com", "https://evil.example", "", false},
		{"https://app.example.com", "http://app.example.com", "", false},
		{"https://app.example.com", "https://app.example.com:8443", "", false},
		{"https://app.example.com", "https://app.example.com.evil.example", "", false},
		{"https://app.example.com", "https://APP.example.com", "", false},
		{"https://app.example.com", "null", "", false},
		{"https://app.example.com", "", "", false},
		{"*", "https://evil.example", "*", false},
		{"*", "null", "*", false},
		{"*", "", "", false},
		{"*,https://app.example.com", "https://app.example.com", "https://app.example.com", true},
		{"*,https://app.example.com", "https://evil.example", "*", false},
	} {
		d := guarded(t, &log)
		d.Origins = origins(t, c.allowed)
		credentials := map[bool]string{true: "true"}[c.credentials]
		check := func(h http.Header, code, want int) {
			t.Helper()
			if h.Get("Access-Control-Allow-Origin") != c.want || h.Get("Access-Control-Allow-Credentials") != credentials || code != want {
				t.Errorf("%q for %q: %d %v", c.allowed, c.origin, code, h)
			}
			if named := c.allowed != "*"; named != (h.Get("Vary") == "Origin") {
				t.Errorf("%q for %q: Vary %q", c.allowed, c.origin, h.Get("Vary"))
			}
		}
		preflight := d.do("OPTIONS", "/absent", "", "Origin", c.origin, "Access-Control-Request-Method", "PROPFIND", "Access-Control-Request-Headers", "authorization,depth")
		if c.want == "" {
			check(preflight.Header(), preflight.Code, http.StatusUnauthorized)
		} else {
			check(preflight.Header(), preflight.Code, http.StatusNoContent)
			for _, m := range davfs.Methods() {
				if !slices.Contains(strings.Split(preflight.Header().Get("Access-Control-Allow-Methods"), ", "), m) {
					t.Errorf("%s is not allowed", m)
				}
			}
			for _, h := range []string{"Authorization", "Destination", "Depth", "If", "Overwrite", "Lock-Token", "Range"} {
				if !slices.Contains(strings.Split(preflight.Header().Get("Access-Control-Allow-Headers"), ", "), h) {
					t.Errorf("%s is not allowed", h)
				}
			}
			if preflight.Header().Get("DAV") != "" || preflight.Body.Len() > 0 {
				t.Errorf("a preflight is answered %v %s", preflight.Header(), preflight.Body)
			}
		}
		for _, r := range []struct {
			method, target string
			login          string
			code           int
		}{
			{"GET", "/top", as("alice", "alice"), 200}, {"GET", "/absent", as("alice", "alice"), 404}, {"GET", "/top", "", 401},
			{"PUT", "/new", as("alice", "alice"), 201}, {"PROPFIND", "/", as("alice", "alice"), 207}, {"OPTIONS", "/top", as("alice", "alice"), 200},
			{"OPTIONS", "/top", "", 401}, {"DELETE", "/top", as("reader", "reader"), 403},
		} {
			w := d.do(r.method, r.target, "", "Origin", c.origin, "Authorization", r.login, "Depth", "0")
			check(w.Header(), w.Code, r.code)
			if exposed := w.Header().Get("Access-Control-Expose-Headers"); (c.want != "") != strings.Contains(exposed, "ETag") {
				t.Errorf("%s: exposed are %q", r.method, exposed)
			}
		}
		if calls := d.tree.Calls(); c.want == "" && calls["Put"] != 1 { // it is the browser that keeps a page from reading the answer
			t.Errorf("the tree was asked %v", calls)
		}
	}
	d := newDrive(t)
	d.Origins = origins(t, "https://a")
	w := d.do("OPTIONS", "/top", "", "Origin", "https://a", "Access-Control-Request-Method", "PUT")
	w2 := d.from("192.0.2.1:1", "GET", "/top", "", "Origin", "https://a", "Origin", "https://b")
	if w.Code != 204 || d.tree.Calls()["Put"] != 0 || w2.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight %d, two origins %v", w.Code, w2.Header())
	}
}

// TestSimpleRequestsChangeNothing: these are what a browser sends for a page of any origin, with the visitor's credentials
// and without a preflight, forms among them.
func TestSimpleRequestsChangeNothing(t *testing.T) {
	for _, allowed := range []string{"", "https://app.example.com"} {
		d := newDrive(t)
		d.Origins = origins(t, allowed)
		for _, method := range []string{"GET", "HEAD", "POST"} {
			for _, ctype := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain", ""} {
				for _, target := range []string{"/top", "/top?_method=DELETE", "/d", "/d/", "/new", "/", "/d?DELETE&method=PUT"} {
					for _, more := range [][]string{nil, {"X-HTTP-Method-Override", "DELETE", "X-Method-Override", "PUT", "X-HTTP-Method", "MKCOL", "Destination", "/moved"}} {
						headers := append([]string{"Origin", "https://evil.example", "Content-Type", ctype, "Sec-Fetch-Site", "cross-site"}, more...)
						w := d.do(method, target, "_method=DELETE&content=x", headers...)
						if method == "POST" && w.Code != http.StatusMethodNotAllowed {
							t.Errorf("POST %s: %d", target, w.Code)
						}
						if w.Header().Get("Access-Control-Allow-Origin") != "" {
							t.Errorf("%s %s: a page may read the answer", method, target)
						}
					}
				}
			}
		}
		reads := []string{"Stat", "ReadDir", "Open", "Read"}
		for call := range maps.Keys(d.tree.Calls()) {
			if !slices.Contains(reads, call) {
				t.Errorf("the tree was asked %s", call)
			}
		}
		d.hasFile("/top", "top")
	}
}
