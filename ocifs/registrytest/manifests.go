package registrytest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxManifestBytes is what a registry should take at least, and what most take at most.
const maxManifestBytes = 4 << 20

func (g *Registry) getManifest(w http.ResponseWriter, q request) {
	g.mu.Lock()
	sum, m, ok := g.findLocked(q.repo, q.ref)
	g.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown to registry")
		return
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(m.data)))
	g.setDigest(w, sum)
	if q.Method == http.MethodGet {
		_, _ = w.Write(m.data)
	}
}

// references is what of a manifest or an index a registry looks at.
type references struct {
	MediaType    string               `json:"mediaType"`
	ArtifactType string               `json:"artifactType"`
	Config       *ocispec.Descriptor  `json:"config"`
	Layers       []ocispec.Descriptor `json:"layers"`
	Manifests    []ocispec.Descriptor `json:"manifests"`
	Subject      *ocispec.Descriptor  `json:"subject"`
}

func (g *Registry) putManifest(w http.ResponseWriter, q request) {
	data, err := io.ReadAll(io.LimitReader(q.Body, maxManifestBytes+1))
	if err != nil {
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", "the body breaks off")
		return
	}
	if len(data) > maxManifestBytes {
		refuse(w, http.StatusRequestEntityTooLarge, "SIZE_INVALID", "the manifest is too large")
		return
	}
	mediaType, _, _ := mime.ParseMediaType(q.Header.Get("Content-Type"))
	sum := digest.FromBytes(data)
	named, err := digest.Parse(q.ref)
	byDigest := err == nil
	var m references
	switch {
	case byDigest && named.Algorithm().FromBytes(data) != named:
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "the content has another digest")
		return
	case !byDigest && !tagGrammar.MatchString(q.ref):
		refuse(w, http.StatusBadRequest, "TAG_INVALID", "invalid tag")
		return
	case json.Unmarshal(data, &m) != nil, mediaType == "", m.MediaType != "" && m.MediaType != mediaType:
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", "no manifest of the media type")
		return
	case g.defects.KnownTypesOnly && !m.known():
		refuse(w, cmp.Or(g.defects.UnknownType, http.StatusBadRequest), "MANIFEST_INVALID", "unknown media type")
		return
	}
	if byDigest {
		sum = named
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.makeLocked(q.repo)
	if missing := p.missing(m); missing != "" && !g.defects.AcceptMissingBlobs {
		code := "MANIFEST_BLOB_UNKNOWN"
		if g.defects.MissingBlobIsInvalid {
			code = "MANIFEST_INVALID"
		}
		refuse(w, http.StatusBadRequest, code, "the manifest names "+missing+", which is unknown to the repository")
		return
	}
	p.manifests[sum.String()] = manifest{mediaType, data}
	if !byDigest {
		p.tags[q.ref] = sum.String()
		delete(p.phantoms, q.ref)
	}
	if m.Subject != nil {
		w.Header().Set("Oci-Subject", m.Subject.Digest.String())
	}
	w.Header().Set("Location", "/v2/"+q.repo+"/manifests/"+sum.String())
	g.setDigest(w, sum.String())
	w.WriteHeader(http.StatusCreated)
}

// known says whether KnownTypesOnly takes the manifest.
func (m references) known() bool {
	return (m.ArtifactType == "" || knownTypes[m.ArtifactType]) && (m.Config == nil || knownTypes[m.Config.MediaType])
}

// missing gives the first digest that the manifest names and the repository does not hold, empty for none. The subject
// may be absent by the specification.
func (p *repository) missing(m references) string {
	blobs := slices.Clone(m.Layers)
	if m.Config != nil {
		blobs = append(blobs, *m.Config)
	}
	for _, d := range blobs {
		if !p.blobs[d.Digest.String()] {
			return d.Digest.String()
		}
	}
	for _, d := range m.Manifests {
		if _, ok := p.manifests[d.Digest.String()]; !ok {
			return d.Digest.String()
		}
	}
	return ""
}

// deleteManifest deletes a tag, or a manifest with all its tags.
func (g *Registry) deleteManifest(w http.ResponseWriter, q request) {
	_, err := digest.Parse(q.ref)
	byTag := err != nil
	switch {
	case g.defects.NoDelete:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported")
		return
	case byTag && g.defects.NoTagDelete != 0:
		refuse(w, g.defects.NoTagDelete, "UNSUPPORTED", "the operation is unsupported")
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	sum, _, ok := g.findLocked(q.repo, q.ref)
	if !ok || byTag && g.defects.TagDeleteUnknown {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown to registry")
		return
	}
	p := g.repositories[q.repo]
	if g.defects.KeepTagged != 0 && !byTag && slices.Contains(slices.Collect(maps.Values(p.tags)), sum) {
		refuse(w, g.defects.KeepTagged, "DENIED", "a tag has the manifest")
		return
	}
	if byTag && !g.defects.DeleteByTagRemovesManifest {
		delete(p.tags, q.ref)
	} else {
		delete(p.manifests, sum)
		maps.DeleteFunc(p.tags, func(_, tagged string) bool { return tagged == sum })
	}
	w.WriteHeader(http.StatusAccepted)
}

func (g *Registry) listTags(w http.ResponseWriter, q request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.repositories[q.repo]
	if p == nil {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		return
	}
	tags := slices.Sorted(maps.Keys(p.tags))
	for phantom := range p.phantoms {
		tags = append(tags, phantom)
	}
	g.defects.sortTags(tags)
	if !g.defects.IgnorePaging {
		var ok bool
		if tags, ok = g.defects.behindLast(w, tags, q.URL.Query().Get("last")); !ok {
			return
		}
		if tags, ok = page(w, q, tags, g.defects); !ok {
			return
		}
	}
	if len(tags) == 0 {
		tags = []string{}
		if g.defects.TagsNull {
			tags = nil
		}
	}
	answerJSON(w, map[string]any{"name": q.repo, "tags": tags})
}

// page cuts a list by the n of the request and sets Link where more follows; false: it has answered.
func page(w http.ResponseWriter, q request, list []string, d Defects) ([]string, bool) {
	n := len(list)
	if s := q.URL.Query().Get("n"); s != "" {
		asked, err := strconv.Atoi(s)
		if err != nil || asked < 0 || d.PageRefused > 0 && asked > d.PageRefused {
			refuse(w, http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "invalid number of results requested")
			return nil, false
		}
		n = min(n, asked)
		if d.PageCut > 0 && asked >= d.PageCut && len(list) > d.PageCut {
			return list[:d.PageCut], true
		}
	}
	if d.PageSize > 0 {
		n = min(n, d.PageSize)
	}
	if n < len(list) && n > 0 {
		next := url.Values{"n": {strconv.Itoa(n)}, "last": {list[n-1]}}
		w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, q.URL.EscapedPath(), next.Encode()))
	}
	return list[:n], true
}

// catalog lists all repositories: a Docker legacy that is no part of the specification.
func (g *Registry) catalog(w http.ResponseWriter, q request) {
	if g.defects.NoCatalog {
		http.NotFound(w, q.Request)
		return
	}
	names, _ := Defects{}.behindLast(w, g.Repositories(), q.URL.Query().Get("last"))
	if names, ok := page(w, q, names, Defects{PageSize: g.defects.PageSize}); ok {
		answerJSON(w, map[string]any{"repositories": append([]string{}, names...)})
	}
}

// referrers lists the manifests whose subject is the digest.
func (g *Registry) referrers(w http.ResponseWriter, q request) {
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	index.SchemaVersion = 2
	g.mu.Lock()
	if p := g.repositories[q.repo]; p != nil {
		for sum, held := range p.manifests {
			var m references
			if json.Unmarshal(held.data, &m) == nil && m.Subject != nil && m.Subject.Digest.String() == q.ref {
				index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: held.mediaType,
					Digest: digest.Digest(sum), Size: int64(len(held.data)), ArtifactType: m.ArtifactType})
			}
		}
	}
	g.mu.Unlock()
	slices.SortFunc(index.Manifests, func(a, b ocispec.Descriptor) int {
		return strings.Compare(a.Digest.String(), b.Digest.String())
	})
	w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
	_ = json.NewEncoder(w).Encode(index)
}
