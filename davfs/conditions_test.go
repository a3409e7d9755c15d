package davfs_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// writes are the methods that conditions hold back, on the file /d/f that is there.
var writes = []struct {
	method, body string
	headers      []string
}{
	{"PUT", "x", nil},
	{"DELETE", "", nil},
	{"COPY", "", []string{"Destination", "/d/g"}},
	{"MOVE", "", []string{"Destination", "/d/g"}},
	{"PROPPATCH", patchBody, nil},
	{"LOCK", lockBody, nil},
}

// RFC 9110 section 13.1, which the engine leaves to reads (golang/go#44492).
func TestConditions(t *testing.T) {
	etag := newDrive(t).do("HEAD", "/d/f", "").Header().Get("ETag")
	past, future := "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
	for _, c := range []struct {
		name, value string
		ok          bool
	}{
		{"If-Match", etag, true},
		{"If-Match", `"a", ` + etag + `,"b"`, true},
		{"If-Match", "*", true},
		{"If-Match", `"other"`, false},
		{"If-Match", "W/" + etag, false}, // section 13.1.1: the strong comparison
		{"If-Match", "nonsense", false},
		{"If-None-Match", "*", false},
		{"If-None-Match", etag, false},
		{"If-None-Match", `"a", W/` + etag, false}, // section 13.1.2: the weak one
		{"If-None-Match", `"other"`, true},
		{"If-None-Match", "JoplinIgnore-1234", true},
		{"If-Unmodified-Since", future, true},
		{"If-Unmodified-Since", past, false},
		{"If-Unmodified-Since", "nonsense", true},
		{"If", "([" + etag + "])", true},
		{"If", `(["other"])`, false},
		{"If", `(Not ["other"])`, true},
		{"If", `(["other"]) ([` + etag + `])`, true},
		{"If", `([` + etag + `] ["other"])`, false},
		{"If", "(<urn:uuid:none>)", false},
		{"If", "(Not <DAV:no-lock>)", true},
		{"If", "(<urn:uuid:none>) (Not <DAV:no-lock>)", true},
		{"If", "</top> ([" + etag + "])", false},
		{"If", "<http://elsewhere.example/d/f> ([" + etag + "])", true},
		{"If", `<urn:x> (["other"])`, false},
	} {
		for _, m := range writes {
			d := newDrive(t)
			w := d.do(m.method, "/d/f", m.body, append([]string{c.name, c.value}, m.headers...)...)
			if ok := w.Code < 300; ok != c.ok || !ok && w.Code != http.StatusPreconditionFailed {
				t.Errorf("%s with %s: %s: status %d: %s", m.method, c.name, c.value, w.Code, w.Body)
			}
			if !c.ok {
				d.hasFile("/d/f", "content of f")
				d.hasFile("/d/g", "content of g")
				d.want(http.StatusNoContent, "PUT", "/d/f", "no lock is left")
			}
		}
	}
}

// If-Match of a name that is not there fails, If-None-Match: * holds; and a condition does not make a 412 of a failure.
func TestConditionsOfNothing(t *testing.T) {
	d := newDrive(t)
	for _, m := range []string{"PUT", "MKCOL", "LOCK"} {
		body := map[string]string{"PUT": "x", "LOCK": lockBody}[m]
		d.want(http.StatusPreconditionFailed, m, "/new", body, "If-Match", "*")
		d.isAbsent("/new")
		d.want(http.StatusCreated, m, "/"+m, body, "If-None-Match", "*")
		d.want(http.StatusPreconditionFailed, m, "/"+m, body, "If-None-Match", "*")
	}
	d.want(http.StatusPreconditionFailed, "LOCK", "/top", lockBody, "If-None-Match", "*") // davfs2 makes files so
	d.tree.Fail("Stat", &treetest.Failure{Class: davfs.ClassTimeout})
	for _, h := range [][2]string{{"If-Match", "*"}, {"If-None-Match", "*"}, {"If", `(["x"])`}, {"If", `(Not ["x"])`}} {
		d.want(http.StatusGatewayTimeout, "PUT", "/top", "x", h[0], h[1])
	}
	d.hasFile("/top", "top")
}

// Reads have the conditions of RFC 9110 sections 13.1.2, 13.1.3 and 13.1.5.
func TestConditionalGet(t *testing.T) {
	d := newDrive(t)
	h := d.do("GET", "/d/f", "").Header()
	etag, mod := h.Get("ETag"), h.Get("Last-Modified")
	for _, c := range []struct {
		code   int
		header []string
	}{
		{304, []string{"If-None-Match", etag}},
		{304, []string{"If-None-Match", `"a", ` + etag}},
		{304, []string{"If-Modified-Since", mod}},
		{200, []string{"If-None-Match", `"a"`, "If-Modified-Since", mod}},
		{412, []string{"If-Match", `"a"`}},
		{206, []string{"Range", "bytes=0-3", "If-Range", etag}},
		{200, []string{"Range", "bytes=0-3", "If-Range", `"a"`}},
	} {
		w := d.want(c.code, "GET", "/d/f", "", c.header...)
		if c.code == 304 && (w.Header().Get("ETag") != etag || w.Body.Len() > 0) {
			t.Errorf("304 for %q: ETag %q, body %q", c.header, w.Header().Get("ETag"), w.Body)
		}
	}
}

// Of several writers who saw one ETag one wins, and nobody is told that it is locked.
func TestParallelPutsWithOneETag(t *testing.T) {
	d := newDrive(t)
	etag := d.do("HEAD", "/d/f", "").Header().Get("ETag")
	for _, c := range [][3]string{
		{"/d/f", "If-Match", etag}, {"/d/g", "If", "</d/g> ([" + d.do("HEAD", "/d/g", "").Header().Get("ETag") + "])"},
		{"/d/new", "If-None-Match", "*"},
	} {
		// All are in the middle of their body before one of them ends.
		const writers = 16
		var begun sync.WaitGroup
		begun.Add(writers)
		d.tree.Before(func(method, _ string) {
			if method == "Put" {
				begun.Done()
				begun.Wait()
			}
		})
		var won, lost atomic.Int32
		var winner atomic.Value
		var all sync.WaitGroup
		for i := range writers {
			all.Go(func() {
				content := fmt.Sprint("writer ", i)
				switch w := d.do("PUT", c[0], content, c[1], c[2]); w.Code {
				case http.StatusCreated, http.StatusNoContent:
					won.Add(1)
					winner.Store(content)
				case http.StatusPreconditionFailed:
					lost.Add(1)
				default:
					t.Errorf("PUT: status %d: %s", w.Code, w.Body)
				}
			})
		}
		all.Wait()
		d.tree.Before(nil)
		if won.Load() != 1 || lost.Load() != writers-1 {
			t.Fatalf("%s: %d of %d writers have won, %d have lost", c[0], won.Load(), writers, lost.Load())
		}
		d.hasFile(c[0], winner.Load().(string))
	}
}

// Writers without conditions and locks do not hold each other up, and readers see one or the other.
func TestParallelPuts(t *testing.T) {
	d := newDrive(t)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() { d.want(http.StatusNoContent, "PUT", "/d/f", strings.Repeat(fmt.Sprint(i%10), 1000)) })
		all.Go(func() {
			b := d.want(http.StatusOK, "GET", "/d/f", "").Body.String()
			if b != "content of f" && b != strings.Repeat(b[:1], 1000) {
				t.Errorf("a mixture: %q", b)
			}
		})
	}
	all.Wait()
}

// Another client changes the file meanwhile: another list of the header may hold then, and asking for it must not wait
// for the lock that the tree holds.
func TestIfIsAskedAgain(t *testing.T) {
	for _, c := range []struct {
		header func(f, top string) string
		code   int
	}{
		{func(f, _ string) string { return "([" + f + "])" }, 412},
		{func(f, _ string) string { return "([" + f + `]) (["other"])` }, 412},
		{func(f, top string) string { return "</d/f> ([" + f + "]) </top> ([" + top + "])" }, 204},
		{func(f, top string) string { return "</d/f> ([" + f + "]) </absent> ([" + top + "])" }, 412},
		{func(f, _ string) string { return "([" + f + "]) (Not [" + f + "])" }, 204},
	} {
		d := newDrive(t)
		h := c.header(d.do("HEAD", "/d/f", "").Header().Get("ETag"), d.do("HEAD", "/top", "").Header().Get("ETag"))
		d.tree.Before(func(method, _ string) {
			if method == "Put" {
				d.tree.Before(nil)
				d.put("/d/f", "of another")
			}
		})
		done := make(chan bool)
		go func() {
			defer close(done)
			d.want(c.code, "PUT", "/d/f", "x", "If", h)
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("If: %s waits for ever", h)
		}
	}
}

func TestInvalidIf(t *testing.T) {
	many := newDrive(t)
	many.want(http.StatusBadRequest, "PUT", "/top", "x", "If", strings.Repeat(`</a> (["e"]) `, 300))
	many.hasFile("/top", "top")
	if n := many.tree.Calls()["Stat"]; n > 1 {
		t.Errorf("an endless If has asked the tree %d times", n)
	}
	d := newDrive(t)
	for _, s := range []string{
		"", " ", "x", "(", "()", ")", "(<a>", "(<a", "(<>)", "([a])", `(["a)`, `(["a"`, "<a>", "</d/f> <b> (<c>)",
		"(<a>) </d/f> (<b>)", "(Not)", "(Not Not <a>)", "(<a>)x", "<a (<b>)",
	} {
		d.want(http.StatusBadRequest, "PUT", "/d/f", "x", "If", s)
	}
	d.hasFile("/d/f", "content of f")
}

// X-OC-Mtime is what sync clients set the time with.
func TestMtime(t *testing.T) {
	d := newDrive(t)
	want := time.Unix(1_000_000_000, 0).UTC().Format(http.TimeFormat)
	for _, s := range []string{"1000000000", "1000000000.75"} {
		w := d.want(http.StatusNoContent, "PUT", "/d/f", "x", "X-OC-Mtime", s)
		if got := w.Header().Get("X-OC-Mtime"); got != "accepted" {
			t.Errorf("X-OC-Mtime: %s is %q", s, got)
		}
		if got := d.do("HEAD", "/d/f", "").Header().Get("Last-Modified"); got != want {
			t.Errorf("X-OC-Mtime: %s makes %s, want %s", s, got, want)
		}
	}
	for _, s := range []string{"", "x", "-1", "0", "1e9", "NaN", "99999999999999999999", "999999999999"} {
		w := d.want(http.StatusNoContent, "PUT", "/d/f", "x", "X-OC-Mtime", s)
		if got := w.Header().Get("X-OC-Mtime"); got != "" {
			t.Errorf("X-OC-Mtime: %s is %q", s, got)
		}
	}
	d.tree.Fail("Put", &treetest.Failure{Class: davfs.ClassQuota})
	w := d.want(http.StatusInsufficientStorage, "PUT", "/d/f", "x", "X-OC-Mtime", "1000000000")
	if got := w.Header().Get("X-OC-Mtime"); got != "" {
		t.Errorf("a failed PUT says X-OC-Mtime: %s", got)
	}
}
