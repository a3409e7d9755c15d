//go:build !noembed

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// answerBuffer is how much of an answer waits for its reader, in bytes. An answer that fits is handed over whole.
const answerBuffer = 128 << 10

// answer is the http.ResponseWriter of one request and the body of its response. A handler that is ahead of its reader
// by more than the buffer waits.
type answer struct {
	method string
	header http.Header
	cancel context.CancelFunc // ends the handler's context
	ready  chan struct{}      // closed when response may be called

	mu       sync.Mutex
	moved    sync.Cond   // on mu: the buffer's state, err or gone have changed
	status   int         // 0: no header yet
	sent     http.Header // as it was when the header was written
	length   int64       // as announced; -1: unknown
	written  int64
	buffer   ring
	released bool  // ready is closed
	err      error // the handler's end: io.EOF, or why there is no more
	gone     error // the reader's end
}

func newAnswer(method string, cancel context.CancelFunc) *answer {
	a := &answer{method: method, header: http.Header{}, cancel: cancel, ready: make(chan struct{}), length: -1}
	a.moved.L = &a.mu
	return a
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writeHeaderLocked(status)
}

func (a *answer) writeHeaderLocked(status int) {
	if a.status != 0 || status < 200 {
		return
	}
	a.status, a.sent = status, a.header.Clone()
	for key := range a.sent {
		if key == "Trailer" || strings.HasPrefix(key, http.TrailerPrefix) {
			delete(a.sent, key)
		}
	}
	if n, err := strconv.ParseInt(a.sent.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		a.length = n
	} else {
		a.sent.Del("Content-Length")
	}
}

// answered says whether the handler has begun its answer.
func (a *answer) answered() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status != 0
}

// bodiless tells of an answer that has no body, whatever the handler writes.
func (a *answer) bodiless() bool {
	return a.method == http.MethodHead || a.status == http.StatusNoContent || a.status == http.StatusNotModified
}

// Write fails when the reader has closed the body or the context has ended.
func (a *answer) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writeHeaderLocked(http.StatusOK)
	switch {
	case a.method == http.MethodHead:
		return len(p), nil
	case a.bodiless():
		return 0, http.ErrBodyNotAllowed
	case a.length >= 0 && a.written+int64(len(p)) > a.length:
		return 0, http.ErrContentLength
	}
	n := 0
	for {
		if a.gone != nil {
			return n, a.gone
		}
		k := a.buffer.write(p[n:], a.length-a.written)
		n += k
		a.written += int64(k)
		if k > 0 {
			a.moved.Broadcast()
		}
		if n == len(p) {
			return n, nil
		}
		a.releaseLocked()
		a.moved.Wait()
	}
}

// Flush hands over what there is.
func (a *answer) Flush() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writeHeaderLocked(http.StatusOK)
	a.releaseLocked()
}

func (a *answer) releaseLocked() {
	if !a.released {
		a.released = true
		close(a.ready)
	}
}

// abort ends an answer whose handler has not come to its end.
func (a *answer) abort(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil && a.gone == nil {
		a.gone = err
	}
	a.moved.Broadcast()
	a.releaseLocked()
}

// finish is called when the handler has ended: with failure, if it panicked; body is the failure of the request's body.
func (a *answer) finish(failure, body error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if failure == nil {
		a.writeHeaderLocked(http.StatusOK)
	}
	switch {
	case failure != nil:
		a.err = failure
	case a.gone != nil: // something may not have been written
		a.err = a.gone
	case body != nil && a.status >= 400: // it is the client that has failed, not the registry
		a.err = fmt.Errorf("read request body: %w", body)
	case !a.bodiless() && a.written < a.length:
		a.err = io.ErrUnexpectedEOF
	default:
		a.err = io.EOF
	}
	if !a.released && a.err != io.EOF && a.err != io.ErrUnexpectedEOF {
		a.status = 0
	}
	if !a.released && a.length < 0 && a.status != 0 && !a.bodiless() {
		a.length = a.written
		a.sent.Set("Content-Length", strconv.FormatInt(a.length, 10))
	}
	a.moved.Broadcast()
	a.releaseLocked()
}

// response gives what RoundTrip returns. ready must be closed.
func (a *answer) response(req *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.gone != nil:
		return nil, a.gone
	case a.status == 0:
		return nil, a.err
	}
	r := &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, ContentLength: a.length, Body: (*answerBody)(a), Request: req,
	}
	if a.bodiless() {
		r.Body = http.NoBody
		if a.method != http.MethodHead {
			r.ContentLength = 0
		}
	}
	return r, nil
}

// answerBody is the reader's side.
type answerBody answer

func (b *answerBody) Read(p []byte) (int, error) {
	a := (*answer)(b)
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		if errors.Is(a.gone, errBodyClosed) {
			return 0, a.gone
		}
		if n := a.buffer.read(p); n > 0 || len(p) == 0 {
			a.moved.Broadcast()
			return n, nil
		}
		if a.err != nil {
			return 0, a.err
		}
		if a.gone != nil {
			return 0, a.gone
		}
		a.moved.Wait()
	}
}

// Close ends a handler that still writes.
func (b *answerBody) Close() error {
	a := (*answer)(b)
	a.mu.Lock()
	a.gone = errBodyClosed
	a.buffer = ring{}
	a.moved.Broadcast()
	a.mu.Unlock()
	a.cancel()
	return nil
}

var errBodyClosed = errors.New("embedded registry: response body is closed")

// ring is a queue of bytes that holds at most answerBuffer of them.
type ring struct {
	b        []byte
	start, n int
}

// write takes what there is room for. more is how many bytes are to come, if that is known, else negative.
func (r *ring) write(p []byte, more int64) int {
	if need := r.n + len(p); need > len(r.b) && len(r.b) < answerBuffer {
		size := max(2*len(r.b), need, int(min(more, answerBuffer)))
		grown := make([]byte, min(size, answerBuffer))
		n := r.read(grown)
		*r = ring{b: grown, n: n}
	}
	total := 0
	for total < len(p) && r.n < len(r.b) {
		end := (r.start + r.n) % len(r.b)
		room := r.b[end:min(len(r.b), end+len(r.b)-r.n)]
		k := copy(room, p[total:])
		r.n += k
		total += k
	}
	return total
}

// read gives what there is.
func (r *ring) read(p []byte) int {
	total := 0
	for total < len(p) && r.n > 0 {
		k := copy(p[total:], r.b[r.start:min(len(r.b), r.start+r.n)])
		r.start = (r.start + k) % len(r.b)
		r.n -= k
		total += k
	}
	return total
}
