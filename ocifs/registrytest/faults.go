package registrytest

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// TooMany answers 429 and says when to come back, in seconds: Docker Hub, GHCR, every cloud.
func TooMany(after time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		drain(r)
		w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)))
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
	serve(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
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
	drain(r) // the server sees a client leave only when it has read what the client sent
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// StallInBody sends half of the answer's body and then nothing more until the request's context ends.
func StallInBody(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	half(w, r, serve)
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// half sends what the answer begins with.
func half(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	rec := record(r, serve)
	body := rec.Body.Bytes()
	if len(body) == 0 {
		return
	}
	maps.Copy(w.Header(), rec.Header())
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
}

func record(r *http.Request, serve http.HandlerFunc) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	serve(rec, r)
	return rec
}

func drain(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }

// Match picks requests; the zero value picks all.
type Match struct {
	Method string // one or several, separated by spaces; empty: any
	Path   string // regular expression for the URL's path; empty: any
	Skip   int    // so many of them pass first
	Every  int    // of the rest each one that many after the last, beginning with the first; zero: each
	First  bool   // of those that ask for the same thing only the first: the next try passes
}

// Writes picks all requests that change something.
var Writes = Match{Method: "POST PATCH PUT DELETE"}

// A Rule is a fault that waits for requests.
type Rule struct {
	registry *Registry
	match    Match
	path     *regexp.Regexp
	fault    Fault
	times    int // zero: for ever
	seen     int
	hits     int
	known    map[string]bool // what was asked for, if match.First
}

// Hits gives the number of requests that met the fault, so that a test can see that it has tested something.
func (u *Rule) Hits() int {
	u.registry.faults.mu.Lock()
	defer u.registry.faults.mu.Unlock()
	return u.hits
}

// faults are the rules, of which the first that picks a request decides.
type faults struct {
	mu    sync.Mutex
	rules []*Rule
}

// Fail makes requests that match meet fault, so many times, or for ever if times is zero.
func (g *Registry) Fail(match Match, fault Fault, times int) *Rule {
	u := &Rule{registry: g, match: match, path: regexp.MustCompile(match.Path), fault: fault, times: times,
		known: map[string]bool{}}
	g.faults.mu.Lock()
	defer g.faults.mu.Unlock()
	g.faults.rules = append(g.faults.rules, u)
	return u
}

// Heal ends all faults. Requests that stall go on stalling.
func (g *Registry) Heal() {
	g.faults.mu.Lock()
	defer g.faults.mu.Unlock()
	g.faults.rules = nil
}

func (f *faults) pick(r *http.Request) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.rules {
		if u.picksLocked(r) {
			u.hits++
			return u.fault
		}
	}
	return nil
}

func (u *Rule) picksLocked(r *http.Request) bool {
	methods := strings.Fields(u.match.Method)
	if len(methods) > 0 && !slices.Contains(methods, r.Method) || !u.path.MatchString(r.URL.Path) {
		return false
	}
	if u.match.First {
		// Two tries of one upload have two sessions; it is one thing by its digest.
		q := route(r)
		thing := strings.Join([]string{r.Method, q.kind, q.repo, q.ref, r.URL.RawQuery}, " ")
		if q.kind == "upload" {
			thing = strings.Join([]string{r.Method, q.kind, q.repo, r.URL.Query().Get("digest")}, " ")
		}
		if u.known[thing] {
			return false
		}
		u.known[thing] = true
	}
	u.seen++
	n := u.seen - 1 - u.match.Skip
	return n >= 0 && (u.match.Every == 0 || n%u.match.Every == 0) && (u.times == 0 || u.hits < u.times)
}
