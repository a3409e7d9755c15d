// Package foreign shows an artifact that somebody else pushed as a read-only directory of files: of what [New] is given,
// one manifest or index under a tag. It is pure: manifests and blobs come through a [Source], and nothing is ever written.
//
// # What is shown
//
//   - Each layer with a title (org.opencontainers.image.title) is a file of that name. A title that is a path goes through
//     directories. A directory that oras has packed (io.deis.oras.content.unpack) is the archive that it was packed into:
//     its title and .tar.gz, unless it ends in that or .tgz.
//   - A layer without one is layer-N.EXT, N its number from 1, with zeros before it where there are ten or more, and EXT by
//     its media type.
//   - A Helm chart is NAME-VERSION.tgz, and NAME-VERSION.tgz.prov its provenance, as helm pull writes them.
//   - An image has config.json, its layers, and image.tar: an OCI image layout of all that the image consists of, which podman
//     load and skopeo take. An image is what has the config of one, and no layers of other kinds.
//   - An index, or manifest list, has a directory for each manifest, named by its platform (linux-arm64-v8,
//     windows-amd64-10.0.17763.1) or else by what it is and the beginning of its digest, and an image.tar of all of them. What
//     BuildKit attests of a platform is in .attestations, in a directory of the platform's name.
//   - manifest.json is the manifest or index. Every image and index shows it, and so does every artifact whose files are not all
//     there is to it: with a layer without a title, with one left out, or with none. Such an artifact also shows its
//     config.json, if it has a config that is not empty. Artifacts of nothing but titled layers, and charts, show neither.
//   - .referrers holds what refers to the manifest (signatures, SBOMs, attestations), if anything does: for each a directory by
//     its artifact type and the beginning of its digest, shown by the same rules but for its own referrers. Manifests of an
//     index have their own.
//
// What cannot be understood, or in two ways, is an artifact of which manifest.json is all that is known. Left out are layers
// of which there can be no blob (no digest, a negative size), the empty descriptor, and layers that lie elsewhere ("urls"):
// registries mostly do not have those, and nothing is fetched from where a manifest says. Of an index, what is no manifest by
// its media type is left out. Content embedded in descriptors is not looked at.
//
// # Names
//
// Titles are others' words, so names are made of them: relative, without "." (left out) and ".." (made "__"), 32 directories
// deep at most, each name of at most 255 bytes (what is longer is cut, and marked by a hash before its extension) in Unicode NFC,
// with "_" for control characters, backslashes and what turns the direction of a text round. Paths are looked up in any
// normalisation. All other characters are kept, as the drive does with names of its own.
//
// Where two want one name the directories come first and then the files in the order of the manifest; the others get a number,
// report-2.pdf. The names above that are not of a title (manifest.json, config.json, image.tar, .referrers) are taken where they
// are shown, .referrers always. So names depend on the manifest alone, and for a chart on its config.
//
// # Descriptions
//
// Sizes, types and digests are those of descriptors. Times are what the layer or the manifest says
// (org.opencontainers.image.created), else what the config of an image says, else the beginning of 1970; of a directory in an
// index or of referrers what its descriptor says, else the index. No layer is ever asked for but to be read. Asked for are
//
//   - the config of an image without a time, to describe what is in it, and of a chart, for its name
//   - manifests below an index, to see what is in them, and all of them at once for the size of its image.tar
//   - referrers, to list the directory that would show them
//
// # image.tar
//
// It has oci-layout, index.json with the tag as org.opencontainers.image.ref.name, and each manifest and blob once, bytes and
// types as they are. Nobody stores it: members are in a fixed order with fixed times and modes, so its size is known from
// descriptors, its bytes are the same each time, and a range of it asks for the blobs in that range only. Its Digest is one of
// its list of members. There is none where a manifest names what cannot be, names one digest with two sizes, or where it would
// have more than 65,536 members, 256 manifests or four indexes in each other, or be too long for a number; manifests of an
// index that the registry does not have are left out, as are layers that lie elsewhere.
package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
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

	manifest *ocispec.Descriptor // or the manifest that it is
	archive  *archive            // or what it is made of
}

// A View is one artifact as a directory. It may be used on many goroutines, and holds in memory what its manifest says:
// some 900 bytes for each layer, once it has been looked into.
type View struct {
	artifact *artifact
	root     atomic.Pointer[folder]
}

// New makes the view of an artifact that stands under a tag: of its manifest or index, which desc describes. It asks for
// nothing, and any bytes are an artifact.
func New(src Source, tag string, desc ocispec.Descriptor, manifest []byte) *View {
	return &View{artifact: newArtifact(src, tag, desc, manifest)}
}

// Entry describes the directory itself, asking for nothing: its time is what the manifest says, or the beginning of 1970.
// Stat of "" may know better, since it looks into the config of an image, which may fail: a listing that shows many
// artifacts goes by this one, so that a damaged artifact does not keep it from being whole.
func (v *View) Entry() Entry { return v.item().Entry }

// Stat describes what is at a path in the directory: relative, with slashes, "" for the directory itself. The error
// matches fs.ErrNotExist if there is no such name.
func (v *View) Stat(ctx context.Context, path string) (Entry, error) {
	i, err := v.item().find(ctx, path)
	if err == nil {
		i.Entry, err = i.describe(ctx)
	}
	if err != nil {
		return Entry{}, v.failed("describe", path, err)
	}
	return i.Entry, nil
}

// ReadDir describes all members of the directory at a path, sorted by name: all of them or an error. It matches
// fs.ErrNotExist if there is no such name, and fs.ErrInvalid if it is a file.
func (v *View) ReadDir(ctx context.Context, path string) ([]Entry, error) {
	i, err := v.item().find(ctx, path)
	if err == nil && !i.Dir {
		err = fs.ErrInvalid
	}
	var f *folder
	if err == nil {
		f, err = i.enter(ctx)
	}
	var all []Entry
	if err == nil {
		all, err = f.list(ctx)
	}
	if err != nil {
		return nil, v.failed("list", path, err)
	}
	return all, nil
}

// Open opens the content of a file that Stat or ReadDir of this View, or of another of the same manifest, has described.
// It asks for a manifest, or as much as Source.Blob does; an image.tar asks for each blob when it is read.
func (v *View) Open(ctx context.Context, e Entry) (Content, error) {
	a := v.artifact
	switch {
	case e.archive != nil:
		return &tarball{ctx: ctx, src: a.src, archive: e.archive}, nil
	case e.manifest != nil:
		c, err := openManifest(ctx, a.src, *e.manifest)
		if err != nil {
			return nil, failed(err, "open %s of %s", e.Name, a.tag)
		}
		return c, nil
	case e.Blob.Digest != "":
		c, err := a.src.Blob(ctx, e.Blob)
		if err != nil {
			return nil, failed(err, "open %s of %s", e.Name, a.tag)
		}
		return c, nil
	}
	return nil, fmt.Errorf("open %s of %s: it is no file of a view: %w", e.Name, a.tag, fs.ErrInvalid)
}

// item is the directory itself.
func (v *View) item() item {
	i := v.artifact.item()
	i.Name, i.Dir, i.enter = v.artifact.tag, true, v.folder
	return i
}

// folder is made once, for it has a name for each layer.
func (v *View) folder(ctx context.Context) (*folder, error) {
	if f := v.root.Load(); f != nil {
		return f, nil
	}
	f, err := v.artifact.folder(ctx)
	if err == nil {
		v.root.Store(f)
	}
	return f, err
}

func (v *View) failed(verb, path string, err error) error {
	if errors.Is(err, errNone) {
		err = fs.ErrNotExist
	}
	return fmt.Errorf("%s %q in %s: %w", verb, path, v.artifact.tag, err)
}

// openManifest opens the bytes of a manifest.
func openManifest(ctx context.Context, src Source, desc ocispec.Descriptor) (Content, error) {
	data, err := src.Manifest(ctx, desc)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != desc.Size {
		return nil, fmt.Errorf("manifest %s has %d bytes, and had %d", desc.Digest, len(data), desc.Size)
	}
	return made{bytes.NewReader(data)}, nil
}
