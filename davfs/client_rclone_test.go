package davfs_test

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// backend/webdav/webdav.go; old rclones with the vendor "other" ask without a body.
const (
	rcloneStandard = `<?xml version="1.0"?>
<d:propfind xmlns:d="DAV:">
 <d:prop>
  <d:displayname/>
  <d:getlastmodified/>
  <d:getcontentlength/>
  <d:resourcetype/>
 </d:prop>
</d:propfind>
`
	rcloneOwncloud = `<?xml version="1.0"?>
<d:propfind  xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns">
 <d:prop>
  <d:displayname />
  <d:getlastmodified />
  <d:getcontentlength />
  <d:resourcetype />
  <d:getcontenttype />
  <oc:checksums />
  <oc:permissions />
 </d:prop>
</d:propfind>
`
	rcloneQuota = `<?xml version="1.0" ?>
<D:propfind xmlns:D="DAV:">
 <D:prop>
  <D:quota-available-bytes/>
  <D:quota-used-bytes/>
 </D:prop>
</D:propfind>
`
	rcloneModTime = `<?xml version="1.0" encoding="utf-8" ?>
<D:propertyupdate xmlns:D="DAV:">
 <D:set>
  <D:prop>
   <lastmodified xmlns="DAV:">%d</lastmodified>
  </D:prop>
 </D:set>
</D:propertyupdate>
`
	rcloneModTimeAndChecksum = `<?xml version="1.0" encoding="utf-8" ?>
<D:propertyupdate xmlns:D="DAV:" xmlns:oc="http://owncloud.org/ns">
 <D:set>
  <D:prop>
   <lastmodified xmlns="DAV:">%d</lastmodified>
   <oc:checksums>
	<oc:checksum>%s</oc:checksum>
   </oc:checksums>
  </D:prop>
 </D:set>
</D:propertyupdate>
`
	ocChecksums = "{http://owncloud.org/ns}checksums"
)

func rclone(d *drive) *client {
	return d.client("User-Agent", "rclone/v1.71.0", "Referer", "http://example.com/", "Accept-Encoding", "gzip")
}

// sum gives the digests of a content in hexadecimal.
func sum(content string) (sha, md, sha2 string) {
	return fmt.Sprintf("%x", sha1.Sum([]byte(content))), fmt.Sprintf("%x", md5.Sum([]byte(content))),
		fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
}

func (e entry) checksums() string {
	return e.props[ocChecksums].text("{http://owncloud.org/ns}checksum")
}

// A copy with the vendor "other", of rclone old and new, at the root and below a prefix, outside of which it does not
// see a href.
func TestRcloneCopies(t *testing.T) {
	for _, prefix := range []string{"", "/dav", "/remote.php/my%20files"} {
		for _, body := range []string{"", rcloneStandard} {
			d := newDrive(t)
			d.Prefix = strings.Replace(prefix, "%20", " ", 1)
			c := rclone(d)
			find := func(code int, target, depth string) *answer {
				t.Helper()
				return c.want(code, "PROPFIND", prefix+target, body, "Depth", depth)
			}
			find(http.StatusNotFound, "/dir", "1")
			find(http.StatusNotFound, "/dir/", "1")
			c.want(http.StatusConflict, "MKCOL", prefix+"/dir/a/", "") // it makes the parents then
			find(http.StatusNotFound, "/dir/a/", "0")
			c.want(http.StatusCreated, "MKCOL", prefix+"/dir/", "")
			c.want(http.StatusCreated, "MKCOL", prefix+"/dir/a/", "")
			c.want(http.StatusMethodNotAllowed, "MKCOL", prefix+"/dir/a/", "")
			c.want(http.StatusCreated, "PUT", prefix+"/dir/a/x%20y.txt", "hello", "Content-Type",
				"text/plain; charset=utf-8")
			// What was put is there, at once, and Depth 1 of a file is the file.
			a := find(http.StatusMultiStatus, "/dir/a/x%20y.txt", "1")
			e := a.entry(prefix + "/dir/a/x%20y.txt")
			e.is("getcontentlength", "5")
			e.is("displayname", "x y.txt")
			e.has("getlastmodified", "resourcetype")
			if a := find(http.StatusMultiStatus, "/dir/a/", "1"); a.hrefs() !=
				prefix+"/dir/a/ "+prefix+"/dir/a/x%20y.txt" || !a.entries()[0].dir() {
				t.Errorf("%s: %s", a.what, a.body)
			}
			// Colons are not taken for schemes.
			c.want(http.StatusCreated, "PUT", prefix+"/dir/./a:b", "x")
			if got := find(http.StatusMultiStatus, "/dir/", "1").hrefs(); !strings.Contains(got, prefix+"/dir/a:b") {
				t.Errorf("hrefs %s", got)
			}
			// DirMove: both names with a slash.
			find(http.StatusNotFound, "/dir2/", "1")
			c.want(http.StatusCreated, "MOVE", prefix+"/dir/", "", "Destination", "http://example.com"+prefix+"/dir2/",
				"Overwrite", "T")
			find(http.StatusNotFound, "/dir/", "1")
			c.want(http.StatusNoContent, "PUT", prefix+"/dir2/a/x%20y.txt", "again")
			c.want(http.StatusCreated, "COPY", prefix+"/dir2/a/x%20y.txt", "", "Destination",
				"http://example.com"+prefix+"/dir2/z", "Overwrite", "T")
			c.want(http.StatusNoContent, "MOVE", prefix+"/dir2/z", "", "Destination",
				"http://example.com"+prefix+"/dir2/a/x%20y.txt", "Overwrite", "T")
			d.hasFile("/dir2/a/x y.txt", "again")
			c.want(http.StatusNoContent, "DELETE", prefix+"/dir2/", "")
			if got := d.members("/"); got != "d e top" {
				t.Errorf("members %q", got)
			}
		}
	}
}

// A part must be the part that was asked for, and say so.
func TestRcloneReads(t *testing.T) {
	d := newDrive(t)
	c := rclone(d)
	a := c.want(http.StatusPartialContent, "GET", "/d/f", "", "Depth", "0", "Range", "bytes=8-9")
	if a.has("Content-Range", "bytes 8-9/12", "Content-Length", "2"); a.body != "of" {
		t.Errorf("the part is %q", a.body)
	}
	a = c.want(http.StatusPartialContent, "GET", "/d/f", "", "Depth", "0", "Range", "bytes=8-")
	if a.has("Content-Range", "bytes 8-11/12"); a.body != "of f" {
		t.Errorf("the part is %q", a.body)
	}
	if a := c.want(http.StatusOK, "GET", "/d/f", "", "Depth", "0"); a.Header.Get("Content-Encoding") != "" {
		t.Errorf("GET: %v", a.Header)
	}
}

// With the vendor "owncloud" it keeps times and has its checksums verified.
func TestRcloneKeepsTimesAndChecksums(t *testing.T) {
	for _, algorithm := range []string{"SHA1", "MD5"} {
		d := newDrive(t)
		c := rclone(d)
		const content = "hello\n"
		sha, md, sha2 := sum(content)
		want := map[string]string{"SHA1": sha, "MD5": md}
		a := c.want(http.StatusCreated, "PUT", "/d/new", content, "OC-Checksum", algorithm+":"+want[algorithm],
			"X-OC-Mtime", "1580702706", "Content-Type", "text/plain; charset=utf-8")
		a.has("X-OC-Mtime", "accepted", "Last-Modified", "Mon, 03 Feb 2020 04:05:06 GMT")
		c.agrees(a, "/d/new")
		find := func(target string) entry {
			t.Helper()
			return c.want(http.StatusMultiStatus, "PROPFIND", target, rcloneOwncloud, "Depth", "1").entry(target)
		}
		check := func(target string) {
			t.Helper()
			e := find(target)
			e.is("getlastmodified", "Mon, 03 Feb 2020 04:05:06 GMT")
			e.lacks("{http://owncloud.org/ns}permissions")
			sums := " " + e.checksums() + " "
			for _, s := range []string{"SHA1:" + sha, "MD5:" + md} {
				if !strings.Contains(sums, " "+s+" ") {
					t.Errorf("%s: the checksums are %q, want %s too", target, sums, s)
				}
			}
			for s := range strings.FieldsSeq(sums) {
				if name, digest, _ := strings.Cut(s, ":"); name == "SHA256" && digest != sha2 {
					t.Errorf("%s: SHA-256 is %s, want %s", target, digest, sha2)
				}
			}
		}
		check("/d/new")
		c.want(http.StatusCreated, "COPY", "/d/new", "", "Destination", "http://example.com/d/copy", "Overwrite", "T",
			"X-OC-Mtime", "1580702706")
		check("/d/copy")
		c.want(http.StatusCreated, "MOVE", "/d/copy", "", "Destination", "http://example.com/e/moved", "Overwrite", "T",
			"X-OC-Mtime", "1580702706")
		check("/e/moved")

		// One that is wrong: nothing is stored, neither anew nor over what is there.
		bad := algorithm + ":" + strings.Repeat("0", len(want[algorithm]))
		for _, target := range []string{"/d/bad", "/d/f", "/d/new"} {
			c.want(http.StatusBadRequest, "PUT", target, content, "OC-Checksum", bad, "X-OC-Mtime", "1")
		}
		d.isAbsent("/d/bad")
		d.hasFile("/d/f", "content of f")
		check("/d/new")
		// The checksums are of the content that is there.
		c.want(http.StatusNoContent, "PUT", "/d/new", "other", "X-OC-Mtime", "1580702706")
		otherSHA, otherMD, _ := sum("other")
		for s := range strings.FieldsSeq(find("/d/new").checksums()) {
			if name, digest, _ := strings.Cut(s, ":"); name == "SHA1" && digest != otherSHA ||
				name == "MD5" && digest != otherMD {
				t.Errorf("after another PUT there is %s", s)
			}
		}
		if e := find("/d/f"); strings.Contains(e.checksums(), "SHA1") {
			t.Errorf("a file without checksum has %s", e.checksums())
		}
	}
}

// A stream has no length and no checksum.
func TestRcloneStreams(t *testing.T) {
	d := newDrive(t)
	c := rclone(d)
	a := c.want(http.StatusCreated, "PUT", "/d/new", strings.Repeat("hello ", 1000), "Transfer-Encoding", "chunked",
		"X-OC-Mtime", "1580702706")
	a.has("X-OC-Mtime", "accepted")
	c.agrees(a, "/d/new")
	c.want(http.StatusMultiStatus, "PROPFIND", "/d/new", rcloneOwncloud, "Depth", "1").entry("/d/new").
		is("getcontentlength", "6000")
}

func TestRcloneSetsTimes(t *testing.T) {
	d := newDrive(t)
	c := rclone(d)
	etag := c.want(http.StatusOK, "HEAD", "/d/f", "").Header.Get("ETag")
	for _, target := range []string{"/d/f", "/d/"} {
		c.want(http.StatusMultiStatus, "PROPPATCH", target, fmt.Sprintf(rcloneModTime, 1612325106)).
			patched("lastmodified")
		e := c.want(http.StatusMultiStatus, "PROPFIND", target, rcloneOwncloud, "Depth", "0").entry(target)
		e.is("getlastmodified", "Wed, 03 Feb 2021 04:05:06 GMT")
	}
	c.want(http.StatusOK, "HEAD", "/d/f", "").has("ETag", etag, "Last-Modified", "Wed, 03 Feb 2021 04:05:06 GMT")
	c.want(http.StatusNotFound, "PROPPATCH", "/d/absent", fmt.Sprintf(rcloneModTime, 1612325106))
}

// Newer rclones say the checksum that they have seen along with the time, lest the server forget it. Refused, they
// upload the file again.
func TestRcloneSetsTimesAndChecksums(t *testing.T) {
	d := newDrive(t)
	c := rclone(d)
	sha, md, _ := sum("hello\n")
	c.want(http.StatusCreated, "PUT", "/d/new", "hello\n", "OC-Checksum", "SHA1:"+sha, "X-OC-Mtime", "1580702706")
	find := func() entry {
		t.Helper()
		return c.want(http.StatusMultiStatus, "PROPFIND", "/d/new", rcloneOwncloud, "Depth", "0").entry("/d/new")
	}
	c.want(http.StatusMultiStatus, "PROPPATCH", "/d/new", fmt.Sprintf(rcloneModTimeAndChecksum, 1612325106, "SHA1:"+sha)).
		patched("lastmodified", ocChecksums)
	e := find()
	e.is("getlastmodified", "Wed, 03 Feb 2021 04:05:06 GMT")
	if s := e.checksums(); !strings.Contains(s, "SHA1:"+sha) || !strings.Contains(s, "MD5:"+md) {
		t.Errorf("the checksums are %q", s)
	}
	// One that is not true is not taken over, nor is the time beside it.
	e = c.want(http.StatusMultiStatus, "PROPPATCH", "/d/new", fmt.Sprintf(rcloneModTimeAndChecksum, 1600000000,
		"SHA1:"+strings.Repeat("0", 40))).entry("/d/new")
	if e.status["lastmodified"] != http.StatusFailedDependency || e.status[ocChecksums] < 400 {
		t.Errorf("status %v", e.status)
	}
	if e := find(); !strings.Contains(e.checksums(), "SHA1:"+sha) {
		t.Errorf("the checksums are %q", e.checksums())
	} else {
		e.is("getlastmodified", "Wed, 03 Feb 2021 04:05:06 GMT")
	}
}

// rclone sends a DELETE after a PUT that has failed, so none may fail that has stored something; and it tries again
// what may go better then.
func TestRcloneFailedUpload(t *testing.T) {
	for class, code := range map[string]int{davfs.ClassUnavailable: 503, davfs.ClassRateLimited: 429,
		davfs.ClassTimeout: 504, davfs.ClassQuota: 507} {
		d := newDrive(t)
		c := rclone(d)
		d.tree.Fail("Put", &treetest.Failure{Class: class})
		c.want(code, "PUT", "/d/new", "hello", "X-OC-Mtime", "1580702706").has("X-OC-Mtime", "", "ETag", "")
		c.want(code, "PUT", "/d/f", "hello")
		d.tree.Heal()
		d.hasFile("/d/f", "content of f")
		d.isAbsent("/d/new")
		c.want(http.StatusNotFound, "DELETE", "/d/new", "")
		c.want(http.StatusNotFound, "PROPFIND", "/d/new", rcloneOwncloud, "Depth", "1")
		c.want(http.StatusCreated, "PUT", "/d/new", "hello")
	}
}

// A listing that fails is no empty one: rclone sync removes what it does not see.
func TestRcloneFailedListing(t *testing.T) {
	d := newDrive(t)
	c := rclone(d)
	for _, body := range []string{"", rcloneStandard, rcloneOwncloud} {
		for _, call := range []string{"Stat", "ReadDir"} {
			d.tree.Fail(call, &treetest.Failure{Class: davfs.ClassUnavailable})
			a := c.want(http.StatusServiceUnavailable, "PROPFIND", "/d/", body, "Depth", "1")
			if strings.Contains(a.body, "href") || a.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %v %s", a.what, a.Header, a.body)
			}
			d.tree.Heal()
		}
	}
}

// restic over rclone: a file is there whole or not at all, at once, and its absence is 404.
func TestRestic(t *testing.T) {
	d := newDrive(t)
	c := rclone(d)
	for _, m := range []string{"GET", "HEAD", "DELETE"} {
		c.want(http.StatusNotFound, m, "/d/pack", "")
		c.want(http.StatusNotFound, m, "/absent/pack", "")
	}
	content := strings.Repeat("0123456789", 1000)
	wait := d.puts()
	c.begin("PUT", "/d/pack", len(content))
	c.say(content[:5000])
	wait()
	reader := c.again()
	reader.want(http.StatusNotFound, "GET", "/d/pack", "")
	reader.want(http.StatusNotFound, "PROPFIND", "/d/pack", rcloneStandard, "Depth", "0")
	if got := reader.want(http.StatusMultiStatus, "PROPFIND", "/d/", rcloneStandard, "Depth", "1").hrefs(); got !=
		"/d/ /d/f /d/g" {
		t.Errorf("hrefs %s", got)
	}
	c.say(content[5000:])
	if a := c.hear("PUT", "/d/pack"); a.StatusCode != http.StatusCreated {
		t.Errorf("%s: status %d: %s", a.what, a.StatusCode, a.body)
	}
	reader.want(http.StatusMultiStatus, "PROPFIND", "/d/", rcloneStandard, "Depth", "1").entry("/d/pack").
		is("getcontentlength", "10000")
	a := reader.want(http.StatusPartialContent, "GET", "/d/pack", "", "Range", "bytes=9990-9999")
	if a.has("Content-Range", "bytes 9990-9999/10000"); a.body != "0123456789" {
		t.Errorf("the part is %q", a.body)
	}
	reader.want(http.StatusRequestedRangeNotSatisfiable, "GET", "/d/pack", "", "Range", "bytes=10000-").
		has("Content-Range", "bytes */10000")
	for i := range 300 {
		d.put(fmt.Sprintf("/e/%064x", i), "x")
	}
	l := reader.want(http.StatusMultiStatus, "PROPFIND", "/e/", rcloneStandard, "Depth", "1").entries()
	if len(l) != 301 {
		t.Errorf("%d entries", len(l))
	}
}

// rclone about asks the root; what is not known is not there.
func TestRcloneAbout(t *testing.T) {
	for _, q := range []struct {
		available, used int64
		text            [2]string
	}{
		{12345678901234, 0, [2]string{"12345678901234", "0"}}, {-1, 5, [2]string{"", "5"}}, {0, -1, [2]string{"0", ""}},
		{-1, -1, [2]string{"", ""}},
	} {
		d := newDrive(t)
		d.Prefix = "/dav"
		if q.available != q.used {
			d.Quota = func(context.Context) (available, used int64) { return q.available, q.used }
		}
		c := rclone(d)
		for _, target := range []string{"/dav", "/dav/"} {
			e := c.want(http.StatusMultiStatus, "PROPFIND", target, rcloneQuota, "Depth", "0").entry("/dav/")
			for i, name := range []string{"quota-available-bytes", "quota-used-bytes"} {
				if q.text[i] == "" {
					e.lacks(name)
				} else {
					e.is(name, q.text[i])
				}
			}
		}
		for _, e := range c.want(http.StatusMultiStatus, "PROPFIND", "/dav/", "", "Depth", "1").entries() {
			e.lacks("quota-available-bytes", "quota-used-bytes") // RFC 4331 section 3
		}
	}
}
