package ocifs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Pauses between two tries of a push.
const (
	firstPushPause = 100 * time.Millisecond
	lastPushPause  = 5 * time.Second
)

// last is a refusal that is the registry's last word on this content or name: asked in another way, or with the token that
// it would give now, it would say the same.
type last struct{ error }

func (l last) Unwrap() error { return l.error }

// lastWord marks a refusal as that, if it is one. The client has fetched a new token before it gives a 401, where the
// request is one that it can repeat.
func lastWord(err error) error {
	switch classOf(err) {
	case classUnauthorized, classDenied, classQuota, classTooLarge, classConflict:
		return last{err}
	}
	if isUnmade(err) {
		return last{err}
	}
	return err
}

// maxUnauthorized is how often a 401 is taken for a token that has run out in the middle.
const maxUnauthorized = 2

type untilKey struct{}

// writing begins a phase of writing: no push under ctx is begun again after Options.WriteTimeout from now. What is on its
// way then goes on, since large content takes its time; it ends when the registry is silent.
func (f *FS) writing(ctx context.Context) context.Context {
	if _, ok := ctx.Value(untilKey{}).(time.Time); ok {
		return ctx
	}
	return context.WithValue(ctx, untilKey{}, time.Now().Add(f.writeTimeout))
}

// again marks an error as worth another try.
type again struct{ error }

func (a again) Unwrap() error { return a.error }

// waitFor waits as long as the registry has asked for. An error: that takes longer than the phase of ctx.
func (f *FS) waitFor(ctx context.Context, at time.Time) error {
	wait := time.Until(at)
	if wait <= 0 {
		return nil
	}
	if until, ok := ctx.Value(untilKey{}).(time.Time); ok && at.After(until) {
		return &Error{Class: classRateLimited, After: wait, Err: errors.New("the registry wants to be asked later")}
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt calls do until it succeeds, fails for good, or the phase of ctx is over. A registry that says when to come back
// is not asked before.
func (f *FS) attempt(ctx context.Context, do func() error) error {
	until, ok := ctx.Value(untilKey{}).(time.Time)
	if !ok {
		until = time.Now().Add(f.writeTimeout)
	}
	unauthorized := 0
	for n, pause := 1, firstPushPause; ; n, pause = n+1, min(2*pause, lastPushPause) {
		err := do()
		if err == nil || !worthRetry(err) {
			return err
		}
		if status(err) == http.StatusUnauthorized {
			if unauthorized++; unauthorized > maxUnauthorized {
				return err
			}
		}
		wait := max(time.Duration(float64(pause)*(0.8+0.4*rand.Float64())), afterOf(err))
		if time.Now().Add(wait).After(until) {
			return err
		}
		f.log.DebugContext(ctx, "trying again", "attempt", n, "after", wait, "error", err)
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return err // what the registry has said tells more than that the time is over
			}
			return fmt.Errorf("%w (after %v)", ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

// worthRetry says whether a failed push may succeed if it is repeated as a whole: the registry was not reached, or failed,
// or wants to be asked later, or has lost the session. 401 may be a token that ran out between two requests: the next
// try asks for a new one. What is refused for good is not repeated.
func worthRetry(err error) bool {
	var known *Error
	switch {
	case errors.As(err, new(again)):
		return true
	case errors.As(err, new(last)):
		return false
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &known),
		errors.Is(err, auth.ErrBasicCredentialNotFound):
		return false
	}
	var dial *net.OpError
	var network net.Error
	if errors.As(err, &network) && network.Timeout() && !(errors.As(err, &dial) && dial.Op == "dial") {
		return false // it has waited long enough
	}
	switch code := status(err); code {
	case 0, http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusRequestedRangeNotSatisfiable: // a session that has kept a part of what it was sent before: distribution
		return true
	case http.StatusNotImplemented, http.StatusInsufficientStorage:
		return false
	default:
		if code >= http.StatusInternalServerError {
			return classOf(err) != classQuota
		}
	}
	return hasCode(err, errcode.ErrorCodeBlobUploadUnknown, errcode.ErrorCodeBlobUploadInvalid)
}

// later is an answer that says when to come back.
type later struct {
	error
	after time.Duration
}

func (l later) Unwrap() error { return l.error }

// afterOf gives how long the registry wants to be left alone; zero for unknown.
func afterOf(err error) time.Duration {
	var l later
	if errors.As(err, &l) {
		return l.after
	}
	return 0
}

type onceKey struct{}

// once marks the requests of ctx as not to be repeated one by one.
func once(ctx context.Context) context.Context { return context.WithValue(ctx, onceKey{}, true) }
