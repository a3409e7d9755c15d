package probe

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func newMark() string {
	var b [6]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// blob is content with its digest.
type blob struct {
	data   []byte
	digest digest.Digest
}

func newBlob(data []byte) blob { return blob{data, digest.FromBytes(data)} }

// unique gives n bytes that no registry has.
func unique(n int) blob {
	data := make([]byte, n)
	rand.Read(data)
	return newBlob(data)
}

var emptyConfig = newBlob(ocispec.DescriptorEmptyJSON.Data)

// artifact is a manifest like those of a drive's files; note makes it unlike all others.
func artifact(layer blob, artifactType, note string) blob {
	config := ocispec.DescriptorEmptyJSON
	if artifactType == "" { // the compatible form, see package ocifs
		config.MediaType = "application/vnd.unknown.config.v1+json"
	}
	m := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType, Config: config,
		Layers:      []ocispec.Descriptor{{MediaType: "application/octet-stream", Digest: layer.digest, Size: int64(len(layer.data))}},
		Annotations: map[string]string{"vnd.ocidav.probe": note},
	}
	m.SchemaVersion = 2
	data, err := json.Marshal(m)
	if err != nil {
		panic(err) // of strings
	}
	return newBlob(data)
}

// pushed is a tag that is to be removed.
type pushed struct {
	repo, tag string
	digest    digest.Digest
}

// pushManifest pushes to a tag and remembers it.
func (p *probe) pushManifest(ctx context.Context, repo, tag string, m blob) (answer, error) {
	a, err := p.do(ctx, request{
		method: "PUT", path: "/v2/" + repo + "/manifests/" + tag, repo: repo, body: m.data,
		header: map[string][]string{"Content-Type": {ocispec.MediaTypeImageManifest}},
	})
	if err == nil && a.status == 201 {
		p.pushed = append(p.pushed, pushed{repo, tag, m.digest})
	}
	return a, err
}

// manifest is another artifact of this run.
func (p *probe) manifest(note string) blob {
	artifactType := "application/vnd.ocidav.probe.v1"
	if !p.types {
		artifactType = ""
	}
	return artifact(p.blob, artifactType, p.mark+" "+note)
}

var manifests = map[string][]string{"Accept": {ocispec.MediaTypeImageManifest}} // or distribution knows of none

// digestAt is what the registry says that a tag stands for; empty for an absent one.
func (p *probe) digestAt(ctx context.Context, repo, tag string) (digest.Digest, answer, error) {
	a, err := p.do(ctx, request{method: "GET", path: "/v2/" + repo + "/manifests/" + tag, repo: repo, header: manifests})
	if err != nil || a.status != 200 {
		return "", a, err
	}
	return digest.FromBytes(a.body), a, nil
}

// pushBlob is POST and PUT.
func (p *probe) pushBlob(ctx context.Context, repo string, b blob) (answer, error) {
	a, err := p.do(ctx, request{method: "POST", path: "/v2/" + repo + "/blobs/uploads/", repo: repo})
	if err != nil || a.status != 202 {
		return a, err
	}
	to := p.location(a, "digest="+b.digest.String())
	if to == "" {
		return a, nil
	}
	return p.do(ctx, request{method: "PUT", path: to, repo: repo, body: b.data})
}

// holds says whether the registry has the blob whole.
func (p *probe) holds(ctx context.Context, repo string, b blob) (bool, error) {
	a, err := p.do(ctx, request{method: "GET", path: "/v2/" + repo + "/blobs/" + b.digest.String(), repo: repo,
		header: map[string][]string{"Range": {"bytes=0-0"}}})
	if err != nil {
		return false, err
	}
	size := a.header.Get("Content-Length")
	if _, of, ok := strings.Cut(a.header.Get("Content-Range"), "/"); ok {
		size = of
	}
	return (a.status == 200 || a.status == 206) && size == itoa(len(b.data)), nil
}
