package davfs

import (
	"errors"
	"maps"
	"net/http"
	"slices"
)

// failInPart answers a COPY or MOVE that has changed something and could not come to its end: a multistatus with the
// members that failed (RFC 4918 sections 9.8.5 and 9.9.4). A change that left everything as it was has a single status,
// and DELETE always has: what Tree.RemoveAll takes away disappears together.
func (g *guard) failInPart(err error) bool {
	var part interface{ Members() map[string]error }
	if !errors.As(err, &part) || len(part.Members()) == 0 {
		return false
	}
	g.status = http.StatusMultiStatus
	m := newMultistatus(g.w)
	failed := part.Members()
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		v := judge(g.rq.method, failed[name])
		m.begin(g.rq.href(name))
		m.status(v.code, v.text)
		m.end()
	}
	_ = m.finish() // the client's end
	return true
}
