//go:build noembed

package embedded

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
)

// Registry has no values in a binary that was built with the tag noembed.
type Registry struct{}

// Open returns an error: this binary has no registry.
func Open(dir string, o Options) (*Registry, error) {
	return nil, errors.New("this ocidav was built without the embedded registry: name one with --registry")
}

// ServeHTTP answers 503.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	http.Error(w, errClosed.Error(), http.StatusServiceUnavailable)
}

// Transport fails every request.
func (r *Registry) Transport() http.RoundTripper { return closedTransport{} }

// Host is the constant of the same name.
func (r *Registry) Host() string { return Host }

// OpenBlob has none.
func (r *Registry) OpenBlob(digest.Digest) (*os.File, error) { return nil, errClosed }

// Tagged knows nothing.
func (r *Registry) Tagged(repository, tag string) digest.Digest { return "" }

// Mend has nothing to mend.
func (r *Registry) Mend(context.Context, digest.Digest, io.Reader) error { return errClosed }

// Space knows nothing.
func (r *Registry) Space() (available, used int64) { return -1, -1 }

// Collect has nothing to collect.
func (r *Registry) Collect(context.Context, Rules) (Collected, error) { return Collected{}, errClosed }

// CollectEvery does nothing.
func (r *Registry) CollectEvery(time.Duration) {}

// Close does nothing.
func (r *Registry) Close() error { return nil }

type closedTransport struct{}

func (closedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, errClosed
}
