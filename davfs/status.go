package davfs

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// A refusal is an answer that davfs gives itself, with a sentence for whoever reads it.
type refusal struct {
	code  int
	text  string
	retry time.Duration // above zero: Retry-After
}

func (r *refusal) Error() string { return r.text }

func refuse(code int, text string) error { return &refusal{code: code, text: text} }

var (
	errOverwrite   = refuse(http.StatusPreconditionFailed, "The destination exists, and Overwrite: F was given.")
	errNoParent    = refuse(http.StatusConflict, "The parent directory does not exist.")
	errFiniteDepth = refuse(http.StatusForbidden, xmlError("<D:propfind-finite-depth/>")) // RFC 4918 section 9.1
)

// xmlError is the body that names a condition of RFC 4918 section 16.
func xmlError(condition string) string {
	return `<?xml version="1.0" encoding="utf-8"?>` + "\n" + `<D:error xmlns:D="DAV:">` + condition + `</D:error>`
}

// isFailure says whether err is a failure of the storage and no answer about a name; see [Tree]. An error that claims
// to be both is a failure: absence must be certain.
func isFailure(err error) bool {
	var class interface{ FailureClass() string }
	if errors.As(err, &class) {
		return true
	}
	for _, answer := range []error{fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrInvalid} {
		if errors.Is(err, answer) {
			return false
		}
	}
	return true
}

// classOf is the class of a failure.
func classOf(err error) string {
	var class interface{ FailureClass() string }
	if errors.As(err, &class) {
		return class.FailureClass()
	}
	var t interface{ Timeout() bool }
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout() {
		return ClassTimeout
	}
	return ClassUnavailable
}

// A verdict is the answer to a request that did not succeed.
type verdict struct {
	code  int
	text  string
	retry time.Duration // above zero: Retry-After
}

// defaultRetry is said where the storage gave no time; 503 and 429 without one make some clients give up at once.
const defaultRetry = 5 * time.Second

// failures has a sentence for each class. What the storage itself said may name its inner parts and stays in the log.
var failures = map[string]verdict{
	ClassUnavailable:  {http.StatusServiceUnavailable, "The storage is not available at the moment.", defaultRetry},
	ClassTimeout:      {http.StatusGatewayTimeout, "The storage did not answer in time.", 0},
	ClassUnauthorized: {http.StatusUnauthorized, "The storage wants other credentials.", 0},
	ClassDenied:       {http.StatusForbidden, "The storage does not allow this with these credentials.", 0},
	ClassRateLimited:  {http.StatusTooManyRequests, "The storage is being asked too often.", defaultRetry},
	ClassQuota:        {http.StatusInsufficientStorage, "There is no space left.", 0},
	ClassTooLarge:     {http.StatusRequestEntityTooLarge, "The storage does not take a file of this size.", 0},
	ClassConflict:     {http.StatusConflict, "The storage does not let this be changed: it is immutable there.", 0},
}

// judge makes an error the answer to a request of the method. This is the only place that knows status codes for the
// errors of a Tree.
func judge(method string, err error) verdict {
	var r *refusal
	if errors.As(err, &r) {
		return verdict{code: r.code, text: r.text, retry: r.retry}
	}
	var b *bodyError
	if errors.As(err, &b) {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return verdict{code: http.StatusRequestEntityTooLarge, text: "The request is too large."}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) { // the server's, see davfs/front
			return verdict{code: http.StatusRequestTimeout, text: "The rest of the request body did not come; nothing was changed."}
		}
		return verdict{code: http.StatusBadRequest, text: "The request body broke off; nothing was changed."}
	}
	if isFailure(err) {
		v, ok := failures[classOf(err)]
		if !ok {
			v = failures[ClassUnavailable]
		}
		var after interface{ RetryAfter() time.Duration }
		if errors.As(err, &after) && after.RetryAfter() > 0 {
			v.retry = after.RetryAfter()
		}
		return v
	}
	return judgeAnswer(method, err)
}

// judgeAnswer is for the errors that are about a name; the text of all but absence is the tree's own.
func judgeAnswer(method string, err error) verdict {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		switch method {
		case "PUT", "MKCOL", "LOCK": // what is missing is the parent (RFC 4918 sections 9.3.1, 9.7.1)
			return verdict{code: http.StatusConflict, text: errNoParent.Error()}
		}
		return verdict{code: http.StatusNotFound, text: "There is nothing at this path."}
	case errors.Is(err, fs.ErrExist):
		code := http.StatusConflict
		switch method {
		case "PUT", "MKCOL":
			code = http.StatusMethodNotAllowed
		case "COPY", "MOVE":
			code = http.StatusPreconditionFailed
		}
		return verdict{code: code, text: err.Error()}
	case errors.Is(err, fs.ErrPermission):
		return verdict{code: http.StatusForbidden, text: err.Error()}
	}
	code := http.StatusBadRequest
	if method == "COPY" || method == "MOVE" {
		code = http.StatusForbidden
	}
	return verdict{code: code, text: err.Error()}
}

// writeHeaders sets the headers that belong to the verdict.
func (v verdict) writeHeaders(h http.Header) {
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if strings.HasPrefix(v.text, "<?xml") {
		h.Set("Content-Type", "application/xml; charset=utf-8")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	if v.code == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="ocidav", charset="UTF-8"`)
	}
	if v.retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((v.retry+time.Second-1)/time.Second), 10))
	}
}
