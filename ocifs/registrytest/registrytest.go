// Package registrytest is an OCI registry in memory for tests. It stands at the wire, so that a real client talks to
// it, and behaves by the OCI distribution specification 1.1 as distribution 3 and zot do. [Defects] make it behave like
// other registries, [Registry.Fail] makes single requests go wrong, [Registry.Requests] and [Registry.Count] tell what
// was asked, and the back doors (Tags, Manifest, PutBlob and so on) look and reach into it past the protocol.
//
// Serve it by net/http/httptest, or by [Listen], whose connections are pipes within the process: with those a test can
// run in a bubble of testing/synctest, where a client's pauses between two tries take no time.
//
// Files: routes, answers (registrytest.go); manifests, tags (manifests.go); blobs (blobs.go); uploads, mounts
// (uploads.go); what is stored, back doors (store.go); defects.go; what goes wrong
// (faults.go), and at which requests (rules.go); counts.go; listen.go; who may do what (tokens.go).
package registrytest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A Registry is an http.Handler and safe for concurrent use.
type Registry struct {
	defects Defects
	faults  faults
	counts  counts

	mu           sync.Mutex
	repositories map[string]*repository
	blobs        map[string][]byte // by digest, of all repositories
	uploads      map[string]*upload
	lastUpload   int
	second       time.Time // that Defects.Rate counts in
	inSecond     int
}

// New gives an empty registry.
func New(d Defects) *Registry {
	return &Registry{
		defects: d, repositories: map[string]*repository{}, blobs: map[string][]byte{}, uploads: map[string]*upload{},
	}
}

// The grammar of the specification, "Pulling manifests".
var (
	nameGrammar = regexp.MustCompile(
		`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	plainGrammar = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*$`) // of Defects.PlainNames
	tagGrammar   = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// request is a request as the routes see it.
type request struct {
	*http.Request
	kind string // what it is about: base, catalog, tags, manifest, blob, upload, mount, referrers, other
	repo string
	ref  string // a tag, a digest, the id of an upload
}

// route reads the path. The last word of a route that occurs in it decides, since repositories may have such names too.
func route(r *http.Request) request {
	q := request{Request: r, kind: "other"}
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	switch {
	case !ok:
		return q
	case path == "":
		q.kind = "base"
		return q
	case path == "_catalog":
		q.kind = "catalog"
		return q
	}
	if repo, ok := strings.CutSuffix(path, "/tags/list"); ok {
		q.kind, q.repo = "tags", repo
		return q
	}
	for _, word := range []struct{ part, kind string }{
		{"/blobs/uploads/", "upload"}, {"/manifests/", "manifest"}, {"/blobs/", "blob"}, {"/referrers/", "referrers"},
	} {
		i := strings.LastIndex(path, word.part)
		if i < 0 {
			continue
		}
		if ref := path[i+len(word.part):]; !strings.Contains(ref, "/") {
			q.kind, q.repo, q.ref = word.kind, path[:i], ref
			break
		}
	}
	if q.kind == "upload" && r.URL.Query().Get("mount") != "" {
		q.kind = "mount"
	}
	return q
}

// ServeHTTP implements http.Handler.
func (g *Registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := route(r)
	g.counts.add(q)
	if g.defects.Latency > 0 {
		select {
		case <-time.After(g.defects.Latency):
		case <-r.Context().Done():
			return
		}
	}
	if g.overRate() {
		TooMany(time.Second)(w, r, nil)
		return
	}
	serve := func(w http.ResponseWriter, r *http.Request) {
		q.Request = r
		g.serve(w, q)
	}
	if fault := g.faults.pick(r); fault != nil {
		fault(w, r, serve)
		return
	}
	serve(w, r)
}

// overRate says whether this second has had its requests.
func (g *Registry) overRate() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); now.Sub(g.second) >= time.Second {
		g.second, g.inSecond = now, 0
	}
	g.inSecond++
	return g.defects.Rate > 0 && g.inSecond > g.defects.Rate
}

// refusesName answers for a repository that there cannot be, or that this request would have to make.
func (g *Registry) refusesName(w http.ResponseWriter, q request) bool {
	pushes := q.Method == http.MethodPost || q.Method == http.MethodPut
	switch {
	case q.repo == "":
		return false
	case !nameGrammar.MatchString(q.repo), g.defects.PlainNames && !plainGrammar.MatchString(q.repo):
		refuse(w, http.StatusBadRequest, "NAME_INVALID", "invalid repository name")
	case g.defects.Depth > 0 && pushes && strings.Count(q.repo, "/") >= g.defects.Depth:
		refuse(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
	case g.defects.NoCreate && pushes && !g.made(q.repo):
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "the repository does not exist")
	default:
		return false
	}
	return true
}

func (g *Registry) serve(w http.ResponseWriter, q request) {
	if g.refusesName(w, q) {
		return
	}
	type endpoint struct{ method, kind string }
	handle := map[endpoint]func(http.ResponseWriter, request){
		{"GET", "base"}:        g.base,
		{"GET", "catalog"}:     g.catalog,
		{"GET", "tags"}:        g.listTags,
		{"GET", "manifest"}:    g.getManifest,
		{"HEAD", "manifest"}:   g.getManifest,
		{"PUT", "manifest"}:    g.putManifest,
		{"DELETE", "manifest"}: g.deleteManifest,
		{"GET", "referrers"}:   g.referrers,
		{"GET", "blob"}:        g.getBlob,
		{"HEAD", "blob"}:       g.getBlob,
		{"DELETE", "blob"}:     g.deleteBlob,
		{"POST", "upload"}:     g.startUpload,
		{"POST", "mount"}:      g.mount,
		{"GET", "upload"}:      g.uploadStatus,
		{"PATCH", "upload"}:    g.patchUpload,
		{"PUT", "upload"}:      g.finishUpload,
		{"DELETE", "upload"}:   g.cancelUpload,
	}[endpoint{q.Method, q.kind}]
	switch {
	case handle != nil:
		handle(w, q)
	case q.kind == "other":
		http.NotFound(w, q.Request)
	default:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported")
	}
}

func (g *Registry) base(w http.ResponseWriter, _ request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	answerJSON(w, struct{}{})
}

// answerJSON answers 200 with v.
func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// refuse answers with an error body of the specification, "Error codes".
func refuse(w http.ResponseWriter, status int, code, message string) {
	type one struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string][]one{"errors": {{code, message}}})
}

// setDigest tells the digest of what is answered, if this registry does that.
func (g *Registry) setDigest(w http.ResponseWriter, digest string) {
	if !g.defects.OmitDigestHeader {
		w.Header().Set("Docker-Content-Digest", digest)
	}
}
