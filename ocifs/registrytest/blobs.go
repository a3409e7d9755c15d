package registrytest

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

func (g *Registry) getBlob(w http.ResponseWriter, q request) {
	g.mu.Lock()
	p := g.repositories[q.repo]
	data, ok := g.blobs[q.ref]
	ok = ok && p != nil && p.blobs[q.ref]
	g.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	g.setDigest(w, q.ref)
	if g.defects.NoRange {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		if q.Method == http.MethodGet {
			_, _ = w.Write(data)
		}
		return
	}
	w.Header().Set("Etag", strconv.Quote(q.ref))
	http.ServeContent(w, q.Request, "", time.Time{}, bytes.NewReader(data)) // Range, If-None-Match
}

func (g *Registry) deleteBlob(w http.ResponseWriter, q request) {
	if g.defects.NoDelete {
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported")
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.repositories[q.repo]
	if p == nil || !p.blobs[q.ref] {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	delete(p.blobs, q.ref)
	w.WriteHeader(http.StatusAccepted)
}
