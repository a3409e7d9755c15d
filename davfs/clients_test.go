package davfs_test

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A client says to a drive, over a connection of its own, byte for byte what a program says: the headers in its order
// and none of net/http's. The files client_*_test.go replay programs so, and check all that these need of the answers.
type client struct {
	*drive
	addr    string
	headers []string // of every request
	conn    net.Conn
	r       *bufio.Reader
}

// client gives one whose every request has these headers, name and value in turn.
func (d *drive) client(headers ...string) *client {
	return &client{drive: d, addr: d.listen(), headers: headers}
}

// again gives the same program on another connection.
func (c *client) again() *client { return &client{drive: c.drive, addr: c.addr, headers: c.headers} }

// An answer is one that was read to its end.
type answer struct {
	*http.Response
	t    *testing.T
	what string
	body string
}

// begin sends a request up to the end of its headers. The length of the body is left out if a header says it.
func (c *client) begin(method, target string, length int, headers ...string) {
	c.Helper()
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			c.Fatal(err)
		}
		c.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		c.conn, c.r = conn, bufio.NewReader(conn)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: example.com\r\n", method, target)
	for i, h := range slices.Concat(c.headers, headers) {
		if b.WriteString(h); i%2 == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("\r\n")
		}
	}
	if !slices.Contains(headers, "Content-Length") && !slices.Contains(headers, "chunked") &&
		(length > 0 || method == "PUT") {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", length)
	}
	c.say(b.String() + "\r\n")
}

// puts gives what waits until the next PUT has come to the tree.
func (d *drive) puts() (wait func()) {
	begun := make(chan bool)
	d.tree.Before(func(method, _ string) {
		if method == "Put" {
			d.tree.Before(nil)
			close(begun)
		}
	})
	return func() {
		d.Helper()
		select {
		case <-begun:
		case <-time.After(20 * time.Second):
			d.Fatal("no PUT comes to the tree")
		}
	}
}

func (c *client) say(s string) {
	c.Helper()
	if _, err := io.WriteString(c.conn, s); err != nil && !errors.Is(err, net.ErrClosed) {
		c.Logf("write: %v", err) // the answer has come before, and says why
	}
}

// hear reads the answer to a request.
func (c *client) hear(method, target string) *answer {
	c.Helper()
	for {
		res, err := http.ReadResponse(c.r, &http.Request{Method: method})
		if err != nil {
			c.Fatalf("%s %s: %v", method, target, err)
		}
		if res.StatusCode < 200 {
			continue
		}
		b, err := io.ReadAll(res.Body)
		if err != nil {
			c.Fatalf("%s %s: %v", method, target, err)
		}
		if res.Close {
			c.conn.Close()
			c.conn = nil
		}
		return &answer{res, c.T, method + " " + target, string(b)}
	}
}

// ask sends a request, in one chunk if a header says chunked, and gives the answer.
func (c *client) ask(method, target, body string, headers ...string) *answer {
	c.Helper()
	c.begin(method, target, len(body), headers...)
	if slices.Contains(headers, "chunked") {
		if body != "" {
			body = fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
		}
		body += "0\r\n\r\n"
	}
	c.say(body)
	return c.hear(method, target)
}

// want is ask with a check of the status, and of what breaks every client.
func (c *client) want(code int, method, target, body string, headers ...string) *answer {
	c.Helper()
	a := c.ask(method, target, body, headers...)
	if a.StatusCode != code {
		c.Errorf("%s %q: status %d, want %d: %s", a.what, headers, a.StatusCode, code, a.body)
	}
	if a.Header.Get("Location") != "" {
		c.Errorf("%s redirects to %s", a.what, a.Header.Get("Location"))
	}
	return a
}

func (a *answer) has(headers ...string) {
	a.t.Helper()
	for i := 0; i < len(headers); i += 2 {
		if got := a.Header.Get(headers[i]); got != headers[i+1] {
			a.t.Errorf("%s: %s is %q, want %q", a.what, headers[i], got, headers[i+1])
		}
	}
}

// An element is any of an XML answer.
type element struct {
	XMLName xml.Name
	Text    string    `xml:",chardata"`
	Inner   string    `xml:",innerxml"`
	Sub     []element `xml:",any"`
}

// name is the local name of an element of DAV:, and {namespace}name of others.
func (e element) name() string {
	if e.XMLName.Space == "DAV:" {
		return e.XMLName.Local
	}
	return "{" + e.XMLName.Space + "}" + e.XMLName.Local
}

// all gives the elements on a path below e.
func (e element) all(path ...string) []element {
	l := []element{e}
	for _, name := range path {
		var next []element
		for _, e := range l {
			for _, s := range e.Sub {
				if s.name() == name {
					next = append(next, s)
				}
			}
		}
		l = next
	}
	return l
}

// text is the text of the first element on a path.
func (e element) text(path ...string) string {
	if l := e.all(path...); len(l) > 0 {
		return l[0].Text
	}
	return ""
}

// An entry is one response of a multistatus.
type entry struct {
	t      *testing.T
	href   string
	props  map[string]element // those with status 200
	status map[string]int     // of all
}

func (e entry) text(name string) string { return e.props[name].Text }

func (e entry) dir() bool { return len(e.props["resourcetype"].all("collection")) > 0 }

// has checks that properties are there, lacks that they are not; what was asked for by name is then 404.
func (e entry) has(names ...string) {
	e.t.Helper()
	for _, n := range names {
		if e.status[n] != 200 {
			e.t.Errorf("%s: %s has status %d", e.href, n, e.status[n])
		}
	}
}

func (e entry) lacks(names ...string) {
	e.t.Helper()
	for _, n := range names {
		if s := e.status[n]; s != 404 && s != 0 {
			e.t.Errorf("%s: %s has status %d and the value %s", e.href, n, s, e.props[n].Inner)
		}
	}
}

func (e entry) is(name, value string) {
	e.t.Helper()
	if e.has(name); e.text(name) != value {
		e.t.Errorf("%s: %s is %q, want %q", e.href, name, e.text(name), value)
	}
}

var statusLine = regexp.MustCompile(`^HTTP/1\.1 ([2-5]\d\d) \S`)

// entries reads a multistatus as strictly as the strictest client: each href a path and once, rclone looks at the first
// propstat only, webdavfs stumbles over a location, and what is read of a property must have its one form.
func (a *answer) entries() (l []entry) {
	a.t.Helper()
	if a.StatusCode != http.StatusMultiStatus {
		a.t.Fatalf("%s: status %d: %s", a.what, a.StatusCode, a.body)
	}
	if ct := a.Header.Get("Content-Type"); !strings.HasPrefix(ct, "text/xml") &&
		!strings.HasPrefix(ct, "application/xml") {
		a.t.Errorf("%s: Content-Type %q", a.what, ct)
	}
	wellFormed(a.t, a.body)
	var ms element
	if err := xml.Unmarshal([]byte(a.body), &ms); err != nil || ms.name() != "multistatus" {
		a.t.Fatalf("%s: %v: %s", a.what, err, a.body)
	}
	seen := map[string]bool{}
	for _, r := range ms.Sub {
		e := entry{a.t, r.text("href"), map[string]element{}, map[string]int{}}
		if r.name() != "response" || len(r.all("href")) != 1 || len(r.all("location")) > 0 ||
			!strings.HasPrefix(e.href, "/") || seen[e.href] {
			a.t.Errorf("%s: response %s", a.what, r.Inner)
		}
		seen[e.href] = true
		for i, p := range r.all("propstat") {
			m := statusLine.FindStringSubmatch(p.text("status"))
			if m == nil || len(p.all("prop")) != 1 {
				a.t.Fatalf("%s: propstat %s", a.what, p.Inner)
			}
			code, _ := strconv.Atoi(m[1])
			if code == 200 && i > 0 {
				a.t.Errorf("%s: the propstat of 200 is not the first: %s", a.what, r.Inner)
			}
			for _, prop := range p.all("prop")[0].Sub {
				n := prop.name()
				if e.status[n] != 0 {
					a.t.Errorf("%s: %s is there twice: %s", a.what, n, r.Inner)
				}
				if e.status[n] = code; code == 200 {
					e.props[n] = prop
				}
			}
		}
		e.checkForms()
		l = append(l, e)
	}
	return l
}

// checkForms checks the live properties (RFC 4918 section 15).
func (e entry) checkForms() {
	e.t.Helper()
	named := true // only: the answer to a PROPPATCH or propname
	for name, prop := range e.props {
		var err error
		s := prop.Text
		if named = named && prop.Inner == ""; s == "" {
			continue
		}
		switch name {
		case "getlastmodified":
			_, err = time.Parse(http.TimeFormat, s)
		case "creationdate":
			_, err = time.Parse("2006-01-02T15:04:05Z", s)
		case "getcontentlength", "quota-available-bytes", "quota-used-bytes":
			_, err = strconv.ParseUint(s, 10, 63)
		case "getetag":
			if len(s) < 3 || s[0] != '"' || s[len(s)-1] != '"' || strings.Count(s, `"`) != 2 {
				err = errors.New("it is not quoted, or weak")
			}
		}
		if err != nil {
			e.t.Errorf("%s: %s is %q: %v", e.href, name, s, err)
		}
	}
	if _, ok := e.props["resourcetype"]; ok && !named && e.dir() != strings.HasSuffix(e.href, "/") {
		e.t.Errorf("%s: resourcetype %q", e.href, e.props["resourcetype"].Inner)
	}
	if e.dir() {
		e.lacks("getcontentlength")
	}
}

// entry gives the entry of a href.
func (a *answer) entry(href string) entry {
	a.t.Helper()
	l := a.entries()
	for _, e := range l {
		if e.href == href {
			return e
		}
	}
	a.t.Fatalf("%s has no entry %s: %s", a.what, href, a.body)
	panic("unreachable")
}

// hrefs gives all hrefs, with spaces between.
func (a *answer) hrefs() string {
	a.t.Helper()
	var s []string
	for _, e := range a.entries() {
		s = append(s, e.href)
	}
	return strings.Join(s, " ")
}

// lockToken reads the answer to a LOCK as all clients do: the token from the header or from the body, and how long the
// lock lasts.
func (a *answer) lockToken() (token string, seconds int) {
	a.t.Helper()
	wellFormed(a.t, a.body)
	var prop element
	if err := xml.Unmarshal([]byte(a.body), &prop); err != nil || prop.name() != "prop" {
		a.t.Fatalf("%s: status %d, %v: %s", a.what, a.StatusCode, err, a.body)
	}
	active := prop.all("lockdiscovery", "activelock")
	if len(active) != 1 {
		a.t.Fatalf("%s: %d locks: %s", a.what, len(active), a.body)
	}
	l := active[0]
	token = l.text("locktoken", "href")
	if h := a.Header.Get("Lock-Token"); h != "" && h != "<"+token+">" || !strings.HasPrefix(token, "urn:uuid:") {
		a.t.Errorf("%s: Lock-Token %q, in the body %q", a.what, h, token)
	}
	if s, ok := strings.CutPrefix(l.text("timeout"), "Second-"); ok {
		seconds, _ = strconv.Atoi(s)
	}
	if seconds <= 0 || l.text("lockroot", "href") == "" || l.text("depth") != "0" && l.text("depth") != "infinity" ||
		len(l.all("lockscope", "exclusive")) != 1 || len(l.all("locktype", "write")) != 1 {
		a.t.Errorf("%s: the lock is %s", a.what, l.Inner)
	}
	return token, seconds
}

// newLock is a LOCK that must give a new one.
func (c *client) newLock(code int, target, body string, headers ...string) (token string) {
	c.Helper()
	a := c.want(code, "LOCK", target, body, headers...)
	if a.Header.Get("Lock-Token") == "" {
		c.Errorf("%s has no Lock-Token", a.what)
	}
	token, _ = a.lockToken()
	return token
}

// agrees checks that a PUT, HEAD, GET and PROPFIND tell one ETag and one time of a file: a client that finds two of
// them thinks that another has written.
func (c *client) agrees(put *answer, target string) {
	c.Helper()
	etag, mod := put.Header.Get("ETag"), put.Header.Get("Last-Modified")
	if len(etag) < 3 || etag[0] != '"' {
		c.Errorf("%s: ETag %q", put.what, etag)
	}
	c.want(http.StatusOK, "HEAD", target, "").has("ETag", etag, "Last-Modified", mod)
	c.want(http.StatusOK, "GET", target, "").has("ETag", etag, "Last-Modified", mod)
	e := c.want(http.StatusMultiStatus, "PROPFIND", target, findLive, "Depth", "0").entries()[0]
	e.is("getetag", etag)
	e.is("getlastmodified", mod)
}

// patched checks that a PROPPATCH has done all that it was asked for.
func (a *answer) patched(names ...string) {
	a.t.Helper()
	l := a.entries()
	if len(l) != 1 || len(l[0].status) != len(names) {
		a.t.Errorf("%s of %q: %s", a.what, names, a.body)
	}
	l[0].has(names...)
}

// modTime gives a file's modification time, as a client sees it.
func (c *client) modTime(target string) time.Time {
	c.Helper()
	m, err := http.ParseTime(c.want(http.StatusOK, "HEAD", target, "").Header.Get("Last-Modified"))
	if err != nil {
		c.Error(err)
	}
	return m
}
