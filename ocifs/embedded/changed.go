//go:build !noembed

package embedded

import (
	"net/http"
	"strings"

	"github.com/distribution/distribution/v3/registry/api/errcode"
	"github.com/opencontainers/go-digest"
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

// asksFor tells which blob or manifest of which repository a request asks for by its digest.
func asksFor(req *http.Request) (repository string, manifest bool, d digest.Digest, ok bool) {
	path, ok := strings.CutPrefix(req.URL.Path, "/v2/")
	i := strings.LastIndexByte(path, '/')
	if !ok || i < 0 {
		return "", false, "", false
	}
	d = digest.Digest(path[i+1:])
	if repository, ok = strings.CutSuffix(path[:i], "/blobs"); !ok {
		repository, ok = strings.CutSuffix(path[:i], "/manifests")
		manifest = true
	}
	return repository, manifest, d, ok && d.Validate() == nil
}

// An announcer has all brought to the disk and calls announce before the header of an answer goes out, unless the answer is a
// refusal. If it cannot be brought there, the answer is a failure, whatever the handler says; and where full says so, it makes of
// a 500 a 507, which nobody tries again.
type announcer struct {
	http.ResponseWriter
	settle   func() error
	announce func()
	full     func() bool
	answered bool
	failed   bool // to settle
	returned bool // the handler has come to its end, and did not panic
}

func (a *announcer) WriteHeader(status int) {
	if a.failed {
		return
	}
	if status >= 200 && !a.answered {
		if status < 400 && !a.settled() {
			return
		}
		a.answered = true
		if status == http.StatusInternalServerError && a.full() {
			status = http.StatusInsufficientStorage
		}
		if status < 300 || status >= 500 {
			a.announce()
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// settled says whether all is on the disk. If it is not, the answer says so.
func (a *announcer) settled() bool {
	err := a.settle()
	if err == nil {
		return true
	}
	for _, key := range []string{"Content-Length", "Docker-Content-Digest", "Docker-Upload-UUID", "Location", "Range"} {
		a.Header().Del(key)
	}
	refusal := &announcer{ResponseWriter: a.ResponseWriter, announce: a.announce, full: a.full}
	errcode.ServeJSON(refusal, errcode.ErrorCodeUnknown.WithDetail(err))
	a.answered, a.failed = true, true
	return false
}

func (a *announcer) Write(p []byte) (int, error) {
	if !a.answered {
		a.WriteHeader(http.StatusOK)
	}
	if a.failed {
		return len(p), nil
	}
	return a.ResponseWriter.Write(p)
}

// finish does for an answer without a header, an implicit 200 or a panic, what is done before one.
func (a *announcer) finish() {
	if a.returned && !a.answered && !a.settled() {
		return
	}
	if !a.answered || !a.returned {
		a.answered = true
		a.announce()
	}
}

// Unwrap is for http.ResponseController. There is no Flush: it would get past WriteHeader.
func (a *announcer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
