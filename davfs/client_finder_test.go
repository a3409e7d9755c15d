package davfs_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// What Apple's webdavfs (mount.tproj/webdav_network.c) sends.
const (
	finderStat = `<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:">
<D:prop>
<D:getlastmodified/>
<D:getcontentlength/>
<D:creationdate/>
<D:resourcetype/>
</D:prop>
</D:propfind>
`
	finderList = `<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:">
<D:prop xmlns:A="http://www.apple.com/webdav_fs/props/">
<D:getlastmodified/>
<D:getcontentlength/>
<D:creationdate/>
<D:resourcetype/>
<A:appledoubleheader/>
</D:prop>
</D:propfind>
`
	finderSpace = `<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:">
<D:prop>
<D:quota-available-bytes/>
<D:quota-used-bytes/>
<D:quota/>
<D:quotaused/>
</D:prop>
</D:propfind>
`
	finderCache = `<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:">
<D:prop>
<D:getlastmodified/>
<D:getetag/>
</D:prop>
</D:propfind>
`
	finderLock = `<?xml version="1.0" encoding="utf-8"?>
<D:lockinfo xmlns:D="DAV:">
<D:lockscope><D:exclusive/></D:lockscope>
<D:locktype><D:write/></D:locktype>
<D:owner>
<D:href>http://www.apple.com/webdav_fs/</D:href>
</D:owner>
</D:lockinfo>
`
	appleDouble = "{http://www.apple.com/webdav_fs/props/}appledoubleheader"
)

func finder(d *drive) *client {
	return d.client("User-Agent", "WebDAVFS/3.0.0 (03008000) Darwin/24.5.0 (arm64)", "Accept", "*/*",
		"Accept-Language", "de-DE,de;q=0.9", "Connection", "keep-alive")
}

func TestFinderMounts(t *testing.T) {
	d := newDrive(t)
	d.Quota = func(context.Context) (available, used int64) { return 1 << 40, 1 << 30 }
	c := finder(d)
	a := c.want(http.StatusOK, "OPTIONS", "/", "")
	if a.Close || !strings.Contains(a.Header.Get("DAV"), "2") || strings.Contains(a.Header.Get("Server"), "IIS") {
		t.Errorf("OPTIONS: %v", a.Header)
	}
	for _, target := range []string{"/", "/d", "/d/"} {
		a := c.want(http.StatusMultiStatus, "PROPFIND", target, finderStat, "Content-Type", "text/xml", "Depth", "0")
		l := a.entries()
		if len(l) != 1 || !l[0].dir() || a.Close {
			t.Errorf("%s: %s", a.what, a.body)
		}
		l[0].has("getlastmodified", "creationdate", "resourcetype")
		// Since macOS 15.4 a mount that is told of quota waits for 90 seconds.
		e := c.want(http.StatusMultiStatus, "PROPFIND", target, finderSpace, "Content-Type", "text/xml", "Depth", "0").
			entries()[0]
		e.lacks("quota-available-bytes", "quota-used-bytes", "quota", "quotaused")
	}
	// Class 1 is mounted for reading only.
	ro := finder(&drive{t, &davfs.Handler{Tree: d.tree, ReadOnly: true}, d.tree})
	ro.want(http.StatusOK, "OPTIONS", "/", "").has("DAV", "1")
}

func TestFinderLists(t *testing.T) {
	d := newDrive(t)
	// An AppleDouble file as it mostly is; who asks for its bytes by a property is told to read it.
	double := "\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + strings.Repeat("\x00", 58)
	d.put("/d/._f", double)
	c := finder(d)
	a := c.want(http.StatusMultiStatus, "PROPFIND", "/d/", finderList, "Content-Type", "text/xml", "Depth", "1")
	if a.hrefs() != "/d/ /d/._f /d/f /d/g" || a.Close {
		t.Errorf("%s: %s", a.what, a.body)
	}
	for _, e := range a.entries() {
		e.has("getlastmodified", "creationdate", "resourcetype")
		e.lacks(appleDouble)
		if !e.dir() {
			e.has("getcontentlength")
		}
	}
	a.entry("/d/._f").is("getcontentlength", "82")
	if a := c.want(http.StatusOK, "GET", "/d/._f", ""); a.body != double {
		t.Errorf("%s gives %q", a.what, a.body)
	}
	// rmdir lists first, and calls a directory empty that has one entry, itself.
	if a := c.want(http.StatusMultiStatus, "PROPFIND", "/e/", finderStat, "Depth", "1"); a.hrefs() != "/e/" {
		t.Errorf("an empty directory: %s", a.body)
	}
	c.want(http.StatusNoContent, "DELETE", "/e/", "")
	d.isAbsent("/e")
}

func TestFinderWrites(t *testing.T) {
	d := newDrive(t)
	c := finder(d)
	for _, name := range []string{"/d/new.txt", "/d/f"} {
		if name == "/d/new.txt" {
			c.want(http.StatusNotFound, "PROPFIND", name, finderStat, "Depth", "0")
			c.agrees(c.want(http.StatusCreated, "PUT", name, ""), name)
		}
		c.want(http.StatusMultiStatus, "PROPFIND", name, finderStat, "Depth", "0")
		c.want(http.StatusNotFound, "PROPFIND", "/d/._new.txt", finderStat, "Depth", "0")
		token := c.newLock(http.StatusOK, name, finderLock, "Depth", "0", "Timeout", "Second-600", "Content-Type",
			`text/xml; charset="utf-8"`)
		// What it has in its cache it asks for by date.
		e := c.want(http.StatusMultiStatus, "PROPFIND", name, finderCache, "Depth", "0").entries()[0]
		date := e.text("getlastmodified")
		a := c.want(http.StatusNotModified, "GET", name, "", "If-Modified-Since", date)
		a.has("ETag", e.text("getetag"))
		if name == "/d/f" {
			a := c.want(http.StatusPartialContent, "GET", name, "", "Range", "bytes=8-", "If-Range", date)
			if a.has("Content-Range", "bytes 8-11/12"); a.body != "of f" {
				t.Errorf("the rest is %q", a.body)
			}
			c.want(http.StatusOK, "GET", name, "", "Range", "bytes=8-", "If-Range", "Mon, 01 Jan 2001 00:00:00 GMT")
		}
		c.want(http.StatusLocked, "PUT", name, "of another")
		put := c.want(http.StatusNoContent, "PUT", name, "hello", "If", "(<"+token+">)")
		c.agrees(put, name)
		refresh := c.want(http.StatusOK, "LOCK", name, "", "If", "(<"+token+">)", "Timeout", "Second-600")
		if got, seconds := refresh.lockToken(); got != token || seconds != 600 {
			t.Errorf("the refresh is of %s for %d s", got, seconds)
		}
		c.want(http.StatusNoContent, "UNLOCK", name, "", "Lock-Token", "<"+token+">")
		d.hasFile(name, "hello")
	}
}

// A long upload is chunked, its length no more than a hint; the lock is refreshed meanwhile.
func TestFinderUploads(t *testing.T) {
	d := newDrive(t)
	c := finder(d)
	c.want(http.StatusCreated, "PUT", "/d/long", "")
	token := c.newLock(http.StatusOK, "/d/long", finderLock, "Depth", "0", "Timeout", "Second-600")
	half := strings.Repeat("x", 0x8000)
	wait := d.puts()
	c.begin("PUT", "/d/long", 0, "Transfer-Encoding", "chunked", "X-Expected-Entity-Length", "65536", "If",
		"(<"+token+">)")
	c.say("8000\r\n" + half + "\r\n")
	wait()
	other := c.again()
	a := other.want(http.StatusOK, "LOCK", "/d/long", "", "If", "(<"+token+">)", "Timeout", "Second-600")
	if got, _ := a.lockToken(); got != token {
		t.Errorf("the refresh is of %s", got)
	}
	if a := other.want(http.StatusOK, "GET", "/d/long", ""); a.body != "" {
		t.Errorf("%d bytes are visible of a running upload", len(a.body))
	}
	c.say("8000\r\n" + half + "\r\n0\r\n\r\n")
	put := c.hear("PUT", "/d/long")
	if put.StatusCode != http.StatusNoContent {
		t.Errorf("%s: status %d: %s", put.what, put.StatusCode, put.body)
	}
	c.agrees(put, "/d/long")
	c.want(http.StatusNoContent, "UNLOCK", "/d/long", "", "Lock-Token", "<"+token+">")
	d.hasFile("/d/long", half+half)

	// One that breaks off leaves what was there.
	d.torn(c.addr, "PUT /d/long HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n"+
		"X-Expected-Entity-Length: 65536\r\n\r\n8000\r\n"+half+"\r\n")
	d.hasFile("/d/long", half+half)
}

// A MOVE has no Overwrite, and one If line for each lock.
func TestFinderMoves(t *testing.T) {
	for _, tagged := range []bool{false, true} {
		d := newDrive(t)
		c := finder(d)
		f := c.newLock(http.StatusOK, "/d/f", finderLock, "Depth", "0", "Timeout", "Second-600")
		g := c.newLock(http.StatusOK, "/d/g", finderLock, "Depth", "0", "Timeout", "Second-600")
		c.want(http.StatusLocked, "MOVE", "/d/f", "", "Destination", "http://example.com/d/g")
		c.want(http.StatusLocked, "MOVE", "/d/f", "", "Destination", "http://example.com/d/g", "If", "(<"+f+">)")
		ifs := []string{"If", "(<" + f + ">)", "If", "(<" + g + ">)"}
		if tagged {
			ifs = []string{"If", "<http://example.com/d/f> (<" + f + ">)", "If", "<http://example.com/d/g> (<" + g + ">)"}
		}
		c.want(http.StatusNoContent, "MOVE", "/d/f", "", append(ifs, "Destination", "http://example.com/d/g")...)
		d.hasFile("/d/g", "content of f")
		d.isAbsent("/d/f")
		c.want(http.StatusCreated, "PUT", "/d/f", "the lock has not stayed behind")
		c.want(http.StatusNoContent, "PUT", "/d/g", "that of the target has", "If", "(<"+g+">)")
		c.want(http.StatusNoContent, "UNLOCK", "/d/g", "", "Lock-Token", "<"+g+">")
		c.want(http.StatusCreated, "MOVE", "/d", "", "Destination", "http://example.com/e/d")
	}
}

// Names come in NFD, with more escaped than must be, and are found by Linux in NFC.
func TestFinderNames(t *testing.T) {
	d := newDrive(t)
	c := finder(d)
	const nfd, nfc = "/d/cafe%CC%81%20%3A%3B%3F.txt", "/d/caf%C3%A9%20:;%3F.txt"
	c.want(http.StatusCreated, "PUT", nfd, "coffee")
	c.want(http.StatusMultiStatus, "PROPFIND", nfd, finderStat, "Depth", "0")
	for _, target := range []string{nfd, nfc} {
		if a := c.want(http.StatusOK, "GET", target, ""); a.body != "coffee" {
			t.Errorf("%s gives %q", a.what, a.body)
		}
	}
	l := c.want(http.StatusMultiStatus, "PROPFIND", "/d/", finderList, "Depth", "1").entries()
	if len(l) != 4 {
		t.Fatalf("%d entries", len(l))
	}
	if name, err := url.PathUnescape(l[1].href); err != nil || name != "/d/cafe\u0301 :;?.txt" {
		t.Errorf("the name comes back as %q, %v", name, err)
	}
	// A lock on one spelling is a lock on the other.
	token := c.newLock(http.StatusOK, nfd, finderLock, "Depth", "0")
	c.want(http.StatusLocked, "PUT", nfc, "of another")
	c.want(http.StatusNoContent, "PUT", nfc, "tea", "If", "(<"+token+">)")
	c.want(http.StatusNoContent, "UNLOCK", nfd, "", "Lock-Token", "<"+token+">")
	c.want(http.StatusCreated, "MKCOL", "/d/du%CC%88/", "")
	c.want(http.StatusMethodNotAllowed, "MKCOL", "/d/d%C3%BC/", "")
	c.want(http.StatusNoContent, "DELETE", nfc, "")
	if got := d.members("/d"); got != "du\u0308 f g" {
		t.Errorf("members %q", got)
	}
	for _, junk := range []string{"/d/.DS_Store", "/d/._f"} {
		c.want(http.StatusNotFound, "PROPFIND", junk, finderStat, "Depth", "0")
		c.want(http.StatusCreated, "PUT", junk, "x")
		c.want(http.StatusOK, "GET", junk, "")
		c.want(http.StatusNoContent, "DELETE", junk, "")
	}
}

// Any 5xx but 507 is ENOENT to webdavfs, so none may stand for what is not there, and what is there must never be 404.
func TestFinderErrors(t *testing.T) {
	for _, q := range []struct {
		method, target, body string
		code                 int // of what is absent
		headers              []string
	}{
		{"PROPFIND", "/absent", finderStat, 404, []string{"Depth", "0"}},
		{"GET", "/absent", "", 404, nil},
		{"DELETE", "/absent", "", 404, nil},
		{"MOVE", "/absent", "", 404, []string{"Destination", "http://example.com/new"}},
		{"UNLOCK", "/absent", "", 409, []string{"Lock-Token", "<urn:uuid:none>"}},
		{"LOCK", "/absent/new", finderLock, 409, []string{"Depth", "0"}},
		{"PUT", "/absent/new", "x", 409, nil},
		{"MKCOL", "/absent/new/", "", 409, nil},
		{"MOVE", "/top", "", 409, []string{"Destination", "http://example.com/absent/new"}},
	} {
		d := newDrive(t)
		c := finder(d)
		c.want(q.code, q.method, q.target, q.body, q.headers...)
		if q.method == "UNLOCK" {
			continue
		}
		there := strings.NewReplacer("/absent", "/d/f", "/d/f/new", "/d/new").Replace(q.target)
		for class, code := range map[string]int{
			davfs.ClassUnavailable: 503, davfs.ClassTimeout: 504, davfs.ClassRateLimited: 429, davfs.ClassDenied: 403,
			davfs.ClassQuota: 507, davfs.ClassTooLarge: 413,
		} {
			d.tree.Fail("", &treetest.Failure{Class: class})
			a := c.want(code, q.method, there, q.body, q.headers...)
			if code == 503 && a.Header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", a.what)
			}
			d.tree.Heal()
		}
	}
	// A locked member is EBUSY by one status: 207 and 424 are not looked into.
	d := newDrive(t)
	c := finder(d)
	c.newLock(http.StatusOK, "/d/f", finderLock, "Depth", "0")
	c.want(http.StatusLocked, "DELETE", "/d/", "")
	c.want(http.StatusLocked, "LOCK", "/d/f", finderLock, "Depth", "0")
}
