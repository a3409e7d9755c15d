package ocifs_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"ocidav/ocifs/registrytest"
)

// span is for how long a fault lasts.
type span string

const (
	once  span = "once"
	brief span = "for a moment"
	ever  span = "for ever"
)

// A way is one in which a request can go wrong.
type way struct {
	name  string
	fault registrytest.Fault

	effect bool // the request may have had its effect, and the answer is lost
	passes bool // it is worth another try, so that nobody notices it where it passes
	stalls bool // nothing comes until the client gives up
	body   bool // it happens to requests with content only
	kill   bool // this request meets the fault, all later ones are refused: the end of a process
}

var ways = []way{
	{name: "a reset before", fault: registrytest.ResetBefore, passes: true},
	{name: "a reset in its body", fault: registrytest.ResetInBody, passes: true, body: true},
	{name: "a reset after", fault: registrytest.ResetAfter, passes: true, effect: true},
	{name: "a cut in the head", fault: registrytest.CutHead, passes: true, effect: true},
	{name: "a cut in the body", fault: registrytest.Cut, effect: true},
	{name: "400", fault: registrytest.Status(400, "UNKNOWN")},
	{name: "401", fault: registrytest.Status(401, "UNAUTHORIZED")},
	{name: "403", fault: registrytest.Status(403, "DENIED")},
	{name: "a 404 page", fault: registrytest.Page(404)},
	{name: "429", fault: registrytest.TooMany(0), passes: true},
	{name: "429 with Retry-After", fault: registrytest.TooMany(2 * time.Second), passes: true},
	{name: "500", fault: registrytest.Status(500), passes: true},
	{name: "502", fault: registrytest.Page(502), passes: true},
	{name: "503", fault: registrytest.Status(503, "UNAVAILABLE"), passes: true},
	{name: "504", fault: registrytest.Status(504), passes: true},
	{name: "20 seconds of waiting", fault: registrytest.Slow(20 * time.Second), passes: true, stalls: true},
	{name: "a stall", fault: registrytest.Stall, stalls: true},
	{name: "a stall in its body", fault: registrytest.StallInRequest, stalls: true, body: true},
	{name: "a stall after", fault: registrytest.StallAfter, stalls: true, effect: true},
	{name: "a stall in the answer", fault: registrytest.StallInBody, stalls: true, effect: true},
	{name: "the end after", fault: registrytest.ResetAfter, kill: true, effect: true},
}

// spans are for how long the fault is tried to last.
func (w way) spans() []span {
	switch {
	case w.kill:
		return []span{ever}
	case w.stalls, !w.passes:
		return []span{once, ever}
	}
	return []span{once, brief, ever}
}

// meets says whether the way makes sense for a request, a line of Registry.Requests.
func (w way) meets(request string) bool {
	method, _, _ := strings.Cut(request, " ")
	return !w.body || method == http.MethodPut || method == http.MethodPatch
}

// moment is how long a fault lasts that every operation outlives.
const moment = 500 * time.Millisecond

func (w way) install(g *fake, point int, lasts span) *registrytest.Rule {
	fault, times := w.fault, 0
	switch {
	case w.kill:
		var over atomic.Bool
		refuse := registrytest.Status(http.StatusForbidden, "DENIED")
		fault = func(rw http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			if over.CompareAndSwap(false, true) {
				w.fault(rw, r, serve)
			} else {
				refuse(rw, r, serve)
			}
		}
	case lasts == once:
		times = 1
	case lasts == brief:
		fault = registrytest.Brief(moment, fault)
	}
	return g.Fail(registrytest.Match{Skip: point}, fault, times)
}

// deafAt says whether an error may stand for the new state: the answer to the commit was lost, and nobody could be
// asked what has become of it.
func (w way) deafAt(lasts span) bool { return w.effect && lasts == ever }

// limit is how long an operation may take. What is asked for has then been tried for a minute, and what was on its way
// has been given up for its silence.
func (w way) limit(lasts span) time.Duration {
	switch {
	case w.stalls && w.passes: // each answer comes, late
		return time.Hour
	case w.stalls:
		return 6 * time.Minute
	case lasts == ever:
		return 3 * time.Minute
	}
	return 25 * time.Second // clients give up at 30 seconds
}
