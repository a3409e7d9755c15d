package davfs_test

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"ocidav/davfs"
)

// TestRequestID: a plain one is the client's, any other is made, and it is in the answer and in the log.
func TestRequestID(t *testing.T) {
	d := newDrive(t)
	var log bytes.Buffer
	d.Log = slog.New(davfs.LogHandler(slog.NewTextHandler(&log, nil)))
	made := regexp.MustCompile(`^[0-9a-f]{16}$`)
	seen := map[string]bool{}
	for given, kept := range map[string]bool{
		"abc-1.2_Z": true, "0b6b5a5e-2f4e-4b1c-9d53-2f6b0b7a9d11": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a=b": false, "a\"b": false, "é": false, "a,b": false,
	} {
		log.Reset()
		got := d.want(200, "GET", "/top", "", "X-Request-Id", given).Header().Get("X-Request-Id")
		if kept && got != given || !kept && (!made.MatchString(got) || seen[got]) {
			t.Errorf("%q becomes %q", given, got)
		}
		if !strings.HasSuffix(log.String(), " request_id="+got+"\n") {
			t.Errorf("%q is not in the line %s", got, log.String())
		}
		seen[got] = true
	}
	log.Reset()
	d.Log.With("a", "b").WithGroup("g").InfoContext((&davfs.Trace{ID: "x"}).Context(t.Context()), "m")
	d.Log.Info("for nobody")
	if l := log.String(); strings.Count(l, "request_id") != 1 || !strings.Contains(l, "request_id=x") {
		t.Errorf("the log is\n%s", l)
	}
}

// TestRemote: proxies are believed as far as they are trusted, whatever the client has sent itself.
func TestRemote(t *testing.T) {
	for _, c := range []struct{ trusted, connection, forwarded, want string }{
		{"", "192.0.2.1:5", "198.51.100.9", "192.0.2.1"},
		{"10.0.0.0/8", "192.0.2.1:5", "198.51.100.9", "192.0.2.1"},
		{"10.0.0.0/8", "10.0.0.7:5", "198.51.100.9", "198.51.100.9"},
		{"10.0.0.0/8", "10.0.0.7:5", "1.1.1.1, 198.51.100.9", "198.51.100.9"},
		{"10.0.0.0/8", "10.0.0.7:5", "1.1.1.1, 198.51.100.9, 10.0.0.8", "198.51.100.9"},
		{"10.0.0.0/8", "10.0.0.7:5", "10.0.0.9", "10.0.0.9"},
		{"10.0.0.0/8", "10.0.0.7:5", "", "10.0.0.7"},
		{"10.0.0.0/8", "10.0.0.7:5", "unknown", "10.0.0.7"},
		{"10.0.0.0/8", "10.0.0.7:5", "::ffff:198.51.100.9", "198.51.100.9"},
		{"::1/128", "[::1]:5", "2001:db8::1", "2001:db8::1"},
	} {
		d := newDrive(t)
		if c.trusted != "" {
			d.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(c.trusted)}
		}
		r := httptest.NewRequest("GET", "/top", nil)
		r.RemoteAddr = c.connection
		r.Header.Set("X-Forwarded-For", c.forwarded)
		trace := new(davfs.Trace)
		d.ServeHTTP(httptest.NewRecorder(), r.WithContext(trace.Context(r.Context())))
		if trace.Remote != c.want {
			t.Errorf("%s by %s, %q trusted: %s, want %s", c.forwarded, c.connection, c.trusted, trace.Remote, c.want)
		}
	}
}
