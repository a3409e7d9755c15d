package davfs

import (
	"context"
	"slices"
	"sync/atomic"
)

// A Trace is what one request leaves behind for those who count it. Whoever stands in front of a Handler puts one into the
// context and reads it when ServeHTTP has returned or panicked; without one the Handler makes its own. Whatever works for
// the request below a Tree finds it in the context, and counts there what it has asked of the storage. What several
// requests wait for is counted for the one that began it.
type Trace struct {
	ID       string // of the request, which its lines in the log have; see LogHandler
	Remote   string // address of the client, as far as the proxies in between are trusted
	User     string // who has logged in; empty: nobody
	Status   int    // of the answer
	Bytes    int64  // of the answer's body
	Received int64  // bytes of the request's body

	calls atomic.Int64
}

type traceKey struct{}

// Context is ctx with the trace in it.
func (t *Trace) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

// TraceOf gives the trace of the request that is worked for, nil for none.
func TraceOf(ctx context.Context) *Trace {
	t, _ := ctx.Value(traceKey{}).(*Trace)
	return t
}

// Called counts a request at the storage; of the nil Trace it counts nothing.
func (t *Trace) Called() {
	if t != nil {
		t.calls.Add(1)
	}
}

// Calls is the number of requests at the storage so far; some may follow behind the answer.
func (t *Trace) Calls() int64 { return t.calls.Load() }

// Methods are those that a Handler knows.
func Methods() []string { return slices.Clone(allMethods) }
