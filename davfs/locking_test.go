package davfs_test

import (
	"encoding/xml"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"ocidav/davfs"
)

const (
	sharedBody = `<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:shared/></D:lockscope>` +
		`<D:locktype><D:write/></D:locktype></D:lockinfo>`
	findLocks = `<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:lockdiscovery/><D:supportedlock/></D:prop>` +
		`</D:propfind>`
)

// with is an If header for tokens of locks on names, in turn.
func with(namesAndTokens ...string) (h []string) {
	for i := 0; i < len(namesAndTokens); i += 2 {
		h = append(h, "If", "<"+namesAndTokens[i]+"> ("+namesAndTokens[i+1]+")")
	}
	return h
}

// wellFormed checks that an answer is XML whose prefixes are all declared.
func wellFormed(t *testing.T, s string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(s)); ; {
		tok, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%v in %s", err, s)
		}
		if e, ok := tok.(xml.StartElement); ok && !strings.Contains(e.Name.Space, ":") {
			t.Fatalf("element %v has no namespace in %s", e.Name, s)
		}
	}
}

// Every method that changes a locked name, or the membership of a locked directory (RFC 4918 sections 7.4 and 7.5).
func TestLocked(t *testing.T) {
	deep, flat := []string(nil), []string{"Depth", "0"}
	for _, c := range []struct {
		lock         string
		depth        []string
		method, name string
		dst          string
		free         bool
	}{
		{"/d/f", flat, "PUT", "/d/f", "", false},
		{"/d/f", flat, "PROPPATCH", "/d/f", "", false},
		{"/d/f", flat, "DELETE", "/d/f", "", false},
		{"/d/f", flat, "MOVE", "/d/f", "/new", false},
		{"/d/f", flat, "COPY", "/top", "/d/f", false},
		{"/d/f", flat, "COPY", "/d/f", "/new", true}, // it stays as it is
		{"/d/f", flat, "PUT", "/d/g", "", true},
		{"/d/f", flat, "PROPPATCH", "/d", "", true},
		// a member of what goes away
		{"/d/f", flat, "DELETE", "/d", "", false},
		{"/d/f", flat, "MOVE", "/d", "/new", false},
		{"/d/f", flat, "COPY", "/e", "/d", false},
		{"/d/f", flat, "MOVE", "/e", "/d", false},
		// a directory with all below it
		{"/d", deep, "PUT", "/d/f", "", false},
		{"/d", deep, "PUT", "/d/new", "", false},
		{"/d", deep, "MKCOL", "/d/new", "", false},
		{"/d", deep, "LOCK", "/d/f", "", false},
		{"/d", deep, "LOCK", "/d/new", "", false},
		{"/d", deep, "COPY", "/top", "/d/new", false},
		{"/", deep, "PUT", "/d/f", "", false},
		{"/d", deep, "PUT", "/top", "", true},
		// a directory alone: itself and its list of members
		{"/d", flat, "PROPPATCH", "/d", "", false},
		{"/d", flat, "PUT", "/d/new", "", false},
		{"/d", flat, "LOCK", "/d/new", "", false},
		{"/d", flat, "MKCOL", "/d/new", "", false},
		{"/d", flat, "DELETE", "/d/f", "", false},
		{"/d", flat, "MOVE", "/d/f", "/new", false},
		{"/d", flat, "MOVE", "/top", "/d/new", false},
		{"/d", flat, "COPY", "/top", "/d/new", false},
		{"/d", flat, "PUT", "/d/f", "", true},
		{"/d", flat, "COPY", "/top", "/d/f", true},
		{"/d", flat, "LOCK", "/d/f", "", true},
	} {
		d := newDrive(t)
		token := d.lock(c.lock, c.depth...)
		body := map[string]string{"PUT": "x", "LOCK": lockBody, "PROPPATCH": patchBody}[c.method]
		h := []string{"Depth", "infinity"}
		if c.dst != "" {
			h = append(h, "Destination", c.dst)
		}
		// A token of another lock, and the right one in a list that is about something else, open nothing.
		other := "<urn:uuid:none>"
		if c.lock != "/" {
			other = d.lock("/absent", "Depth", "0")
		}
		for _, more := range [][]string{
			nil, append(with("/absent", other), "If", "(Not <DAV:no-lock>)"), {"If", "(Not <DAV:no-lock>)"},
			{"If", "<urn:x> (Not " + token + ")"}, // it is named, but not as one that is held
		} {
			w := d.do(c.method, c.name, body, append(more, h...)...)
			if c.free && w.Code >= 300 || !c.free && w.Code != http.StatusLocked {
				t.Errorf("%s %s %s with a lock on %s %s, %q: status %d", c.method, c.name, c.dst, c.lock, c.depth, more,
					w.Code)
			}
			if !c.free && !has(w, "<D:href>"+c.lock+"</D:href>") {
				t.Errorf("%s %s with a lock on %s says %s", c.method, c.name, c.lock, w.Body)
			}
			if c.free {
				break
			}
		}
		if !c.free && c.method != "LOCK" {
			if w := d.do(c.method, c.name, body, append(with(c.lock, token), h...)...); w.Code >= 300 {
				t.Errorf("%s %s %s by the owner of the lock on %s: status %d: %s", c.method, c.name, c.dst, c.lock, w.Code,
					w.Body)
			}
		}
	}
}

// A list without a tag is about the request's name; many clients mean the destination.
func TestIfOfDestination(t *testing.T) {
	for _, m := range []string{"COPY", "MOVE"} {
		d := newDrive(t)
		token := d.lock("/d/f")
		d.want(http.StatusNoContent, m, "/top", "", "Destination", "/d/f", "If", "("+token+")")
		d.hasFile("/d/f", "top")
	}
}

// A refused change has changed nothing.
func TestLockedChangesNothing(t *testing.T) {
	d := newDrive(t)
	d.lock("/d/f")
	d.lock("/e", "Depth", "0")
	d.tree.Calls()
	d.want(http.StatusLocked, "DELETE", "/d", "")
	d.want(http.StatusLocked, "MOVE", "/d", "", "Destination", "/new")
	d.want(http.StatusLocked, "MOVE", "/top", "", "Destination", "/e/new")
	d.want(http.StatusLocked, "COPY", "/top", "", "Destination", "/e/new")
	d.want(http.StatusLocked, "COPY", "/e", "", "Destination", "/d")
	d.want(http.StatusLocked, "MKCOL", "/e/new", "")
	for call := range d.tree.Calls() {
		if call != "Stat" {
			t.Errorf("a locked change has called %s", call)
		}
	}
	if got := d.members("/d") + "|" + d.members("/"); got != "f g|d e top" {
		t.Errorf("members are now %s", got)
	}
}

func TestSharedLocks(t *testing.T) {
	d := newDrive(t)
	a := d.want(http.StatusOK, "LOCK", "/d/f", sharedBody).Header().Get("Lock-Token")
	b := d.want(http.StatusOK, "LOCK", "/d/f", sharedBody).Header().Get("Lock-Token")
	d.want(http.StatusLocked, "LOCK", "/d/f", lockBody)
	d.want(http.StatusLocked, "LOCK", "/d", lockBody)
	d.want(http.StatusLocked, "PUT", "/d/f", "x")
	for _, token := range []string{a, b} {
		d.want(http.StatusNoContent, "PUT", "/d/f", "x", "If", "("+token+")")
	}
	d.want(http.StatusNoContent, "UNLOCK", "/d/f", "", "Lock-Token", a)
	d.want(http.StatusPreconditionFailed, "PUT", "/d/f", "x", "If", "("+a+")")
	d.want(http.StatusLocked, "LOCK", "/d/f", lockBody)
	d.want(http.StatusNoContent, "UNLOCK", "/d/f", "", "Lock-Token", b)
	d.want(http.StatusOK, "LOCK", "/d/f", lockBody)
	d.want(http.StatusLocked, "LOCK", "/d/f", sharedBody)
}

func TestUnlock(t *testing.T) {
	d := newDrive(t)
	token := d.lock("/d")
	d.want(http.StatusBadRequest, "UNLOCK", "/d", "")
	d.want(http.StatusConflict, "UNLOCK", "/d", "", "Lock-Token", "<urn:uuid:none>")
	d.want(http.StatusConflict, "UNLOCK", "/top", "", "Lock-Token", token) // RFC 4918 section 9.11.1
	d.want(http.StatusLocked, "PUT", "/d/f", "x")
	d.want(http.StatusNoContent, "UNLOCK", "/d/f", "", "Lock-Token", token) // any name under the lock
	d.want(http.StatusConflict, "UNLOCK", "/d", "", "Lock-Token", token)
	d.want(http.StatusNoContent, "PUT", "/d/f", "x")
}

func TestRefresh(t *testing.T) {
	d := newDrive(t)
	token := d.lock("/d")
	for _, name := range []string{"/d", "/d/f"} {
		w := d.want(http.StatusOK, "LOCK", name, "", "If", "("+token+")", "Timeout", "Second-77")
		if !has(w, "Second-77") || !has(w, "<D:lockroot><D:href>/d</D:href>") || w.Header().Get("Lock-Token") != "" {
			t.Errorf("refresh of %s: %v %s", name, w.Header(), w.Body)
		}
	}
	d.want(http.StatusOK, "LOCK", "/d", "", "Lock-Token", token) // without If, as some clients do
	d.want(http.StatusPreconditionFailed, "LOCK", "/top", "", "If", "("+token+")")
	d.want(http.StatusPreconditionFailed, "LOCK", "/d", "", "If", "(<urn:uuid:none>)")
	d.want(http.StatusPreconditionFailed, "LOCK", "/d", "")
}

// Office writes with Lock-Token and no If.
func TestLockTokenAlone(t *testing.T) {
	d := newDrive(t)
	token := d.lock("/top")
	d.want(http.StatusLocked, "PUT", "/top", "x", "Lock-Token", "<urn:uuid:none>")
	d.want(http.StatusNoContent, "PUT", "/top", "x", "Lock-Token", token)
}

// Tokens are URIs (RFC 4918 section 6.5) that cannot be guessed.
func TestTokens(t *testing.T) {
	d := newDrive(t)
	seen := map[string]bool{}
	for range 20 {
		w := d.want(http.StatusOK, "LOCK", "/top", sharedBody)
		token := w.Header().Get("Lock-Token")
		if !regexp.MustCompile(`^<urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}>$`).
			MatchString(token) || seen[token] {
			t.Errorf("token %s", token)
		}
		if !has(w, "<D:locktoken><D:href>"+strings.Trim(token, "<>")+"</D:href></D:locktoken>") {
			t.Errorf("token %s is not in %s", token, w.Body)
		}
		seen[token] = true
	}
}

func TestLockDiscovery(t *testing.T) {
	d := newDrive(t)
	d.Prefix = "/dav"
	d.put("/d/a&b c", "x")
	token := strings.Trim(d.lock("/dav/d/a&b%20c", "Depth", "0"), "<>")
	for _, target := range []string{"/dav/d/a&b%20c", "/dav/d"} {
		w := d.want(http.StatusMultiStatus, "PROPFIND", target, findLocks, "Depth", "1")
		wellFormed(t, w.Body.String())
		for _, s := range []string{token, "<D:lockroot><D:href>/dav/d/a&amp;b%20c</D:href></D:lockroot>", ">me</D:owner>",
			"<D:depth>0</D:depth>", "<D:timeout>Second-600</D:timeout>", "<D:shared/>"} {
			if !has(w, s) {
				t.Errorf("PROPFIND %s has no %s: %s", target, s, w.Body)
			}
		}
		if n := strings.Count(w.Body.String(), "<D:activelock"); n != 1 {
			t.Errorf("PROPFIND %s shows %d locks, want 1", target, n)
		}
	}
	// The copy of a locked file is not locked.
	d.want(http.StatusCreated, "COPY", "/dav/d/a&b%20c", "", "Destination", "/dav/copy")
	if w := d.do("PROPFIND", "/dav/copy", findLocks, "Depth", "0"); has(w, "activelock") || has(w, "404") {
		t.Errorf("the copy: %s", w.Body)
	}
	// LibreOffice opens a file for reading where no lock is supported.
	ro := &drive{t, &davfs.Handler{Tree: d.tree, ReadOnly: true}, d.tree}
	if w := ro.do("PROPFIND", "/top", findLocks, "Depth", "0"); has(w, "lockentry") {
		t.Errorf("a read-only drive: %s", w.Body)
	}
}

// Clients know their locks by the owner, which comes back byte for byte and with the namespaces that it stood in.
func TestLockOwner(t *testing.T) {
	const scope = `lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype>`
	for _, c := range [][2]string{
		{
			`<D:lockinfo xmlns:D="DAV:"><D:` + scope + `<D:owner>me &amp; <D:href>h</D:href> </D:owner></D:lockinfo>`,
			`>me &amp; <D:href>h</D:href> </D:owner>`,
		},
		{`<D:lockinfo xmlns:D="DAV:"><D:` + scope + `<D:owner/></D:lockinfo>`, `></D:owner>`},
		{`<D:lockinfo xmlns:D="DAV:"><D:` + scope + `</D:lockinfo>`, `</D:depth><D:timeout>`},
		{
			`<D:lockinfo xmlns:D="DAV:" xmlns:x="urn:1"><D:` + scope + `<D:owner xmlns:x='urn:"2'><x:y/></D:owner>` +
				`</D:lockinfo>`,
			`<D:owner xmlns:D="DAV:" xmlns:x="urn:&quot;2"><x:y/></D:owner>`,
		},
		{
			`<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype><owner><href>h` +
				`</href></owner></lockinfo>`,
			`<D:owner xmlns:D="DAV:" xmlns="DAV:"><href>h</href></D:owner>`,
		},
		{
			`<a:lockinfo xmlns:a="DAV:" xmlns:D="urn:d"><a:lockscope><a:exclusive/></a:lockscope><a:locktype><a:write/>` +
				`</a:locktype><a:owner><D:x/></a:owner></a:lockinfo>`,
			`<DD:owner xmlns:DD="DAV:" xmlns:D="urn:d"><D:x/></DD:owner>`,
		},
	} {
		body, want := c[0], c[1]
		d := newDrive(t)
		w := d.want(http.StatusOK, "LOCK", "/top", body)
		if wellFormed(t, w.Body.String()); !has(w, want) {
			t.Errorf("the owner of %s is %s, want %s", body, w.Body, want)
		}
		w = d.want(http.StatusMultiStatus, "PROPFIND", "/top", findLocks, "Depth", "0")
		if wellFormed(t, w.Body.String()); !has(w, want) {
			t.Errorf("lockdiscovery has %s, want %s", w.Body, want)
		}
	}
	d := newDrive(t)
	large := strings.Replace(lockBody, "me", strings.Repeat("x", 5000), 1)
	d.want(http.StatusRequestEntityTooLarge, "LOCK", "/top", large)
	for _, bad := range []string{"<D:lockinfo xmlns:D='DAV:'/>", "<lockinfo/>", strings.Replace(lockBody, "write", "x", 2),
		strings.Replace(lockBody, "DAV:", "urn:x", 1), findLive} {
		d.want(http.StatusBadRequest, "LOCK", "/top", bad)
		d.want(http.StatusBadRequest, "LOCK", "/new", bad)
	}
	d.want(http.StatusBadRequest, "LOCK", "/d", lockBody, "Depth", "1")
	d.isAbsent("/new")
	d.want(http.StatusNoContent, "PUT", "/top", "not locked")
}

// What replaces a directory does not inherit the locks of its members.
func TestLocksOfReplacedMembers(t *testing.T) {
	for _, m := range []string{"COPY", "MOVE"} {
		d := newDrive(t)
		token := d.lock("/d/f")
		d.mkdir("/e/sub")
		d.want(http.StatusNoContent, m, "/e", "", append(with("/d/f", token), "Destination", "/d")...)
		d.want(http.StatusCreated, "PUT", "/d/f", "not locked")
	}
}
