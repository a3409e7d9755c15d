package registrytest

import (
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// repository is what one repository holds; it exists from the first push on, and for ever.
type repository struct {
	blobs     map[string]bool // by digest: which of Registry.blobs are here
	manifests map[string]manifest
	tags      map[string]string   // tag to digest
	phantoms  map[string]struct{} // tags that are listed only
}

type manifest struct {
	mediaType string
	data      []byte
}

// makeLocked gives the repository name, made if need be. The caller holds mu.
func (g *Registry) makeLocked(name string) *repository {
	p := g.repositories[name]
	if p == nil {
		p = &repository{
			blobs: map[string]bool{}, manifests: map[string]manifest{}, tags: map[string]string{},
			phantoms: map[string]struct{}{},
		}
		g.repositories[name] = p
	}
	return p
}

// findLocked gives the manifest under a tag or digest. The caller holds mu.
func (g *Registry) findLocked(repo, ref string) (sum string, m manifest, ok bool) {
	p := g.repositories[repo]
	if p == nil {
		return "", m, false
	}
	sum = ref
	if tagged, ok := p.tags[ref]; ok {
		sum = tagged
	}
	m, ok = p.manifests[sum]
	return sum, m, ok
}

// Clone gives another registry that holds the same, with other defects and without faults or uploads.
func (g *Registry) Clone(d Defects) *Registry {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := New(d)
	c.blobs = maps.Clone(g.blobs)
	for name, p := range g.repositories {
		c.repositories[name] = &repository{
			blobs: maps.Clone(p.blobs), manifests: maps.Clone(p.manifests), tags: maps.Clone(p.tags),
			phantoms: maps.Clone(p.phantoms),
		}
	}
	return c
}

// Make makes a repository, as its owner does where pushes do not.
func (g *Registry) Make(repo string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.makeLocked(repo)
}

func (g *Registry) made(repo string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.repositories[repo] != nil
}

// Repositories gives the names of all repositories, sorted.
func (g *Registry) Repositories() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(maps.Keys(g.repositories))
}

// Tags gives the tags of a repository that have a manifest, sorted.
func (g *Registry) Tags(repo string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.repositories[repo]; p != nil {
		return slices.Sorted(maps.Keys(p.tags))
	}
	return nil
}

// Manifest gives the manifest under a tag or digest, nil if there is none.
func (g *Registry) Manifest(repo, ref string) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, m, _ := g.findLocked(repo, ref)
	return slices.Clone(m.data)
}

// PutManifest puts a manifest under tag as somebody else might, whether or not its blobs are there. An empty mediaType
// is that of an image manifest, an empty tag leaves it without one.
func (g *Registry) PutManifest(repo, tag, mediaType string, data []byte) digest.Digest {
	if mediaType == "" {
		mediaType = ocispec.MediaTypeImageManifest
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	sum := digest.FromBytes(data)
	p := g.makeLocked(repo)
	p.manifests[sum.String()] = manifest{mediaType, slices.Clone(data)}
	if tag != "" {
		p.tags[tag] = sum.String()
		delete(p.phantoms, tag)
	}
	return sum
}

// Phantom makes the registry list a tag that has no manifest, as distribution does after a crash between the two writes
// of a tag. It ends when a manifest is put there.
func (g *Registry) Phantom(repo, tag string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.makeLocked(repo)
	delete(p.tags, tag)
	p.phantoms[tag] = struct{}{}
}

// HasBlob says whether the blob is in the repository.
func (g *Registry) HasBlob(repo string, d digest.Digest) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.repositories[repo]
	return p != nil && p.blobs[d.String()]
}

// Blob gives the content of a blob, whichever repositories hold it; nil for none.
func (g *Registry) Blob(d digest.Digest) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.blobs[d.String()]
}

// PutBlob puts a blob into the repository.
func (g *Registry) PutBlob(repo string, data []byte) digest.Digest {
	d := digest.FromBytes(data)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.putBlobLocked(repo, d, slices.Clone(data))
	return d
}

func (g *Registry) putBlobLocked(repo string, d digest.Digest, data []byte) {
	g.blobs[d.String()] = data
	g.makeLocked(repo).blobs[d.String()] = true
}

// DropBlob takes a blob out of the repository, as a garbage collection does that did not know of a push on its way.
func (g *Registry) DropBlob(repo string, d digest.Digest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.repositories[repo]; p != nil {
		delete(p.blobs, d.String())
	}
}
