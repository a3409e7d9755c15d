package ocifs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// headBeforeBytes: a blob of that size is asked for before it is pushed; below it the question costs more than it saves.
const headBeforeBytes = 256 << 10

// opener gives a blob's bytes from the start, once for each try. An io.Closer is closed afterwards.
type opener func() (io.Reader, error)

// body is a request's body that can be had again, see repeating: net/http can rewind the readers of bytes and strings
// only, so that a 429 in the middle of a large upload would be the end of it.
type body struct {
	io.Reader
	open opener
}

func newBody(open opener) (io.ReadCloser, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	return &body{r, open}, nil
}

func (b *body) again() (io.ReadCloser, error) { return newBody(b.open) }

func (b *body) Close() error {
	if c, ok := b.Reader.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func bytesOpener(data []byte) opener {
	return func() (io.Reader, error) { return bytes.NewReader(data), nil }
}

// pushBlob makes sure that repo holds the blob. One push of it at a time: parallel writers into a new repository all
// want "{}".
func (f *FS) pushBlob(ctx context.Context, repo string, desc ocispec.Descriptor, open opener) error {
	key := presence{repo, desc.Digest}
	leave, err := f.pushes.join(ctx, key)
	if err != nil {
		return failure(err, "push blob %s to %s", desc.Digest, repo)
	}
	defer leave()
	if _, ok := f.present.get(key); ok {
		return nil
	}
	r, err := f.repository(repo)
	if err != nil {
		return err
	}
	if desc.Size >= headBeforeBytes {
		if ok, err := r.Blobs().Exists(r.scope(ctx), desc); err == nil && ok { // if the question fails, the push will say why
			f.hold(repo, desc.Digest)
			return nil
		}
	}
	err = f.attempt(ctx, func() error { return f.pushTo(ctx, r, desc, open) })
	if err != nil {
		return failure(f.unmade(repo, err), "push blob %s to %s", desc.Digest, repo)
	}
	f.openSpare(r, desc)
	f.hold(repo, desc.Digest)
	return nil
}

// hold notes that the registry has taken the blob into repo from this tree, or has told it that it is there.
func (f *FS) hold(repo string, d digest.Digest) {
	f.present.put(presence{repo, d}, struct{}{}, 1)
	f.prove(repo, d, time.Now())
}

// mountBlob makes sure that repo holds a blob that from holds: by reference if the registry can, else by its bytes.
func (f *FS) mountBlob(ctx context.Context, repo, from string, desc ocispec.Descriptor) error {
	if repo == from {
		return nil
	}
	key := presence{repo, desc.Digest}
	leave, err := f.mounting.join(ctx, key)
	if err != nil {
		return failure(err, "mount blob %s from %s to %s", desc.Digest, from, repo)
	}
	defer leave()
	if _, ok := f.present.get(key); ok {
		return nil
	}
	r, err := f.repository(repo)
	if err != nil {
		return err
	}
	ctx = f.writing(ctx) // one phase for both ways
	source := func() (io.Reader, error) { return f.openBlob(ctx, from, desc) }
	if desc.Digest == emptyBlob.Digest { // from may hold nothing of ours
		source = bytesOpener(emptyBlob.Data)
	}
	mounted := true
	err = r.Mount(r.scope(ctx), desc, from, func() (io.ReadCloser, error) {
		mounted = false
		return newBody(source)
	})
	if err == nil {
		f.mounts.Store(mounted)
		f.hold(repo, desc.Digest)
		return nil
	}
	if ctx.Err() != nil {
		return failure(err, "mount blob %s from %s to %s", desc.Digest, from, repo)
	}
	return f.pushBlob(ctx, repo, desc, source) // refused, or lost on the way: Harbor says 401, others 404 or 405
}

// commit pushes the manifest of a to tag: the one step that makes a change visible. heal pushes the blobs again, for
// the registry may have collected one that we knew to be there.
func (f *FS) commit(ctx context.Context, repo, tag string, a *artifact, heal func() error) (*info, error) {
	r, err := f.repository(repo)
	if err != nil {
		return nil, err
	}
	f.catalog.writes(repo)
	if err := f.pushBlob(ctx, repo, emptyBlob, bytesOpener(emptyBlob.Data)); err != nil {
		return nil, err
	}
	ref := reference{repo, tag}
	if err := f.tombstones.wait(ctx, ref); err != nil {
		return nil, err
	}
	compatible := f.compatible.Load()
	desc, data, err := a.marshal(compatible)
	if err != nil {
		return nil, err
	}
	healed, unsure := 0, false
	stands := func() bool {
		if !unsure {
			return false
		}
		t, err := r.headManifest(ctx, tag)
		return err == nil && t.digest == desc.Digest // nobody else's: it has our write-id
	}
	err = f.attempt(ctx, func() error {
		if stands() {
			return nil
		}
		err := r.pushManifest(ctx, desc, data, tag)
		unsure = mayHaveArrived(err)
		if unsure {
			return err
		}
		// zot says MANIFEST_INVALID for a blob that is gone, and distribution 2.8 DIGEST_INVALID for one that somebody is
		// just linking; if they say it again they mean the manifest.
		if hasCode(err, errcode.ErrorCodeManifestBlobUnknown, errcode.ErrorCodeBlobUnknown) ||
			healed < 1 && hasCode(err, errcode.ErrorCodeManifestInvalid) || healed < 5 && hasCode(err, errcode.ErrorCodeDigestInvalid) {
			healed++
			f.forgetBlobs(repo, a)
			if e := errors.Join(f.pushBlob(ctx, repo, emptyBlob, bytesOpener(emptyBlob.Data)), heal()); e != nil {
				return e
			}
			return again{err}
		}
		return err
	})
	if err != nil && stands() {
		err = nil
	}
	if !compatible && mayRefuseType(err) && !errors.As(err, new(last)) {
		// GitLab knows a list of types and no others; the other form of the same manifest is in the list.
		d, compatibleData, e := a.marshal(true)
		if e == nil && f.attempt(ctx, func() error { return r.pushManifest(ctx, d, compatibleData, tag) }) == nil {
			f.compatible.Store(true)
			desc, data, err = d, compatibleData, nil
		}
	}
	if err != nil {
		f.tags.forget(ref) // it may have arrived
		f.alsoListed(ref)
		f.tell(ref)
		return nil, failure(f.unmade(repo, err), "push manifest %s to %s", tag, repo)
	}
	f.keepManifest(ctx, desc.Digest, data)
	i := f.decode(repo, tag, desc.Digest, data) // first: who sees the answer looks for it
	f.alsoListed(ref)
	f.tell(ref)
	f.tags.set(ref, tagged{desc.Digest, desc.Size}, 1)
	f.bundleLater(ref)
	return i, nil
}

// mayRefuseType says whether a registry may have refused a manifest for its artifactType: 400 from GitLab, 406 and 415 from
// others.
func mayRefuseType(err error) bool {
	switch status(err) {
	case http.StatusBadRequest, http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
		return true
	}
	return false
}

func (f *FS) forgetBlobs(repo string, a *artifact) {
	f.present.drop(presence{repo, emptyBlob.Digest})
	f.present.drop(presence{repo, a.props.digest})
	for _, l := range a.layers {
		f.present.drop(presence{repo, l.digest})
	}
}

// mayHaveArrived says whether the manifest of a failed push may stand: no answer came, or that of somebody in between.
func mayHaveArrived(err error) bool {
	var dial *net.OpError
	switch code := status(err); {
	case err == nil, errors.As(err, &dial) && dial.Op == "dial", code == http.StatusNotImplemented, code == http.StatusInsufficientStorage:
		return false
	case code == 0:
		return true
	default:
		return code >= http.StatusInternalServerError
	}
}
