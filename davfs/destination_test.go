package davfs_test

import (
	"net/http"
	"strings"
	"testing"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// RFC 4918 section 10.3: a Destination is an absolute URL, or an absolute path.
func TestDestination(t *testing.T) {
	for _, c := range []struct {
		dst  string
		code int
		name string // of the copy
	}{
		{"/new", 201, "/new"},
		{"/new/", 201, "/new"},
		{"//new", 502, ""}, // a host of that name
		{"http://example.com/new", 201, "/new"},
		{"http://example.com//d//new", 201, "/d/new"},
		{"/d/%c3%bc%20%25%23%3f", 201, "/d/\u00fc %#?"},
		{"http://example.com/d/a%2Bb+c;d&e=f@g:h", 201, "/d/a+b+c;d&e=f@g:h"},
		{"/d/%7e%41", 201, "/d/~A"},
		{"/\u00fc", 201, "/\u00fc"}, // not escaped, as some clients send it
		{"/a b", 201, "/a b"},
		{"/d/%66", 204, "/d/f"},
		{"/d", 204, "/d"},
		{"new", 400, ""},
		{"./new", 400, ""},
		{"../new", 400, ""},
		{"?new", 400, ""},
		{"", 400, ""},
		{"%", 400, ""},
		{"/%zz", 400, ""},
		{"http://[::1", 400, ""},
		{"mailto:new", 400, ""},
		{"/new?x", 400, ""},
		{"/new#x", 400, ""},
		{"http://example.com/new#1", 400, ""},
		{"/d/../new", 400, ""},
		{"/d%2fnew", 400, ""},
		{"/new%00", 400, ""},
		{"/new%ff", 400, ""},
		{"/new%1b", 400, ""},
		{"/" + strings.Repeat("x", 256), 400, ""},
		{"http://example.com", 403, ""}, // the root
		{"/", 403, ""},
		{"http://other.example/new", 502, ""},
		{"ftp://example.com:21/new", 502, ""},
		{"/absent/new", 409, ""},
		{"/d/g/new", 409, ""},
	} {
		for _, m := range []string{"COPY", "MOVE"} {
			d := newDrive(t)
			d.want(c.code, m, "/top", "", "Destination", c.dst)
			if c.name != "" {
				d.hasFile(c.name, "top")
				continue
			}
			d.hasFile("/top", "top")
			if got := d.members("/") + "|" + d.members("/d") + "|" + d.members("/e"); got != "d e top|f g|" {
				t.Errorf("%s to %q: members are now %s", m, c.dst, got)
			}
		}
	}
}

func TestDestinationOutsideOfPrefix(t *testing.T) {
	d := newDrive(t)
	d.Prefix = "/dav"
	for _, dst := range []string{"/new", "/davfoo/new", "/dav2", "http://example.com/", "http://example.com/new"} {
		for _, m := range []string{"COPY", "MOVE"} {
			d.want(http.StatusBadGateway, m, "/dav/top", "", "Destination", dst)
		}
	}
	d.want(http.StatusForbidden, "COPY", "/dav/top", "", "Destination", "/dav")
	if got := d.members("/"); got != "d e top" {
		t.Errorf("members %q", got)
	}
}

// A COPY or MOVE that fails, whatever call of the tree it is, leaves source and target as they were.
func TestFailedCopyLeavesTheTarget(t *testing.T) {
	for _, c := range []struct{ method, src, dst, call string }{
		{"COPY", "/d/f", "/d/g", "Copy"}, {"COPY", "/d", "/e", "Copy"}, {"COPY", "/e", "/d", "Copy"},
		{"MOVE", "/d/f", "/d/g", "Rename"}, {"MOVE", "/e", "/d", "Rename"}, {"MOVE", "/d", "/top", "Rename"},
	} {
		d := newDrive(t)
		d.tree.Fail(c.call, &treetest.Failure{Class: davfs.ClassQuota})
		d.want(http.StatusInsufficientStorage, c.method, c.src, "", "Destination", c.dst)
		d.hasFile("/d/f", "content of f")
		d.hasFile("/d/g", "content of g")
		d.hasFile("/top", "top")
		if n := d.tree.Calls()["RemoveAll"]; n > 0 {
			t.Errorf("%s %s to %s removes something", c.method, c.src, c.dst)
		}
	}
}

// RFC 4918 sections 9.8.3 and 9.9.2.
func TestDepthOfCopyAndMove(t *testing.T) {
	for _, c := range []struct {
		method, depth string
		code          int
	}{
		{"COPY", "infinity", 201}, {"COPY", "Infinity", 201}, {"COPY", "0", 201}, {"COPY", "1", 400}, {"COPY", "x", 400},
		{"MOVE", "infinity", 201}, {"MOVE", "0", 400}, {"MOVE", "1", 400},
	} {
		d := newDrive(t)
		d.want(c.code, c.method, "/d", "", "Destination", "/new", "Depth", c.depth)
		if c.code >= 400 {
			d.isAbsent("/new")
			d.hasFile("/d/f", "content of f")
		}
	}
}
