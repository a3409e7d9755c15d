package davfs_test

import (
	"net/http/httptest"
	"testing"
)

// TestOnlyLocal: a drive without passwords on this machine alone is not to be had by a name that a page has made lead to it.
func TestOnlyLocal(t *testing.T) {
	d := newDrive(t)
	for host, ok := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LOCALHOST.:80": true, "drive.localhost": true, "127.0.0.1:8080": true, "[::1]:8080": true, "": true,
		"evil.example": false, "evil.example:8080": false, "127.0.0.1.evil.example:8080": false, "localhost.evil.example": false, "notlocalhost": false,
	} {
		for _, only := range []bool{true, false} {
			d.OnlyLocal = only
			for _, method := range []string{"GET", "PUT", "OPTIONS", "PROPFIND", "DELETE"} {
				r := httptest.NewRequest(method, "/d/f", nil)
				r.Host = host
				r.Header.Set("Depth", "0")
				w := httptest.NewRecorder()
				d.ServeHTTP(w, r)
				if refused := w.Code == 403; refused != (only && !ok) {
					t.Errorf("%s of %q, only local %t: %d", method, host, only, w.Code)
				}
			}
			d.put("/d/f", "content")
		}
	}
}
