package ocifs

import (
	"context"
	"errors"
	"net/http"

	"github.com/opencontainers/go-digest"
)

// tombstonesAtOnce is the number of tombstones that are deleted behind answers at one time; where there are more, the
// answer waits.
const tombstonesAtOnce = 16

// tombstones are being deleted behind the answers: a tag reads as absent as soon as its tombstone stands. Until a
// deletion is over we push nothing to its tag. For a registry that deletes by digest looks for the tags first and takes
// them away then, whatever they point to by that time (distribution does), and what was pushed in between would be lost.
type tombstones struct {
	deleting *flights[reference] // of all trees of the drive
	slots    chan struct{}
}

// removeTagBehind is removeTag that does not wait for the deletion of a tombstone.
func (f *FS) removeTagBehind(ctx context.Context, repo, tag string) error {
	tombstone, err := f.hideTag(ctx, repo, tag)
	if err != nil || tombstone == "" {
		return err
	}
	ref := reference{repo, tag}
	leave, busy := f.tombstones.deleting.take(ref)
	if busy != nil { // it is not ours to wait with a new one for an older one: this one stays
		return nil
	}
	bury := func(ctx context.Context) {
		defer leave()
		f.deleteTombstone(ctx, ref, tombstone)
	}
	select {
	case f.tombstones.slots <- struct{}{}:
		behind := f.behind(func(ctx context.Context) {
			defer func() { <-f.tombstones.slots }()
			bury(ctx)
		})
		if behind {
			return nil
		}
		<-f.tombstones.slots
	default:
	}
	bury(ctx)
	return nil
}

// wait waits for the deletion of the tombstone of ref.
func (t *tombstones) wait(ctx context.Context, ref reference) error {
	leave, err := t.deleting.join(ctx, ref)
	if err != nil {
		return failure(err, "wait until the tombstone of tag %s of %s is gone", ref.tag, ref.repo)
	}
	leave()
	return nil
}

// close waits for those under way, or until ctx ends: what is left then reads as absent too.
func (t *tombstones) close(ctx context.Context) {
	for range cap(t.slots) {
		select {
		case t.slots <- struct{}{}:
			defer func() { <-t.slots }()
		case <-ctx.Done():
			return
		}
	}
}

// deleteTombstone takes away a tombstone, which only its own tag refers to.
func (f *FS) deleteTombstone(ctx context.Context, ref reference, tombstone digest.Digest) {
	r, err := f.repository(ref.repo)
	if err == nil {
		err = r.deleteManifest(ctx, tombstone.String())
	}
	if err == nil || errors.Is(err, errAbsent) {
		return
	}
	// It reads as absent already. That some registries refuse this to some users is no reason to fail.
	f.log.Debug("tombstone stays", "repository", ref.repo, "tag", ref.tag, "error", err)
	if refusesMethod(err) || status(err) == http.StatusForbidden {
		f.rung.CompareAndSwap(rungDeleteDigest, rungTombstone)
	}
}
