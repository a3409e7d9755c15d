package davfs

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What fails after the first byte of a multistatus cuts the connection.
func TestLateFailureCuts(t *testing.T) {
	late := func(write func(g *guard)) (cut bool, w *httptest.ResponseRecorder) {
		w = httptest.NewRecorder()
		g := &guard{w: w, rq: newRequest(httptest.NewRequest("PROPFIND", "/", nil), nil)}
		defer func() { cut = recover() == http.ErrAbortHandler }()
		write(g)
		g.finish()
		return
	}
	broken := errors.New("broken")
	for name, write := range map[string]func(g *guard){
		"next write": func(g *guard) { g.Write([]byte("<a>")); g.rq.fail(broken); g.Write([]byte("</a>")) },
		"end":        func(g *guard) { g.Write([]byte("<a>")); g.rq.fail(broken) },
		"flush":      func(g *guard) { g.WriteHeader(207); g.Flush(); g.rq.fail(broken); g.Flush() },
	} {
		if cut, w := late(write); !cut || w.Body.String() == "<a></a>" {
			t.Errorf("%s: the connection is not cut", name)
		}
	}
	cut, w := late(func(g *guard) {
		g.Header().Set("ETag", `"x"`)
		g.WriteHeader(207)
		g.rq.fail(broken)
		g.Write([]byte("<a>"))
	})
	if cut || w.Code != http.StatusServiceUnavailable || w.Header().Get("ETag") != "" {
		t.Errorf("a failure before the first byte: cut %v, status %d", cut, w.Code)
	}
}

func TestGuardUnwraps(t *testing.T) {
	w := httptest.NewRecorder()
	g := &guard{w: w, rq: newRequest(httptest.NewRequest("GET", "/", nil), nil)}
	if err := http.NewResponseController(g).Flush(); err != nil || !w.Flushed {
		t.Errorf("Flush: %v", err)
	}
	if g.Unwrap() != w {
		t.Error("Unwrap gives another ResponseWriter")
	}
}

// The engine leaves a *fs.PathError, and what is fs.ErrPermission, out of a listing; only absence may look like that.
func TestEngineHearsOfAbsenceOnly(t *testing.T) {
	if errors.Unwrap(errFailed) != nil {
		t.Error("errFailed wraps an error")
	}
}
