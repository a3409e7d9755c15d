//go:build !noembed

package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"sync"
)

// transport is an http.RoundTripper that calls a handler. The handler sees what it would see behind net/http's server:
// path and query only in the URL, a body that is never nil and has the length that was announced, a Content-Length
// header where there is one. The caller gets the answer when it is complete or has outgrown its buffer. Trailers and
// informational answers (1xx) are dropped.
type transport struct {
	handler  http.Handler
	panicked func(value any, stack []byte) // told of panics other than http.ErrAbortHandler
}

// RoundTrip calls the handler in a new goroutine. Errors: the context's; what the request's body failed with; a
// handler that panicked before its answer was out. After it has returned the request's body is read no more, except
// when the context has ended or the answer is larger than its buffer.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	body := newRequestBody(req)
	ctx := req.Context()
	if err := ctx.Err(); err != nil {
		body.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	served, err := served(ctx, req, body)
	if err != nil {
		cancel()
		body.Close()
		return nil, err
	}
	a := newAnswer(req.Method, cancel)
	go t.serve(a, served, body)
	select {
	case <-a.ready:
	case <-req.Context().Done():
		a.abort(req.Context().Err()) // no effect if it has just become ready
		body.Close()
		<-a.ready
	}
	return a.response(req)
}

// serve runs the handler to its end and tells a how it ended.
func (t *transport) serve(a *answer, req *http.Request, body *requestBody) {
	ctx := req.Context()
	defer a.cancel()
	defer context.AfterFunc(ctx, func() {
		a.abort(ctx.Err())
		body.Close()
	})()
	defer body.Close()
	var failure error
	defer func() {
		if p := recover(); p != nil {
			failure = errors.New("embedded registry: request aborted")
			if p != http.ErrAbortHandler {
				failure = fmt.Errorf("embedded registry: panic: %v", p)
				t.panicked(p, debug.Stack())
			}
		}
		if failure == nil && !a.answered() {
			failure = req.Context().Err() // it gave up because of that: no answer is not an implicit 200
		}
		a.finish(failure, body.failure())
	}()
	t.handler.ServeHTTP(a, req)
}

// served makes of a client's request the one that a server would see.
func served(ctx context.Context, req *http.Request, body *requestBody) (*http.Request, error) {
	if req.URL == nil {
		return nil, errors.New("embedded registry: request without URL")
	}
	target := req.URL.RequestURI()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, fmt.Errorf("embedded registry: %w", err)
	}
	s := &http.Request{
		Method: cmp.Or(req.Method, http.MethodGet), URL: u, RequestURI: target,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: req.Header.Clone(), Body: body, ContentLength: body.length,
		Host: cmp.Or(req.Host, req.URL.Host), RemoteAddr: Host,
	}
	if s.Header == nil {
		s.Header = http.Header{}
	}
	if body.length > 0 || body.length == 0 && s.Method != http.MethodGet && s.Method != http.MethodHead {
		s.Header.Set("Content-Length", strconv.FormatInt(body.length, 10))
	}
	if body.length < 0 {
		s.TransferEncoding = []string{"chunked"}
	}
	return s.WithContext(ctx), nil
}

// requestBody is the body of a client's request as a handler sees it. It gives as many bytes as were announced or an
// error, and remembers the error.
type requestBody struct {
	content io.ReadCloser
	length  int64 // -1: unknown
	closing sync.Once

	mu     sync.Mutex
	read   int64
	err    error // of content
	closed bool
}

func newRequestBody(req *http.Request) *requestBody {
	b := &requestBody{content: req.Body, length: req.ContentLength}
	switch {
	case b.content == nil || b.content == http.NoBody:
		b.content, b.length = http.NoBody, 0
	case b.length == 0: // http.Request.ContentLength, "for client requests"
		b.length = -1
	}
	return b
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	closed, err, left := b.closed, b.err, b.length-b.read
	b.mu.Unlock()
	switch {
	case closed:
		return 0, http.ErrBodyReadAfterClose
	case err != nil:
		return 0, err
	case b.length >= 0 && left == 0:
		return 0, io.EOF
	case b.length >= 0 && int64(len(p)) > left:
		p = p[:left]
	}
	n, err := b.content.Read(p)

	b.mu.Lock()
	defer b.mu.Unlock()
	b.read += int64(n)
	switch {
	case b.length >= 0 && b.read == b.length:
		return n, io.EOF
	case err == io.EOF && b.length >= 0:
		err = fmt.Errorf("%d of %d bytes: %w", b.read, b.length, io.ErrUnexpectedEOF)
	}
	if err != nil && err != io.EOF && !b.closed {
		b.err = err
	}
	return n, err
}

// failure is what the content failed with, nil if it did not.
func (b *requestBody) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Close closes the content, once. A Read that is under way ends when the content's does.
func (b *requestBody) Close() error {
	var err error
	b.closing.Do(func() {
		b.mu.Lock()
		b.closed = true
		b.mu.Unlock()
		err = b.content.Close()
	})
	return err
}
