package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// options have all that is required.
func options() Options {
	return Options{
		Ready:  func(context.Context) error { return nil },
		Forget: func(string, string) {}, Stopping: make(chan struct{}),
		Metrics: NewMetrics("v1"), Log: slog.New(slog.DiscardHandler),
	}
}

func ask(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestNotify(t *testing.T) {
	const good = `{"events":[{"action":"push","target":{"repository":"a","tag":"t"}},{"action":"delete","target":{"repository":"b"}}]}`
	var forgotten []string
	o := options()
	o.Forget = func(repository, reference string) { forgotten = append(forgotten, repository+":"+reference) }
	open := New(o)
	o.NotifyToken = "secret"
	closed := New(o)
	for _, c := range []struct {
		h             http.Handler
		method, body  string
		authorization string
		code          int
		forgotten     []string
	}{
		{open, "POST", good, "", 204, []string{"a:t", "b:"}},
		{open, "POST", good, "Bearer whatever", 204, []string{"a:t", "b:"}},
		{open, "POST", `{"events":[]}`, "", 204, nil},
		{open, "POST", `{`, "", 400, nil},
		{open, "POST", `{"events":[{"action":"push","target":{"repository":"a","tag":"t"}}], "x":"` + strings.Repeat("x", maxNotification) + `"}`, "", 413, nil},
		{open, "GET", "", "", 405, nil},
		{open, "PUT", good, "", 405, nil},
		{closed, "POST", good, "secret", 204, []string{"a:t", "b:"}},
		{closed, "POST", good, "Bearer secret", 204, []string{"a:t", "b:"}},
		{closed, "POST", good, "bearer  secret", 204, []string{"a:t", "b:"}},
		{closed, "POST", good, "", 401, nil},
		{closed, "POST", good, "Bearer", 401, nil},
		{closed, "POST", good, "Bearer secretx", 401, nil},
		{closed, "POST", good, "Basic secret", 401, nil},
	} {
		forgotten = nil
		w := ask(c.h, c.method, "/-/notify", c.body, "Authorization", c.authorization)
		if w.Code != c.code || !slices.Equal(forgotten, c.forgotten) {
			t.Errorf("%s %.40q with %q: %d and %q forgotten, want %d and %q", c.method, c.body, c.authorization, w.Code, forgotten, c.code, c.forgotten)
		}
		if text := w.Body.String(); c.code >= 400 && c.code != 405 && !strings.HasSuffix(text, ".\n") {
			t.Errorf("%d with %q, which is no sentence", w.Code, text)
		}
	}
	page := ask(open, "GET", "/metrics", "").Body.String()
	for _, want := range []string{`ocidav_notifications_total{code="204"} 6`, `ocidav_notifications_total{code="400"} 1`, `ocidav_notifications_total{code="401"} 4`} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("the metrics have no %s", want)
		}
	}
}

// TestReady: the registry hears one question in a while, however many ask, and its silence has an end.
func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trouble error
		asked := 0
		o := options()
		o.Ready = func(ctx context.Context) error {
			asked++
			if trouble != nil && trouble.Error() == "silent" {
				<-ctx.Done()
				return ctx.Err()
			}
			return trouble
		}
		stopping := make(chan struct{})
		o.Stopping = stopping
		h := New(o)
		want := func(what string, code, questions int, says string) {
			t.Helper()
			w := ask(h, "GET", "/readyz", "")
			if w.Code != code || !strings.Contains(w.Body.String(), says) || asked != questions {
				t.Errorf("%s: %d %q after %d questions, want %d %q after %d", what, w.Code, w.Body, asked, code, says, questions)
			}
		}
		want("well", 200, 1, "ready")
		trouble = errors.New("connection refused")
		want("at once", 200, 1, "ready")
		time.Sleep(readyFor)
		want("later", 503, 2, "connection refused")
		want("at once again", 503, 2, "connection refused")
		time.Sleep(readyFor)
		trouble = errors.New("silent")
		begin := time.Now()
		want("silence", 503, 3, "deadline")
		if took := time.Since(begin); took != readyTimeout {
			t.Errorf("a silent registry is waited for %s", took)
		}
		time.Sleep(readyFor)
		trouble = nil
		for range 10 {
			go ask(h, "GET", "/readyz", "")
		}
		synctest.Wait()
		want("many at once", 200, 4, "ready")
		close(stopping)
		want("at the end", 503, 4, "stopping")
		if w := ask(h, "GET", "/healthz", ""); w.Code != 200 {
			t.Errorf("healthz at the end: %d", w.Code)
		}
	})
}

func TestPages(t *testing.T) {
	h := New(options())
	for path, says := range map[string]string{
		"/healthz": "ok", "/metrics": "go_goroutines", "/debug/pprof/": "heap", "/debug/pprof/goroutine?debug=1": "goroutine profile",
		"/debug/pprof/cmdline": "test",
	} {
		if w := ask(h, "GET", path, ""); w.Code != 200 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %.100q, want %q", path, w.Code, w.Body.String(), says)
		}
	}
	for _, path := range []string{"/", "/-/other", "/debug"} {
		if w := ask(h, "GET", path, ""); w.Code != 404 {
			t.Errorf("%s: %d, want 404", path, w.Code)
		}
	}
}
