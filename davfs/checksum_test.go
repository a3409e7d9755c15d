package davfs_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The digests of "hello".
const (
	helloSHA1  = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
	helloMD5   = "5d41402abc4b2a76b9719d911017c592"
	helloSHA2  = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	helloAdler = "062c0215"
)

// OC-Checksum is verified at the commit, and comes back with those that other clients compare by.
func TestChecksum(t *testing.T) {
	for header, code := range map[string]int{
		"SHA1:" + helloSHA1: http.StatusCreated, "sha1:" + strings.ToUpper(helloSHA1): http.StatusCreated,
		"MD5:" + helloMD5: http.StatusCreated, "SHA256:" + helloSHA2: http.StatusCreated, "ADLER32:" + helloAdler: http.StatusCreated,
		"SHA1:" + helloMD5: http.StatusBadRequest, "MD5:" + helloSHA1: http.StatusBadRequest, "SHA256:": http.StatusBadRequest,
		"ADLER32:062c0216": http.StatusBadRequest, "SHA1: ": http.StatusBadRequest,
	} {
		d := newDrive(t)
		w := d.want(code, "PUT", "/new", "hello", "OC-Checksum", header)
		d.do("PUT", "/top", "hello", "OC-Checksum", header)
		if code != http.StatusCreated {
			d.isAbsent("/new")
			d.hasFile("/top", "top")
			if !has(w, "checksum") || w.Header().Get("ETag") != "" {
				t.Errorf("OC-Checksum %s: %v %s", header, w.Header(), w.Body)
			}
			continue
		}
		for _, name := range []string{"/new", "/top"} {
			w := d.do("PROPFIND", name, find("<oc:checksums/>"), "Depth", "0")
			want := `<x:checksums xmlns:x="http://owncloud.org/ns"><x:checksum xmlns:x="http://owncloud.org/ns">SHA1:` + helloSHA1 +
				" MD5:" + helloMD5
			if !has(w, want) || has(w, "404") {
				t.Errorf("after OC-Checksum %s: %s", header, w.Body)
			}
		}
		d.want(http.StatusNoContent, "PUT", "/new", "other")
		if w := d.do("PROPFIND", "/new", find("<oc:checksums/>"), "Depth", "0"); has(w, helloSHA1) {
			t.Errorf("a new content has the checksums of the old one: %s", w.Body)
		}
	}
	d := newDrive(t)
	for _, header := range []string{"CRC64:1", "nonsense", "SHA1", ":"} { // cannot be verified, and is not kept
		d.want(http.StatusCreated, "PUT", "/new", "hello", "OC-Checksum", header)
		if w := d.do("PROPFIND", "/new", find("<oc:checksums/>"), "Depth", "0"); !has(w, "404") {
			t.Errorf("after OC-Checksum %s: %s", header, w.Body)
		}
		d.want(http.StatusNoContent, "DELETE", "/new", "")
	}
	// Chunked bodies and empty ones have digests too.
	r := httptest.NewRequest("PUT", "/chunked", struct{ *strings.Reader }{strings.NewReader("hello")})
	r.ContentLength = -1
	r.Header.Set("OC-Checksum", "SHA1:"+helloMD5)
	w := httptest.NewRecorder()
	if d.ServeHTTP(w, r); w.Code != http.StatusBadRequest {
		t.Errorf("a chunked body with another checksum: status %d", w.Code)
	}
	d.isAbsent("/chunked")
	d.want(http.StatusCreated, "PUT", "/empty", "", "OC-Checksum", "MD5:d41d8cd98f00b204e9800998ecf8427e")
	d.want(http.StatusBadRequest, "PUT", "/empty2", "", "OC-Checksum", "MD5:"+helloMD5)
	d.isAbsent("/empty2")
}
