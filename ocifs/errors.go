package ocifs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Classes of failure, in the words that the tree's user knows.
const (
	classUnavailable  = "unavailable"
	classTimeout      = "timeout"
	classUnauthorized = "unauthorized"
	classDenied       = "denied"
	classRateLimited  = "rate limited"
	classQuota        = "quota"
	classTooLarge     = "too large"
	classConflict     = "conflict"
)

// An Error is a failure of the storage: the registry or the local disk did not answer the question. It never means
// that a name is absent.
type Error struct {
	Class string        // unavailable, timeout, unauthorized, denied, rate limited, quota, too large, conflict
	After time.Duration // when to try again; zero: unknown
	Err   error
}

func (e *Error) Error() string             { return e.Class + ": " + e.Err.Error() }
func (e *Error) Unwrap() error             { return e.Err }
func (e *Error) FailureClass() string      { return e.Class }
func (e *Error) RetryAfter() time.Duration { return e.After }

// failure classifies an error of the registry, the network or the local disk and says what was being done. Errors
// already classified keep their class.
func failure(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	op := fmt.Sprintf(format, args...)
	var known *Error
	switch {
	case errors.As(err, &known):
		return &Error{Class: known.Class, After: known.After, Err: fmt.Errorf("%s: %w", op, discreet{err})}
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", op, discreet{err})
	}
	return &Error{Class: classOf(err), After: afterOf(err), Err: fmt.Errorf("%s: %w", op, opaque{err})}
}

// opaque hides that an error matches fs.ErrNotExist and the like: a missing temporary directory or a 404 where none
// was expected says nothing about the name that was asked for.
type opaque struct{ err error }

func (o opaque) Error() string { return withoutQueries(o.err.Error()) }
func (o opaque) As(target any) bool {
	switch target.(type) {
	case **errcode.ErrorResponse, *later:
		return errors.As(o.err, target)
	}
	return false
}

// discreet says what its error does, without the queries of URLs: that of an object store is signed, and whoever reads the
// log could read the blob for as long as the signature is good.
type discreet struct{ error }

func (d discreet) Error() string { return withoutQueries(d.error.Error()) }
func (d discreet) Unwrap() error { return d.error }

var queryOfURL = regexp.MustCompile(`(https?://[^\s"?]*\?)[^\s"]*`)

func withoutQueries(text string) string { return queryOfURL.ReplaceAllString(text, "$1...") }

func classOf(err error) string {
	var resp *errcode.ErrorResponse
	var network net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return classTimeout
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return classQuota
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return classUnauthorized
	case errors.As(err, &resp):
		return classOfResponse(resp)
	case errors.As(err, &network) && network.Timeout():
		return classTimeout
	}
	return classUnavailable
}

func classOfResponse(resp *errcode.ErrorResponse) string {
	text := strings.ToLower(resp.Error())
	switch code := resp.StatusCode; {
	case code == http.StatusTooManyRequests: // whatever it calls a quota: of requests
		return classRateLimited
	case code == http.StatusInsufficientStorage, code >= 400 && strings.Contains(text, "quota"),
		strings.Contains(text, "no space left"): // Harbor and others say it in words
		return classQuota
	case code == http.StatusUnauthorized:
		return classUnauthorized
	case code == http.StatusRequestEntityTooLarge:
		return classTooLarge
	case code == http.StatusGatewayTimeout, code == http.StatusRequestTimeout:
		return classTimeout
	case code == http.StatusConflict, code == http.StatusPreconditionFailed,
		code < http.StatusInternalServerError && strings.Contains(text, "immutab"): // 409, or 412 from Harbor, or 400 and 403 in words
		return classConflict
	case code == http.StatusForbidden, code == http.StatusMethodNotAllowed: // denied, read-only registries
		return classDenied
	}
	return classUnavailable
}

// isLost says whether the registry has a tag and cannot say of what: its own 500, in its own words. A registry that was
// killed while it wrote a tag is left so, and stays so (distribution 2.8: an empty link).
func isLost(err error) bool {
	return status(err) == http.StatusInternalServerError && hasCode(err, "UNKNOWN")
}

// hasCode says whether the registry answered with that error code of the specification, whatever the status: registries
// agree on codes more than on statuses.
func hasCode(err error, codes ...string) bool {
	var resp *errcode.ErrorResponse
	if !errors.As(err, &resp) {
		return false
	}
	for _, e := range resp.Errors {
		for _, code := range codes {
			if e.Code == code {
				return true
			}
		}
	}
	return false
}

// status gives the HTTP status of the registry's answer, zero where there was none.
func status(err error) int {
	var resp *errcode.ErrorResponse
	if errors.As(err, &resp) {
		return resp.StatusCode
	}
	return 0
}
