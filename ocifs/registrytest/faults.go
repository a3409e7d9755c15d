package registrytest

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"
)

// A Fault is what happens to a request in place of what should: serve is what should.
type Fault func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc)

// Status answers with a status, and if codes are given with an error body of the specification that holds the first of
// them. Without codes there is no body: a proxy in front, not the registry. The request has no effect.
func Status(status int, codes ...string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		drain(r)
		if len(codes) > 0 {
			refuse(w, status, codes[0], "by fault")
			return
		}
		w.WriteHeader(status)
	}
}

// TooMany answers 429 and says when to come back, in seconds, unless that is zero: Docker Hub, GHCR, every cloud.
func TooMany(after time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		drain(r)
		if after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)))
		}
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "pull rate limit exceeded")
	}
}

// Page answers with a page for people: 404 of a proxy that has lost its registry, 200 of a captive portal or a login.
func Page(status int) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		drain(r)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<!doctype html><title>It works</title><p>Not a registry.\n")
	}
}

// ResetBefore closes the connection without an answer; the request has no effect.
func ResetBefore(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	drain(r)
	panic(http.ErrAbortHandler)
}

// ResetAfter closes the connection without an answer when the request has had its effect.
func ResetAfter(_ http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	record(r, serve)
	panic(http.ErrAbortHandler)
}

// ResetInBody reads half of the request's content and closes the connection; the request has no effect.
func ResetInBody(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	_, _ = io.CopyN(io.Discard, r.Body, max(1, r.ContentLength/2))
	panic(http.ErrAbortHandler)
}

// CutHead closes the connection in the middle of the answer's header. The request has its effect.
func CutHead(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	rec := record(r, serve)
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 "+strconv.Itoa(rec.Code)+" Cut\r\nContent-Le")
		_ = conn.Close()
	}
}

// Cut sends the header of the answer and half of its body, and closes the connection. The request has its effect. An
// answer without a body is lost whole.
func Cut(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	half(w, r, serve)
	panic(http.ErrAbortHandler)
}

// Garble answers with other bytes of the right length: a broken disk, a proxy that mixes up its answers.
func Garble(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	rec := record(r, serve)
	body := rec.Body.Bytes()
	for i := range body {
		body[i] ^= 0x20
	}
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body)
}

// Stall never answers; the request has no effect. It ends with the request's context.
func Stall(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	drain(r)
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// StallAfter never answers; the request has its effect.
func StallAfter(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	record(r, serve)
	Stall(w, r, serve)
}

// StallInRequest takes no more than a byte of the request's content for eight minutes, and never answers: a registry that
// hangs while it is written to. The request has no effect.
func StallInRequest(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	_, _ = r.Body.Read(make([]byte, 1))
	time.Sleep(8 * time.Minute) // a client that leaves is seen by reading only
	Stall(w, r, serve)
}

// StallInBody sends half of the answer's body and then nothing more until the request's context ends.
func StallInBody(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	half(w, r, serve)
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// Slow makes the answer wait; the request has its effect before.
func Slow(wait time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
		rec := record(r, serve)
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}
}

// Brief is a fault that passes: from the first request that meets it on for so long.
func Brief(lasts time.Duration, fault Fault) Fault {
	var begin sync.Once
	var end time.Time
	return func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
		begin.Do(func() { end = time.Now().Add(lasts) })
		if time.Now().After(end) {
			serve(w, r)
			return
		}
		fault(w, r, serve)
	}
}

// half sends what the answer begins with.
func half(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	rec := record(r, serve)
	body := rec.Body.Bytes()
	if len(body) == 0 || r.Method == http.MethodHead {
		return
	}
	maps.Copy(w.Header(), rec.Header())
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
}

// record has the request served. What of it was not read is read then, for only so the server sees a client leave.
func record(r *http.Request, serve http.HandlerFunc) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	serve(rec, r)
	drain(r)
	return rec
}

func drain(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
