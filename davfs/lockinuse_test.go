package davfs_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// During an upload under a lock the lock can be refreshed, other requests of its owner go on, and it can even be taken
// away, which the end of the upload then meets.
func TestLockInUse(t *testing.T) {
	for _, unlock := range []bool{false, true} {
		d := newDrive(t)
		token := d.lock("/d/f")
		r, w := io.Pipe()
		req := httptest.NewRequest("PUT", "/d/f", r)
		req.Header.Set("If", "("+token+")")
		done := make(chan *httptest.ResponseRecorder)
		go func() {
			rec := httptest.NewRecorder()
			d.ServeHTTP(rec, req)
			done <- rec
		}()
		io.WriteString(w, "begin") // returns when the upload has begun to read
		d.want(http.StatusOK, "LOCK", "/d/f", "", "If", "("+token+")", "Timeout", "Second-100")
		d.want(http.StatusMultiStatus, "PROPPATCH", "/d/f", patchBody, "If", "("+token+")")
		d.want(http.StatusLocked, "PUT", "/d/f", "another's")
		if unlock {
			d.want(http.StatusNoContent, "UNLOCK", "/d/f", "", "Lock-Token", token)
			d.lock("/d/f") // by another
		}
		io.WriteString(w, " end")
		w.Close()
		got := <-done
		if unlock {
			if got.Code != http.StatusLocked && got.Code != http.StatusPreconditionFailed {
				t.Errorf("a PUT under a lock that is gone: status %d", got.Code)
			}
			d.hasFile("/d/f", "content of f")
			continue
		}
		if got.Code != http.StatusNoContent {
			t.Errorf("PUT: status %d: %s", got.Code, got.Body)
		}
		d.hasFile("/d/f", "begin end")
	}
}
