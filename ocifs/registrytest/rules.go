package registrytest

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

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
