package registrytest

import (
	"fmt"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"
)

// upload is a session: what has arrived of a blob so far.
type upload struct {
	repo string
	data []byte
}

// startUpload opens a session. A digest in the query is ignored, as distribution does; the client goes on with PUT.
func (g *Registry) startUpload(w http.ResponseWriter, q request) {
	if q.ref != "" {
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported")
		return
	}
	g.mu.Lock()
	g.lastUpload++
	id := fmt.Sprintf("session-%d", g.lastUpload)
	g.makeLocked(q.repo)
	g.uploads[id] = &upload{repo: q.repo}
	g.mu.Unlock()
	if g.defects.UploadElsewhere {
		w.Header().Set("Location", "http://registry.invalid/v2/"+q.repo+"/blobs/uploads/"+id)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	answerUpload(w, http.StatusAccepted, q.repo, id, 0)
}

// Uploads gives the number of sessions that are open.
func (g *Registry) Uploads() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.uploads)
}

// DropUploads forgets all sessions, as a registry does that was restarted.
func (g *Registry) DropUploads() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.uploads)
}

// answerUpload tells how far a session is.
func answerUpload(w http.ResponseWriter, status int, repo, id string, size int) {
	w.Header().Set("Location", "/v2/"+repo+"/blobs/uploads/"+id)
	w.Header().Set("Docker-Upload-Uuid", id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, size-1)))
	w.WriteHeader(status)
}

// mount takes over a blob of another repository, else it opens a session, as the specification asks.
func (g *Registry) mount(w http.ResponseWriter, q request) {
	if g.defects.MountDenied != 0 {
		refuse(w, g.defects.MountDenied, "DENIED", "requested access to the resource is denied")
		return
	}
	sum, from := q.URL.Query().Get("mount"), q.URL.Query().Get("from")
	g.mu.Lock()
	source := g.repositories[from]
	ok := source != nil && source.blobs[sum] && !g.defects.NoMount
	if ok {
		g.makeLocked(q.repo).blobs[sum] = true
	}
	g.mu.Unlock()
	if !ok {
		g.startUpload(w, q)
		return
	}
	w.Header().Set("Location", "/v2/"+q.repo+"/blobs/"+sum)
	g.setDigest(w, sum)
	w.WriteHeader(http.StatusCreated)
}

// session finds the session of a request, or refuses it.
func (g *Registry) session(w http.ResponseWriter, q request) *upload {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := g.uploads[q.ref]
	if u == nil || u.repo != q.repo {
		refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
		return nil
	}
	return u
}

func (g *Registry) uploadStatus(w http.ResponseWriter, q request) {
	if u := g.session(w, q); u != nil {
		g.mu.Lock()
		n := len(u.data)
		g.mu.Unlock()
		answerUpload(w, http.StatusNoContent, q.repo, q.ref, n)
	}
}

func (g *Registry) cancelUpload(w http.ResponseWriter, q request) {
	if g.session(w, q) != nil {
		g.mu.Lock()
		delete(g.uploads, q.ref)
		g.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}
}

// receive appends the body to the session and gives all of it; false: it has answered. A body that breaks off leaves
// the session as it was.
func (g *Registry) receive(w http.ResponseWriter, q request, u *upload) ([]byte, bool) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "the body breaks off")
		return nil, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if span := q.Header.Get("Content-Range"); span != "" {
		var first, last int
		if _, err := fmt.Sscanf(span, "%d-%d", &first, &last); err != nil || last-first+1 != len(body) {
			refuse(w, http.StatusBadRequest, "SIZE_INVALID", "Content-Range does not fit the body")
			return nil, false
		}
		if first != len(u.data) {
			refuse(w, http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", "out of order")
			return nil, false
		}
	}
	u.data = append(u.data, body...)
	return u.data, true
}

func (g *Registry) patchUpload(w http.ResponseWriter, q request) {
	if g.defects.PatchRefused != 0 {
		_, _ = io.Copy(io.Discard, q.Body)
		refuse(w, g.defects.PatchRefused, "UNSUPPORTED", "the operation is unsupported")
		return
	}
	u := g.session(w, q)
	if u == nil {
		return
	}
	before := len(u.data)
	data, ok := g.receive(w, q, u)
	if !ok {
		return
	}
	said := len(data)
	g.mu.Lock()
	switch {
	case g.defects.PatchCreated:
		u.data = u.data[:before]
	case g.defects.PatchShort, g.defects.PatchDrops:
		u.data = u.data[:before+(said-before)/2]
	}
	if g.defects.PatchShort {
		said = len(u.data)
	}
	g.mu.Unlock()
	if g.defects.PatchCreated {
		w.WriteHeader(http.StatusCreated)
		return
	}
	answerUpload(w, http.StatusAccepted, q.repo, q.ref, said)
}

func (g *Registry) finishUpload(w http.ResponseWriter, q request) {
	u := g.session(w, q)
	if u == nil {
		return
	}
	want, err := digest.Parse(q.URL.Query().Get("digest"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "the digest is missing or malformed")
		return
	}
	data, ok := g.receive(w, q, u)
	if !ok {
		return
	}
	g.mu.Lock()
	delete(g.uploads, q.ref)
	g.mu.Unlock()
	switch {
	case len(data) == 0 && g.defects.RefuseEmptyBlob != 0:
		refuse(w, g.defects.RefuseEmptyBlob, "BLOB_UPLOAD_INVALID", "a blob has at least one byte")
		return
	case want.Algorithm().FromBytes(data) != want:
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "the content has another digest")
		return
	}
	g.mu.Lock()
	g.putBlobLocked(q.repo, want, data)
	g.mu.Unlock()
	w.Header().Set("Location", "/v2/"+q.repo+"/blobs/"+want.String())
	g.setDigest(w, want.String())
	w.WriteHeader(http.StatusCreated)
}
