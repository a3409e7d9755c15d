package davfs_test

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"
)

// RFC 9110 section 14.
func TestRanges(t *testing.T) {
	d := newDrive(t)
	d.put("/r", "0123456789")
	for _, c := range []struct {
		header string
		code   int
		body   string
		part   string // Content-Range
	}{
		{"bytes=0-0", 206, "0", "bytes 0-0/10"},
		{"bytes=2-4", 206, "234", "bytes 2-4/10"},
		{"bytes=7-", 206, "789", "bytes 7-9/10"},
		{"bytes=-3", 206, "789", "bytes 7-9/10"},
		{"bytes=-30", 206, "0123456789", "bytes 0-9/10"},
		{"bytes=8-99", 206, "89", "bytes 8-9/10"},
		{"bytes=10-", 416, "", "bytes */10"},
		{"bytes=4-2", 416, "", ""},
		{"lines=1-2", 416, "", ""},
	} {
		w := d.want(c.code, "GET", "/r", "", "Range", c.header)
		if c.code == 206 && w.Body.String() != c.body || w.Header().Get("Content-Range") != c.part {
			t.Errorf("%s gives %q, Content-Range %q", c.header, w.Body, w.Header().Get("Content-Range"))
		}
	}
	w := d.want(http.StatusPartialContent, "GET", "/r", "", "Range", "bytes=0-1,5-6,-1")
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "multipart/byteranges") ||
		!has(w, "\r\n\r\n01\r\n") || !has(w, "\r\n\r\n56\r\n") || !has(w, "\r\n\r\n9\r\n") {
		t.Errorf("three ranges give %v %q", w.Header(), w.Body)
	}
}

// HEAD says what GET does (RFC 9110 section 9.3.2), over a real connection.
func TestHeadIsGet(t *testing.T) {
	d := newDrive(t)
	d.put("/e/page.html", "<p>")
	d.put("/e/empty", "")
	addr := "http://" + d.listen()
	headers := func(method, target string, h http.Header) (int, http.Header, int) {
		req, _ := http.NewRequest(method, addr+target, nil)
		maps.Copy(req.Header, h)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		res.Header.Del("Date")
		res.Header.Del("X-Request-Id") // of each its own
		return res.StatusCode, res.Header, len(b)
	}
	for _, target := range []string{"/top", "/e/page.html", "/e/empty", "/absent"} {
		for _, h := range []http.Header{nil, {"Range": {"bytes=1-2"}}, {"If-None-Match": {"*"}}, {"Range": {"bytes=9-"}}} {
			code, get, _ := headers("GET", target, h)
			code2, head, n := headers("HEAD", target, h)
			if code >= 400 { // the text of an error counts for nothing
				get.Del("Content-Length")
				head.Del("Content-Length")
			}
			if code != code2 || n != 0 || !maps.EqualFunc(get, head, func(a, b []string) bool { return a[0] == b[0] }) {
				t.Errorf("%s %v: GET has %d %v, HEAD %d %v", target, h, code, get, code2, head)
			}
		}
	}
}

// A file says of itself what it is; nothing is guessed from its content.
func TestContentHeaders(t *testing.T) {
	d := newDrive(t)
	for name, ctype := range map[string]string{
		"/e/a.html": "text/html; charset=utf-8", "/e/a": "application/octet-stream", "/e/a.pdf": "application/pdf",
	} {
		put := d.want(http.StatusCreated, "PUT", name, "<html>").Header()
		get := d.want(http.StatusOK, "GET", name, "").Header()
		if get.Get("Content-Type") != ctype || get.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", name, get)
		}
		if got, want := get.Get("Content-Security-Policy"), map[bool]string{true: "", false: "sandbox"}[ctype == "application/pdf"]; got != want {
			t.Errorf("%s: Content-Security-Policy %q, want %q", name, got, want)
		}
		for _, k := range []string{"ETag", "Last-Modified"} {
			if get.Get(k) == "" || get.Get(k) != put.Get(k) {
				t.Errorf("%s: GET has %s %q, PUT %q", name, k, get.Get(k), put.Get(k))
			}
		}
		if w := d.do("PROPFIND", name, findLive, "Depth", "0"); !has(w, ">"+ctype+"<") ||
			!has(w, ">"+get.Get("Last-Modified")+"<") || !has(w, strings.Trim(get.Get("ETag"), `"`)) {
			t.Errorf("%s: PROPFIND says otherwise: %s", name, w.Body)
		}
	}
}

// RFC 4918 section 15.1: the date is that of ISO 8601, not of HTTP.
func TestCreationDate(t *testing.T) {
	d := newDrive(t)
	for _, target := range []string{"/top", "/d"} {
		fi, err := d.tree.Stat(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		birth := fi.(interface{ BirthTime() time.Time }).BirthTime().UTC().Format("2006-01-02T15:04:05Z")
		for _, body := range []string{"", strings.Replace(findLive, "getetag", "creationdate", 1)} {
			w := d.want(http.StatusMultiStatus, "PROPFIND", target, body, "Depth", "0")
			if strings.Count(w.Body.String(), "<D:creationdate>"+birth+"</D:creationdate>") != 1 {
				t.Errorf("%s has not the creationdate %s: %s", target, birth, w.Body)
			}
		}
	}
}

// What each method costs the tree, whose every call may be a journey.
func TestBudget(t *testing.T) {
	for _, c := range []struct {
		method, target, body string
		headers              []string
		want                 map[string]int
	}{
		{"OPTIONS", "/d/f", "", nil, map[string]int{"Stat": 1}},
		{"HEAD", "/d/f", "", nil, map[string]int{"Stat": 1}},
		{"HEAD", "/d", "", nil, map[string]int{"Stat": 1}},
		{"GET", "/d/f", "", nil, map[string]int{"Stat": 1, "Open": 1}},
		{"GET", "/d", "", nil, map[string]int{"Stat": 1, "ReadDir": 1}},
		{"GET", "/absent", "", nil, map[string]int{"Stat": 1}},
		{"PUT", "/d/f", "x", nil, map[string]int{"Put": 1}},
		{"PUT", "/d/new", "x", nil, map[string]int{"Put": 1}},
		{"PUT", "/d/f", "x", []string{"If-Match", "*"}, map[string]int{"Put": 1, "Stat": 1}},
		{"DELETE", "/d", "", nil, map[string]int{"Stat": 1, "RemoveAll": 1}},
		{"MKCOL", "/new", "", nil, map[string]int{"Mkdir": 1}},
		{"PROPPATCH", "/d/f", patchBody, nil, map[string]int{"Stat": 1, "PatchProps": 1}},
		{"LOCK", "/d/f", lockBody, nil, map[string]int{"Stat": 1}},
		{"LOCK", "/d/new", lockBody, nil, map[string]int{"Stat": 1, "Put": 1}},
		{"PROPFIND", "/d", findLive, []string{"Depth", "1"}, map[string]int{"Stat": 1, "ReadDir": 1}},
		{"PROPFIND", "/d", findLocks, []string{"Depth", "1"}, map[string]int{"Stat": 1, "ReadDir": 1}},
	} {
		d := newDrive(t)
		if w := d.do(c.method, c.target, c.body, c.headers...); w.Code >= 300 && w.Code != http.StatusNotFound {
			t.Errorf("%s %s: status %d", c.method, c.target, w.Code)
		}
		got := d.tree.Calls()
		delete(got, "Read")
		if !maps.Equal(got, c.want) {
			t.Errorf("%s %s costs %v, want %v", c.method, c.target, got, c.want)
		}
	}
}
