// Package foreign shows an artifact that somebody else pushed as a read-only directory of files. It is pure: manifests
// and blobs come through a [Source], and nothing is ever written.
package foreign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Source is where manifests and blobs come from. It is asked for nothing but digests that a manifest names, on several
// goroutines at once, and keeps what is worth keeping: a View asks again whenever it needs something.
//
// Errors go to the caller of the View, wrapped. One that matches fs.ErrNotExist says that the registry does not have it,
// which is not the same as that the view does not have a name: it is passed on as a failure that does not match any more.
// An index of which some manifests are not in the registry is common, and its image.tar is made of the others.
type Source interface {
	// Manifest gives the bytes of a manifest or index, which have been compared with the digest. It refuses what is too
	// long to be one.
	Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error)

	// Blob opens a blob. The Content ends an unfinished read with an error where the bytes are not those of the digest.
	Blob(ctx context.Context, desc ocispec.Descriptor) (Content, error)

	// Referrers lists the manifests whose subject desc is, with their artifact types; none, where a registry cannot tell.
	Referrers(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error)
}

// Content is an open file. It may also have the method Sequential(from, to int64), which is told what will be read in
// order.
type Content interface {
	io.ReaderAt
	io.ReadSeekCloser
}

// An Entry describes a file or directory of a View. It carries what it describes, so that Open gives that and no other.
type Entry struct {
	Name    string
	Dir     bool
	Size    int64
	ModTime time.Time // never zero: what nobody dates is of the beginning of 1970

	MediaType string        // of a file: what it can be sent as. It is others' word
	Digest    digest.Digest // of a file: its content's, or of what an image.tar is made of: a validator, not a checksum

	// Blob is the blob that the file is, byte for byte, and can be mounted as; zero for what is made or a manifest.
	Blob ocispec.Descriptor

	manifest ocispec.Descriptor // or the manifest that it is
}

// A View is one artifact as a directory. It may be used on many goroutines.
type View struct {
	src      Source
	tag      string
	desc     ocispec.Descriptor
	manifest []byte
}

// New makes the view of an artifact that stands under a tag: of its manifest or index, which desc describes. It asks for
// nothing, and any bytes are an artifact.
func New(src Source, tag string, desc ocispec.Descriptor, manifest []byte) *View {
	return &View{src, tag, desc, manifest}
}

// Entry describes the directory itself, asking for nothing: its time is what the manifest says, or the beginning of 1970.
// Stat of "" may know better, since it looks into the config of an image; show one of them everywhere.
func (v *View) Entry() Entry { return Entry{Name: v.tag, Dir: true, ModTime: time.Unix(0, 0).UTC()} }

// Stat describes what is at a path in the directory: relative, with slashes, "" for the directory itself. The error
// matches fs.ErrNotExist if there is no such name.
func (v *View) Stat(ctx context.Context, path string) (Entry, error) {
	switch path {
	case "":
		return v.Entry(), nil
	case "manifest.json":
		return Entry{Name: path, Size: int64(len(v.manifest)), ModTime: v.Entry().ModTime, MediaType: v.desc.MediaType,
			Digest: v.desc.Digest, manifest: v.desc}, nil
	}
	return Entry{}, fmt.Errorf("%s in %s: %w", path, v.tag, fs.ErrNotExist)
}

// ReadDir describes all members of the directory at a path, sorted by name: all of them or an error.
func (v *View) ReadDir(ctx context.Context, path string) ([]Entry, error) {
	e, err := v.Stat(ctx, "manifest.json")
	return []Entry{e}, err
}

// Open opens the content of a file that Stat or ReadDir of this View, or of another of the same manifest, has described.
// For content of the Source it asks as much as Source.Blob does; an image.tar asks for a blob when it is read.
func (v *View) Open(ctx context.Context, e Entry) (Content, error) {
	return nil, errors.New("not yet")
}
