package davfs_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

const (
	// daemon/gvfsbackenddav.c
	gvfsStat = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n <D:propfind xmlns:D=\"DAV:\">\n  <D:prop>\n" +
		"<D:resourcetype/>\n<D:getcontentlength/>\n  </D:prop>\n </D:propfind>"
	gvfsList = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n <D:propfind xmlns:D=\"DAV:\">\n  <D:prop>\n" +
		"<D:creationdate/>\n<D:displayname/>\n<D:getcontentlength/>\n<D:getcontenttype/>\n<D:getetag/>\n" +
		"<D:getlastmodified/>\n<D:resourcetype/>\n  </D:prop>\n </D:propfind>"
	gvfsSpace = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n <D:propfind xmlns:D=\"DAV:\">\n  <D:prop>\n" +
		"<D:quota-available-bytes/>\n<D:quota-used-bytes/>\n  </D:prop>\n </D:propfind>"
	// src/kioworkers/http/http.cpp
	kdeList = `<?xml version="1.0" encoding="utf-8" ?><D:propfind xmlns:D="DAV:"><D:prop><D:creationdate/>` +
		`<D:getcontentlength/><D:displayname/><D:source/><D:getcontentlanguage/><D:getcontenttype/><D:getlastmodified/>` +
		`<D:getetag/><D:supportedlock/><D:lockdiscovery/><D:resourcetype/><D:quota-available-bytes/>` +
		`<D:quota-used-bytes/></D:prop></D:propfind>`
)

func gvfs(d *drive) *client {
	return d.client("User-Agent", "gvfs/1.54.4", "Accept-Encoding", "gzip, deflate", "Connection", "Keep-Alive")
}

func TestGnomeMounts(t *testing.T) {
	d := newDrive(t)
	d.Quota = func(context.Context) (available, used int64) { return 3000, 2000 }
	c := gvfs(d)
	a := c.want(http.StatusOK, "OPTIONS", "/", "")
	if !strings.Contains(a.Header.Get("DAV"), "1") {
		t.Errorf("OPTIONS: %v", a.Header)
	}
	find := []string{"Apply-To-Redirect-Ref", "T", "Content-Type", "application/xml", "Depth"}
	c.want(http.StatusMultiStatus, "PROPFIND", "/", gvfsStat, append(find, "0")...).entry("/").has("resourcetype")
	if got := c.want(http.StatusMultiStatus, "PROPFIND", "/", gvfsStat, append(find, "1")...).hrefs(); got !=
		"/ /d/ /e/ /top" {
		t.Errorf("hrefs %s", got)
	}
	a = c.want(http.StatusMultiStatus, "PROPFIND", "/d/", gvfsList, append(find, "1")...)
	for href, name := range map[string]string{"/d/": "d", "/d/f": "f", "/d/g": "g"} {
		e := a.entry(href)
		e.is("displayname", name)
		e.has("creationdate", "getlastmodified", "resourcetype")
		if href != "/d/" {
			e.has("getcontentlength", "getcontenttype", "getetag")
		}
	}
	e := c.want(http.StatusMultiStatus, "PROPFIND", "/", gvfsSpace, append(find, "0")...).entry("/")
	e.is("quota-available-bytes", "3000")
	e.is("quota-used-bytes", "2000")
	c.want(http.StatusNotFound, "PROPFIND", "/.hidden", gvfsStat, append(find, "0")...)
	c.want(http.StatusNotFound, "PROPFIND", "/d/f/x", gvfsStat, append(find, "0")...)
}

func TestGnomeWrites(t *testing.T) {
	d := newDrive(t)
	c := gvfs(d)
	// Create: whatever HEAD says of success is "exists already".
	c.want(http.StatusNotFound, "HEAD", "/d/new", "")
	c.agrees(c.want(http.StatusCreated, "PUT", "/d/new", "hello"), "/d/new")
	// Replace: by the ETag that it saw.
	etag := c.want(http.StatusOK, "HEAD", "/d/f", "").Header.Get("ETag")
	c.want(http.StatusOK, "HEAD", "/d/f", "", "If-Match", etag)
	put := c.want(http.StatusNoContent, "PUT", "/d/f", "replaced", "If-Match", etag)
	c.agrees(put, "/d/f")
	c.want(http.StatusPreconditionFailed, "HEAD", "/d/f", "", "If-Match", etag)
	c.want(http.StatusPreconditionFailed, "PUT", "/d/f", "replaced again", "If-Match", etag)
	d.hasFile("/d/f", "replaced")
	// Push keeps the time.
	a := c.want(http.StatusCreated, "PUT", "/d/pushed", "x", "Overwrite", "F", "X-OC-Mtime", "1600000000")
	a.has("Last-Modified", "Sun, 13 Sep 2020 12:26:40 GMT", "X-OC-Mtime", "accepted")
	c.agrees(a, "/d/pushed")
	c.want(http.StatusNoContent, "PUT", "/d/pushed", "y", "Overwrite", "T", "X-OC-Mtime", "1600000001").
		has("Last-Modified", "Sun, 13 Sep 2020 12:26:41 GMT")

	c.want(http.StatusCreated, "MKCOL", "/d/sub/", "")
	c.want(http.StatusMethodNotAllowed, "MKCOL", "/d/sub/", "")
	c.want(http.StatusConflict, "MKCOL", "/absent/sub/", "")
	for _, m := range []string{"COPY", "MOVE"} {
		c.want(http.StatusPreconditionFailed, m, "/d/new", "", "Destination", "http://example.com/d/f", "Overwrite", "F")
		c.want(http.StatusCreated, m, "/d/new", "", "Destination", "http://example.com/d/sub/"+m, "Overwrite", "F")
		c.want(http.StatusNoContent, m, "/d/sub/"+m, "", "Destination", "http://example.com/d/f", "Overwrite", "T")
		d.hasFile("/d/f", "hello")
	}
	// It removes no directory that has members, so it must see them all.
	if got := c.want(http.StatusMultiStatus, "PROPFIND", "/d/sub/", gvfsStat, "Depth", "1").hrefs(); got !=
		"/d/sub/ /d/sub/COPY" {
		t.Errorf("hrefs %s", got)
	}
	c.want(http.StatusNoContent, "DELETE", "/d/sub/COPY", "")
	if got := c.want(http.StatusMultiStatus, "PROPFIND", "/d/sub/", gvfsStat, "Depth", "1").hrefs(); got != "/d/sub/" {
		t.Errorf("hrefs %s", got)
	}
	c.want(http.StatusNoContent, "DELETE", "/d/sub/", "")
	c.want(http.StatusNotFound, "PROPFIND", "/d/sub/", gvfsStat, "Depth", "0")
}

func TestKDE(t *testing.T) {
	d := newDrive(t)
	d.Quota = func(context.Context) (available, used int64) { return 3000, 2000 }
	d.put("/d/page.html", "<p>")
	c := d.client("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) KIO/6.6", "Accept-Encoding", "gzip, deflate")
	token := c.newLock(http.StatusOK, "/d/f", libreLock, "Depth", "0")
	a := c.want(http.StatusMultiStatus, "PROPFIND", "/d/", kdeList, "Depth", "1", "Content-Type",
		"text/xml; charset=utf-8")
	if a.hrefs() != "/d/ /d/f /d/g /d/page.html" {
		t.Errorf("hrefs %s", a.hrefs())
	}
	for _, e := range a.entries() {
		e.has("creationdate", "displayname", "getlastmodified", "supportedlock", "lockdiscovery", "resourcetype")
		e.lacks("source", "getcontentlanguage")
		for _, l := range e.props["supportedlock"].all("lockentry") {
			if len(l.all("lockscope")) != 1 || len(l.all("locktype")) != 1 {
				t.Errorf("%s: lockentry %s", e.href, l.Inner)
			}
		}
		if e.dir() {
			e.is("quota-available-bytes", "3000")
			e.is("quota-used-bytes", "2000")
		} else {
			e.has("getcontentlength", "getcontenttype", "getetag")
			e.lacks("quota-available-bytes", "quota-used-bytes")
		}
	}
	active := a.entry("/d/f").props["lockdiscovery"].all("activelock")
	if len(active) != 1 || active[0].text("locktoken", "href") != token || active[0].text("depth") != "0" ||
		active[0].text("owner") != "LibreOffice - Anna" || len(a.entry("/d/g").props["lockdiscovery"].Sub) > 0 {
		t.Errorf("lockdiscovery: %s", a.body)
	}
	if ct := a.entry("/d/page.html").text("getcontenttype"); !strings.HasPrefix(ct, "text/html") {
		t.Errorf("getcontenttype %q", ct)
	}
	// A directory is told by its resourcetype, or by this type.
	if ct := a.entry("/d/").text("getcontenttype"); ct != "" && ct != "httpd/unix-directory" {
		t.Errorf("getcontenttype of a directory is %q", ct)
	}
	c.want(http.StatusNoContent, "UNLOCK", "/d/f", "", "Lock-Token", "<"+token+">")

	stat := []string{"Depth", "0", "Content-Type", "text/xml; charset=utf-8"}
	for _, target := range []string{"/d", "/d/f"} {
		if l := c.want(http.StatusMultiStatus, "PROPFIND", target, kdeList, stat...).entries(); len(l) != 1 {
			t.Errorf("stat of %s has %d entries", target, len(l))
		}
	}
	c.want(http.StatusNotFound, "PROPFIND", "/d/new", kdeList, stat...) // before it puts
	c.want(http.StatusCreated, "PUT", "/d/new", "hello")
	c.want(http.StatusNoContent, "PUT", "/d/new", "again")
	c.want(http.StatusCreated, "MKCOL", "/d/sub", "") // only this is success
	c.want(http.StatusMethodNotAllowed, "MKCOL", "/d/sub", "")
	c.want(http.StatusConflict, "MKCOL", "/absent/sub", "")
	c.want(http.StatusCreated, "COPY", "/d/new", "", "Destination", "http://example.com/d/sub/new", "Overwrite", "F",
		"Depth", "infinity")
	c.want(http.StatusPreconditionFailed, "MOVE", "/d/new", "", "Destination", "http://example.com/d/sub/new",
		"Overwrite", "F", "Depth", "infinity")
	c.want(http.StatusNoContent, "MOVE", "/d/new", "", "Destination", "http://example.com/d/sub/new", "Overwrite", "T",
		"Depth", "infinity")
	c.want(http.StatusNoContent, "DELETE", "/d/sub", "")
	c.want(http.StatusNotFound, "DELETE", "/d/sub", "")
}
