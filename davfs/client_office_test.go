package davfs_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"ocidav/davfs"
)

const (
	officeLock = `<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/>` +
		`</D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>Anna</D:href></D:owner></D:lockinfo>`
	libreFind = `<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype xmlns="DAV:"/>` +
		`<IsReadOnly xmlns="http://ucb.openoffice.org/dav/props/"/><getcontenttype xmlns="DAV:"/>` +
		`<supportedlock xmlns="DAV:"/></prop></propfind>`
	libreLocks = `<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><lockdiscovery xmlns="DAV:"/>` +
		`</prop></propfind>`
	libreLock = `<?xml version="1.0" encoding="utf-8"?><lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope>` +
		`<locktype><write/></locktype><owner>LibreOffice - Anna</owner></lockinfo>`
)

// Office opens a document by its URL, past Explorer, and writes with the token and no If.
func TestOfficeEdits(t *testing.T) {
	d := newDrive(t)
	d.put("/d/plan.docx", "draft")
	c := d.client("Connection", "Keep-Alive", "User-Agent", "Microsoft Office Word 2016", "X-Office-Major-Version", "16")
	d.client("User-Agent", "Microsoft Office Protocol Discovery").want(http.StatusOK, "OPTIONS", "/d/", "").
		has("DAV", "1, 2", "MS-Author-Via", "DAV")
	head := d.client("User-Agent", "Microsoft Office Existence Discovery").want(http.StatusOK, "HEAD", "/d/plan.docx", "")
	head.has("Content-Length", "5")
	d.client("User-Agent", "Microsoft Office Existence Discovery").want(http.StatusOK, "HEAD", "/d/", "")
	// It may try an empty bearer token first; that is no bad request.
	c.want(http.StatusOK, "OPTIONS", "/d/plan.docx", "", "Authorization", "Bearer")

	token := c.newLock(http.StatusOK, "/d/plan.docx", officeLock, "Depth", "0", "Timeout", "Second-3600")
	get := c.want(http.StatusOK, "GET", "/d/plan.docx", "", "translate", "f")
	etag, mod := get.Header.Get("ETag"), get.Header.Get("Last-Modified")
	if get.body != "draft" || !strings.Contains(get.Header.Get("Content-Type"), "officedocument") {
		t.Errorf("GET: %v %q", get.Header, get.body)
	}
	// Anything but 304 is "updated by another user".
	c.want(http.StatusNotModified, "GET", "/d/plan.docx", "", "If-None-Match", etag).has("ETag", etag)
	c.want(http.StatusNotModified, "GET", "/d/plan.docx", "", "If-Modified-Since", mod).has("ETag", etag)

	c.want(http.StatusLocked, "PUT", "/d/plan.docx", "of another")
	c.want(http.StatusLocked, "PUT", "/d/plan.docx", "of another", "Lock-Token", "<urn:uuid:none>")
	d.hasFile("/d/plan.docx", "draft")
	put := c.want(http.StatusNoContent, "PUT", "/d/plan.docx", "final", "Lock-Token", "<"+token+">")
	c.agrees(put, "/d/plan.docx")
	c.want(http.StatusOK, "GET", "/d/plan.docx", "", "If-None-Match", etag)
	c.want(http.StatusNotModified, "GET", "/d/plan.docx", "", "If-None-Match", put.Header.Get("ETag"))
	a := c.want(http.StatusOK, "LOCK", "/d/plan.docx", "", "If", "(<"+token+">)", "Timeout", "Second-3600")
	if got, seconds := a.lockToken(); got != token || seconds != 3600 {
		t.Errorf("the refresh is of %s for %d s", got, seconds)
	}
	c.want(http.StatusNoContent, "UNLOCK", "/d/plan.docx", "", "Lock-Token", "<"+token+">")
	d.hasFile("/d/plan.docx", "final")
}

// The server is restarted, for an upgrade say, while a document is open.
func TestOfficeOutlivesRestart(t *testing.T) {
	d := newDrive(t)
	d.LockFile = filepath.Join(t.TempDir(), "locks")
	c := windows(d)
	token := c.newLock(http.StatusOK, "/d/f", windowsLock, "Timeout", "Second-3600")
	tmp := c.newLock(http.StatusCreated, "/d/~WRD0001.tmp", windowsLock, "Timeout", "Second-3600")
	c.want(http.StatusNoContent, "UNLOCK", "/d/~WRD0001.tmp", "", "Lock-Token", "<"+tmp+">")

	d = &drive{t, &davfs.Handler{Tree: d.tree, LockFile: d.LockFile}, d.tree}
	c = windows(d)
	c.want(http.StatusLocked, "PUT", "/d/f", "of another")
	if l := c.discovered("/d/f"); l.text("locktoken", "href") != token || l.text("owner", "href") != `DESKTOP-1\Anna` {
		t.Errorf("the lock is %s", l.Inner)
	}
	c.want(http.StatusCreated, "MOVE", "/d/~WRD0001.tmp", "", "Destination", "http://example.com/d/free")
	a := c.want(http.StatusOK, "LOCK", "/d/f", "", "If", "(<"+token+">)", "Timeout", "Second-3600")
	if got, seconds := a.lockToken(); got != token || seconds != 3600 {
		t.Errorf("the refresh is of %s for %d s", got, seconds)
	}
	c.want(http.StatusNoContent, "PUT", "/d/f", "hello", "If", "(<"+token+">)")
	c.want(http.StatusNoContent, "UNLOCK", "/d/f", "", "Lock-Token", "<"+token+">")

	c = windows(&drive{t, &davfs.Handler{Tree: d.tree, LockFile: d.LockFile}, d.tree})
	c.want(http.StatusNoContent, "PUT", "/d/f", "not locked any more")
}

// Word saves into a file beside and moves it over; below it the MiniRedirector locks whatever is open (hacdias/webdav
// pull request 357, golang/go#43556).
func TestOfficeSavesThroughMount(t *testing.T) {
	d := newDrive(t)
	d.put("/d/plan.docx", "draft")
	c := windows(d)
	const orig, tmp = "/d/plan.docx", "/d/~WRD0001.tmp"
	origToken := c.newLock(http.StatusOK, orig, windowsLock, "Timeout", "Second-3600")
	tmpToken := c.newLock(http.StatusCreated, tmp, windowsLock, "Timeout", "Second-3600")
	c.want(http.StatusNoContent, "PUT", tmp, "final", "If", "(<"+tmpToken+">)")
	c.want(http.StatusLocked, "MOVE", tmp, "", "Destination", "http://example.com"+orig, "Overwrite", "T",
		"If", "(<"+tmpToken+">)")
	c.want(http.StatusNoContent, "UNLOCK", tmp, "", "Lock-Token", "<"+tmpToken+">")
	c.want(http.StatusNoContent, "UNLOCK", orig, "", "Lock-Token", "<"+origToken+">")
	tmpToken = c.newLock(http.StatusOK, tmp, windowsLock, "Timeout", "Second-3600")
	// The target is not locked, so it needs no token.
	c.want(http.StatusNoContent, "MOVE", tmp, "", "Destination", "http://example.com"+orig, "Overwrite", "T",
		"If", "(<"+tmpToken+">)")
	d.hasFile(orig, "final")
	c.list(http.StatusNotFound, tmp, "0")
	// The lock has ended with the name.
	token := c.newLock(http.StatusOK, orig, windowsLock, "Timeout", "Second-3600")
	c.want(http.StatusNoContent, "UNLOCK", orig, "", "Lock-Token", "<"+token+">")
	c.want(http.StatusCreated, "PUT", tmp, "a new one")
}

// Who has a document open stands in a hidden file beside it, which must be found byte for byte.
func TestOfficeOwnerFiles(t *testing.T) {
	d := newDrive(t)
	d.put("/d/plan.docx", "draft")
	c := windows(d)
	owner := "\x04Anna" + strings.Repeat(" ", 50) + "\x04\x00A\x00n\x00n\x00a\x00" + strings.Repeat(" \x00", 50)
	c.list(http.StatusNotFound, "/d/~$plan.docx", "0")
	token := c.newLock(http.StatusCreated, "/d/~$plan.docx", windowsLock, "Timeout", "Second-3600")
	c.want(http.StatusNoContent, "PUT", "/d/~$plan.docx", owner, "If", "(<"+token+">)")
	c.want(http.StatusMultiStatus, "PROPPATCH", "/d/~$plan.docx", windowsAttributes, "If", "(<"+token+">)").
		patched(win32 + "FileAttributes")
	for _, target := range []string{"/d/~$plan.docx", "/d/%7E%24plan.docx"} {
		if a := c.want(http.StatusOK, "GET", target, ""); a.body != owner {
			t.Errorf("%s gives %q", a.what, a.body)
		}
	}
	if a := c.list(http.StatusMultiStatus, "/d", "1"); !strings.Contains(a.hrefs(), "/d/~$plan.docx") {
		t.Errorf("%s: %s", a.what, a.hrefs())
	}
	c.want(http.StatusLocked, "DELETE", "/d/~$plan.docx", "")
	c.want(http.StatusNoContent, "DELETE", "/d/~$plan.docx", "", "If", "(<"+token+">)")
	c.want(http.StatusCreated, "PUT", "/d/~$plan.docx", owner)
}

func libre(d *drive) *client {
	return d.client("User-Agent", "LibreOffice 24.2.5.2 curl/8.5.0 OpenSSL/3.0.13", "Accept", "*/*")
}

func TestLibreOfficeEdits(t *testing.T) {
	d := newDrive(t)
	d.put("/d/plan.odt", "draft")
	c := libre(d)
	c.want(http.StatusOK, "OPTIONS", "/d/plan.odt", "").has("DAV", "1, 2")
	e := c.want(http.StatusMultiStatus, "PROPFIND", "/d/plan.odt", libreFind, "Depth", "0", "Content-Type",
		"application/xml").entry("/d/plan.odt")
	e.has("resourcetype", "getcontenttype", "supportedlock")
	e.lacks("{http://ucb.openoffice.org/dav/props/}IsReadOnly")
	lock := e.props["supportedlock"]
	if len(lock.all("lockentry", "lockscope", "exclusive")) != 1 || len(lock.all("lockentry", "locktype", "write")) == 0 {
		t.Errorf("supportedlock is %s", lock.Inner)
	}
	c.want(http.StatusOK, "HEAD", "/d/plan.odt", "")
	a := c.want(http.StatusOK, "LOCK", "/d/plan.odt", libreLock, "Timeout", "Second-180", "Depth", "0", "Content-Type",
		"application/xml")
	token, seconds := a.lockToken()
	if seconds != 180 {
		t.Errorf("the lock lasts %d s", seconds)
	}
	c.want(http.StatusOK, "GET", "/d/plan.odt", "")
	a = c.want(http.StatusOK, "LOCK", "/d/plan.odt", "", "Timeout", "Second-180", "If", "(<"+token+">)")
	if got, seconds := a.lockToken(); got != token || seconds != 180 {
		t.Errorf("the refresh is of %s for %d s", got, seconds)
	}
	// Another user is told who has it open.
	other := c.again()
	other.want(http.StatusLocked, "LOCK", "/d/plan.odt", libreLock, "Timeout", "Second-180", "Depth", "0")
	e = other.want(http.StatusMultiStatus, "PROPFIND", "/d/plan.odt", libreLocks, "Depth", "0").entry("/d/plan.odt")
	active := e.props["lockdiscovery"].all("activelock")
	if len(active) != 1 || active[0].text("owner") != "LibreOffice - Anna" ||
		active[0].text("locktoken", "href") != token {
		t.Errorf("lockdiscovery is %s", e.props["lockdiscovery"].Inner)
	}
	other.want(http.StatusLocked, "PUT", "/d/plan.odt", "of another")
	c.agrees(c.want(http.StatusNoContent, "PUT", "/d/plan.odt", "final", "If", "(<"+token+">)"), "/d/plan.odt")
	c.want(http.StatusNoContent, "UNLOCK", "/d/plan.odt", "", "Lock-Token", "<"+token+">")
	token = other.newLock(http.StatusOK, "/d/plan.odt", libreLock, "Timeout", "Second-180", "Depth", "0")
	other.want(http.StatusNoContent, "UNLOCK", "/d/plan.odt", "", "Lock-Token", "<"+token+">")
	d.hasFile("/d/plan.odt", "final")
}

// A document that is saved under a new name is locked before it is there.
func TestLibreOfficeCreates(t *testing.T) {
	d := newDrive(t)
	c := libre(d)
	c.want(http.StatusOK, "OPTIONS", "/d/new.odt", "").has("DAV", "1, 2")
	c.want(http.StatusNotFound, "PROPFIND", "/d/new.odt", libreFind, "Depth", "0")
	token := c.newLock(http.StatusCreated, "/d/new.odt", libreLock, "Timeout", "Second-180", "Depth", "0")
	c.want(http.StatusNoContent, "PUT", "/d/new.odt", "first", "If", "(<"+token+">)")
	c.want(http.StatusNoContent, "UNLOCK", "/d/new.odt", "", "Lock-Token", "<"+token+">")
	d.hasFile("/d/new.odt", "first")
	c.want(http.StatusConflict, "LOCK", "/absent/new.odt", libreLock, "Depth", "0")
}

// A lock that is asked for without end must not be told as Second-0, which has ended to LibreOffice.
func TestLibreOfficeLocksWithoutEnd(t *testing.T) {
	for _, timeout := range []string{"Infinite", "Infinite, Second-4100000000", "Second-0", ""} {
		d := newDrive(t)
		c := libre(d)
		h := []string{"Depth", "0"}
		if timeout != "" {
			h = append(h, "Timeout", timeout)
		}
		token, seconds := c.want(http.StatusOK, "LOCK", "/top", libreLock, h...).lockToken()
		if seconds < 180 {
			t.Errorf("a lock for %q lasts %d s", timeout, seconds)
		}
		a := c.want(http.StatusOK, "LOCK", "/top", "", append(h, "If", "(<"+token+">)")...)
		if _, seconds := a.lockToken(); seconds < 180 {
			t.Errorf("its refresh lasts %d s", seconds)
		}
	}
}

// What has no supportedlock it opens for reading, and does not try to lock (owncloud/core#34394).
func TestLibreOfficeReadsOnly(t *testing.T) {
	d := newDrive(t)
	c := libre(&drive{t, &davfs.Handler{Tree: d.tree, ReadOnly: true}, d.tree})
	e := c.want(http.StatusMultiStatus, "PROPFIND", "/top", libreFind, "Depth", "0").entry("/top")
	if len(e.props["supportedlock"].all("lockentry")) > 0 {
		t.Errorf("supportedlock is %s", e.props["supportedlock"].Inner)
	}
	c.want(http.StatusForbidden, "LOCK", "/top", libreLock, "Depth", "0")
}

func TestLibreOfficeLockFiles(t *testing.T) {
	d := newDrive(t)
	c := libre(d)
	const name = "/d/.~lock.plan.odt%23"
	const line = ",anna,desk,25.11.2026 12:00,file:///home/anna/.config/libreoffice/4;"
	c.want(http.StatusNotFound, "PROPFIND", name, libreFind, "Depth", "0")
	c.want(http.StatusNotFound, "GET", name, "")
	c.want(http.StatusCreated, "PUT", name, line)
	if a := c.want(http.StatusOK, "GET", name, ""); a.body != line {
		t.Errorf("%s gives %q", a.what, a.body)
	}
	if a := c.want(http.StatusMultiStatus, "PROPFIND", "/d/", libreFind, "Depth", "1"); a.hrefs() !=
		"/d/ "+name+" /d/f /d/g" {
		t.Errorf("%s: %s", a.what, a.hrefs())
	}
	d.hasFile("/d/.~lock.plan.odt#", line)
	c.want(http.StatusNoContent, "DELETE", name, "")
	c.want(http.StatusNotFound, "GET", name, "")
}
