package ocifs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
)

// Rungs of the removal ladder: what a registry may let us do to make a tag read as absent. The first that works is
// remembered, because a registry that refused once will refuse again.
const (
	rungDeleteTag    = iota // DELETE by tag
	rungDeleteDigest        // a tombstone on the tag, then DELETE by the tombstone's digest
	rungTombstone           // a tombstone that stays
)

// removeTag makes a tag of ours read as absent, and takes it away if the registry lets us.
func (f *FS) removeTag(ctx context.Context, repo, tag string) error {
	tombstone, err := f.hideTag(ctx, repo, tag)
	if err == nil && tombstone != "" {
		f.deleteTombstone(ctx, reference{repo, tag}, tombstone)
	}
	return err
}

// hideTag makes a tag of ours read as absent. The manifest under it is never deleted by its digest, and blobs never:
// somebody's tag may share them. A tombstone is a manifest that nobody shares, so deleting it takes away its own tag
// only; its digest is given where that is to be tried.
func (f *FS) hideTag(ctx context.Context, repo, tag string) (tombstone digest.Digest, err error) {
	ref := reference{repo, tag}
	defer func() {
		f.tags.forget(ref)
		f.alsoListed(ref)
		f.tell(ref)
		if err == nil {
			f.tags.set(ref, tagged{}, 1)
			f.bundleLater(ref)
		}
	}()
	r, err := f.repository(repo)
	if err != nil {
		return "", err
	}
	if f.rung.Load() == rungDeleteTag {
		err := r.deleteManifest(ctx, tag)
		if unheard(err) && f.gone(ctx, r, tag) {
			return "", nil
		}
		if err == nil || errors.Is(err, errAbsent) {
			if f.deletes.Load() || !f.stays(ctx, r, tag) {
				return "", nil
			}
		} else if !refusesMethod(err) {
			return "", failure(err, "delete tag %s of %s", tag, repo)
		}
		f.rung.CompareAndSwap(rungDeleteTag, rungDeleteDigest)
	}
	if _, err := f.commit(ctx, repo, tag, &artifact{kind: kindTombstone, modTime: time.Now()}, nothing); err != nil {
		return "", fmt.Errorf("remove tag %s of %s: %w", tag, repo, err)
	}
	if f.rung.Load() != rungDeleteDigest {
		return "", nil
	}
	t, _, _ := f.tags.get(ref)
	return t.digest, nil // if that is forgotten meanwhile, the tombstone does
}

// unheard says whether a request may have had its effect although it failed: its answer was lost.
func unheard(err error) bool {
	return err != nil && !errors.Is(err, errAbsent) && (status(err) == 0 || status(err) >= http.StatusInternalServerError)
}

// gone says whether the registry says that there is no such tag, so that a failure of its deletion is none.
func (f *FS) gone(ctx context.Context, r repository, tag string) bool {
	_, _, err := r.fetchManifest(ctx, tag)
	return errors.Is(err, errAbsent)
}

// stays says whether a tag is still there after its deletion. It is asked until it has been seen to go once: a registry
// that knows no deletion by tag may answer that there is no such manifest (ECR did), and the file would come back.
func (f *FS) stays(ctx context.Context, r repository, tag string) bool {
	_, _, err := r.fetchManifest(ctx, tag)
	if errors.Is(err, errAbsent) {
		f.deletes.Store(true)
	}
	return err == nil
}

// refusesMethod says whether the registry refuses to delete in this way at all: by what the specification lets it say
// (400 and 405), and by what some say instead.
func refusesMethod(err error) bool {
	switch status(err) {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusNotFound:
		return true
	}
	return hasCode(err, "UNSUPPORTED")
}
