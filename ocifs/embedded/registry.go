//go:build !noembed

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
)

const (
	catalogEntries = 10000            // most names in one page of the catalog; without it the catalog is empty
	closePatience  = 10 * time.Second // for requests that run when Close is called
)

// Registry is an open data directory. Its methods may be called concurrently.
type Registry struct {
	app     http.Handler
	stop    func() error // of the app
	path    string       // of the directory
	tree    tree         // in it
	gate    gate         // of the tree
	lock    io.Closer    // of the directory
	journal *journal
	changed func(repository, reference string)

	closing context.Context // done when Close begins
	close   context.CancelCauseFunc

	mu      sync.Mutex
	closed  bool
	running int
	idle    chan struct{} // closed when closed is set and running is 0

	collecting sync.Mutex         // one collection at a time
	pressure   chan struct{}      // has one element after the disk was full
	fault      func(doomed) error // of tests, see collection; so is the next
	sweeps     func([]doomed)
}

// Open opens the data directory dir, and makes it if it does not exist. Errors are one line and name dir: it cannot be
// made or written to, another process has it, its file system ignores case, the registry refuses to start.
func Open(dir string, o Options) (*Registry, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d, err := openDirectory(dir, ignoresCase)
	if err != nil {
		return nil, err
	}
	r := &Registry{
		path: d.path, tree: treeIn(d.path), lock: d.lock, journal: takeJournal(o.Log), changed: o.Changed,
		idle: make(chan struct{}), pressure: make(chan struct{}, 1),
	}
	r.closing, r.close = context.WithCancelCause(context.Background())
	app, err := newApp(r.journal.context(r.closing), d)
	if err != nil {
		r.close(err)
		d.lock.Close()
		return nil, fmt.Errorf("open data directory %s: %w", dir, err)
	}
	r.app, r.stop = app, app.Shutdown
	return r, nil
}

// newApp starts the registry's library. What runs in the background from then on is one idle goroutine for event
// listeners, of which there are none, for as long as the process lives, because the library has no way to stop it.
func newApp(ctx context.Context, d directory) (app *handlers.App, err error) {
	defer func() { // it panics on whatever it does not like
		if p := recover(); p != nil {
			err = fmt.Errorf("start the embedded registry: %v", p)
		}
	}()
	c := &configuration.Configuration{
		Version: configuration.CurrentVersion,
		Storage: configuration.Storage{
			driverName: {"rootdirectory": d.path},
			"delete":   {"enabled": true},
			"redirect": {"disable": true},
			// No cache of blob descriptors: it goes stale when content is collected (distribution/distribution#1803).
			"maintenance": {"uploadpurging": map[any]any{"enabled": false}}, // collections do that
		},
	}
	c.Catalog.MaxEntries = catalogEntries
	c.HTTP.Secret = d.secret
	c.HTTP.RelativeURLs = true
	return handlers.NewApp(ctx, c), nil
}

// Transport calls the registry in this process. It takes requests for any host and adds no credentials. Requests run
// in a goroutine of their own; both bodies are streamed. When a request's context ends, RoundTrip returns, but a
// change that has begun may still be made: as over a network, the outcome is then unknown.
func (r *Registry) Transport() http.RoundTripper {
	return &transport{handler: r, panicked: func(p any, stack []byte) {
		r.journal.log.Error("the embedded registry panicked", "panic", fmt.Sprint(p), "stack", string(stack))
	}}
}

// Host is the constant of the same name.
func (r *Registry) Host() string { return Host }

// ServeHTTP answers a request of the distribution API, whoever it comes from: access control, where it is wanted,
// stands in front of it. After Close the answer is 503.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if !r.begin() {
		http.Error(w, errClosed.Error(), http.StatusServiceUnavailable)
		return
	}
	defer r.end()
	ctx, cancel := context.WithCancelCause(r.journal.context(req.Context()))
	defer cancel(nil)
	defer context.AfterFunc(r.closing, func() { cancel(errClosed) })()
	req = req.WithContext(ctx)

	switch {
	case isWrite(req):
		r.serveWrite(w, req)
		return
	case req.Method == http.MethodHead:
		if repository, manifest, d, ok := asksFor(req); ok {
			r.tree.asked(repository, manifest, d)
		}
	}
	r.app.ServeHTTP(w, req)
}

// Close ends the registry: new requests are refused, the contexts of the running ones end, and when they have returned
// the directory is free for another process. An error means that some did not return within ten seconds; the directory
// then stays locked until the process ends. Close may be called more than once.
func (r *Registry) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	if r.running == 0 {
		close(r.idle)
	}
	r.mu.Unlock()

	r.close(errClosed)
	err := r.stop()
	select {
	case <-r.idle:
		return errors.Join(err, r.lock.Close())
	case <-time.After(closePatience):
		return errors.Join(err, fmt.Errorf("close embedded registry: requests still run after %s", closePatience))
	}
}

// begin counts a request in, unless the registry is closed; end counts it out.
func (r *Registry) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.running++
	return true
}

func (r *Registry) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running--; r.running == 0 && r.closed {
		close(r.idle)
	}
}
