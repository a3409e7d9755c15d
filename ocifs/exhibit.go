package ocifs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"

	"ocidav/ocifs/foreign"
)

// An exhibit is somebody's artifact under a tag that could be a file's: a directory, named as the file would be, that can
// be read and as a whole removed. What is in it package foreign says.
type exhibit struct {
	name      string // in the tree
	repo, tag string
	modTime   time.Time
}

// insideError says that a name is an exhibit, or lies in one. Who only reads goes on there; to all others it is the answer.
type insideError struct {
	name string // that was asked for
	exhibit
	path string // in the exhibit, empty for itself
}

func (e *insideError) Error() string {
	return fmt.Sprintf("%s is an artifact that was not written by ocidav, which can be read and not changed: %v", e.exhibit.name, fs.ErrPermission)
}

func (e *insideError) Unwrap() error { return fs.ErrPermission }

// exhibitAt says what exhibit a foreign artifact is that stands under the tag of the file p; nil: none, since its name cannot be known.
func (f *FS) exhibitAt(p place, i *info) *exhibit {
	if name, kind := f.layout.of(p.repo, p.file).nameOf(p.file); i == nil || i.kind != kindForeign || kind != tagFile || name == "" {
		return nil
	}
	return &exhibit{name: p.name, repo: p.repo, tag: p.file, modTime: i.modTime}
}

// missing is the error where the directory above has no marker: it may be an exhibit. None if it is a bare directory. bare says
// that it lies in one, where a file of ours is of nothing.
func (f *FS) missing(ctx context.Context, name, above string, bare bool) error {
	p, err := f.place(above)
	if err != nil {
		return err
	}
	i, err := f.tag(ctx, p.repo, p.file)
	if err != nil {
		return err
	}
	if e := f.exhibitAt(p, i); e != nil {
		return &insideError{name: name, exhibit: *e, path: strings.TrimPrefix(name, above+"/")}
	}
	if i == nil || i.kind == kindForeign || bare && i.kind != kindShared { // else there is a file
		if b, err := f.bareAt(ctx, above); err != nil || b != nil {
			return err
		}
	}
	return fmt.Errorf("%s: its directory does not exist: %w", name, fs.ErrNotExist)
}

// view is what is in the exhibit e, by the manifest that its tag has now.
func (f *FS) view(ctx context.Context, e exhibit) (*foreign.View, error) {
	i, err := f.tag(ctx, e.repo, e.tag)
	if err != nil {
		return nil, err
	}
	if i == nil {
		return nil, fmt.Errorf("%s: %w", e.name, fs.ErrNotExist)
	}
	t, _, _ := f.tags.last(reference{e.repo, e.tag})
	data, err := []byte(nil), errAbsent
	if t.digest != "" {
		data, err = f.manifestBytes(ctx, e.repo, t)
	}
	if errors.Is(err, errAbsent) { // the tag has changed since, or is said to have: what it is now the registry knows
		t.digest, data, err = f.fetchTag(ctx, e.repo, e.tag)
	}
	if errors.Is(err, errAbsent) {
		return nil, fmt.Errorf("%s: %w", e.name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	return foreign.New(exhibitSource{f, e}, e.tag, ocispec.Descriptor{Digest: t.digest, Size: int64(len(data))}, data), nil
}

// fetchTag asks the registry for the manifest under a tag, whatever is known of it. errAbsent: there is none.
func (f *FS) fetchTag(ctx context.Context, repo, tag string) (digest.Digest, []byte, error) {
	r, err := f.repository(repo)
	if err != nil {
		return "", nil, err
	}
	d, data, err := r.fetchManifest(ctx, tag)
	if errors.Is(err, errAbsent) {
		return "", nil, errAbsent
	}
	return d, data, failure(err, "fetch manifest %s in %s", tag, repo)
}

// statInside describes what a name in an exhibit is.
func (f *FS) statInside(ctx context.Context, in *insideError) (fs.FileInfo, error) {
	if in.path == "" {
		return in.exhibit.info(), nil
	}
	v, err := f.view(ctx, in.exhibit)
	if err != nil {
		return nil, err
	}
	e, err := v.Stat(ctx, in.path)
	if err != nil {
		return nil, insideFailure(err, in)
	}
	return in.exhibit.shown(v, e), nil
}

// readDirInside lists a directory in an exhibit.
func (f *FS) readDirInside(ctx context.Context, in *insideError) ([]fs.FileInfo, error) {
	v, err := f.view(ctx, in.exhibit)
	if err != nil {
		return nil, err
	}
	all, err := v.ReadDir(ctx, in.path)
	if err != nil {
		return nil, insideFailure(err, in)
	}
	infos := make([]fs.FileInfo, len(all))
	for i, e := range all {
		infos[i] = in.exhibit.shown(v, e)
	}
	return infos, nil
}

// fileInside is the state of a name in an exhibit that is a file and one blob: such a file can be copied as any other.
func (f *FS) fileInside(ctx context.Context, in *insideError) (state, error) {
	fi, err := f.statInside(ctx, in)
	if err != nil {
		return state{}, err
	}
	i, ok := fi.(*info)
	if !ok {
		return state{}, fmt.Errorf("%s is made of several parts of an artifact, and cannot be copied within the drive: %w", in.name, fs.ErrPermission)
	}
	return state{file: i}, nil
}

// insideFailure keeps what a view says of a name, and tells all else as the failure that it is.
func insideFailure(err error, in *insideError) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("%s: %w", in.name, err)
	}
	return failure(err, "read %s", in.name)
}

// inside gives where a name leads if err is that it leads into an exhibit.
func inside(err error) (*insideError, bool) {
	var in *insideError
	return in, errors.As(err, &in)
}

// exhibitSource brings what a view asks for.
type exhibitSource struct {
	fs *FS
	exhibit
}

func (s exhibitSource) Manifest(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Size > maxManifestBytes {
		return nil, fmt.Errorf("the manifest %s is said to have %d bytes", desc.Digest, desc.Size)
	}
	data, err := s.fs.memberBytes(ctx, s.repo, tagged{desc.Digest, desc.Size})
	if errors.Is(err, errAbsent) {
		return nil, fmt.Errorf("manifest %s: %w", desc.Digest, fs.ErrNotExist)
	}
	return data, err
}

// memberBytes gives a manifest that another one names, which says nothing of who may read it: see isolation.go.
func (f *FS) memberBytes(ctx context.Context, repo string, t tagged) ([]byte, error) {
	if f.isProven(repo, t.digest) {
		return f.manifestBytes(ctx, repo, t)
	}
	asked := time.Now()
	_, data, err := f.fetchTag(ctx, repo, t.digest.String())
	if err == nil {
		f.prove(repo, t.digest, asked)
		f.keepManifest(ctx, t.digest, data)
	}
	return data, err
}

func (s exhibitSource) Blob(ctx context.Context, desc ocispec.Descriptor) (foreign.Content, error) {
	b, err := s.fs.openBlob(ctx, s.repo, desc)
	return b, failure(err, "open blob %s", desc.Digest)
}

// Referrers are those that the registry tells of, and for registries and tools from before there was a question for that
// those that are tagged by the digest: an index under sha256-HEX, and what cosign puts under names that begin so.
func (s exhibitSource) Referrers(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	r, err := s.fs.repository(s.repo)
	if err != nil {
		return nil, err
	}
	var all []ocispec.Descriptor
	err = r.Referrers(r.scope(ctx), desc, "", func(page []ocispec.Descriptor) error {
		all = append(all, page...)
		return nil
	})
	if err != nil && !refusesMethod(err) && !errors.Is(err, errdef.ErrUnsupported) {
		return nil, failure(err, "list referrers of %s", desc.Digest)
	}
	tags, err := s.fs.listTags(ctx, s.fs.layout.of(s.repo, s.tag))
	if err != nil {
		return nil, err
	}
	prefix := strings.ReplaceAll(desc.Digest.String(), ":", "-")
	for _, tag := range tags {
		ending, ok := strings.CutPrefix(tag, prefix)
		if kind := cosignTypes[ending]; ok && (ending == "" || kind != "") {
			more, err := s.tagged(ctx, tag, kind)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
	}
	return all, nil
}

// cosignTypes are artifact types of what cosign attaches by tags with these endings.
var cosignTypes = map[string]string{
	".sig":  "application/vnd.dev.cosign.artifact.sig.v1+json",
	".att":  "application/vnd.dev.cosign.artifact.att.v1+json",
	".sbom": "application/vnd.dev.cosign.artifact.sbom.v1+json",
}

// tagged gives the manifest under a tag as a referrer of that type; without a type it is an index of referrers.
func (s exhibitSource) tagged(ctx context.Context, tag, artifactType string) ([]ocispec.Descriptor, error) {
	d, data, err := s.fs.fetchTag(ctx, s.repo, tag)
	if errors.Is(err, errAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m ocispec.Index
	_ = json.Unmarshal(data, &m) // what is no index has no manifests
	if artifactType == "" {
		return m.Manifests, nil
	}
	mediaType := m.MediaType
	if mediaType == "" {
		mediaType = ocispec.MediaTypeImageManifest
	}
	return []ocispec.Descriptor{{MediaType: mediaType, ArtifactType: artifactType, Digest: d, Size: int64(len(data))}}, nil
}

// removeExhibit takes the tag of an exhibit away, and nothing else: a tombstone stands in its place first, for some
// registries remove, when they are asked for a tag, the manifest with all its tags.
func (f *FS) removeExhibit(ctx context.Context, e exhibit) error {
	if _, err := f.commit(ctx, e.repo, e.tag, &artifact{kind: kindTombstone, modTime: time.Now()}, nothing); err != nil {
		return err
	}
	f.catalog.changed(e.repo) // it may have been the last one in a bare directory
	return f.removeTagBehind(ctx, e.repo, e.tag)
}
