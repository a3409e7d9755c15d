package davfs

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"sync"
	"time"
)

// A request is what one HTTP request knows: what it is about, what the tree has answered so far, and the first thing
// that went wrong. The engine asks the same questions several times; the tree hears each once. It ends with the HTTP
// request, so an answer is never older than that, and what a change rests on is looked at again in the tree's Check.
type request struct {
	h      *Handler
	trace  *Trace
	base   string // path of the drive's root, as the client knows it
	host   string // at which the client knows it; empty: as in the request
	tree   Tree
	ctx    context.Context // of the HTTP request; webdav.File has no other way to get one
	method string
	ctype  string    // Content-Type of the body
	mtime  time.Time // that the client gives the file
	name   string    // what it is about
	dst    string    // the Destination of a COPY or MOVE
	keep   bool      // Overwrite: F
	flat   bool      // COPY of a directory with Depth 0
	fresh  bool      // nothing stands at the target
	cond   conditions
	body   *body

	session *session // of who has an account; nil: all have one tree
	reader  bool     // may only read
	shared  bool     // the connection is that of other requests too, HTTP/2's
	expects bool     // the client waits for 100 Continue before it sends the body

	stats map[string]statAnswer

	mu      sync.Mutex  // http.ServeContent reads from a goroutine of its own for several ranges
	err     error       // the first failure or refusal: it decides the answer
	put     fs.FileInfo // what a PUT has made
	checked bool        // a Check was asked, and knows whether the target is fresh
}

type statAnswer struct {
	fi  fs.FileInfo
	err error
}

func newRequest(r *http.Request, t Tree) *request {
	b := r.Body
	if b == nil {
		b = http.NoBody
	}
	return &request{
		tree:    t,
		ctx:     context.WithValue(r.Context(), RequestBegan{}, time.Now()),
		method:  r.Method,
		ctype:   r.Header.Get("Content-Type"),
		shared:  r.ProtoMajor >= 2,
		expects: r.Header.Get("Expect") != "",
		body:    &body{r: b, want: r.ContentLength},
		stats:   make(map[string]statAnswer),
	}
}

// fail keeps the first error. If the client's body broke, that is the reason of whatever the tree says.
func (rq *request) fail(err error) {
	rq.mu.Lock()
	defer rq.mu.Unlock()
	if rq.err != nil || err == nil {
		return
	}
	if rq.body.err != nil {
		err = rq.body.err
	}
	rq.err = rq.refused(err)
}

func (rq *request) failed() error {
	rq.mu.Lock()
	defer rq.mu.Unlock()
	return rq.err
}

// stat is Tree.Stat, asked once. The error is the tree's own.
func (rq *request) stat(name string) (fs.FileInfo, error) {
	a, ok := rq.stats[name]
	if !ok {
		a.fi, a.err = rq.tree.Stat(rq.ctx, name)
		rq.stats[name] = a
	}
	return a.fi, a.err
}

// ask has the tree asked about several names at once; stat then knows the answers. Its error is a failure of the tree.
func (rq *request) ask(names ...string) error {
	answers := make([]statAnswer, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { answers[i].fi, answers[i].err = rq.tree.Stat(rq.ctx, name) })
	}
	wg.Wait()
	for i, name := range names {
		rq.stats[name] = answers[i]
	}
	for _, a := range answers {
		if a.err != nil && isFailure(a.err) {
			return a.err
		}
	}
	return nil
}

// target is the name whose content a change is about.
func (rq *request) target() string {
	if rq.dst != "" {
		return rq.dst
	}
	return rq.name
}

// check is the Check of every change. It keeps what it saw for the status, and it has the last word on Overwrite: F
// (RFC 4918 section 10.6), on the conditions and on the locks, since another client may have been quicker than the
// questions before.
func (rq *request) check(old fs.FileInfo) error {
	rq.mu.Lock()
	rq.checked, rq.fresh = true, old == nil
	rq.mu.Unlock()
	if old != nil && rq.keep {
		return errOverwrite
	}
	err := rq.cond.check(rq, func(name string) (fs.FileInfo, error) {
		switch {
		case rq.key(name) != rq.key(rq.target()):
			return rq.stat(name)
		case old == nil:
			return nil, fs.ErrNotExist
		}
		return old, nil
	})
	if err != nil {
		return err
	}
	return rq.h.checkLocks(rq, false)
}

// key is Tree.Key.
func (rq *request) key(name string) string { return rq.tree.Key(name) }

func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) && !isFailure(err)
}
