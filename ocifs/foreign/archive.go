package foreign

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"sort"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Limits of an archive. What goes beyond them has none: it would take much memory, or many requests, to say how long it is.
const (
	maxMembers   = 1 << 16
	maxManifests = 256
)

const (
	tarBlock    = 512
	tarEnd      = 2 * tarBlock // zeros
	tarMaxSize  = 8 << 30      // from here on a size needs a PAX record
	tarMaxName  = 100          // so does a longer name, in general
	blobMode    = 0o644
	folderMode  = 0o755
	archiveType = "application/x-tar"
)

// An archive is what an image.tar consists of: an OCI image layout (image-spec, "image-layout.md") as a tar file, the same
// bytes each time. It is made of descriptors: blobs are not read before the tar file is.
type archive struct {
	members []member
	size    int64
}

// A member is a directory, a made file, a manifest or a blob.
type member struct {
	start, header int64 // where its header begins in the archive, and how long that is
	size          int64

	name string // of what is made; the others are named by their digests
	body []byte

	digest    digest.Digest
	mediaType string
	manifest  bool
}

func (m *member) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: m.mediaType, Digest: m.digest, Size: m.size}
}

func (m *member) path() string {
	if m.digest == "" {
		return m.name
	}
	return blobFolder(m.digest) + m.digest.Encoded()
}

func blobFolder(d digest.Digest) string {
	return ocispec.ImageBlobsDir + "/" + d.Algorithm().String() + "/"
}

// headerBytes are all that comes before the content.
func (m *member) headerBytes() []byte {
	h := tar.Header{Typeflag: tar.TypeReg, Name: m.path(), Size: m.size, Mode: blobMode, ModTime: epoch}
	if h.Name[len(h.Name)-1] == '/' {
		h.Typeflag, h.Mode = tar.TypeDir, folderMode
	}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&h); err != nil {
		panic(fmt.Sprintf("foreign: no tar header for %s of %d bytes: %v", h.Name, h.Size, err)) // both are ours
	}
	return b.Bytes()
}

// end is where the next member begins.
func (m *member) end() int64 { return m.start + m.header + m.size + padding(m.size) }

func padding(size int64) int64 { return -size & (tarBlock - 1) }

// add appends a member. It is errNone if the archive gets too large to exist.
func (a *archive) add(m member) error {
	m.start, m.header = a.size, tarBlock
	if len(m.path()) > tarMaxName || m.size >= tarMaxSize {
		m.header = int64(len(m.headerBytes()))
	}
	if len(a.members) == maxMembers || m.size > math.MaxInt64-a.size-m.header-tarBlock-tarEnd {
		return errNone
	}
	a.members = append(a.members, m)
	a.size = m.end()
	return nil
}

// begin makes the archive of what desc describes, up to its blobs.
func begin(tag string, desc ocispec.Descriptor) (*archive, error) {
	layout, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return nil, fmt.Errorf("encode image layout: %w", err)
	}
	desc.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	index, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{desc},
	})
	if err != nil {
		return nil, fmt.Errorf("encode index of %s: %w", tag, err)
	}
	a := &archive{}
	for _, m := range []member{
		{name: ocispec.ImageLayoutFile, body: layout, size: int64(len(layout))},
		{name: ocispec.ImageIndexFile, body: index, size: int64(len(index))},
		{name: ocispec.ImageBlobsDir + "/"},
	} {
		if err := a.add(m); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// length is that of the file.
func (a *archive) length() int64 { return a.size + tarEnd }

// digest is one of what the archive is made of, which says what its bytes are.
func (a *archive) digest() digest.Digest {
	all := digest.Canonical.Digester()
	fmt.Fprintln(all.Hash(), "ocidav image.tar 1") // count it up when the bytes become others
	for _, m := range a.members {
		fmt.Fprintf(all.Hash(), "%s %d %s\n", m.path(), m.size, m.body)
	}
	return all.Digest()
}

// at is the number of the member in which offset lies; that of members, if it is after all of them.
func (a *archive) at(offset int64) int {
	return sort.Search(len(a.members), func(i int) bool { return offset < a.members[i].end() })
}
