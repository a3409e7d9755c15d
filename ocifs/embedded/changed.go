//go:build !noembed

package embedded

import (
	"net/http"
	"strings"
)

// changedManifest tells which reference of which repository a request pushes or deletes, if it does either. The last
// "/manifests/" is the one that counts: a directory may have that name, a tag or digest has no slash.
func changedManifest(req *http.Request) (repository, reference string, ok bool) {
	if req.Method != http.MethodPut && req.Method != http.MethodDelete {
		return "", "", false
	}
	path, ok := strings.CutPrefix(req.URL.Path, "/v2/")
	i := strings.LastIndex(path, "/manifests/")
	if !ok || i <= 0 {
		return "", "", false
	}
	reference = path[i+len("/manifests/"):]
	if reference == "" || strings.Contains(reference, "/") { // /v2/a/manifests/b/blobs/uploads/ID is none
		return "", "", false
	}
	return path[:i], reference, true
}

// An announcer calls announce before the header of an answer goes out, unless the answer is a refusal.
type announcer struct {
	http.ResponseWriter
	announce func()
	answered bool
	returned bool // the handler has come to its end, and did not panic
}

func (a *announcer) WriteHeader(status int) {
	if status >= 200 && !a.answered {
		a.answered = true
		if status < 300 || status >= 500 {
			a.announce()
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *announcer) Write(p []byte) (int, error) {
	if !a.answered {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(p)
}

// finish announces what no header did: an implicit 200, or a panic.
func (a *announcer) finish() {
	if !a.answered || !a.returned {
		a.answered = true
		a.announce()
	}
}

// Unwrap is for http.ResponseController. There is no Flush: it would get past WriteHeader.
func (a *announcer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
