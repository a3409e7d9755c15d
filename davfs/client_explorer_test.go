package davfs_test

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What the MiniRedirector of Windows 10 and 11 sends for Explorer and every program.
const (
	windowsLock = `<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/>` +
		`</D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>DESKTOP-1\Anna</D:href></D:owner></D:lockinfo>`
	windowsCreated  = "Thu, 02 Jan 2020 03:04:05 GMT"
	windowsModified = "Sat, 05 Jun 2021 07:08:09 GMT"
	windowsTimes    = `<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" ` +
		`xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop><Z:Win32CreationTime>` + windowsCreated +
		`</Z:Win32CreationTime><Z:Win32LastAccessTime>Sun, 06 Jun 2021 00:00:00 GMT</Z:Win32LastAccessTime>` +
		`<Z:Win32LastModifiedTime>` + windowsModified + `</Z:Win32LastModifiedTime><Z:Win32FileAttributes>00000020` +
		`</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>`
	windowsAttributes = `<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" ` +
		`xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop><Z:Win32FileAttributes>00000012</Z:Win32FileAttributes>` +
		`</D:prop></D:set></D:propertyupdate>`
	win32 = "{urn:schemas-microsoft-com:}Win32"
)

func windows(d *drive) *client {
	return d.client("Connection", "Keep-Alive", "User-Agent", "Microsoft-WebDAV-MiniRedir/10.0.19045", "translate", "f")
}

// list is a PROPFIND without a body, which says so.
func (c *client) list(code int, target, depth string) *answer {
	c.Helper()
	return c.want(code, "PROPFIND", target, "", "Depth", depth, "Content-Length", "0")
}

// prefixed checks what Windows' parser needs: D for DAV:, and a prefix for every other namespace (golang/go#11177).
func (a *answer) prefixed() {
	a.t.Helper()
	for d := xml.NewDecoder(strings.NewReader(a.body)); ; {
		tok, err := d.RawToken()
		if err == io.EOF {
			return
		}
		if err != nil {
			a.t.Fatalf("%s: %v", a.what, err)
		}
		e, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		bad := e.Name.Space == ""
		for _, attr := range e.Attr {
			bad = bad || attr.Name.Local == "xmlns" || attr.Value == "DAV:" && attr.Name.Local != "D"
		}
		if bad {
			a.t.Errorf("%s: element %v in %s", a.what, e, a.body)
			return
		}
	}
}

func TestWindowsMounts(t *testing.T) {
	d := newDrive(t)
	c := windows(d)
	for _, target := range []string{"/", "/d"} {
		a := c.want(http.StatusOK, "OPTIONS", target, "")
		a.has("DAV", "1, 2", "MS-Author-Via", "DAV")
		for _, m := range []string{"PROPFIND", "PROPPATCH", "LOCK", "UNLOCK", "DELETE", "MOVE", "COPY"} {
			if !strings.Contains(a.Header.Get("Allow"), m) {
				t.Errorf("%s: Allow %q", a.what, a.Header.Get("Allow"))
			}
		}
	}
	// A directory without its slash is answered at once, with the slash.
	for target, hrefs := range map[string]string{"/": "/ /d/ /e/ /top", "/d": "/d/ /d/f /d/g", "/d/": "/d/ /d/f /d/g"} {
		href, _, _ := strings.Cut(hrefs, " ")
		for depth, want := range map[string]string{"0": href, "1": hrefs} {
			a := c.list(http.StatusMultiStatus, target, depth)
			if a.prefixed(); a.hrefs() != want {
				t.Errorf("%s, Depth %s: %s", a.what, depth, a.body)
			}
			for _, e := range a.entries() {
				e.has("resourcetype", "getlastmodified", "creationdate")
				if !e.dir() {
					e.has("getcontentlength", "getetag", "getcontenttype")
				}
			}
		}
	}
	for _, probe := range []string{"/desktop.ini", "/d/folder.jpg", "/d/Thumbs.db", "/AutoRun.inf", "/d/f.ws", "/d/f/x"} {
		c.list(http.StatusNotFound, probe, "0")
	}
}

func TestWindowsUploads(t *testing.T) {
	for _, brackets := range []string{"<%s>", "%s"} {
		d := newDrive(t)
		c := windows(d)
		const name = "/d/new%20file.txt"
		c.list(http.StatusNotFound, name, "0")
		c.want(http.StatusCreated, "PUT", name, "")
		token := c.newLock(http.StatusOK, name, windowsLock, "Timeout", "Second-3600", "Content-Type",
			`text/xml; charset="utf-8"`)
		a := c.want(http.StatusOK, "LOCK", name, "", "If", "(<"+token+">)", "Timeout", "Second-3600")
		if _, seconds := a.lockToken(); seconds != 3600 {
			t.Errorf("the lock lasts %d s", seconds)
		}
		c.want(http.StatusOK, "HEAD", name, "").has("Content-Length", "0")
		c.want(http.StatusLocked, "PUT", name, "of another")
		put := c.want(http.StatusNoContent, "PUT", name, "hello", "If", "(<"+token+">)")
		c.want(http.StatusLocked, "PROPPATCH", name, windowsTimes)
		patch := c.want(http.StatusMultiStatus, "PROPPATCH", name, windowsTimes, "If", "(<"+token+">)")
		patch.prefixed()
		patch.patched(win32+"CreationTime", win32+"LastAccessTime", win32+"LastModifiedTime",
			win32+"FileAttributes")
		// The content is what it was, and so is its ETag.
		c.want(http.StatusOK, "HEAD", name, "").has("ETag", put.Header.Get("ETag"))
		c.list(http.StatusMultiStatus, name, "0")
		c.want(http.StatusNoContent, "UNLOCK", name, "", "Lock-Token", fmt.Sprintf(brackets, token))
		d.hasFile("/d/new file.txt", "hello")
		c.want(http.StatusNoContent, "PUT", name, "not locked any more")
	}
}

// After a failure it deletes what it has made, and may write without a token then.
func TestWindowsGivesUp(t *testing.T) {
	d := newDrive(t)
	c := windows(d)
	c.want(http.StatusCreated, "PUT", "/d/new", "")
	token := c.newLock(http.StatusOK, "/d/new", windowsLock, "Timeout", "Second-3600")
	c.want(http.StatusNoContent, "DELETE", "/d/new", "", "If", "(<"+token+">)")
	c.list(http.StatusNotFound, "/d/new", "0")
	c.want(http.StatusCreated, "PUT", "/d/new", "x")
}

func TestWindowsMakesAndMoves(t *testing.T) {
	d := newDrive(t)
	c := windows(d)
	c.list(http.StatusNotFound, "/New%20folder", "0")
	c.want(http.StatusCreated, "MKCOL", "/New%20folder", "")
	a := c.want(http.StatusMultiStatus, "PROPPATCH", "/New%20folder", windowsAttributes)
	a.prefixed()
	a.patched(win32 + "FileAttributes")
	c.list(http.StatusMultiStatus, "/New%20folder", "0").entry("/New%20folder/")
	c.want(http.StatusCreated, "MOVE", "/New%20folder", "", "Destination", "http://example.com/Plans", "Overwrite", "F")
	c.list(http.StatusNotFound, "/New%20folder", "0")
	c.want(http.StatusPreconditionFailed, "MOVE", "/Plans", "", "Destination", "http://example.com/d", "Overwrite", "F")
	c.want(http.StatusPreconditionFailed, "MOVE", "/d/f", "", "Destination", "http://example.com/d/g", "Overwrite", "F")
	c.want(http.StatusCreated, "MOVE", "/d/f", "", "Destination", "http://example.com/Plans/f", "Overwrite", "F")
	if got := d.members("/") + "|" + d.members("/Plans"); got != "Plans d e top|f" {
		t.Errorf("members %s", got)
	}
	find := strings.NewReplacer("urn:x", "urn:schemas-microsoft-com:", "x:p", "x:Win32FileAttributes").Replace(findDead)
	e := c.want(http.StatusMultiStatus, "PROPFIND", "/Plans", find, "Depth", "0").entry("/Plans/")
	e.is(win32+"FileAttributes", "00000012")
}

// Explorer shows nothing of a directory whose listing is over a million bytes, FileAttributesLimitInBytes.
func TestWindowsListsManyFiles(t *testing.T) {
	for _, what := range []string{"copied from elsewhere", "uploaded by Windows"} {
		d := newDrive(t)
		c := windows(d)
		const files = 181 // a tenth
		for i := range files {
			name := fmt.Sprintf("/e/IMG_20240229_%06d.jpg", i)
			d.put(name, "x")
			if what == "uploaded by Windows" {
				d.want(http.StatusMultiStatus, "PROPPATCH", name, windowsTimes)
			}
		}
		a := c.list(http.StatusMultiStatus, "/e", "1")
		l := a.entries()
		if len(l) != files+1 {
			t.Errorf("%d entries", len(l))
		}
		size := len(a.body) + files*11 // by so much are the ETags of ocifs longer
		if size > 100_000 {
			t.Errorf("the listing of %d files that were %s has %d bytes, %d for each", files, what, size, size/files)
		}
		for _, e := range l[:2] {
			e.lacks("supportedlock", "lockdiscovery", "quota-available-bytes", "quota-used-bytes",
				"{http://owncloud.org/ns}checksums")
		}
	}
}

// The times of a copied file are those that it had; they are kept as properties too, as Windows reads them again.
func TestWindowsSetsTimes(t *testing.T) {
	d := newDrive(t)
	c := windows(d)
	c.want(http.StatusCreated, "MKCOL", "/Plans", "")
	for _, target := range []string{"/top", "/Plans"} {
		c.want(http.StatusMultiStatus, "PROPPATCH", target, windowsTimes).patched(win32+"CreationTime",
			win32+"LastAccessTime", win32+"LastModifiedTime", win32+"FileAttributes")
		e := c.list(http.StatusMultiStatus, target, "0").entries()[0]
		e.is("getlastmodified", windowsModified)
		e.is("creationdate", "2020-01-02T03:04:05Z")
		find := strings.NewReplacer("urn:x", "urn:schemas-microsoft-com:", "<x:p/>", "<x:Win32CreationTime/>"+
			"<x:Win32LastAccessTime/><x:Win32LastModifiedTime/><x:Win32FileAttributes/>").Replace(findDead)
		e = c.want(http.StatusMultiStatus, "PROPFIND", target, find, "Depth", "0").entries()[0]
		e.is(win32+"CreationTime", windowsCreated)
		e.is(win32+"LastModifiedTime", windowsModified)
		e.is(win32+"FileAttributes", "00000020")
	}
	c.want(http.StatusOK, "HEAD", "/top", "").has("Last-Modified", windowsModified)
	// The file is changed later: that time counts, whatever the property says.
	c.want(http.StatusNoContent, "PUT", "/top", "changed")
	if m := c.modTime("/top"); time.Since(m) > time.Minute {
		t.Errorf("after a PUT the time is %v", m)
	}
	// Attributes alone change no time.
	before := c.modTime("/top")
	c.want(http.StatusMultiStatus, "PROPPATCH", "/top", windowsAttributes).patched(win32 + "FileAttributes")
	if m := c.modTime("/top"); !m.Equal(before) {
		t.Errorf("attributes have changed the time from %v to %v", before, m)
	}
}

// A time that is none refuses the whole PROPPATCH.
func TestWindowsSetsNoTime(t *testing.T) {
	d := newDrive(t)
	c := windows(d)
	before := c.modTime("/top")
	bad := strings.Replace(windowsTimes, windowsModified, "yesterday", 1)
	e := c.want(http.StatusMultiStatus, "PROPPATCH", "/top", bad).entries()[0]
	for name, code := range map[string]int{"LastModifiedTime": 409, "CreationTime": 424, "LastAccessTime": 424,
		"FileAttributes": 424} {
		if e.status[win32+name] != code {
			t.Errorf("%s has status %d, want %d", name, e.status[win32+name], code)
		}
	}
	if m := c.modTime("/top"); !m.Equal(before) {
		t.Errorf("the time is %v, was %v", m, before)
	}
	if has(d.do("PROPFIND", "/top", "", "Depth", "0"), "Win32") {
		t.Error("a refused PROPPATCH has set something")
	}
}
