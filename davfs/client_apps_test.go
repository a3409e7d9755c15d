package davfs_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

const (
	// Cyberduck's, by sardine; the namespace of its own is "SAR:".
	sarFind = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?><D:propfind xmlns:D="DAV:"><D:prop>` +
		`<D:creationdate/><D:displayname/><D:getcontentlength/><D:getcontenttype/><D:getetag/><D:getlastmodified/>` +
		`<D:resourcetype/><D:lockdiscovery/><S:lastmodified xmlns:S="SAR:"/><S:lastmodified_server xmlns:S="SAR:"/>` +
		`</D:prop></D:propfind>`
	sarPatch = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?><D:propertyupdate xmlns:D="DAV:"><D:set>` +
		`<D:prop><S:lastmodified xmlns:S="SAR:">%s</S:lastmodified></D:prop></D:set><D:set><D:prop>` +
		`<S:lastmodified_server xmlns:S="SAR:">%s</S:lastmodified_server></D:prop></D:set></D:propertyupdate>`
	sarModified, sarServer = "{SAR:}lastmodified", "{SAR:}lastmodified_server"

	joplinFind = `<?xml version="1.0" encoding="UTF-8"?>
				<d:propfind xmlns:d="DAV:">
					<d:prop xmlns:oc="http://owncloud.org/ns">
						<d:getlastmodified/><d:resourcetype/>
					</d:prop>
				</d:propfind>`
	zoteroFind  = `<propfind xmlns='DAV:'><prop><getcontentlength/></prop></propfind>`
	zoteroPurge = `<propfind xmlns='DAV:'><prop><getlastmodified/></prop></propfind>`
)

func cyberduck(d *drive) *client {
	return d.client("User-Agent", "Cyberduck/9.1.3.42945 (Mac OS X/15.1) (aarch64)", "Accept-Encoding", "gzip,deflate",
		"Connection", "Keep-Alive")
}

// Cyberduck and Mountain Duck read the time of a file from a property of their own if the server's is still the one
// that they have noted beside it.
func TestCyberduckKeepsTimes(t *testing.T) {
	for _, seconds := range []bool{false, true} {
		d := newDrive(t)
		c := cyberduck(d)
		c.want(http.StatusOK, "OPTIONS", "/", "")
		a := c.want(http.StatusCreated, "PUT", "/d/new", "hello", "Overwrite", "T")
		modified, text := "Mon, 03 Feb 2020 04:05:06 GMT", "Mon, 03 Feb 2020 04:05:06 GMT"
		if seconds {
			text = "1580702706"
		}
		server := a.Header.Get("Last-Modified")
		c.want(http.StatusMultiStatus, "PROPPATCH", "/d/new", fmt.Sprintf(sarPatch, text, server)).
			patched(sarModified, sarServer)
		e := c.want(http.StatusMultiStatus, "PROPFIND", "/d/", sarFind, "Depth", "1").entry("/d/new")
		e.is("getlastmodified", modified)
		e.is(sarServer, server)
		e.has("creationdate", "displayname", "getcontentlength", "getcontenttype", "getetag", "resourcetype",
			"lockdiscovery")
		if got := e.text(sarModified); got != modified && got != text {
			t.Errorf("lastmodified is %q", got)
		}
		e = c.want(http.StatusMultiStatus, "PROPFIND", "/d/", sarFind, "Depth", "1").entry("/d/f")
		e.lacks(sarServer)
		// The properties survive an overwrite, and then the server's time is another and counts.
		a = c.want(http.StatusNoContent, "PUT", "/d/new", "changed", "Overwrite", "T")
		e = c.want(http.StatusMultiStatus, "PROPFIND", "/d/", sarFind, "Depth", "1").entry("/d/new")
		e.is("getlastmodified", a.Header.Get("Last-Modified"))
	}
}

// A resumed upload would replace the file by its rest, so it is refused; the client then sends all of it.
func TestResumedUploads(t *testing.T) {
	d := newDrive(t)
	for _, agent := range []string{"Cyberduck/9.1.3.42945 (Mac OS X/15.1) (aarch64)", "curl/7.88.1"} {
		c := d.client("User-Agent", agent, "Accept", "*/*")
		for _, target := range []string{"/d/f", "/d/absent"} {
			c.want(http.StatusBadRequest, "PUT", target, "ent of f", "Content-Range", "bytes 4-11/12")
			c.want(http.StatusBadRequest, "PUT", target, "content of f", "Content-Range", "bytes 0-11/12")
		}
		d.hasFile("/d/f", "content of f")
		d.isAbsent("/d/absent")
		c.want(http.StatusNoContent, "PUT", "/d/f", "content of f")
	}
}

// Expect: 100-continue: what can be refused is refused before the body is sent, and only what is wanted is continued.
func TestExpectContinue(t *testing.T) {
	d := newDrive(t)
	token := d.lock("/d/g")
	for _, q := range []struct {
		target  string
		code    int
		headers []string
	}{
		{"/d/new", 201, nil},
		{"/d/f", 204, nil},
		{"/d/g", 423, nil},
		{"/d/g", 204, []string{"If", "(" + token + ")"}},
		{"/d/f", 412, []string{"If-None-Match", "*"}},
		{"/d/f", 412, []string{"If-Match", `"other"`}},
		{"/d/f", 400, []string{"Content-Range", "bytes 4-11/12"}},
		{"/d/", 405, nil},
	} {
		c := cyberduck(d)
		c.begin("PUT", q.target, 1_000_000, append(q.headers, "Expect", "100-continue")...)
		line, err := c.r.ReadString('\n')
		if err != nil {
			t.Fatalf("PUT %s: %v", q.target, err)
		}
		continued := strings.HasPrefix(line, "HTTP/1.1 100 ")
		if continued != (q.code < 300) {
			t.Errorf("PUT %s %q is answered by %q", q.target, q.headers, line)
		}
		if !continued {
			if !strings.HasPrefix(line, fmt.Sprintf("HTTP/1.1 %d ", q.code)) {
				t.Errorf("PUT %s %q: %q, want %d", q.target, q.headers, line, q.code)
			}
			continue
		}
		c.r.ReadString('\n')
		c.say(strings.Repeat("x", 1_000_000))
		if a := c.hear("PUT", q.target); a.StatusCode != q.code {
			t.Errorf("%s: status %d, want %d: %s", a.what, a.StatusCode, q.code, a.body)
		}
	}
}

// An upload that waited for its 100 and then goes wrong in the storage has an answer too.
func TestExpectContinueAndFail(t *testing.T) {
	d := newDrive(t)
	d.tree.Fail("Put", &treetest.Failure{Class: davfs.ClassQuota})
	c := cyberduck(d)
	c.want(http.StatusInsufficientStorage, "PUT", "/d/new", "hello", "Expect", "100-continue")
}

func TestCurlUploads(t *testing.T) {
	d := newDrive(t)
	c := d.client("User-Agent", "curl/7.88.1", "Accept", "*/*")
	stream := []string{"Transfer-Encoding", "chunked", "Expect", "100-continue"}
	c.agrees(c.want(http.StatusCreated, "PUT", "/d/new", "from standard input", stream...), "/d/new")
	c.want(http.StatusNoContent, "PUT", "/d/new", "", stream...)
	d.hasFile("/d/new", "")
	c.agrees(c.want(http.StatusNoContent, "PUT", "/d/new", "a file", "Content-Length", "6", "Expect", "100-continue"),
		"/d/new")
	a := c.want(http.StatusPartialContent, "GET", "/d/new", "", "Range", "bytes=2-") // curl -C - -O
	if a.has("Content-Range", "bytes 2-5/6"); a.body != "file" {
		t.Errorf("the rest is %q", a.body)
	}
	c.want(http.StatusRequestedRangeNotSatisfiable, "GET", "/d/new", "", "Range", "bytes=6-")
}

// WinSCP asks for all properties, by name of them all.
func TestWinSCP(t *testing.T) {
	d := newDrive(t)
	d.want(http.StatusMultiStatus, "PROPPATCH", "/d/f", patchBody)
	d.lock("/d/g")
	c := d.client("User-Agent", "WinSCP/6.3.5 neon/0.33.0", "Connection", "TE, Keep-Alive", "TE", "trailers")
	const all = `<?xml version="1.0" encoding="utf-8"?>` + "\r\n" + `<propfind xmlns="DAV:"><allprop/></propfind>` + "\r\n"
	c.want(http.StatusOK, "OPTIONS", "/", "").has("DAV", "1, 2")
	a := c.want(http.StatusMultiStatus, "PROPFIND", "/d/", all, neon("1")...)
	if a.hrefs() != "/d/ /d/f /d/g" {
		t.Errorf("hrefs %s", a.hrefs())
	}
	for _, e := range a.entries() {
		e.has("creationdate", "displayname", "getlastmodified", "resourcetype")
		e.lacks("supportedlock", "lockdiscovery", "quota-available-bytes", "quota-used-bytes", ocChecksums)
		if !e.dir() {
			e.has("getcontentlength", "getcontenttype", "getetag")
		}
		if len(e.status) != len(e.props) {
			t.Errorf("%s: allprop has what is not there: %v", e.href, e.status)
		}
	}
	a.entry("/d/f").is("{urn:x}p", "v")
}

// KeePass 2 writes beside, looks whether the file is there by a GET that it gives up, removes it and moves the new one
// over, with neither Overwrite nor a relative Destination.
func TestKeePass(t *testing.T) {
	d := newDrive(t)
	d.put("/e/base.kdbx", strings.Repeat("old", 1_000_000))
	c := d.client("Connection", "Keep-Alive", "Pragma", "no-cache", "Cache-Control", "no-cache, no-store")
	save := func(content string) {
		t.Helper()
		c.want(http.StatusCreated, "PUT", "/e/base.kdbx.tmp", content, "Expect", "100-continue",
			"Content-Type", "application/octet-stream")
		probe := c.again()
		probe.begin("GET", "/e/base.kdbx", 0)
		if b, err := probe.r.ReadByte(); err != nil || b != 'H' {
			t.Errorf("GET: %q, %v", b, err)
		}
		probe.conn.Close()
	}
	save("new")
	c.want(http.StatusNoContent, "DELETE", "/e/base.kdbx", "")
	c.want(http.StatusCreated, "MOVE", "/e/base.kdbx.tmp", "", "Destination", "http://example.com/e/base.kdbx")
	d.hasFile("/e/base.kdbx", "new")
	save("newer") // and where it has not removed it
	c.want(http.StatusNoContent, "MOVE", "/e/base.kdbx.tmp", "", "Destination", "http://example.com/e/base.kdbx")
	d.hasFile("/e/base.kdbx", "newer")
	c.want(http.StatusNotFound, "GET", "/e/base.kdbx.tmp", "")
	if a := c.want(http.StatusOK, "GET", "/e/base.kdbx", ""); a.body != "newer" {
		t.Errorf("%s gives %q", a.what, a.body)
	}
}

// Joplin sends with all but GET a tag that is none, so that nothing comes from a cache.
func TestJoplin(t *testing.T) {
	for _, base := range []string{"", "/remote.php/dav"} {
		d := newDrive(t)
		d.Prefix = base
		get := d.client("User-Agent", "Joplin/1.0", "Accept", "*/*", "Accept-Encoding", "gzip,deflate")
		c := d.client("User-Agent", "Joplin/1.0", "Accept", "*/*", "If-None-Match", "JoplinIgnore-83725")
		c.want(http.StatusNotFound, "PROPFIND", base+"/joplin", joplinFind, "Depth", "0", "Content-Type", "text/xml")
		c.want(http.StatusCreated, "MKCOL", base+"/joplin", "")
		c.want(http.StatusMethodNotAllowed, "MKCOL", base+"/joplin", "")
		c.want(http.StatusConflict, "MKCOL", base+"/absent/locks", "")
		c.want(http.StatusCreated, "MKCOL", base+"/joplin/locks", "")
		get.want(http.StatusNotFound, "GET", base+"/joplin/info.json", "")
		c.want(http.StatusCreated, "PUT", base+"/joplin/info.json", "{}", "Content-Type", "application/octet-stream")
		c.want(http.StatusNoContent, "PUT", base+"/joplin/info.json", `{"version":3}`)
		if a := get.want(http.StatusOK, "GET", base+"/joplin/info.json", ""); a.body != `{"version":3}` {
			t.Errorf("%s gives %q", a.what, a.body)
		}
		c.want(http.StatusCreated, "PUT", base+"/joplin/locks/2_2_8f.json", "{}")
		a := c.want(http.StatusMultiStatus, "PROPFIND", base+"/joplin", joplinFind, "Depth", "1", "Content-Type", "text/xml")
		if a.hrefs() != base+"/joplin/ "+base+"/joplin/info.json "+base+"/joplin/locks/" {
			t.Errorf("hrefs %s", a.hrefs())
		}
		for _, e := range a.entries() {
			e.has("getlastmodified", "resourcetype")
		}
		c.want(http.StatusCreated, "MOVE", base+"/joplin/info.json", "", "Destination",
			"http://example.com"+base+"/joplin/moved.json", "Overwrite", "T")
		c.want(http.StatusNoContent, "DELETE", base+"/joplin/locks/2_2_8f.json", "")
		c.want(http.StatusNotFound, "DELETE", base+"/joplin/locks/2_2_8f.json", "")
		// What it is not told of it removes on this side, so a listing is whole or an error.
		d.tree.Fail("ReadDir", &treetest.Failure{Class: davfs.ClassTimeout})
		a = c.want(http.StatusGatewayTimeout, "PROPFIND", base+"/joplin", joplinFind, "Depth", "1")
		if strings.Contains(a.body, "href") {
			t.Errorf("%s: %s", a.what, a.body)
		}
	}
}

// Zotero verifies a server before it uses it, with a file that must not be there and one that it puts.
func TestZotero(t *testing.T) {
	d := newDrive(t)
	c := d.client("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Zotero/7.0.11", "Accept", "*/*")
	find := []string{"Depth", "0", "Content-Type", "text/xml; charset=utf-8"}
	if a := c.want(http.StatusOK, "OPTIONS", "/zotero/", ""); a.Header.Get("DAV") == "" {
		t.Errorf("OPTIONS: %v", a.Header)
	}
	c.want(http.StatusNotFound, "PROPFIND", "/zotero/", zoteroFind, find...)
	c.want(http.StatusMultiStatus, "PROPFIND", "/", zoteroFind, find...)
	c.want(http.StatusCreated, "MKCOL", "/zotero/", "")
	c.want(http.StatusMultiStatus, "PROPFIND", "/zotero/", zoteroFind, find...)
	c.want(http.StatusNotFound, "GET", "/zotero/nonexistent.prop", "")
	c.want(http.StatusCreated, "PUT", "/zotero/zotero-test-file.prop", " ", "Content-Type", "text/plain")
	if a := c.want(http.StatusOK, "GET", "/zotero/zotero-test-file.prop", ""); a.body != " " {
		t.Errorf("%s gives %q", a.what, a.body)
	}
	c.want(http.StatusNoContent, "DELETE", "/zotero/zotero-test-file.prop", "")
	// An upload: no .prop stands beside a .zip that is not its own.
	const prop = `<properties version="1"><mtime>1580702706000</mtime><hash>b1946ac92492d2347c6235b4d2611184</hash>` +
		`</properties>`
	c.want(http.StatusNotFound, "GET", "/zotero/ABCD2345.prop", "")
	c.want(http.StatusNotFound, "DELETE", "/zotero/ABCD2345.prop", "")
	a := c.want(http.StatusCreated, "PUT", "/zotero/ABCD2345.zip", "PK\x03\x04", "Content-Type", "application/zip")
	c.agrees(a, "/zotero/ABCD2345.zip")
	c.want(http.StatusCreated, "PUT", "/zotero/ABCD2345.prop", prop, "Content-Type", "text/xml")
	if a := c.want(http.StatusOK, "GET", "/zotero/ABCD2345.prop", ""); a.body != prop {
		t.Errorf("%s gives %q", a.what, a.body)
	}
	// It purges by what is old.
	a = c.want(http.StatusMultiStatus, "PROPFIND", "/zotero/", zoteroPurge, "Depth", "1", "Content-Type",
		"text/xml; charset=utf-8")
	if a.hrefs() != "/zotero/ /zotero/ABCD2345.prop /zotero/ABCD2345.zip" {
		t.Errorf("hrefs %s", a.hrefs())
	}
	for _, e := range a.entries() {
		e.has("getlastmodified")
	}
	d.tree.Fail("Put", &treetest.Failure{Class: davfs.ClassQuota})
	c.want(http.StatusInsufficientStorage, "PUT", "/zotero/ABCD2346.zip", "PK\x03\x04")
}

// Behind a proxy the client knows the drive by another host and path, with or without the proxy's help.
func TestClientsBehindProxy(t *testing.T) {
	for _, forwarded := range []bool{false, true} {
		d := newDrive(t)
		d.Prefix = "/internal"
		d.PublicURL = &url.URL{Scheme: "https", Host: "files.example.org", Path: "/team/"}
		var headers []string
		if forwarded {
			d.Prefix, d.PublicURL = "", nil
			d.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			headers = []string{"X-Forwarded-Host", "files.example.org", "X-Forwarded-Prefix", "/team",
				"X-Forwarded-Proto", "https"}
		}
		in := d.Prefix
		c := d.client(append(headers, "User-Agent", "rclone/v1.71.0")...)
		if got := c.want(http.StatusMultiStatus, "PROPFIND", in+"/d/", rcloneStandard, "Depth", "1").hrefs(); got !=
			"/team/d/ /team/d/f /team/d/g" {
			t.Errorf("hrefs %s", got)
		}
		c.want(http.StatusNoContent, "COPY", in+"/top", "", "Destination", "https://files.example.org/team/d/g")
		c.want(http.StatusCreated, "MOVE", in+"/d/g", "", "Destination", "https://files.example.org/team/moved%20here",
			"Overwrite", "T")
		c.want(http.StatusCreated, "MOVE", in+"/moved%20here", "", "Destination", "/team/d/g")
		d.hasFile("/d/g", "top")
		for _, dst := range []string{"https://elsewhere.example.org/team/x", "https://files.example.org/other/x"} {
			c.want(http.StatusBadGateway, "COPY", in+"/top", "", "Destination", dst)
		}
		a := c.want(http.StatusOK, "LOCK", in+"/d/f", davfs2Lock, "Depth", "0", "Timeout", "Second-1800")
		token, _ := a.lockToken()
		if !strings.Contains(a.body, "<D:lockroot><D:href>/team/d/f</D:href>") {
			t.Errorf("%s: %s", a.what, a.body)
		}
		for _, tag := range []string{"https://files.example.org/team/d/f", "/team/d/f"} {
			c.want(http.StatusNoContent, "PUT", in+"/d/f", "hello", "If", "<"+tag+"> (<"+token+">)")
		}
		c.want(http.StatusPreconditionFailed, "PUT", in+"/d/f", "hello", "If",
			"<https://files.example.org/team/d/g> (<"+token+">)")
		c.want(http.StatusNoContent, "UNLOCK", in+"/d/f", "", "Lock-Token", "<"+token+">")
	}
}
