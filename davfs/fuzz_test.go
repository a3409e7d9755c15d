package davfs_test

import (
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// fuzzDrive has the file /keep/f, which no request is about, and /f, /d and /d/m, which one may be.
func fuzzDrive(t *testing.T) (*davfs.Handler, *treetest.Mem) {
	m := new(treetest.Mem)
	d := &drive{t, &davfs.Handler{Tree: m, Prefix: "/dav"}, m}
	d.mkdir("/keep")
	d.put("/keep/f", "keep")
	d.mkdir("/d")
	d.put("/d/m", "m")
	d.put("/f", "f")
	return d.Handler, m
}

// snapshot is all names and contents of a tree.
func snapshot(t *testing.T, m *treetest.Mem) map[string]string {
	t.Helper()
	all := map[string]string{}
	ctx := context.Background()
	var walk func(dir string)
	walk = func(dir string) {
		l, err := m.ReadDir(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, fi := range l {
			name := path.Join(dir, fi.Name())
			if fi.IsDir() {
				all[name] = "directory"
				walk(name)
				continue
			}
			f, err := m.Open(ctx, name, fi)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(f)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = string(b)
		}
	}
	walk("/")
	return all
}

// hurl sends a request that may be any nonsense. It must not panic, must not be answered by a 5xx that blames the
// storage or the server nor by broken XML, and must change nothing but what lies below the names that it is about.
func hurl(t *testing.T, method string, u *url.URL, header http.Header, body string, about ...string) int {
	t.Helper()
	h, m := fuzzDrive(t)
	before := snapshot(t, m)
	r := httptest.NewRequest(method, "/dav/", strings.NewReader(body))
	r.URL, r.Header = u, header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code >= 500 && w.Code != http.StatusBadGateway || w.Code < 200 {
		t.Errorf("%s %v %v: status %d: %s", method, u, header, w.Code, w.Body)
	}
	if strings.Contains(w.Header().Get("Content-Type"), "xml") {
		parses(t, w.Body.String())
	}
	after := snapshot(t, m)
	touched := func(name string) bool {
		for _, a := range about {
			if name == a || strings.HasPrefix(name, strings.TrimSuffix(a, "/")+"/") {
				return true
			}
		}
		return false
	}
	for name, content := range before {
		if after[name] != content && !touched(name) {
			t.Errorf("%s %v %v: status %d, and %s is now %q", method, u, header, w.Code, name, after[name])
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok && (!touched(name) || w.Code >= 400) {
			t.Errorf("%s %v %v: status %d, and %s is new", method, u, header, w.Code, name)
		}
	}
	return w.Code
}

// parses checks that s is well-formed.
func parses(t *testing.T, s string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(s)); ; {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Errorf("%v in the answer %s", err, s)
			return
		}
	}
}

// named is the name below the prefix that a URL is about, as this test reads it, without dots and double slashes.
func named(u *url.URL) []string {
	rest, ok := strings.CutPrefix(u.Path, "/dav")
	if !ok || rest != "" && rest[0] != '/' {
		return nil
	}
	return []string{path.Clean("/" + rest)}
}

var fuzzMethods = []string{"GET", "PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPFIND", "PROPPATCH", "LOCK", "UNLOCK",
	"OPTIONS", "HEAD"}

func bodyOf(method string) string {
	return map[string]string{"PUT": "x", "PROPPATCH": patchBody, "LOCK": lockBody, "PROPFIND": findDead}[method]
}

func FuzzPath(f *testing.F) {
	for i, s := range []string{"/dav/f", "/dav", "/dav/d/", "/davf", "/dav/../keep/f", "/dav/%2e%2e/f", "/dav/d%2fm", "*",
		"/dav//keep/./f", "/dav/%00", "/dav/%ff", "/dav/a\\..\\keep", "//dav/f", "/dav/d/../keep", "/dav/f/", "",
		"/dav/" + strings.Repeat("x", 300)} {
		f.Add(uint8(i), s)
	}
	f.Fuzz(func(t *testing.T, method uint8, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		m := fuzzMethods[int(method)%len(fuzzMethods)]
		h := http.Header{"Destination": {"/dav/new"}, "Depth": {"1"}}
		if m != "PROPFIND" {
			h.Del("Depth")
		}
		about := append(named(u), "/new")
		for _, a := range about {
			if strings.HasPrefix("/keep/f", a) {
				return
			}
		}
		hurl(t, m, u, h, bodyOf(m), about...)
	})
}

func FuzzDestination(f *testing.F) {
	for _, s := range []string{
		"/dav/new", "/dav/../keep/f", "http://example.com/dav/d", "/davkeep", "/dav/keep%2ff", "", "%",
		"//dav/new", "dav/new", "/dav/d?x", "/dav/d#x", "http://example.com/dav/%2e%2e/keep", "/dav/d/m/x", "/dav/f",
	} {
		f.Add(s, "", "")
	}
	f.Add("/dav/d", "F", "0")
	f.Fuzz(func(t *testing.T, dst, overwrite, depth string) {
		var about []string
		if u, err := url.Parse(dst); err == nil {
			about = named(u)
		}
		for _, m := range []string{"COPY", "MOVE"} {
			moved := about
			if m == "MOVE" {
				moved = append([]string{"/f"}, about...)
			}
			if len(about) == 1 && strings.HasPrefix("/keep/f", about[0]) {
				return
			}
			h := http.Header{"Destination": {dst}, "Overwrite": {overwrite}, "Depth": {depth}}
			hurl(t, m, &url.URL{Path: "/dav/f"}, h, "", moved...)
		}
	})
}

func FuzzHeaders(f *testing.F) {
	for _, s := range []string{
		"(<a>)", `</dav/f> (<a> ["e"]) (Not <b>)`, `(["a)b<"] <c>)`, "<x", "([x", "nonsense", "<> (<a>)",
		"(Not <DAV:no-lock>)", `<http://[::1> (<a>)`, "((", "(<a>)(", "\xff",
	} {
		f.Add(s, "1", "Second-10", `"etag"`, "<urn:uuid:x>")
	}
	f.Add("", "infinity,noroot", "Infinite, Second-4100000000", `W/"a", *, "`, "urn:x")
	f.Fuzz(func(t *testing.T, cond, depth, timeout, etags, token string) {
		for _, m := range []string{"PUT", "DELETE", "PROPFIND", "PROPPATCH", "LOCK", "UNLOCK", "MOVE"} {
			h := http.Header{"Depth": {depth}, "Timeout": {timeout}, "If-Match": {etags}, "Lock-Token": {token},
				"Destination": {"/dav/new"}, "Content-Range": nil}
			if cond != "" {
				h.Set("If", cond)
			}
			hurl(t, m, &url.URL{Path: "/dav/f"}, h, bodyOf(m), "/f", "/new")
			h.Del("If-Match")
			h.Set("If-None-Match", etags)
			hurl(t, m, &url.URL{Path: "/dav/d/new"}, h, bodyOf(m), "/d/new", "/new")
		}
	})
}

func FuzzXML(f *testing.F) {
	for _, s := range []string{findLive, findDead, findLocks, lockBody, sharedBody, patchBody, "", " ", "<", "<a/>",
		`<D:propfind xmlns:D="DAV:"><D:allprop/><D:include><D:x/></D:include></D:propfind>`,
		`<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>`, `<?xml version="1.0" encoding="x"?><a/>`,
		`<propfind xmlns="DAV:"><prop><a xmlns=""/></prop></propfind>`,
		`<D:propfind xmlns:D="DAV:"><D:prop><x:a xmlns:x=""/></D:prop></D:propfind>`,
		`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`, "\xef\xbb\xbf" + findLive, "<a>\xff</a>", `<a xmlns:D="D:"/>`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, m := range []string{"PROPFIND", "PROPPATCH", "LOCK"} {
			h := http.Header{"Depth": {"0"}}
			code := hurl(t, m, &url.URL{Path: "/dav/f"}, h, body, "/f")
			if m == "PROPFIND" && code != http.StatusMultiStatus && code != http.StatusBadRequest &&
				code != http.StatusRequestEntityTooLarge {
				t.Errorf("PROPFIND with %q: status %d", body, code)
			}
		}
		// Whatever was set, a listing with it can be read, and no lock or property of it gets out of its place.
		handler, m := fuzzDrive(t)
		d := &drive{t, handler, m}
		for _, method := range []string{"PROPPATCH", "LOCK"} {
			d.do(method, "/dav/f", body)
		}
		for _, all := range []string{"", findLocks} {
			w := d.do("PROPFIND", "/dav/f", all, "Depth", "0")
			parses(t, w.Body.String())
			if n := strings.Count(w.Body.String(), "</D:response>"); n != 1 || !strings.HasSuffix(w.Body.String(), "</D:response></D:multistatus>\n") {
				t.Errorf("after %q the listing is %s", body, w.Body)
			}
		}
	})
}
