package davfs_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// What davfs2 1.6.1 and cadaver 0.24 send, both by neon 0.32.5; taken down from the programs.
const (
	davfs2List = `<?xml version="1.0" encoding="utf-8"?>` + "\r\n" + `<propfind xmlns="DAV:"><prop>` + "\r\n" +
		`<resourcetype xmlns="DAV:"/>` + "\r\n" + `<getcontentlength xmlns="DAV:"/>` + "\r\n" +
		`<getetag xmlns="DAV:"/>` + "\r\n" + `<getlastmodified xmlns="DAV:"/>` + "\r\n" +
		`<executable xmlns="http://apache.org/dav/props/"/>` + "\r\n" + `</prop></propfind>` + "\r\n"
	davfs2Space = `<?xml version="1.0" encoding="utf-8"?>` + "\r\n" + `<propfind xmlns="DAV:"><prop>` + "\r\n" +
		`<quota-available-bytes xmlns="DAV:"/>` + "\r\n" + `<quota-used-bytes xmlns="DAV:"/>` + "\r\n" +
		`</prop></propfind>` + "\r\n"
	davfs2Lock = `<?xml version="1.0" encoding="utf-8"?>` + "\n" + `<lockinfo xmlns='DAV:'>` + "\n" +
		` <lockscope><exclusive/></lockscope>` + "\n" + `<locktype><write/></locktype><owner>davfs2 1.6.1</owner>` + "\n" +
		`</lockinfo>` + "\n"
	davfs2Execute = `<?xml version="1.0" encoding="utf-8" ?>` + "\r\n" + `<D:propertyupdate xmlns:D="DAV:"><D:set>` +
		`<D:prop><executable xmlns="http://apache.org/dav/props/">T</executable></D:prop></D:set>` + "\r\n" +
		`</D:propertyupdate>` + "\r\n"
	neonDiscover = `<?xml version="1.0" encoding="utf-8"?>` + "\r\n" + `<propfind xmlns="DAV:"><prop>` + "\r\n" +
		`<lockdiscovery xmlns="DAV:"/>` + "\r\n" + `</prop></propfind>` + "\r\n"
	cadaverList = `<?xml version="1.0" encoding="utf-8"?>` + "\r\n" + `<propfind xmlns="DAV:"><prop>` + "\r\n" +
		`<getcontentlength xmlns="DAV:"/>` + "\r\n" + `<getlastmodified xmlns="DAV:"/>` + "\r\n" +
		`<executable xmlns="http://apache.org/dav/props/"/>` + "\r\n" + `<resourcetype xmlns="DAV:"/>` + "\r\n" +
		`<checked-in xmlns="DAV:"/>` + "\r\n" + `<checked-out xmlns="DAV:"/>` + "\r\n" + `</prop></propfind>` + "\r\n"
	cadaverLock = `<?xml version="1.0" encoding="utf-8"?>` + "\n" + `<lockinfo xmlns='DAV:'>` + "\n" +
		` <lockscope><exclusive/></lockscope>` + "\n" + `<locktype><write/></locktype></lockinfo>` + "\n"
	executable = "{http://apache.org/dav/props/}executable"
)

func davfs2(d *drive) *client {
	return d.client("User-Agent", "davfs2/1.6.1 neon/0.32.5", "Connection", "TE", "TE", "trailers")
}

// neon gives the headers of a PROPFIND.
func neon(depth string) []string { return []string{"Depth", depth, "Content-Type", "application/xml"} }

// discovered gives the only lock that a resource has.
func (c *client) discovered(target string) element {
	c.Helper()
	e := c.want(http.StatusMultiStatus, "PROPFIND", target, neonDiscover, neon("0")...).entries()[0]
	l := e.props["lockdiscovery"].all("activelock")
	if len(l) != 1 {
		c.Fatalf("%d locks on %s", len(l), target)
	}
	return l[0]
}

// A new file is a LOCK that must find nothing, and the PUT that follows goes by the ETag of the empty file.
func TestDavfs2Writes(t *testing.T) {
	d := newDrive(t)
	d.Quota = func(context.Context) (available, used int64) { return 1 << 40, 5 << 30 }
	c := davfs2(d)
	a := c.want(http.StatusOK, "OPTIONS", "/", "")
	if a.has("DAV", "1, 2"); !strings.Contains(a.Header.Get("Allow"), "LOCK") {
		t.Errorf("OPTIONS: %v", a.Header)
	}
	a = c.want(http.StatusMultiStatus, "PROPFIND", "/d/", davfs2List, neon("1")...)
	if a.hrefs() != "/d/ /d/f /d/g" {
		t.Errorf("hrefs %s", a.hrefs())
	}
	for _, e := range a.entries() {
		e.has("resourcetype", "getlastmodified")
		e.lacks(executable)
		if !e.dir() {
			e.has("getcontentlength", "getetag")
		}
	}
	e := c.want(http.StatusMultiStatus, "PROPFIND", "/", davfs2Space, neon("0")...).entry("/")
	e.is("quota-available-bytes", "1099511627776")
	e.is("quota-used-bytes", "5368709120")

	lock := append(neon("0"), "Timeout", "Second-1800")
	onNew := append(lock, "If-None-Match", "*")
	c.want(http.StatusPreconditionFailed, "LOCK", "/d/f", davfs2Lock, onNew...) // it exists: EEXIST
	c.want(http.StatusConflict, "LOCK", "/absent/new", davfs2Lock, onNew...)
	for _, h := range [][]string{onNew, lock} { // the second is what the program sends when it knows no better
		a := c.want(http.StatusCreated, "LOCK", "/d/new", davfs2Lock, h...)
		token, seconds := a.lockToken()
		if a.Header.Get("Lock-Token") != "<"+token+">" || seconds != 1800 {
			t.Errorf("the lock %s lasts %d s", a.Header.Get("Lock-Token"), seconds)
		}
		head := c.want(http.StatusOK, "HEAD", "/d/new", "")
		head.has("Content-Length", "0")
		tag := "<http://example.com/d/new> (<" + token + ">)"
		put := c.want(http.StatusNoContent, "PUT", "/d/new", "hello", "If-Match", head.Header.Get("ETag"), "If", tag)
		c.agrees(put, "/d/new") // it takes both of the answer, and asks no more
		c.want(http.StatusPreconditionFailed, "PUT", "/d/new", "late", "If-Match", head.Header.Get("ETag"), "If", tag)
		a = c.want(http.StatusOK, "LOCK", "/d/new", "", "If", "(<"+token+">)", "Timeout", "Second-1800")
		if got, seconds := a.lockToken(); got != token || seconds != 1800 {
			t.Errorf("the refresh is of %s for %d s", got, seconds)
		}
		c.want(http.StatusNoContent, "UNLOCK", "/d/new", "", "Lock-Token", "<"+token+">")
		etag := put.Header.Get("ETag")
		c.want(http.StatusNotModified, "GET", "/d/new", "", "If-None-Match", etag, "If-Modified-Since",
			put.Header.Get("Last-Modified"))
		d.hasFile("/d/new", "hello")
		c.want(http.StatusNoContent, "DELETE", "/d/new", "")
	}
	c.want(http.StatusCreated, "MKCOL", "/d/sub/", "")
	c.want(http.StatusCreated, "MOVE", "/d/g", "", "Destination", "http://example.com/d/sub/g", "Overwrite", "T")
	c.want(http.StatusNotFound, "HEAD", "/d/g", "")
}

// After a crash its lock is still there: it knows it by the owner, and takes it over.
func TestDavfs2FindsItsLock(t *testing.T) {
	d := newDrive(t)
	lock := append(neon("0"), "Timeout", "Second-1800")
	token := davfs2(d).newLock(http.StatusOK, "/d/f", davfs2Lock, lock...)
	c := davfs2(d)
	c.want(http.StatusLocked, "LOCK", "/d/f", davfs2Lock, lock...)
	l := c.discovered("/d/f")
	if l.text("owner") != "davfs2 1.6.1" || l.text("locktoken", "href") != token || l.text("depth") != "0" ||
		l.text("lockroot", "href") != "/d/f" || len(l.all("lockscope", "exclusive")) != 1 {
		t.Errorf("the lock is %s", l.Inner)
	}
	a := c.want(http.StatusOK, "LOCK", "/d/f", "", "If", "(<"+token+">)", "Timeout", "Second-1800")
	if got, seconds := a.lockToken(); got != token || seconds != 1800 {
		t.Errorf("the refresh is of %s for %d s", got, seconds)
	}
	c.want(http.StatusNoContent, "PUT", "/d/f", "hello", "If", "<http://example.com/d/f> (<"+token+">)")
	c.want(http.StatusNoContent, "UNLOCK", "/d/f", "", "Lock-Token", "<"+token+">")
}

func TestDavfs2SetsExecutable(t *testing.T) {
	d := newDrive(t)
	c := davfs2(d)
	etag := c.want(http.StatusOK, "HEAD", "/d/f", "").Header.Get("ETag")
	c.want(http.StatusMultiStatus, "PROPPATCH", "/d/f", davfs2Execute, "Content-Type", "application/xml").
		patched(executable)
	c.want(http.StatusNoContent, "PUT", "/d/f", "#!/bin/sh", "If-Match", etag)
	c.want(http.StatusCreated, "MOVE", "/d/f", "", "Destination", "http://example.com/e/f", "Overwrite", "T")
	c.want(http.StatusMultiStatus, "PROPFIND", "/e/", davfs2List, neon("1")...).entry("/e/f").is(executable, "T")
}

// A full storage is ENOSPC, a slow one EAGAIN, a broken one EIO, and none of them ENOENT or success.
func TestDavfs2Errors(t *testing.T) {
	for class, code := range map[string]int{davfs.ClassQuota: 507, davfs.ClassTooLarge: 413, davfs.ClassTimeout: 504,
		davfs.ClassUnavailable: 503, davfs.ClassDenied: 403} {
		d := newDrive(t)
		c := davfs2(d)
		token := c.newLock(http.StatusOK, "/d/f", davfs2Lock, "Depth", "0")
		d.tree.Fail("Put", &treetest.Failure{Class: class})
		c.want(code, "PUT", "/d/f", "hello", "If", "<http://example.com/d/f> (<"+token+">)")
		c.want(code, "LOCK", "/d/new", davfs2Lock, "Depth", "0", "If-None-Match", "*")
		d.tree.Heal()
		c.want(http.StatusNotFound, "HEAD", "/d/new", "")
		d.hasFile("/d/f", "content of f")
		c.want(http.StatusNoContent, "PUT", "/d/f", "hello", "If", "<http://example.com/d/f> (<"+token+">)")
	}
}

func cadaver(d *drive) *client {
	return d.client("User-Agent", "cadaver/0.24 neon/0.32.5", "Connection", "TE", "TE", "trailers")
}

func TestCadaverLists(t *testing.T) {
	d := newDrive(t)
	c := cadaver(d)
	c.want(http.StatusOK, "OPTIONS", "/", "").has("DAV", "1, 2")
	c.want(http.StatusMultiStatus, "PROPFIND", "/", cadaverList, neon("0")...).entry("/").has("resourcetype")
	a := c.want(http.StatusMultiStatus, "PROPFIND", "/d/", cadaverList, neon("1")...)
	if a.hrefs() != "/d/ /d/f /d/g" {
		t.Errorf("hrefs %s", a.hrefs())
	}
	for _, e := range a.entries() {
		e.has("resourcetype", "getlastmodified")
		e.lacks(executable, "checked-in", "checked-out")
	}
	a.entry("/d/f").is("getcontentlength", "12")
	// copy and move look whether the target is a directory, by a name with a slash.
	c.want(http.StatusNotFound, "PROPFIND", "/d/new/", cadaverList, neon("0")...)
	if a := c.ask("PROPFIND", "/d/f/", cadaverList, neon("0")...); a.StatusCode != http.StatusNotFound &&
		(a.StatusCode != http.StatusMultiStatus || a.entries()[0].dir()) {
		t.Errorf("%s: status %d: %s", a.what, a.StatusCode, a.body)
	}
	c.want(http.StatusCreated, "COPY", "/d/f", "", "Destination", "http://example.com/d/new", "Overwrite", "T", "Depth",
		"infinity")
	c.want(http.StatusNoContent, "MOVE", "/d/new", "", "Destination", "http://example.com/d/g", "Overwrite", "T")
	c.want(http.StatusPreconditionFailed, "COPY", "/d/f", "", "Destination", "http://example.com/d/g", "Overwrite", "F",
		"Depth", "infinity")
	c.want(http.StatusCreated, "MKCOL", "/sub/", "")
	c.want(http.StatusNoContent, "DELETE", "/sub/", "")
	d.hasFile("/d/g", "content of f")
}

func TestCadaverProperties(t *testing.T) {
	d := newDrive(t)
	c := cadaver(d)
	const space = "http://webdav.org/cadaver/custom-properties/"
	const k = "{" + space + "}k"
	for _, target := range []string{"/d/f", "/d/"} {
		c.want(http.StatusMultiStatus, "PROPPATCH", target, `<?xml version="1.0" encoding="utf-8" ?>`+"\r\n"+
			`<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><k xmlns="`+space+`">a &amp; b</k></D:prop></D:set>`+"\r\n"+
			`</D:propertyupdate>`+"\r\n", "Content-Type", "application/xml").patched(k)
		get := `<?xml version="1.0" encoding="utf-8"?>` + "\r\n" + `<propfind xmlns="DAV:"><prop>` + "\r\n" + `<k xmlns="` +
			space + `"/>` + "\r\n" + `</prop></propfind>` + "\r\n"
		c.want(http.StatusMultiStatus, "PROPFIND", target, get, neon("0")...).entry(target).is(k, "a & b")
		names := c.want(http.StatusMultiStatus, "PROPFIND", target, `<?xml version="1.0" encoding="utf-8"?>`+"\r\n"+
			`<propfind xmlns="DAV:"><propname/></propfind>`, neon("0")...).entry(target)
		names.has(k, "resourcetype", "getlastmodified")
		for n, e := range names.props {
			if e.Inner != "" {
				t.Errorf("propname gives %s the value %s", n, e.Inner)
			}
		}
		c.want(http.StatusMultiStatus, "PROPPATCH", target, `<?xml version="1.0" encoding="utf-8" ?>`+"\r\n"+
			`<D:propertyupdate xmlns:D="DAV:"><D:remove><D:prop><k xmlns="`+space+`"></k></D:prop></D:remove>`+"\r\n"+
			`</D:propertyupdate>`+"\r\n", "Content-Type", "application/xml").patched(k)
		c.want(http.StatusMultiStatus, "PROPFIND", target, get, neon("0")...).entry(target).lacks(k)
	}
}

// lock, discover and steal: whoever is told of a lock may end it.
func TestCadaverSteals(t *testing.T) {
	d := newDrive(t)
	c := cadaver(d)
	for _, h := range [][]string{neon("0"), append(neon("0"), "Timeout", "Infinite"), append(neon("infinity"), "Timeout",
		"Second-300")} {
		target := "/d/f"
		if h[1] == "infinity" {
			target = "/d/"
		}
		token := c.newLock(http.StatusOK, target, cadaverLock, h...)
		l := c.discovered(target)
		if l.text("locktoken", "href") != token || l.text("depth") != h[1] || len(l.all("owner")) > 0 ||
			!strings.HasPrefix(l.text("timeout"), "Second-") || l.text("timeout") == "Second-0" {
			t.Errorf("the lock is %s", l.Inner)
		}
		c.want(http.StatusLocked, "PUT", "/d/f", "x")
		c.want(http.StatusNoContent, "PUT", "/d/f", "x", "If", "<http://example.com"+target+"> (<"+token+">)")
		thief := cadaver(d)
		stolen := thief.discovered(target).text("locktoken", "href")
		thief.want(http.StatusNoContent, "UNLOCK", target, "", "Lock-Token", "<"+stolen+">")
		thief.want(http.StatusNoContent, "PUT", "/d/f", "x")
		c.want(http.StatusConflict, "UNLOCK", target, "", "Lock-Token", "<"+token+">")
	}
}
