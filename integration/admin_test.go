package integration

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// adminURL is where --admin-listen listens, without the last slash.
func (d *drive) adminURL() string {
	d.t.Helper()
	return strings.TrimSuffix("http://"+d.waitLine(d.t, "\nadmin http://"), "/")
}

// TestAdmin asks every page of the admin address, and stops the registry.
func TestAdmin(t *testing.T) {
	t.Parallel()
	b := backend{name: onDeleting, registry: startRegistry(t, true)}
	d := b.start(t, "--admin-listen", "127.0.0.1:0")
	admin := d.adminURL()
	get := func(path string, status int, says ...string) {
		t.Helper()
		a := send(client, http.MethodGet, admin+path, nil)
		for _, s := range says {
			if a.status != status || !bytes.Contains(a.body, []byte(s)) {
				t.Errorf("%s: %d, without %q:\n%.3000s", path, a.status, s, a.body)
			}
		}
	}
	d.put("/f", random(3<<20))
	d.do(http.MethodGet, "/f", nil, okay)
	d.wantAbsent("/absent")
	d.do("LOCK", "/f", []byte(`<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`), okay)
	get("/healthz", 200, "ok")
	get("/readyz", 200, "ready")
	get("/debug/pprof/goroutine?debug=1", 200, "goroutine profile")
	get("/metrics", 200, `http_requests_total{code="201",method="PUT"} 1`, `http_requests_total{code="404",method="GET"}`,
		`ocidav_registry_requests_total{code="201",operation="manifest_put"} 2` /* the layout, and a file */, "\nocidav_cache_hits_total", "\nocidav_locks 1\n",
		"\nocidav_uploads_in_flight 0\n", "process_open_fds", "go_goroutines", "ocidav_build_info")
	if a := send(client, http.MethodGet, d.href("/metrics"), nil); a.status != http.StatusNotFound {
		t.Errorf("the drive shows %v", a)
	}
	b.registry.kill()
	eventually(t, 20*time.Second, "readyz does not hear of the registry's end", func() bool {
		return send(client, http.MethodGet, admin+"/readyz", nil).status == http.StatusServiceUnavailable
	})
	get("/readyz", 503, "registry "+b.registry.address)
	get("/healthz", 200, "ok")
}

// TestNotify has docker-registry itself tell a drive that keeps its answers for an hour what another drive has changed.
func TestNotify(t *testing.T) {
	t.Parallel()
	var target atomic.Value // of the drive, which starts after its registry
	var told atomic.Int64
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		url, ok := target.Load().(string)
		if !ok {
			return
		}
		a := send(client, r.Method, url, bytes.NewReader(body), "Authorization", r.Header.Get("Authorization"),
			"Content-Type", r.Header.Get("Content-Type"))
		if a.status != http.StatusNoContent {
			t.Errorf("the notification %s is answered %v", body, a)
		}
		told.Add(1)
		w.WriteHeader(a.status)
	}))
	defer relay.Close()
	r := startRegistry(t, true, fmt.Sprintf("notifications: {endpoints: [{name: drive, url: %q, timeout: 5s, threshold: 5, backoff: 1s, headers: {Authorization: [Bearer tell-me]}}]}\n", relay.URL))
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("tell-me\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := backend{name: onDeleting, registry: r}
	d := b.start(t, "--freshness", "1h", "--admin-listen", "127.0.0.1:0", "--notify-token-file", secret)
	other := b.start(t, "--freshness", "0s")
	other.mkcol("/d")
	other.put("/d/f", []byte("first"))
	d.want("/d/f", []byte("first"))

	other.put("/d/f", []byte("second"))
	other.put("/d/g", []byte("new"))
	d.want("/d/f", []byte("first")) // nobody has told it
	if got := strings.Join(d.names("/d"), " "); got != "f" && got != "f g" {
		t.Errorf("there are %s", got)
	}

	target.Store(d.adminURL() + "/-/notify")
	other.put("/d/f", []byte("third"))
	eventually(t, 20*time.Second, "the drive does not hear of a change", func() bool {
		return string(d.try(http.MethodGet, "/d/f", nil).body) == "third"
	})
	other.put("/d/h", []byte("newer"))
	eventually(t, 20*time.Second, "the drive does not hear of a new file", func() bool {
		return strings.Contains(strings.Join(d.names("/d"), " "), "h")
	})
	other.do(http.MethodDelete, "/d/h", nil, made)
	eventually(t, 20*time.Second, "the drive does not hear of a deletion", func() bool {
		return d.try(http.MethodGet, "/d/h", nil).status == http.StatusNotFound
	})
	if told.Load() == 0 {
		t.Error("there was no notification")
	}
	url := d.adminURL() + "/-/notify"
	for body, c := range map[string]struct {
		token  string
		status int
	}{`{"events":[]}`: {"wrong", 401}, `{`: {"tell-me", 400}} {
		if a := send(client, http.MethodPost, url, strings.NewReader(body), "Authorization", "Bearer "+c.token); a.status != c.status {
			t.Errorf("%s with %s: %v, want %d", body, c.token, a, c.status)
		}
	}
}
