package ocifs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// upload is a blob upload session (distribution-spec, "Pushing blobs"). oras-go has the monolithic way only, and follows
// no Location but the first. Its requests are sent once each: what fails is begun anew as a whole, by FS.attempt.
type upload struct {
	repository
	at     *url.URL // where it goes on: the Location of the last answer
	header http.Header
}

// startUpload opens a session.
func (r repository) startUpload(ctx context.Context) (*upload, error) {
	return r.startUploadAt(ctx, "blobs/uploads/")
}

// startUploadAt is startUpload with parameters; nil: they have made a session needless.
func (r repository) startUploadAt(ctx context.Context, at string) (*upload, error) {
	u := &upload{repository: r, header: http.Header{"Content-Type": {"application/octet-stream"}}}
	first, err := url.Parse(r.url(at))
	if err != nil {
		return nil, err
	}
	u.at = first
	resp, err := u.send(ctx, http.MethodPost, first, nil, 0)
	if err != nil {
		return nil, err
	}
	defer finish(resp)
	if first.RawQuery != "" && resp.StatusCode == http.StatusCreated {
		return nil, nil
	}
	if resp.StatusCode != http.StatusAccepted {
		return nil, lastWord(responseError(resp))
	}
	// A token that was fetched for the POST is good for the session. The body of what follows may come only once, so that
	// the client could not repeat it to fetch one.
	if token := resp.Request.Header.Get("Authorization"); token != "" {
		u.header.Set("Authorization", token)
	}
	return u, u.follow(resp)
}

// append sends content of unknown length to the session, in one streaming PATCH. A refusal is one that a registry gives
// which takes no streams.
func (u *upload) append(ctx context.Context, content io.ReadCloser, sent func() int64) error {
	resp, err := u.send(ctx, http.MethodPatch, u.at, content, -1)
	if err != nil {
		return err
	}
	defer finish(resp)
	if resp.StatusCode != http.StatusAccepted {
		err := responseError(resp)
		switch code := resp.StatusCode; {
		case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusNotFound, code == http.StatusRequestTimeout,
			code == http.StatusTooManyRequests, code == http.StatusInsufficientStorage, code == http.StatusRequestEntityTooLarge,
			code >= 500 && code != http.StatusNotImplemented:
			return err // it may take the next one
		}
		return noStreams{err}
	}
	if span := resp.Header.Get("Range"); span != "" { // some leave it out
		if want := fmt.Sprintf("0-%d", sent()-1); strings.TrimPrefix(span, "bytes=") != want {
			return noStreams{fmt.Errorf("PATCH %s: the registry has the bytes %s of %s", u.at.Path, span, want)}
		}
	}
	return u.follow(resp)
}

// finish ends the session: what it has, and content if there is any, is the blob d.
func (u *upload) finish(ctx context.Context, d digest.Digest, content io.ReadCloser, size int64) error {
	at := *u.at
	if at.RawQuery != "" {
		at.RawQuery += "&" // as it is: the state of a session is the registry's own
	}
	at.RawQuery += "digest=" + url.QueryEscape(d.String())
	resp, err := u.send(ctx, http.MethodPut, &at, content, size)
	if err == nil && resp.StatusCode == http.StatusUnauthorized && content == nil && u.header.Get("Authorization") != "" {
		finish(resp) // the token has run out while the content came: this request can be repeated with a new one
		u.header.Del("Authorization")
		resp, err = u.send(ctx, http.MethodPut, &at, nil, 0)
	}
	if err != nil {
		return err
	}
	defer finish(resp)
	switch code := resp.StatusCode; {
	case code == http.StatusCreated:
		return nil
	case code == http.StatusUnauthorized, code == http.StatusMethodNotAllowed: // of the token, or the way
		return responseError(resp)
	}
	return lastWord(responseError(resp))
}

// cancelTime is for the end of an upload that is given up. It is a favour: registries forget sessions by themselves.
const cancelTime = 30 * time.Second

// cancel gives the session up. Only a registry that wants to be left alone is asked again, when it wants to be.
func (u *upload) cancel(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer cancel()
	for {
		err := u.cancelOnce(ctx)
		if status(err) != http.StatusTooManyRequests {
			return err
		}
		select {
		case <-time.After(max(afterOf(err), shortPause)):
		case <-ctx.Done():
			return err
		}
	}
}

func (u *upload) cancelOnce(ctx context.Context) error {
	resp, err := u.send(ctx, http.MethodDelete, u.at, nil, 0)
	if err != nil {
		return err
	}
	defer finish(resp)
	if resp.StatusCode >= 300 {
		return responseError(resp)
	}
	return nil
}

// send sends one request, without repeating it. It closes content.
func (u *upload) send(ctx context.Context, method string, at *url.URL, content io.ReadCloser, size int64) (*http.Response, error) {
	ctx = once(u.scope(ctx))
	req, err := http.NewRequestWithContext(ctx, method, at.String(), nil)
	if err != nil {
		if content != nil {
			content.Close()
		}
		return nil, err
	}
	if content != nil && size != 0 {
		req.Body, req.ContentLength = content, size
		if b, ok := content.(*body); ok {
			req.GetBody = b.again
		}
	} else if content != nil {
		content.Close()
	}
	req.Header = u.header.Clone()
	return u.Client.Do(req)
}

// follow takes over the Location of an answer. It must be on the same host: credentials go there.
func (u *upload) follow(resp *http.Response) error {
	next, err := resp.Location()
	if err != nil {
		return fmt.Errorf("%s %s: the registry does not say where the upload goes on: %w", resp.Request.Method, resp.Request.URL.Path, err)
	}
	if next.Scheme != u.at.Scheme || !strings.EqualFold(next.Host, u.at.Host) {
		return &Error{Class: classUnavailable, Err: fmt.Errorf("%w: it says %s://%s, and is asked at %s://%s; what stands in front of it "+
			"has to pass on Host and X-Forwarded-Proto", errElsewhere, next.Scheme, next.Host, u.at.Scheme, u.at.Host)}
	}
	u.at = next
	return nil
}

var errElsewhere = errors.New("the registry wants the upload to go on at another host")

// noStreams is a registry's answer that it takes uploads in one piece only.
type noStreams struct{ error }

func (n noStreams) Unwrap() error { return n.error }

// finish reads the rest of a short answer, so that its connection is used again.
func finish(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	resp.Body.Close()
}

// pushOnce uploads a blob whole, in two requests.
func (r repository) pushOnce(ctx context.Context, d digest.Digest, size int64, open opener) error {
	u, err := r.startUpload(ctx)
	if err != nil {
		return err
	}
	return u.put(ctx, d, size, open)
}

// put sends a blob whole and ends the session.
func (u *upload) put(ctx context.Context, d digest.Digest, size int64, open opener) error {
	content, err := newBody(open)
	if err == nil {
		err = u.finish(ctx, d, content, size)
	}
	if err != nil && status(err) == 0 && ctx.Err() == nil {
		go func() { _ = u.cancel(ctx) }() // an answer has ended the session, or it is unknown
	}
	return err
}
