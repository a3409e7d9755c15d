package davfs_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

func has(w *httptest.ResponseRecorder, s string) bool { return strings.Contains(w.Body.String(), s) }

// A listing costs the tree one Stat and one ReadDir, of ten members and of a thousand.
func TestPropfindBudget(t *testing.T) {
	for _, n := range []int{10, 1000} {
		d := newDrive(t)
		for i := range n {
			d.put(fmt.Sprintf("/e/member %d", i), "x") // of no extension: the engine would read it
		}
		for _, c := range []struct {
			body  string
			props int
		}{{findLive, 0}, {findDead, n + 1}, {"", n + 1}} {
			d.tree.Calls()
			w := d.want(http.StatusMultiStatus, "PROPFIND", "/e", c.body, "Depth", "1")
			if got := strings.Count(w.Body.String(), "<D:response>"); got != n+1 {
				t.Errorf("%d members are listed as %d responses", n, got)
			}
			got := d.tree.Calls()
			if got["Stat"] != 1 || got["ReadDir"] != 1 || got["Props"] != c.props {
				t.Errorf("PROPFIND of %d members costs %v", n, got)
			}
			delete(got, "Stat")
			delete(got, "ReadDir")
			delete(got, "Props")
			if len(got) > 0 {
				t.Errorf("PROPFIND of %d members costs %v more", n, got)
			}
		}
		d.want(http.StatusMultiStatus, "PROPFIND", "/e", findLive, "Depth", "0")
		if got := d.tree.Calls(); got["Stat"] != 1 || len(got) != 1 {
			t.Errorf("PROPFIND with Depth 0 costs %v", got)
		}
	}
}

// The engine's answer to a failing listing is a well-formed 207 with members missing.
func TestFailingListingIsWholeFailure(t *testing.T) {
	d := newDrive(t)
	for _, call := range []string{"Stat", "ReadDir", "Props"} {
		d.tree.Fail(call, &treetest.Failure{Class: davfs.ClassTimeout})
		for _, target := range []string{"/", "/d"} {
			w := d.want(http.StatusGatewayTimeout, "PROPFIND", target, "", "Depth", "1")
			if has(w, "multistatus") || has(w, "href") {
				t.Errorf("%s fails and something is listed: %s", call, w.Body)
			}
		}
		d.tree.Heal()
	}
}

// A oneBad fails for the properties of one member.
type oneBad struct {
	*treetest.Mem
	name string
}

func (o oneBad) Props(ctx context.Context, name string, fi fs.FileInfo) ([]davfs.Property, error) {
	if name == o.name {
		return nil, &treetest.Failure{Class: davfs.ClassTimeout}
	}
	return o.Mem.Props(ctx, name, fi)
}

// The properties of the last member are known before the first byte about the first one.
func TestFailingMember(t *testing.T) {
	for i := range 40 {
		d := newDrive(t)
		for j := range 40 {
			d.put(fmt.Sprintf("/e/%02d", j), "x")
		}
		d.Tree = oneBad{d.tree, fmt.Sprintf("/e/%02d", i)}
		if w := d.want(http.StatusGatewayTimeout, "PROPFIND", "/e", "", "Depth", "1"); has(w, "href") {
			t.Errorf("member %d fails and something is listed: %s", i, w.Body)
		}
		d.want(http.StatusMultiStatus, "PROPFIND", "/e", findLive, "Depth", "1")
	}
}

func TestPropfindDepth(t *testing.T) {
	d := newDrive(t)
	for _, h := range [][]string{nil, {"Depth", "infinity"}, {"Depth", "Infinity"}, {"Depth", "infinity,noroot"}} {
		w := d.want(http.StatusForbidden, "PROPFIND", "/", "", h...)
		if !has(w, `<D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>`) ||
			!strings.HasPrefix(w.Header().Get("Content-Type"), "application/xml") {
			t.Errorf("Depth %q: %v %s", h, w.Header(), w.Body)
		}
	}
	d.want(http.StatusMultiStatus, "PROPFIND", "/", "", "Depth", "1,noroot")
	d.want(http.StatusMultiStatus, "PROPFIND", "/", "", "Depth", " 0")
	d.want(http.StatusBadRequest, "PROPFIND", "/", "", "Depth", "2")
	if n := d.tree.Calls()["ReadDir"]; n != 1 {
		t.Errorf("%d listings, want 1", n)
	}
}

// Every name that a tree may hold comes back in a href that leads to it.
func TestHrefs(t *testing.T) {
	d := newDrive(t)
	for _, n := range []string{
		"a b", "100%", "#", "?", ";x", "+", "&", "<b>", `"`, "caf\u00e9", "\U0001f4be", "a:b", "..x",
	} {
		d.put("/e/"+n, n)
	}
	w := d.want(http.StatusMultiStatus, "PROPFIND", "/e", findLive, "Depth", "1")
	hrefs := strings.Split(w.Body.String(), "<D:href>")[2:]
	if len(hrefs) != 13 {
		t.Fatalf("%d hrefs", len(hrefs))
	}
	unescape := strings.NewReplacer("&amp;", "&", "&#39;", "'")
	for _, h := range hrefs {
		h, _, _ = strings.Cut(h, "<")
		if w := d.do("GET", unescape.Replace(h), ""); w.Code != http.StatusOK {
			t.Errorf("GET %s: status %d", h, w.Code)
		}
	}
}

func TestXMLBodies(t *testing.T) {
	d := newDrive(t)
	large := findLive + "<!--" + strings.Repeat("x", 1<<20) + "-->"
	for _, m := range []string{"PROPFIND", "PROPPATCH", "LOCK"} {
		d.want(http.StatusRequestEntityTooLarge, m, "/top", large, "Depth", "0")
		d.want(http.StatusBadRequest, m, "/top", "<not><xml>", "Depth", "0")
		d.want(http.StatusBadRequest, m, "/top", " ", "Depth", "0")
	}
	for n, code := range map[int]int{200: http.StatusMultiStatus, 300: http.StatusBadRequest} {
		d.want(code, "PROPPATCH", "/top", `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><b>`+strings.Repeat("<a>", n)+
			strings.Repeat("</a>", n)+`</b></D:prop></D:set></D:propertyupdate>`)
	}
	d.want(http.StatusBadRequest, "PROPFIND", "/top",
		`<D:propfind xmlns:D="DAV:"><D:prop><x:foo xmlns:x=""/></D:prop></D:propfind>`, "Depth", "0")
	// Nothing is read of what says that it is too large.
	r := httptest.NewRequest("PROPFIND", "/top", iotest.ErrReader(io.ErrUnexpectedEOF))
	r.ContentLength = 2 << 20
	w := httptest.NewRecorder()
	if d.ServeHTTP(w, r); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of 2 MiB: status %d", w.Code)
	}
	addr := d.listen()
	a := d.torn(addr, "PROPFIND / HTTP/1.1\r\nHost: x\r\nDepth: 0\r\nContent-Length: 500\r\n\r\n<D:prop")
	if !strings.HasPrefix(a, "HTTP/1.1 400 ") {
		t.Errorf("a torn body: %.60q", a)
	}
	chunk := strings.Repeat("x", 1<<16)
	a = d.raw(addr, "PROPFIND / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nDepth: 0\r\nTransfer-Encoding: chunked\r\n"+
		"\r\n"+strings.Repeat("10000\r\n"+chunk+"\r\n", 17)+"0\r\n\r\n")
	if !strings.HasPrefix(a, "HTTP/1.1 413 ") {
		t.Errorf("a large chunked body: %.60q", a)
	}
}

// RFC 4918 section 9.2: the order of a PROPPATCH counts.
func TestProppatchOrder(t *testing.T) {
	set := func(v string) string { return "<D:set><D:prop><x:p>" + v + "</x:p></D:prop></D:set>" }
	const remove = "<D:remove><D:prop><x:p/></D:prop></D:remove>"
	for _, c := range []struct {
		ops, want string
	}{
		{set("1") + remove + set("2"), ">2<"},
		{remove + set("3"), ">3<"},
		{set("4") + set("5"), ">5<"},
		{set("6") + remove, ""},
		{remove, ""},
	} {
		d := newDrive(t)
		d.want(http.StatusMultiStatus, "PROPPATCH", "/top", patchBody)
		for _, name := range []string{"/top", "/d"} {
			w := d.want(http.StatusMultiStatus, "PROPPATCH", name,
				`<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x">`+c.ops+`</D:propertyupdate>`)
			if !has(w, "200 OK") {
				t.Errorf("PROPPATCH %s: %s", name, w.Body)
			}
			w = d.want(http.StatusMultiStatus, "PROPFIND", name, findDead, "Depth", "0")
			if c.want == "" && !has(w, "404 Not Found") || !has(w, c.want) {
				t.Errorf("after %s of %s: %s", c.ops, name, w.Body)
			}
		}
	}
}

// One PROPPATCH is one call of the tree, all or nothing.
func TestProppatchIsOneCall(t *testing.T) {
	d := newDrive(t)
	body := `<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x"><D:set><D:prop><x:a xml:lang="de">` +
		`<x:i>&amp;</x:i></x:a><x:b/></D:prop></D:set><D:remove><D:prop><x:c/></D:prop></D:remove></D:propertyupdate>`
	d.want(http.StatusMultiStatus, "PROPPATCH", "/top", body)
	if got := d.tree.Calls(); got["PatchProps"] != 1 || got["Stat"] != 1 || len(got) != 2 {
		t.Errorf("PROPPATCH costs %v", got)
	}
	w := d.want(http.StatusMultiStatus, "PROPFIND", "/top", "", "Depth", "0")
	for _, s := range []string{`lang="de"`, `="urn:x">&amp;</`, `<x:b xmlns:x="urn:x"/>`} {
		if !has(w, s) {
			t.Errorf("allprop has no %s: %s", s, w.Body)
		}
	}
}

// RFC 4918 section 9.1: what each form of the request shows.
func TestPropfindForms(t *testing.T) {
	d := newDrive(t)
	d.want(http.StatusMultiStatus, "PROPPATCH", "/top", patchBody)
	d.Quota = func(context.Context) (int64, int64) { return 1000, 200 }
	const (
		all      = `<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>`
		included = `<D:propfind xmlns:D="DAV:" xmlns:x="urn:x"><D:allprop/><D:include><D:supportedlock/><D:getetag/><x:p/><x:q/>` +
			`</D:include></D:propfind>`
		names = `<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>`
	)
	for _, c := range []struct{ target, body, has, hasNot string }{
		{"/top", "", "resourcetype displayname creationdate getlastmodified getcontentlength getcontenttype getetag x:p", "lock quota 404"},
		{"/top", all, "resourcetype displayname creationdate getlastmodified getcontentlength getcontenttype getetag x:p", "lock quota 404"},
		{"/d", all, "collection displayname creationdate getlastmodified", "getetag getcontent lock quota 404"},
		{"/top", included, "supportedlock lockentry getetag x:p x:q 404", "quota lockdiscovery"},
		{"/top", names, "<D:getetag/> <D:supportedlock/> <D:lockdiscovery/> <x:p", ">v< quota 404 GMT"},
		{"/d", names, "<D:resourcetype/> <D:quota-used-bytes/>", "getetag collection 404"},
		{"/d", find("<D:quota-available-bytes/><D:quota-used-bytes/>"), ">1000< >200<", "404"},
		{"/top", find("<D:quota-available-bytes/>"), "404", ">1000<"},
		{"/top", find("<D:getetag/><x:nothing/><x:p/>"), ">v< 404 x:nothing getetag", ""},
		{"/top", find(""), "<D:prop></D:prop> 200", "404"},
		{"/top", find("<x:nothing/>"), "404", ""},
		{"/top", find("<D:getetag/><D:getetag/>"), "getetag", "404"},
		{"/d", find("<D:getetag/><D:getcontentlength/><D:getcontenttype/><oc:checksums/>"), "404", "<D:getcontentlength>"},
		{"/", all, "<D:href>/</D:href>", ""},
	} {
		w := d.want(http.StatusMultiStatus, "PROPFIND", c.target, c.body, "Depth", "0")
		parses(t, w.Body.String())
		for _, s := range strings.Fields(c.has) {
			if !has(w, s) {
				t.Errorf("PROPFIND %s %s has no %s: %s", c.target, c.body, s, w.Body)
			}
		}
		for _, s := range strings.Fields(c.hasNot) {
			if has(w, s) {
				t.Errorf("PROPFIND %s %s has %s: %s", c.target, c.body, s, w.Body)
			}
		}
		if n := strings.Count(w.Body.String(), "<D:getetag"); n > 1 {
			t.Errorf("PROPFIND %s %s has getetag %d times: %s", c.target, c.body, n, w.Body)
		}
	}
	for _, bad := range []string{
		"<a/>", `<propfind/>`, `<D:propfind xmlns:D="DAV:"/>`, `<D:propfind xmlns:D="DAV:"><D:x/></D:propfind>`,
		`<D:propfind xmlns:D="DAV:"><D:prop/><D:allprop/></D:propfind>`,
		`<D:propfind xmlns:D="DAV:"><D:prop/><D:include><D:a/></D:include></D:propfind>`,
		`<D:propfind xmlns:D="DAV:"><D:propname/><D:propname/></D:propfind>`,
	} {
		d.want(http.StatusBadRequest, "PROPFIND", "/top", bad, "Depth", "0")
	}
	// RFC 4918 section 17: what is unknown is as if it were not there.
	d.want(http.StatusMultiStatus, "PROPFIND", "/top", `<D:propfind xmlns:D="DAV:"><x:new xmlns:x="urn:x"/><D:allprop/></D:propfind>`,
		"Depth", "0")
	var many strings.Builder
	for i := range 300 {
		fmt.Fprintf(&many, "<x:p%d/>", i)
	}
	d.want(http.StatusRequestEntityTooLarge, "PROPFIND", "/", find(many.String()), "Depth", "1")
	for _, h := range [][]string{{"Brief", "t"}, {"Prefer", "return=minimal"}} {
		if w := d.do("PROPFIND", "/top", find("<D:getetag/><x:nothing/>"), append(h, "Depth", "0")...); has(w, "404") || !has(w, "getetag") {
			t.Errorf("%s: %s", h, w.Body)
		}
	}
}

// macOS waits for a minute and a half where it gets a quota; and what is not known is not told.
func TestQuota(t *testing.T) {
	d := newDrive(t)
	body := find("<D:quota-available-bytes/><D:quota-used-bytes/>")
	calls := 0
	d.Quota = func(context.Context) (int64, int64) { calls++; return 5, -1 }
	if w := d.do("PROPFIND", "/", body, "Depth", "1"); strings.Count(w.Body.String(), ">5<") != 3 || has(w, ">-1<") || calls != 1 {
		t.Errorf("after %d questions: %s", calls, w.Body)
	}
	if w := d.do("PROPFIND", "/", body, "Depth", "0", "User-Agent", "WebDAVFS/3.0.0 (03008000) Darwin/24.4.0"); has(w, ">5<") || !has(w, "404") {
		t.Errorf("Finder gets %s", w.Body)
	}
	d.do("PROPFIND", "/", "", "Depth", "1")
	d.do("PROPFIND", "/", findLive, "Depth", "1")
	if calls != 1 {
		t.Error("the quota is asked for although nobody wants it")
	}
	d.Quota = nil
	if w := d.do("PROPFIND", "/", body, "Depth", "0"); has(w, " 200 ") && has(w, "<D:quota-used-bytes>") {
		t.Errorf("without a quota: %s", w.Body)
	}
}

// Windows takes no more than 1,000,000 bytes for one directory (R25): what an entry of allprop costs decides how many
// files it shows. The names here have 24 characters.
func TestEntriesForWindows(t *testing.T) {
	d := newDrive(t)
	for i := range 200 {
		d.put(fmt.Sprintf("/e/Quarterly report %04d.pdf", i), "x")
	}
	w := d.do("PROPFIND", "/e", "", "Depth", "1", "User-Agent", "Microsoft-WebDAV-MiniRedir/10.0.19045")
	each := w.Body.Len() / 201
	t.Logf("an entry has %d bytes: %d files", each, 1_000_000/each)
	if each > 450 || !has(w, "<D:getcontentlength>1<") || !has(w, "<D:creationdate>") {
		t.Errorf("an entry has %d bytes: %.1000s", each, w.Body)
	}
}

// Conditions hold for reading too (RFC 4918 section 10.4).
func TestConditionsOfReads(t *testing.T) {
	d := newDrive(t)
	etag := d.do("HEAD", "/d/f", "").Header().Get("ETag")
	for _, m := range []string{"GET", "HEAD", "PROPFIND"} {
		ok := map[string]int{"PROPFIND": http.StatusMultiStatus}[m]
		if ok == 0 {
			ok = http.StatusOK
		}
		d.want(ok, m, "/d/f", "", "Depth", "0", "If", "(["+etag+"])")
		d.want(ok, m, "/d/f", "", "Depth", "0", "If", "(Not <DAV:no-lock>)")
		d.want(ok, m, "/d/f", "", "Depth", "0", "If-Match", etag)
		d.want(http.StatusPreconditionFailed, m, "/d/f", "", "Depth", "0", "If", `(["other"])`)
		d.want(http.StatusPreconditionFailed, m, "/d/f", "", "Depth", "0", "If-Match", `"other"`)
	}
	d.want(http.StatusNotModified, "GET", "/d/f", "", "If-None-Match", etag)
	d.want(http.StatusPreconditionFailed, "PROPFIND", "/d/f", "", "Depth", "0", "If-None-Match", etag)
	d.want(http.StatusMultiStatus, "PROPFIND", "/d/f", "", "Depth", "0", "If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT")
	d.want(http.StatusCreated, "MKCOL", "/new", "", "If-None-Match", "*")
	d.want(http.StatusPreconditionFailed, "MKCOL", "/new2", "", "If-Match", "*")
}
