package davfs_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"ocidav/davfs"
)

// Behind a proxy all hrefs are those that the client knows, and it may say names as it knows them.
func TestPublicURL(t *testing.T) {
	for _, prefix := range []string{"", "/inner"} {
		d := newDrive(t)
		d.Prefix = prefix
		d.PublicURL = &url.URL{Scheme: "https", Host: "drive.example.com", Path: "/team/dav/"}
		w := d.want(http.StatusMultiStatus, "PROPFIND", prefix+"/d", findLive, "Depth", "1")
		for _, s := range []string{"<D:href>/team/dav/d/</D:href>", "<D:href>/team/dav/d/f</D:href>"} {
			if !has(w, s) {
				t.Errorf("PROPFIND has no %s: %s", s, w.Body)
			}
		}
		if w := d.want(http.StatusOK, "GET", prefix+"/d", ""); !has(w, `href="/team/dav/d/f"`) || !has(w, `href="/team/dav/"`) {
			t.Errorf("the page links to %s", w.Body)
		}
		w = d.want(http.StatusOK, "LOCK", prefix+"/d/f", lockBody)
		token := w.Header().Get("Lock-Token")
		if !has(w, "<D:lockroot><D:href>/team/dav/d/f</D:href></D:lockroot>") {
			t.Errorf("LOCK answers %s", w.Body)
		}
		if w := d.want(http.StatusLocked, "PUT", prefix+"/d/f", "x"); !has(w, "<D:href>/team/dav/d/f</D:href>") {
			t.Errorf("423 says %s", w.Body)
		}
		for _, tag := range []string{"https://drive.example.com/team/dav/d/f", "/team/dav/d/f", "http://example.com" + prefix + "/d/f"} {
			d.want(http.StatusNoContent, "PUT", prefix+"/d/f", "x", "If", "<"+tag+"> ("+token+")")
		}
		for dst, code := range map[string]int{
			"https://drive.example.com/team/dav/new1":     http.StatusCreated,
			"https://drive.example.com:443/team/dav/new2": http.StatusCreated,
			"http://DRIVE.example.com/team/dav/new3":      http.StatusCreated,
			"/team/dav/new4":                              http.StatusCreated,
			"http://example.com" + prefix + "/new5":       http.StatusCreated, // rewritten by the proxy
			"https://drive.example.com/new6":              http.StatusBadGateway,
			"https://drive.example.com/team/davnew6":      http.StatusBadGateway,
			"https://elsewhere.example.com/team/dav/new6": http.StatusBadGateway,
			"/new6": http.StatusBadGateway,
		} {
			d.want(code, "COPY", prefix+"/top", "", "Destination", dst)
		}
		if got := d.members("/"); got != "d e new1 new2 new3 new4 new5 top" {
			t.Errorf("members %q", got)
		}
	}
}

// X-Forwarded-* are believed from those only who are trusted.
func TestTrustedProxies(t *testing.T) {
	d := newDrive(t)
	d.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::1/128")}
	ask := func(remote, method, target string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, nil)
		r.RemoteAddr = remote
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		return w
	}
	forwarded := []string{"Depth", "1", "X-Forwarded-Host", "spoofed.example, drive.example", "X-Forwarded-Prefix", "/dav"}
	for remote, href := range map[string]string{
		"192.0.2.7:1234": "<D:href>/dav/d/f</D:href>", "[::ffff:192.0.2.7]:1": "<D:href>/dav/d/f</D:href>", "[::1]:9": "<D:href>/dav/d/f</D:href>",
		"192.0.3.7:1234": "<D:href>/d/f</D:href>", "nonsense": "<D:href>/d/f</D:href>", "": "<D:href>/d/f</D:href>",
	} {
		if w := ask(remote, "PROPFIND", "/d", forwarded...); !strings.Contains(w.Body.String(), href) {
			t.Errorf("from %q: %s", remote, w.Body)
		}
	}
	for remote, code := range map[string]int{"192.0.2.7:1234": http.StatusCreated, "192.0.3.7:1234": http.StatusBadGateway} {
		w := ask(remote, "COPY", "/top", append(forwarded[2:], "Destination", "https://drive.example/dav/new")...)
		if w.Code != code {
			t.Errorf("COPY from %s: status %d, want %d: %s", remote, w.Code, code, w.Body)
		}
		w = ask(remote, "COPY", "/top", append(forwarded[2:], "Destination", "https://spoofed.example/dav/spoofed")...)
		if w.Code != http.StatusBadGateway {
			t.Errorf("COPY to the client's own X-Forwarded-Host: status %d", w.Code)
		}
	}
	if got := d.members("/"); got != "d e new top" {
		t.Errorf("members %q", got)
	}
	none := &drive{t, &davfs.Handler{Tree: d.tree}, d.tree}
	if w := none.do("PROPFIND", "/d", findLive, forwarded...); !has(w, "<D:href>/d/f</D:href>") {
		t.Errorf("nobody is trusted, and hrefs are %s", w.Body)
	}
}
