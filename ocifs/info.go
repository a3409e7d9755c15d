package ocifs

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"path"
	"time"

	"github.com/opencontainers/go-digest"
)

// info is the fs.FileInfo of a file or directory: what one manifest said. It carries that manifest, so that what was
// described is what is read (invariant 5). It is kept and given to everybody, and changed by nobody.
type info struct {
	repo string // where the content's blobs are; for a directory, the repository of its marker
	artifact
}

// in is i as found in repo; nil for a tombstone, which reads as absent. A manifest stands in one repository nearly always, so
// that a listing of 100,000 files makes nothing of its own for each.
func (i *info) in(repo string) *info {
	switch {
	case i.kind == kindTombstone:
		return nil
	case i.repo == repo:
		return i
	}
	return &info{repo: repo, artifact: i.artifact}
}

func (i *info) Name() string       { return i.name }
func (i *info) Size() int64        { return i.size }
func (i *info) ModTime() time.Time { return i.modTime }
func (i *info) IsDir() bool        { return i.kind == kindDirectory || i.kind == kindBare }
func (i *info) Sys() any           { return nil }

func (i *info) Mode() fs.FileMode {
	if i.IsDir() {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

// Checksums are the digests of the content that are known, as ALGORITHM:HEX.
func (i *info) Checksums() []string {
	if i.IsDir() || i.derived || i.content.Algorithm() != digest.SHA256 {
		return i.checksums
	}
	return append(i.checksums[:len(i.checksums):len(i.checksums)], "SHA256:"+i.content.Encoded())
}

// BirthTime is the time of the first write under this name.
func (i *info) BirthTime() time.Time { return i.birthTime }

// ETag is the content's digest, quoted; directories have none. It is in base64, because clients put several entity-tags
// and lock tokens into one If header, some of them (litmus) into a buffer of 200 bytes.
func (i *info) ETag(context.Context) (string, error) {
	if i.IsDir() {
		return "", nil
	}
	return etagOf(i.content)
}

func etagOf(d digest.Digest) (string, error) {
	sum, err := hex.DecodeString(d.Encoded())
	if err != nil {
		return "", fmt.Errorf("digest %s: %w", d, err)
	}
	return `"` + base64.RawURLEncoding.EncodeToString(sum) + `"`, nil
}

// ContentType is the type that the file was written with, or that its name suggests. It never looks at the content.
func (i *info) ContentType(context.Context) (string, error) {
	if i.contentType != "" {
		return i.contentType, nil
	}
	if t := mime.TypeByExtension(path.Ext(i.name)); t != "" {
		return t, nil
	}
	return typeContent, nil
}
