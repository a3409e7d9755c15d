package davfs_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// TestLimits: what is too much is refused, with what it is, and what is just below is not.
func TestLimits(t *testing.T) {
	long := strings.Repeat("/"+strings.Repeat("n", 254), 16) // 4080 bytes
	conditions := func(n int) string { return "(" + strings.Repeat("Not <urn:x> ", n) + ")" }
	find := func(inside string) string {
		return `<D:propfind xmlns:D="DAV:"><D:prop>` + inside + `</D:prop></D:propfind>`
	}
	set := func(inside string) string {
		return `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop>` + inside + `</D:prop></D:set></D:propertyupdate>`
	}
	name := func(n int) string { return `<p xmlns="` + strings.Repeat("u", n) + `"/>` }
	scopes := func(n int) (s string) {
		for i := range n {
			s += fmt.Sprintf(` xmlns:n%d="u"`, i)
		}
		return "<p" + s + "/>"
	}
	attributes := func(n int) string { return "<p>" + strings.Repeat(`<q a="" b="" c="" d="" e=""/>`, n/5) + "</p>" }
	for _, c := range []struct {
		code                 int
		method, target, body string
		headers              []string
	}{
		{404, "GET", long + "/123456789012345", "", nil},
		{414, "GET", long + "/1234567890123456", "", nil},
		{414, "GET", "/" + strings.Repeat("a/", 40_000), "", nil},
		{414, "MOVE", "/top", "", []string{"Destination", long + long}},
		{400, "GET", "/" + strings.Repeat("n", 256), "", nil},
		{204, "DELETE", "/d/f", "", []string{"If", conditions(1024)}},
		{400, "DELETE", "/d/g", "", []string{"If", conditions(1025)}},
		{400, "DELETE", "/d/g", "", []string{"If", conditions(600), "If", conditions(600)}},
		{400, "DELETE", "/d/g", "", []string{"If", strings.Repeat("(Not <urn:x>)", 257)}},
		{207, "PROPFIND", "/top", find(name(60_000)), []string{"Depth", "0"}},
		{413, "PROPFIND", "/top", find(name(70_000)), []string{"Depth", "0"}},
		{413, "PROPFIND", "/top", find(strings.Repeat("<p/>", 257)), []string{"Depth", "0"}},
		{207, "PROPPATCH", "/top", set(name(60_000)), nil},
		{413, "PROPPATCH", "/top", set(name(70_000)), nil},
		{207, "PROPPATCH", "/top", set(scopes(60)), nil},
		{413, "PROPPATCH", "/top", set(scopes(64)), nil},
		{207, "PROPPATCH", "/top", set(attributes(1_900)), nil},
		{413, "PROPPATCH", "/top", set(attributes(10_001)), nil},
		{413, "PROPPATCH", "/top", set(`<p xml:lang="` + strings.Repeat("l", 101) + `"/>`), nil},
		{507, "PROPPATCH", "/top", set("<p>" + strings.Repeat("v", 64<<10+1) + "</p>"), nil},
		{413, "PROPPATCH", "/top", set("<p>" + strings.Repeat("v", 1<<20) + "</p>"), nil},
		{413, "LOCK", "/top", strings.Replace(lockBody, "me", strings.Repeat("m", 5000), 1), nil},
	} {
		d := newDrive(t)
		if w := d.do(c.method, c.target, c.body, c.headers...); w.Code != c.code {
			t.Errorf("%s %.40s %.80s %.60q: %d %.200s, want %d", c.method, c.target, c.body, c.headers, w.Code, w.Body, c.code)
		}
	}
}

// TestMemory: a request of one mebibyte, whatever is in it, costs a small multiple of that, and its answer too. What is
// allocated is counted and not what is held, which is less.
func TestMemory(t *testing.T) {
	find := `<D:propfind xmlns:D="DAV:"%s><D:prop>%s</D:prop></D:propfind>`
	update := `<D:propertyupdate xmlns:D="DAV:"%s><D:set><D:prop><D:getetag/>%s</D:prop></D:set></D:propertyupdate>`
	var distinct strings.Builder
	for i := range 400 {
		fmt.Fprintf(&distinct, "<x:p%d/>", i)
	}
	huge := strings.Repeat("u", 700_000)
	for what, c := range map[string]struct{ method, body string }{
		"nested":         {"PROPFIND", strings.Repeat("<a>", 300_000)},
		"elements":       {"PROPFIND", "<a>" + strings.Repeat("<b/>", 250_000) + "</a>"},
		"attributes":     {"PROPFIND", "<a" + strings.Repeat(` b=""`, 200_000) + "/>"},
		"one name often": {"PROPPATCH", fmt.Sprintf(update, ` xmlns:x="`+huge+`"`, distinct.String())},
		"asked often":    {"PROPFIND", fmt.Sprintf(find, ` xmlns:x="`+huge+`"`, distinct.String()[:890])},
		"one language":   {"PROPPATCH", fmt.Sprintf(update, ` xmlns:x="u" xml:lang="`+huge+`"`, distinct.String())},
		"used often": {"PROPPATCH", fmt.Sprintf(update, ` xmlns:x="`+huge+`"`,
			"<p>"+strings.Repeat("<x:a/>", 400)+"</p>")},
		"entities": {"PROPFIND", `<!DOCTYPE a [<!ENTITY b "` + huge + `"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><a>&c;&c;&c;&c;</a>`},
		"comment":  {"PROPFIND", "<a><!--" + huge + "--></a>"},
		"garbage":  {"LOCK", strings.Repeat("<", 1_000_000)},
	} {
		d := newDrive(t)
		var before, after runtime.MemStats
		w := &thrown{header: http.Header{}}
		req := httptest.NewRequest(c.method, "/top", strings.NewReader(c.body))
		req.Header.Set("Depth", "0")
		runtime.ReadMemStats(&before)
		d.ServeHTTP(w, req)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 || w.n > 2<<20 {
			t.Errorf("%s: a request of %d bytes allocates %d and is answered by %d", what, len(c.body), took, w.n)
		}
		if w.code >= 500 && w.code != http.StatusInsufficientStorage || w.code == 200 {
			t.Errorf("%s: %d", what, w.code)
		}
	}
	// Of a body without a length no more is read than its bound.
	d := newDrive(t)
	long := &counted{r: io.MultiReader(strings.NewReader("<a>"), io.LimitReader(cycle{}, 16<<20))}
	req := httptest.NewRequest("PROPFIND", "/top", long)
	w := httptest.NewRecorder()
	d.ServeHTTP(w, req)
	if w.Code != http.StatusRequestEntityTooLarge || long.n > 2<<20 {
		t.Errorf("a body without a length: %d, %d bytes are read", w.Code, long.n)
	}
}

type thrown struct {
	header http.Header
	code   int
	n      int64
}

func (d *thrown) Header() http.Header         { return d.header }
func (d *thrown) WriteHeader(code int)        { d.code = code }
func (d *thrown) Write(p []byte) (int, error) { d.n += int64(len(p)); return len(p), nil }

type cycle struct{}

func (cycle) Read(p []byte) (int, error) {
	return copy(p, bytes.Repeat([]byte("<b>x</b>"), len(p)/8+1)), nil
}

type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// TestManyRequests: beyond the bound a request gets 429 and Retry-After, and its body is not asked for.
func TestManyRequests(t *testing.T) {
	d := newDrive(t)
	d.MaxRequests = 1
	reached, release := make(chan bool), make(chan bool)
	d.tree.Before(func(method, name string) {
		if method == "Put" {
			reached <- true
			<-release
		}
	})
	done := make(chan int)
	go func() { done <- d.do("PUT", "/d/new", "x").Code }()
	<-reached
	body := &counted{r: strings.NewReader("never read")}
	answers := make(chan *httptest.ResponseRecorder)
	ask := func() {
		w := httptest.NewRecorder()
		d.ServeHTTP(w, httptest.NewRequest("PUT", "/d/other", body))
		answers <- w
	}
	go ask()
	go ask() // one waits, and for the other there is not even a place to wait
	w := <-answers
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "5" || body.n != 0 {
		t.Errorf("%d, Retry-After %q, %d bytes are read", w.Code, w.Header().Get("Retry-After"), body.n)
	}
	d.tree.Before(nil)
	close(release)
	if code := <-done; code != http.StatusCreated {
		t.Errorf("the first: %d", code)
	}
	if w := <-answers; w.Code != http.StatusCreated {
		t.Errorf("who waited: %d", w.Code)
	}
	d.want(200, "GET", "/top", "")
}

// TestNoCORS: nothing tells a browser that pages of other origins may use the drive.
func TestNoCORS(t *testing.T) {
	d := newDrive(t)
	for _, method := range []string{"OPTIONS", "GET", "HEAD", "PUT", "DELETE", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "POST"} {
		for _, target := range []string{"/top", "/d/", "/none", "*"} {
			if target == "*" && method != "OPTIONS" {
				continue
			}
			w := d.do(method, target, "", "Origin", "https://evil.example", "Access-Control-Request-Method", "PUT",
				"Access-Control-Request-Headers", "destination", "Depth", "0", "Destination", "/moved")
			for h := range w.Header() {
				if strings.HasPrefix(h, "Access-Control-") || h == "Timing-Allow-Origin" {
					t.Errorf("%s %s: %s", method, target, h)
				}
			}
		}
	}
}
