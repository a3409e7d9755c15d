//go:build !noembed

package embedded

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
)

// isWrite tells the requests that may change something.
func isWrite(req *http.Request) bool {
	switch req.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	}
	return false
}

// serveWrite takes a request that may change something through the gate, brings to the disk what it has written before the
// answer goes out, tells Options.Changed of it, and answers 507 where the library says 500 because the disk is full.
func (r *Registry) serveWrite(w http.ResponseWriter, req *http.Request) {
	p := &passage{gate: &r.gate, tree: r.tree, body: req.Body}
	p.repository, p.reference, p.manifest = changedManifest(req)
	defer p.leave(w.Header())
	defer p.pending.drop() // where the handler has failed
	ctx := context.WithValue(req.Context(), fullKey{}, &p.full)
	if req.Method != http.MethodDelete { // which need not survive
		ctx = context.WithValue(ctx, pendingKey{}, &p.pending)
	}
	p.ctx = ctx
	req = req.WithContext(ctx)
	if req.Method == http.MethodPut || req.Method == http.MethodPatch {
		p.last = req.Method == http.MethodPut
		req.Body = p
	} else if p.enter() != nil {
		http.Error(w, errClosed.Error(), http.StatusServiceUnavailable)
		return
	}

	a := &announcer{ResponseWriter: w, announce: func() {}, full: func() bool {
		if p.full.Load() {
			r.pressed()
		}
		return p.full.Load()
	}, settle: func() error {
		err := failure(ctx, req.URL.Path, p.pending.settle())
		if err != nil {
			r.journal.log.Warn("embedded registry: what was written is not on the disk",
				"method", req.Method, "path", req.URL.Path, "error", err)
		}
		return err
	}}
	if p.manifest && r.changed != nil {
		a.announce = func() { r.changed(p.repository, p.reference) }
	}
	defer a.finish()
	r.app.ServeHTTP(a, req)
	a.returned = true
}

// passage is one request's way through the gate. PUT goes in when its body has come to its end, since that may take as
// long as the client likes, and PATCH, which only adds to an upload, not at all.
type passage struct {
	gate *gate
	tree tree
	ctx  context.Context
	full atomic.Bool // the disk was

	pending pending

	repository, reference string
	manifest              bool // pushed or deleted

	body    io.ReadCloser // of PUT and PATCH
	last    bool          // it is PUT
	content bytes.Buffer  // of a manifest
	inside  bool
}

func (p *passage) Read(b []byte) (int, error) {
	n, err := p.body.Read(b)
	if p.manifest && p.content.Len() <= maxManifest {
		p.content.Write(b[:n])
	}
	if err == io.EOF && p.last {
		if e := p.enter(); e != nil {
			return n, e
		}
	}
	return n, err
}

func (p *passage) Close() error { return p.body.Close() }

func (p *passage) enter() error {
	if p.inside {
		return nil
	}
	if err := p.gate.enter(p.ctx); err != nil {
		return err
	}
	p.inside = true
	if !p.manifest {
		return nil
	}
	if digest.Digest(p.reference).Validate() != nil {
		p.tree.untag(p.repository, p.reference)
	}
	if p.last && p.gate.noting() {
		p.gate.note(digest.FromBytes(p.content.Bytes()))
		if d := digestOfTag(p.reference); d != "" {
			p.gate.note(d)
		}
		// As much of it as is understood: the library may understand it as well.
		if m, _ := parseManifest(p.content.Bytes()); isRepository(p.repository) {
			for _, d := range m.names {
				p.gate.note(d)
				if target, err := p.tree.target(p.repository, d); err == nil {
					p.gate.note(target)
				}
			}
		}
	}
	return nil
}

// leave notes what the answer says has been uploaded or mounted.
func (p *passage) leave(answer http.Header) {
	if !p.inside {
		return
	}
	if d := digest.Digest(answer.Get("Docker-Content-Digest")); d.Validate() == nil {
		p.gate.note(d)
	}
	p.gate.leave()
}
