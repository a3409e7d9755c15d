package ocifs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// ParseReference splits "[http://|https://]host[:port][/prefix]". Without a scheme it is https, except for loopback
// hosts.
func ParseReference(ref string) (host, prefix string, plainHTTP bool, err error) {
	rest, schemeGiven := ref, false
	for scheme, plain := range map[string]bool{"http://": true, "https://": false} {
		if r, ok := strings.CutPrefix(ref, scheme); ok {
			rest, plainHTTP, schemeGiven = r, plain, true
		}
	}
	host, prefix, _ = strings.Cut(rest, "/")
	prefix = strings.Trim(prefix, "/")
	if scheme, _, ok := strings.Cut(ref, "://"); ok && !schemeGiven {
		return "", "", false, fmt.Errorf("the registry reference %q has the scheme %s: want http or https", ref, scheme)
	}
	if _, port, ok := strings.Cut(host[strings.LastIndexByte(host, ']')+1:], ":"); ok {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", "", false, fmt.Errorf("the registry reference %q has the port %q", ref, port)
		}
	}
	if host == "" || strings.ContainsAny(host, "@ ") {
		return "", "", false, fmt.Errorf("the registry reference %q has no host: want [http://]host[:port][/prefix]", ref)
	}
	if !schemeGiven {
		plainHTTP = isLoopback(host)
	}
	return host, prefix, plainHTTP, checkPrefix(prefix)
}

// checkPrefix refuses what cannot be the name of the root's repository.
func checkPrefix(prefix string) error {
	for part := range strings.SplitSeq(prefix, "/") {
		if prefix != "" && !plainComponent.MatchString(part) {
			return fmt.Errorf("the prefix %q is no repository name: lower-case letters and digits, joined by single . _ - and /", prefix)
		}
	}
	return nil
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && addr.IsLoopback()
}

// Dial gives a client of the registry at host at the pace of the zero [Pace].
func Dial(host string, plainHTTP bool, transport http.RoundTripper, credential auth.CredentialFunc) (*remote.Registry, error) {
	return Pace{}.Dial(host, plainHTTP, transport, credential)
}

// repeating sends a request again where that may help, except for those of a push, which is repeated as a whole: once.
// It lets requests with a *body be repeated.
type repeating struct {
	next     http.RoundTripper
	patience time.Duration // with 429, where no phase of writing says until when
}

func (t repeating) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if ctx.Value(onceKey{}) != nil {
		return t.next.RoundTrip(req)
	}
	if b, ok := req.Body.(*body); ok {
		req = req.WithContext(ctx) // the caller's request is not ours to change
		req.GetBody = b.again
	}
	until, ok := ctx.Value(untilKey{}).(time.Time)
	if !ok {
		until = time.Now().Add(t.patience)
	}
	if end, ok := ctx.Deadline(); ok && end.Before(until) { // what the registry has said tells more than that the time is over
		until = end
	}
	again := retry.Transport{Base: t.next, Policy: func() retry.Policy { return &policy{until: until} }}
	return again.RoundTrip(req)
}

// Ping asks the registry whether it is one and takes the credentials.
func Ping(ctx context.Context, reg *remote.Registry) error {
	err := reg.Ping(ctx)
	return failure(err, "registry %s", reg.Reference.Registry)
}

// NewTransport gives a transport for a registry: connections are kept, because one operation makes many requests, and made
// only where it may lead to (fence.go).
// There is no limit for a whole request, since blobs are large; the context of each operation ends it.
func NewTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 128, 64
	t.ResponseHeaderTimeout = uploadTimeout // a registry may assemble a large upload before it answers
	t.Proxy = throughProxy(t.Proxy)
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, ControlContext: new(homes).control}).DialContext
	return t
}

// Bounds of what one request is repeated for that fails. A WebDAV client gives up after 30 seconds or a minute, so the
// answer has to come before that.
const (
	maxRetries    = 3
	firstPause    = 100 * time.Millisecond
	maxRetryAfter = 20 * time.Second
)

// policy repeats a single request. It differs from oras-go's default in that Retry-After is obeyed in full or, if that
// takes longer than a client waits, handed on; that what cannot be cured by repetition is not repeated; and that 429 is
// no failure, but a wish that is complied with until a time.
type policy struct {
	until  time.Time
	failed int
}

func (p *policy) Retry(attempt int, resp *http.Response, err error) (time.Duration, error) {
	if err == nil && resp.StatusCode == http.StatusTooManyRequests {
		wait := max(min(firstPause<<min(attempt, 10), lastPushPause), retryAfter(resp))
		if time.Now().Add(wait).After(p.until) {
			return 0, refused(classRateLimited, resp)
		}
		return wait, nil
	}
	pause := firstPause << p.failed
	p.failed++
	if err != nil {
		var known *Error
		if p.failed > maxRetries || errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return -1, nil
		}
		var network net.Error
		if errors.As(err, &network) && network.Timeout() {
			return -1, nil // it has waited long enough
		}
		return pause, nil
	}
	if resp.StatusCode < http.StatusInternalServerError && resp.StatusCode != http.StatusRequestTimeout ||
		resp.StatusCode == http.StatusNotImplemented || resp.StatusCode == http.StatusInsufficientStorage {
		return -1, nil
	}
	after := retryAfter(resp)
	switch {
	case p.failed <= maxRetries && after <= maxRetryAfter:
		return max(pause, after), nil
	case resp.StatusCode == http.StatusServiceUnavailable:
		return 0, refused(classUnavailable, resp)
	}
	return -1, nil
}

// refused is an answer that is handed on with when to come back.
func refused(class string, resp *http.Response) *Error {
	return &Error{Class: class, After: retryAfter(resp),
		Err: fmt.Errorf("%s %s: the registry answers %s", resp.Request.Method, resp.Request.URL.Path, resp.Status)}
}

// longestRetryAfter is what is made of more: nobody waits for it, and sums of it still fit in a time.Duration.
const longestRetryAfter = 365 * 24 * time.Hour

// retryAfter reads Retry-After (RFC 9110 section 10.2.3); zero for none.
func retryAfter(resp *http.Response) time.Duration {
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(0, seconds), int64(longestRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, time.Until(at)), longestRetryAfter)
	}
	return 0
}
