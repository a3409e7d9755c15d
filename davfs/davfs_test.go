package davfs_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// A drive is a Handler on a tree in memory. Its methods fail the test if what they ask of the tree fails.
type drive struct {
	*testing.T
	*davfs.Handler
	tree *treetest.Mem
}

// newDrive has the directory /d with the files f ("content of f") and g, the file /top, and the empty directory /e.
func newDrive(t *testing.T) *drive {
	m := new(treetest.Mem)
	d := &drive{t, &davfs.Handler{Tree: m}, m}
	d.mkdir("/d")
	d.mkdir("/e")
	d.put("/d/f", "content of f")
	d.put("/d/g", "content of g")
	d.put("/top", "top")
	m.Calls()
	return d
}

func (d *drive) mkdir(name string) {
	d.Helper()
	if err := d.tree.Mkdir(context.Background(), name, nil); err != nil {
		d.Fatal(err)
	}
}

func (d *drive) put(name, content string) {
	d.Helper()
	_, err := d.tree.Put(context.Background(), name, strings.NewReader(content), davfs.PutOptions{})
	if err != nil {
		d.Fatal(err)
	}
}

// do sends a request; headers are name and value in turn.
func (d *drive) do(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	d.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, target, r)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, req)
	return w
}

// want sends a request and checks the status.
func (d *drive) want(code int, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	d.Helper()
	w := d.do(method, target, body, headers...)
	if w.Code != code {
		d.Errorf("%s %s %q: status %d, want %d: %s", method, target, headers, w.Code, code, w.Body)
	}
	return w
}

// hasFile checks a content in the tree, not through the handler.
func (d *drive) hasFile(name, content string) {
	d.Helper()
	d.tree.Heal()
	ctx := context.Background()
	fi, err := d.tree.Stat(ctx, name)
	if err != nil {
		d.Errorf("%s: %v", name, err)
		return
	}
	f, err := d.tree.Open(ctx, name, fi)
	if err != nil {
		d.Errorf("%s: %v", name, err)
		return
	}
	if b, err := io.ReadAll(f); err != nil || string(b) != content {
		d.Errorf("%s holds %.40q, %v, want %.40q", name, b, err, content)
	}
}

func (d *drive) isAbsent(name string) {
	d.Helper()
	d.tree.Heal()
	if fi, err := d.tree.Stat(context.Background(), name); err == nil {
		d.Errorf("%s is there, %d bytes", name, fi.Size())
	}
}

// members gives the names in a directory of the tree.
func (d *drive) members(name string) string {
	d.Helper()
	d.tree.Heal()
	l, err := d.tree.ReadDir(context.Background(), name)
	if err != nil {
		d.Error(err)
	}
	var s []string
	for _, fi := range l {
		s = append(s, fi.Name())
	}
	return strings.Join(s, " ")
}

// listen serves the drive on a real connection.
func (d *drive) listen() (addr string) {
	srv := httptest.NewServer(d.Handler)
	d.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// raw sends a request with Connection: close, and gives what comes back.
func (d *drive) raw(addr, request string) string {
	d.Helper()
	return d.send(addr, request, false)
}

// torn sends the begin of a request and half-closes the connection. A whole request must not be sent so: net/http takes
// it for given up.
func (d *drive) torn(addr, request string) string {
	d.Helper()
	return d.send(addr, request, true)
}

func (d *drive) send(addr, request string, tear bool) string {
	d.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		d.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		d.Fatal(err)
	}
	if tear {
		c.(*net.TCPConn).CloseWrite()
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	b, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		d.Logf("read answer: %v", err)
	}
	return string(b)
}

const (
	lockBody = `<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>` +
		`<D:locktype><D:write/></D:locktype><D:owner>me</D:owner></D:lockinfo>`
	patchBody = `<?xml version="1.0"?><D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x"><D:set><D:prop><x:p>v</x:p>` +
		`</D:prop></D:set></D:propertyupdate>`
	findLive = `<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:getetag/>` +
		`<D:getcontentlength/><D:getcontenttype/><D:getlastmodified/></D:prop></D:propfind>`
	findDead = `<?xml version="1.0"?><D:propfind xmlns:D="DAV:" xmlns:x="urn:x"><D:prop><x:p/></D:prop></D:propfind>`
)

func (d *drive) lock(name string, headers ...string) (token string) {
	d.Helper()
	w := d.do("LOCK", name, lockBody, headers...)
	if w.Code >= 300 {
		d.Fatalf("LOCK %s: status %d: %s", name, w.Code, w.Body)
	}
	return w.Header().Get("Lock-Token")
}

func TestRoundTrip(t *testing.T) {
	d := newDrive(t)
	d.want(http.StatusCreated, "MKCOL", "/new", "")
	w := d.want(http.StatusCreated, "PUT", "/new/a%20b", "hello")
	etag := w.Header().Get("ETag")
	w = d.want(http.StatusOK, "GET", "/new/a%20b", "")
	if w.Body.String() != "hello" || w.Header().Get("ETag") != etag || etag == "" {
		t.Errorf("GET gives %q with ETag %s, PUT had %s", w.Body, w.Header().Get("ETag"), etag)
	}
	w = d.want(http.StatusPartialContent, "GET", "/new/a%20b", "", "Range", "bytes=1-3")
	if w.Body.String() != "ell" {
		t.Errorf("a range gives %q", w.Body)
	}
	w = d.want(http.StatusPartialContent, "GET", "/new/a%20b", "", "Range", "bytes=0-0,3-4")
	if !strings.Contains(w.Body.String(), "lo") {
		t.Errorf("two ranges give %q", w.Body)
	}
	w = d.want(http.StatusMultiStatus, "PROPFIND", "/new", findLive, "Depth", "1")
	for _, s := range []string{"<D:href>/new/</D:href>", "<D:href>/new/a%20b</D:href>", ">5<", strings.Trim(etag, `"`)} {
		if !strings.Contains(w.Body.String(), s) {
			t.Errorf("PROPFIND has no %s: %s", s, w.Body)
		}
	}
	d.want(http.StatusNoContent, "DELETE", "/new", "")
	d.want(http.StatusNotFound, "GET", "/new/a%20b", "")
}

func TestPrefixEndsAtSlash(t *testing.T) {
	for _, prefix := range []string{"/dav", "dav", "/dav/"} {
		d := newDrive(t)
		d.Prefix = prefix
		for _, root := range []string{"/dav", "/dav/"} {
			w := d.want(http.StatusMultiStatus, "PROPFIND", root, "", "Depth", "1")
			if !strings.Contains(w.Body.String(), "<D:href>/dav/d/</D:href>") {
				t.Errorf("hrefs lie not under the prefix: %s", w.Body)
			}
		}
		d.want(http.StatusOK, "GET", "/dav/top", "")
		d.want(http.StatusNotFound, "GET", "/davfoo", "")
		d.want(http.StatusNotFound, "GET", "/dav2/top", "")
		d.want(http.StatusNotFound, "GET", "/top", "")
		d.want(http.StatusNotFound, "PUT", "/davnew", "x")
		if got := d.members("/"); got != "d e top" {
			t.Errorf("members %q", got)
		}
		d.want(http.StatusCreated, "COPY", "/dav/top", "", "Destination", "http://example.com/dav/copy")
		d.want(http.StatusBadGateway, "COPY", "/dav/top", "", "Destination", "http://example.com/davfoo/copy")
		w := d.want(http.StatusMultiStatus, "PROPPATCH", "/dav/copy", patchBody)
		if !strings.Contains(w.Body.String(), "<D:href>/dav/copy</D:href>") {
			t.Errorf("PROPPATCH answers for %s", w.Body)
		}
		if w := d.want(http.StatusOK, "GET", "/dav/d", ""); !strings.Contains(w.Body.String(), `href="/dav/d/f"`) {
			t.Errorf("the page links to %s", w.Body)
		}
	}
}

func TestReadOnly(t *testing.T) {
	d := newDrive(t)
	token := d.lock("/top")
	d = &drive{t, &davfs.Handler{Tree: d.tree, ReadOnly: true}, d.tree}
	for _, m := range []string{"PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPPATCH", "LOCK", "UNLOCK"} {
		body := map[string]string{"PUT": "x", "LOCK": lockBody, "PROPPATCH": patchBody}[m]
		for _, target := range []string{"/top", "/d", "/new", "/"} {
			d.want(http.StatusForbidden, m, target, body, "Destination", "/new2", "Lock-Token", token)
		}
	}
	if got := d.tree.Calls(); len(got) > 1 || got["Stat"] > 1 { // the Stat of the LOCK above
		t.Errorf("a read-only drive has asked its tree: %v", got)
	}
	d.want(http.StatusOK, "GET", "/top", "")
	d.want(http.StatusOK, "HEAD", "/top", "")
	d.want(http.StatusOK, "GET", "/", "")
	d.want(http.StatusMultiStatus, "PROPFIND", "/", "", "Depth", "1")
	for target, allow := range map[string]string{
		"/": "OPTIONS, GET, HEAD, PROPFIND", "/top": "OPTIONS, GET, HEAD, PROPFIND", "/absent": "OPTIONS",
		"*": "OPTIONS, GET, HEAD, PROPFIND",
	} {
		h := d.want(http.StatusOK, "OPTIONS", target, "").Header()
		if h.Get("DAV") != "1" || h.Get("Allow") != allow {
			t.Errorf("OPTIONS %s: DAV %s, Allow %s", target, h.Get("DAV"), h.Get("Allow"))
		}
	}
}

func TestOptions(t *testing.T) {
	d := newDrive(t)
	for target, has := range map[string]string{
		"/": "GET, HEAD", "/d": "GET, HEAD", "/top": "PUT", "/absent": "MKCOL", "*": "MKCOL",
	} {
		h := d.want(http.StatusOK, "OPTIONS", target, "").Header()
		if h.Get("DAV") != "1, 2" || len(h.Values("DAV")) != 2 || h.Get("MS-Author-Via") != "DAV" || !strings.Contains(h.Get("Allow"), has) {
			t.Errorf("OPTIONS %s: %v", target, h)
		}
	}
	srv := httptest.NewUnstartedServer(d.Handler)
	srv.Config.DisableGeneralOptionsHandler = true
	srv.Start()
	defer srv.Close()
	a := d.raw(srv.Listener.Addr().String(), "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(a, "HTTP/1.1 200") || !strings.Contains(strings.ToLower(a), "\r\ndav: 1, 2\r\n") {
		t.Errorf("OPTIONS *: %q", a)
	}
}

func TestUnknownMethod(t *testing.T) {
	d := newDrive(t)
	for _, m := range []string{"PATCH", "POST", "REPORT", "TRACE"} {
		w := d.want(http.StatusMethodNotAllowed, m, "/top", "")
		if a := w.Header().Get("Allow"); !strings.Contains(a, "PROPFIND") || !strings.Contains(a, "PUT") {
			t.Errorf("%s: Allow %q", m, a)
		}
		ro := &drive{t, &davfs.Handler{Tree: d.tree, ReadOnly: true}, d.tree}
		w = ro.want(http.StatusMethodNotAllowed, m, "/top", "")
		if a := w.Header().Get("Allow"); a != "OPTIONS, GET, HEAD, PROPFIND" {
			t.Errorf("%s of a read-only drive: Allow %q", m, a)
		}
	}
}

func TestNamesAreRefused(t *testing.T) {
	d := newDrive(t)
	bad := []string{"/a%00b", "/a%0ab", "/a%7fb", "/a%c2%85b", "/a%ffb", "/d%2ff", "/d%2Ff", "/d/../top",
		"/d/%2e%2e/top", "/..", "/d/..", "/./..",
		"/d/.", "/d/./", "/.", "/d/%2e", "/d/%2E/f", "/d/.%2e/top", "/%2e/top", "/a%ed%a0%80b", "/" + strings.Repeat("x", 256)}
	for _, name := range bad {
		for _, m := range []string{"GET", "PUT", "MKCOL", "DELETE", "PROPFIND", "LOCK"} {
			w := d.want(http.StatusBadRequest, m, name, "", "Depth", "0")
			if b := w.Body.String(); !strings.HasPrefix(b, "A name") || strings.Count(b, "\n") != 1 {
				t.Errorf("%s %s says %q", m, name, b)
			}
		}
		for _, m := range []string{"COPY", "MOVE"} {
			d.want(http.StatusBadRequest, m, "/top", "", "Destination", name)
			d.want(http.StatusBadRequest, m, "/top", "", "Destination", "http://example.com"+name)
		}
	}
	d.want(http.StatusBadRequest, "COPY", "/top", "")
	d.want(http.StatusBadRequest, "COPY", "/top", "", "Destination", "http://[::1")
	if got := d.members("/"); got != "d e top" {
		t.Errorf("members %q", got)
	}
	for _, name := range []string{"/100%25", "/a%3Fb%23c", "/;+&=@", "/%3Ctag%3E", "/..x", "/a%5Cb", "/%252f", "/" +
		strings.Repeat("x", 255)} {
		d.want(http.StatusCreated, "PUT", name, "x")
		d.want(http.StatusOK, "GET", name, "")
	}
	if w := d.want(http.StatusOK, "GET", "//d///f", ""); w.Body.String() != "content of f" {
		t.Error("several slashes are not one")
	}
	d.want(http.StatusCreated, "PUT", "/./colon:x", "x") // RFC 3986 section 4.2, as rclone does
	d.want(http.StatusOK, "GET", "/colon:x", "")
	d.want(http.StatusOK, "GET", "/d/./f", "")
}

// HEAD and GET of a directory are a page; its names are escaped for both HTML and links.
func TestListingPage(t *testing.T) {
	d := newDrive(t)
	d.put(`/e/<b>"&?#%41`, "x")
	w := d.want(http.StatusOK, "GET", "/e", "")
	if !strings.Contains(w.Body.String(), `<a href="/e/%3Cb%3E%22&amp;%3F%23%2541">&lt;b&gt;&#34;&amp;?#%41</a>`) {
		t.Errorf("page: %s", w.Body)
	}
	h := w.Header()
	if h.Get("Content-Security-Policy") != "default-src 'none'" || h.Get("X-Content-Type-Options") != "nosniff" ||
		h.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("headers: %v", h)
	}
	if w := d.want(http.StatusOK, "HEAD", "/e/", ""); w.Body.Len() != 0 {
		t.Error("HEAD has a body")
	}
}
