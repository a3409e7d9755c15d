package admin

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// has checks lines of the page.
func (m *Metrics) has(t *testing.T, lines ...string) {
	t.Helper()
	w := httptest.NewRecorder()
	m.page().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range lines {
		if !strings.Contains("\n"+w.Body.String(), "\n"+line+"\n") {
			t.Errorf("the metrics have no line %s\n%s", line, w.Body)
		}
	}
}

// TestHandler counts what a drive has done, whatever its clients call their methods.
func TestHandler(t *testing.T) {
	m := NewMetrics("v1")
	h := m.Handler(&davfs.Handler{Tree: new(treetest.Mem)})
	for _, r := range []string{"PUT /f hello", "GET /f", "GET /f", "GET /absent", "PROPFIND /", "INVENTED /", "get /f"} {
		f := strings.Fields(r + " ")
		body := ""
		if len(f) > 2 {
			body = f[2]
		}
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(f[0], f[1], strings.NewReader(body)))
	}
	m.has(t, `http_requests_total{code="201",method="PUT"} 1`, `http_requests_total{code="200",method="GET"} 2`,
		`http_requests_total{code="404",method="GET"} 1`, `http_requests_total{code="403",method="PROPFIND"} 1`,
		`http_requests_total{code="405",method="other"} 2`, `http_request_duration_seconds_count{method="GET"} 3`,
		`http_requests_in_flight{method="GET"} 0`, `http_request_body_bytes_total 5`, `ocidav_build_info{version="v1"} 1`)
}

// TestHandlerStandsNotBetween: the ResponseWriter is the server's own, which sendfile and http.ResponseController need; a
// request that is served is in flight, and one that panics has been cut.
func TestHandlerStandsNotBetween(t *testing.T) {
	m := NewMetrics("v1")
	want := http.ResponseWriter(httptest.NewRecorder())
	h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if w != want {
			t.Errorf("the ResponseWriter is a %T", w)
		}
		davfs.TraceOf(r.Context()).Bytes = 7
		m.has(t, `http_requests_in_flight{method="GET"} 1`)
		panic(http.ErrAbortHandler)
	}))
	func() {
		defer func() { recover() }()
		h.ServeHTTP(want, httptest.NewRequest("GET", "/", nil))
	}()
	m.has(t, `http_requests_total{code="cut",method="GET"} 1`, `http_requests_in_flight{method="GET"} 0`,
		`http_response_body_bytes_total 7`)
}

// TestTransport counts what a registry is asked, and for whom.
func TestTransport(t *testing.T) {
	m := NewMetrics("v1")
	var seen *http.Request
	trouble := error(nil)
	var log strings.Builder
	client := m.Transport(roundTripper(func(r *http.Request) (*http.Response, error) {
		seen = r
		if trouble != nil {
			return nil, trouble
		}
		return &http.Response{StatusCode: 404, Body: http.NoBody, Request: r}, nil
	}), slog.New(davfs.LogHandler(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	trace := &davfs.Trace{ID: "abc"}
	r := httptest.NewRequestWithContext(trace.Context(t.Context()), "GET", "http://r/v2/a/manifests/t?token=secret", nil)
	if resp, err := client.RoundTrip(r); err != nil || resp.StatusCode != 404 || seen != r {
		t.Errorf("%v, %v, and another request", resp, err)
	}
	trouble = io.ErrUnexpectedEOF
	if _, err := client.RoundTrip(r); !errors.Is(err, trouble) {
		t.Errorf("the error is %v", err)
	}
	if _, err := client.RoundTrip(httptest.NewRequest("GET", "http://r/v2/", nil)); !errors.Is(err, trouble) { // for nobody
		t.Errorf("the error is %v", err)
	}
	if trace.Calls() != 2 {
		t.Errorf("the request has made %d calls, want 2", trace.Calls())
	}
	if l := log.String(); strings.Count(l, "request_id=abc\n") != 2 || strings.Count(l, "\n") != 3 || strings.Contains(l, "secret") ||
		!strings.Contains(l, `msg="registry request" method=GET host=r path=/v2/a/manifests/t status=404 duration=`) {
		t.Errorf("the log is\n%s", l)
	}
	m.has(t, `ocidav_registry_requests_total{code="404",operation="manifest_get"} 1`,
		`ocidav_registry_requests_total{code="error",operation="manifest_get"} 1`,
		`ocidav_registry_requests_total{code="error",operation="ping"} 1`,
		`ocidav_registry_request_duration_seconds_count{operation="manifest_get"} 2`)
}

func TestWatch(t *testing.T) {
	m := NewMetrics("v1")
	m.Watch(Sources{
		Cache: func() CacheStats { return CacheStats{1, 2, 3, 4, 5, 6} },
		Tree:  func() TreeStats { return TreeStats{7, 8} },
		Locks: func() int { return 9 }, CacheMax: 10, Failures: func() int64 { return 11 }, CertificateEnd: func() time.Time { return time.Unix(12, 0) },
	})
	m.has(t, "ocidav_cache_hits_total 1", "ocidav_cache_misses_total 2", "ocidav_cache_evicted_total 3",
		"ocidav_cache_fetched_bytes_total 4", "ocidav_cache_bytes 5", "ocidav_cache_fetches_in_flight 6",
		"ocidav_uploads_in_flight 7", "ocidav_spool_bytes 8", "ocidav_locks 9", "ocidav_cache_max_bytes 10", "ocidav_auth_failures_total 11",
		"ocidav_tls_certificate_expiry_timestamp_seconds 12", "# TYPE ocidav_cache_hits_total counter",
		"# TYPE ocidav_cache_bytes gauge")
}

// TestNames: what Prometheus' own rules for names and helps have to say, of all but what its library brings.
func TestNames(t *testing.T) {
	m := NewMetrics("v1")
	m.Watch(Sources{Cache: func() CacheStats { return CacheStats{} }, Tree: func() TreeStats { return TreeStats{} }, Locks: func() int { return 0 },
		Failures: func() int64 { return 0 }, CertificateEnd: time.Now})
	h := m.Handler(&davfs.Handler{Tree: new(treetest.Mem)})
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	m.Transport(roundTripper(func(r *http.Request) (*http.Response, error) { return nil, io.EOF }), slog.New(slog.DiscardHandler)).RoundTrip(httptest.NewRequest("GET", "http://r/v2/", nil))
	m.notified(204)
	w := httptest.NewRecorder()
	m.page().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	problems, err := promlint.New(w.Body).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if !strings.HasPrefix(p.Metric, "go_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestOperation(t *testing.T) {
	for _, c := range []struct{ method, url, want string }{
		{"GET", "/v2/", "ping"},
		{"GET", "/v2", "ping"},
		{"GET", "/v2/_catalog?n=100", "catalog"},
		{"GET", "/v2/a/b/tags/list?n=1000&last=x", "tags"},
		{"GET", "/v2/a/manifests/t", "manifest_get"},
		{"HEAD", "/v2/a/manifests/" + sha, "manifest_head"},
		{"PUT", "/v2/a/manifests/t", "manifest_put"},
		{"DELETE", "/v2/a/manifests/t", "manifest_delete"},
		{"GET", "/v2/a/blobs/" + sha, "blob_get"},
		{"HEAD", "/v2/a/blobs/" + sha, "blob_head"},
		{"POST", "/v2/a/blobs/uploads/", "upload_begin"},
		{"POST", "/v2/a/blobs/uploads/?mount=" + sha + "&from=b", "blob_mount"},
		{"PATCH", "/v2/a/blobs/uploads/x?_state=y", "upload_write"},
		{"PUT", "/v2/a/blobs/uploads/x?digest=" + sha, "upload_end"},
		{"GET", "/v2/a/blobs/uploads/x", "upload_get"},
		{"DELETE", "/v2/a/blobs/uploads/x", "upload_delete"},
		{"GET", "/v2/a/referrers/" + sha, "referrers"},
		{"GET", "/v2/manifests/blobs/tags/list", "tags"},         // the repository manifests/blobs
		{"GET", "/v2/blobs/uploads/manifests/t", "manifest_get"}, // and blobs/uploads
		{"GET", "/token?service=r&scope=x", "other"},
		{"POST", "/oauth2/token", "other"},
		{"PATCH", "/upload/elsewhere", "upload_write"},
		{"PUT", "/upload/elsewhere", "upload_end"},
		{"INVENTED", "/v2/a/manifests/t", "other"},
		{"GET", "/v2/a", "other"},
	} {
		u, err := url.Parse("http://r" + c.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := operationOf(c.method, u); got != c.want {
			t.Errorf("%s %s is %s, want %s", c.method, c.url, got, c.want)
		}
	}
}
