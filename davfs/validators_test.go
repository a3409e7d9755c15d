package davfs_test

import (
	"net/http"
	"strings"
	"testing"
)

// ETag and Last-Modified of a PUT are those of GET, HEAD and PROPFIND afterwards, and stay until the next write: davfs2
// and Office take any change for somebody else's.
func TestValidatorsAgree(t *testing.T) {
	for _, headers := range [][]string{nil, {"X-OC-Mtime", "946684799"}} {
		for _, name := range []string{"/new", "/top"} {
			d := newDrive(t)
			put := d.do("PUT", name, "content", headers...).Header()
			for range 2 {
				for _, m := range []string{"GET", "HEAD"} {
					h := d.want(http.StatusOK, m, name, "").Header()
					if h.Get("ETag") != put.Get("ETag") || h.Get("Last-Modified") != put.Get("Last-Modified") || h.Get("ETag") == "" {
						t.Errorf("%s has %v, PUT had %v", m, h, put)
					}
				}
				w := d.do("PROPFIND", name, findLive, "Depth", "0")
				if !has(w, ">"+put.Get("ETag")+"<") || !has(w, ">"+put.Get("Last-Modified")+"<") {
					t.Errorf("PROPFIND has %s, PUT had %v", w.Body, put)
				}
				if !strings.HasPrefix(put.Get("ETag"), `"`) {
					t.Errorf("the ETag %s is not strong", put.Get("ETag"))
				}
			}
		}
	}
}

// A directory is answered for without its slash, and called by its name with one (R19).
func TestNoRedirects(t *testing.T) {
	d := newDrive(t)
	for _, target := range []string{"/d", "/d/", "//d", "/./d/"} {
		w := d.want(http.StatusMultiStatus, "PROPFIND", target, findLive, "Depth", "0")
		if !has(w, "<D:href>/d/</D:href>") {
			t.Errorf("PROPFIND %s: %s", target, w.Body)
		}
		d.want(http.StatusOK, "GET", target, "")
		d.want(http.StatusOK, "HEAD", target, "")
		d.want(http.StatusOK, "OPTIONS", target, "")
	}
	d.want(http.StatusCreated, "MKCOL", "/new", "")
	d.want(http.StatusCreated, "MKCOL", "/new2/", "")
	d.want(http.StatusNoContent, "DELETE", "/new/", "")
	d.want(http.StatusCreated, "MOVE", "/new2", "", "Destination", "/new3/")
	d.want(http.StatusMultiStatus, "PROPFIND", "/new3", findLive, "Depth", "0")
}

// RFC 4918 section 8.2: XML in UTF-16 too.
func TestEncodings(t *testing.T) {
	d := newDrive(t)
	wide := []byte("\xff\xfe")
	for _, c := range `<?xml version="1.0" encoding="utf-16"?>` + strings.TrimPrefix(patchBody, `<?xml version="1.0"?>`) {
		wide = append(wide, byte(c), 0)
	}
	d.want(http.StatusMultiStatus, "PROPPATCH", "/top", string(wide))
	if w := d.do("PROPFIND", "/top", findDead, "Depth", "0"); !has(w, ">v<") {
		t.Errorf("set in UTF-16: %s", w.Body)
	}
	d.want(http.StatusMultiStatus, "PROPPATCH", "/top", `<?xml version="1.0" encoding="ISO-8859-1"?>`+
		strings.Replace(strings.TrimPrefix(patchBody, `<?xml version="1.0"?>`), ">v<", ">\xfc<", 1))
	if w := d.do("PROPFIND", "/top", findDead, "Depth", "0"); !has(w, ">ü<") {
		t.Errorf("set in Latin-1: %s", w.Body)
	}
	d.want(http.StatusBadRequest, "PROPFIND", "/top", `<?xml version="1.0" encoding="ebcdic"?>`+findLive[21:], "Depth", "0")
}
