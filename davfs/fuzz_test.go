package davfs_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
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

// FuzzProperty: whatever somebody else has put into the tree as a property, a listing with it can be read, and it is one
// property there, of its own name, or none.
func FuzzProperty(f *testing.F) {
	for _, s := range [][3]string{{"urn:x", "p", "v"}, {"", "p", "<a/>"}, {"DAV:", "getetag", "forged"}, {"DAV:", "displayname", "&amp;"},
		{"urn:x", "p", `</x:p><D:getetag>forged</D:getetag><x:p xmlns:x="urn:x">`}, {"urn:x", "p><q", ""}, {`"`, "p", "<!-- -->"},
		{"urn:x", "p", "</x:p></D:prop></D:propstat></D:response><D:response>"}, {"urn:x", "p", "<![CDATA[x]]>"}, {"urn:x", "p", "<?x?>"}} {
		f.Add(s[0], s[1], "en", s[2])
	}
	f.Fuzz(func(t *testing.T, space, local, lang, inner string) {
		handler, m := fuzzDrive(t)
		d := &drive{t, handler, m}
		none := d.do("PROPFIND", "/dav/f", "", "Depth", "0").Body.String()
		p := davfs.Property{XMLName: xml.Name{Space: space, Local: local}, Lang: lang, InnerXML: []byte(inner)}
		if m.PatchProps(t.Context(), "/f", davfs.PropPatch{Set: []davfs.Property{p}}) != nil {
			return
		}
		for _, body := range []string{"", `<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>`} {
			w := d.do("PROPFIND", "/dav/f", body, "Depth", "0")
			got := propertiesOf(t, w.Body.String())
			added := len(got) - len(propertiesOf(t, none))
			if body != "" {
				added = 0
			}
			if w.Code != http.StatusMultiStatus || added > 1 || added == 1 && got[p.XMLName] != 1 || got[xml.Name{Space: "DAV:", Local: "getetag"}] != 1 {
				t.Errorf("with %q the listing is %d %s", p, w.Code, w.Body)
			}
		}
	})
}

// propertiesOf counts the properties of a multistatus of one response, by name.
func propertiesOf(t *testing.T, s string) map[xml.Name]int {
	t.Helper()
	count, depth := map[xml.Name]int{}, 0
	path := map[int]xml.Name{}
	for d := xml.NewDecoder(strings.NewReader(s)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return count
		} else if err != nil {
			t.Errorf("%v in the answer %s", err, s)
			return count
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth++; depth == 5 && path[4] == (xml.Name{Space: "DAV:", Local: "prop"}) { // multistatus, response, propstat, prop
				count[token.Name]++
			}
			path[depth] = token.Name
		case xml.EndElement:
			depth--
		}
	}
}

// FuzzUpload: a PUT with whatever headers of other programs stores the body whole or nothing, and a checksum that is known
// and not that of the body stores nothing.
func FuzzUpload(f *testing.F) {
	f.Add("SHA1:11f6ad8ec52a2984abaafd7c3b516503785c2072", "1700000000", "text/plain", "", "x")
	f.Add("sha1:00", "1700000000.5", "", "bytes 0-0/1", "x")
	f.Add("MD5:", "-1", "a/b; c=\"", "", "")
	f.Add("ADLER32:00780079 ", "99999999999999999999", "\xff", "", "x")
	f.Add("SHA256", "0x10", "multipart/form-data", "", "x")
	f.Fuzz(func(t *testing.T, sum, mtime, ctype, span, body string) {
		h := http.Header{"Oc-Checksum": {sum}, "X-Oc-Mtime": {mtime}, "Content-Type": {ctype}}
		if span != "" {
			h.Set("Content-Range", span)
		}
		m, r := fuzzed(t, "PUT", "/dav/f", h, body)
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		stored := snapshot(t, m.Tree.(*treetest.Mem))["/f"]
		switch {
		case w.Code >= 500 || w.Code < 200:
			t.Errorf("%v: status %d", h, w.Code)
		case w.Code < 300 && (stored != body || span != ""), w.Code >= 300 && stored != "f":
			t.Errorf("%v %q: status %d, and there is %q", h, body, w.Code, stored)
		}
		if algorithm, want, ok := strings.Cut(strings.TrimSpace(sum), ":"); ok && strings.EqualFold(algorithm, "SHA1") && w.Code < 300 {
			if made := sha1.Sum([]byte(body)); !strings.EqualFold(want, hex.EncodeToString(made[:])) {
				t.Errorf("%q is taken for %x", sum, made)
			}
		}
		if listed := propertiesOf(t, (&drive{t, m, nil}).do("PROPFIND", "/dav/f", "", "Depth", "0").Body.String()); len(listed) == 0 {
			t.Errorf("%v: the file cannot be listed any more", h)
		}
	})
}

// FuzzRange: what a GET answers with 206 is what Content-Range says of the content, and with 200 all of it.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-0", "bytes=1-", "bytes=-2", "bytes=0-99", "bytes=5-1", "bytes=0-0,2-3", "bytes=", "x", "bytes=-0",
		"bytes=99999999999999999999-", "bytes=0-1,0-1,0-1"} {
		f.Add(s, "", "")
	}
	f.Add("bytes=0-1", `"x"`, "")
	f.Add("bytes=0-1", "Thu, 01 Jan 1970 00:00:00 GMT", `"x", *`)
	const content = "0123456789"
	f.Fuzz(func(t *testing.T, span, unless, etags string) {
		handler, m := fuzzDrive(t)
		(&drive{t, handler, m}).put("/f", content)
		r := httptest.NewRequest("GET", "/dav/f", nil)
		r.Header = http.Header{"Range": {span}, "If-Range": {unless}, "If-None-Match": {etags}}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusOK:
			if w.Body.String() != content {
				t.Errorf("%v: %q", r.Header, w.Body)
			}
		case http.StatusPartialContent:
			var from, to, size int
			if said := w.Header().Get("Content-Range"); said != "" {
				if _, err := fmt.Sscanf(said, "bytes %d-%d/%d", &from, &to, &size); err != nil || size != len(content) || content[from:to+1] != w.Body.String() {
					t.Errorf("%v: %q is %q", r.Header, said, w.Body)
				}
			}
		case http.StatusNotModified, http.StatusRequestedRangeNotSatisfiable, http.StatusPreconditionFailed, http.StatusBadRequest:
		default:
			t.Errorf("%v: status %d", r.Header, w.Code)
		}
	})
}

// FuzzProxy: whatever a trusted proxy sends, the address of a client is one line, and who is not one name is nobody.
func FuzzProxy(f *testing.F) {
	f.Add("192.0.2.1, 10.0.0.7", "drive.example.com", "/team", "alice")
	f.Add("10.0.0.7,10.0.0.7", "a, b", "//", "alice,bob")
	f.Add("[::1]:80", "\x00", "/../x", " alice")
	f.Add("fe80::1%eth0", "", "x", "\xff")
	f.Fuzz(func(t *testing.T, addresses, host, prefix, user string) {
		var log bytes.Buffer
		handler, m := fuzzDrive(t)
		handler.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32")}
		handler.Auth = &davfs.Auth{UserHeader: davfs.DefaultUserHeader, ReadOnlyUsers: []string{"reader"}}
		handler.Log = slog.New(slog.NewTextHandler(&log, nil))
		trace := &davfs.Trace{}
		r := httptest.NewRequestWithContext(trace.Context(t.Context()), "PUT", "/dav/f", strings.NewReader("new"))
		r.RemoteAddr = "10.0.0.7:1"
		r.Header = http.Header{"X-Forwarded-For": {addresses}, "X-Forwarded-Host": {host}, "X-Forwarded-Prefix": {prefix}, "X-Forwarded-User": {user}}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if _, err := netip.ParseAddr(trace.Remote); err != nil {
			t.Errorf("%q is %q", addresses, trace.Remote)
		}
		entered := w.Code == http.StatusNoContent
		if plain := user != "" && len(user) <= 256 && !strings.ContainsAny(user, ",\x00\r\n\t"); entered != (trace.User == user && plain && user != "reader") ||
			entered != (snapshot(t, m)["/f"] == "new") || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%q: status %d for %q\n%s", user, w.Code, trace.User, &log)
		}
	})
}

// fuzzed is a request and the handler for it.
func fuzzed(t *testing.T, method, target string, h http.Header, body string) (*davfs.Handler, *http.Request) {
	handler, _ := fuzzDrive(t)
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header = h
	return handler, r
}
