package ocifs

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Whoever may push to one repository can push a manifest there that names any digest, and many registries do not look
// whether the repository has it. If the blobs at hand are those of several users, such a manifest would be the key to what
// another has read. So with Options.Isolated a blob is opened only when the registry has answered this tree, with its own
// credentials, that it is in this repository, no longer ago than Options.Freshness. What the tree has fetched or pushed
// itself is that too. A manifest under a tag needs no such question: its digest is the registry's own answer about the tag,
// or the hash of bytes that the tree had. One that another manifest names does.

// keptProofs is how many are kept of one tree.
const keptProofs = 10_000

// prove notes that the registry lets this tree read the blob, as it has said at the time.
func (f *FS) prove(repo string, d digest.Digest, at time.Time) {
	if f.proofs != nil {
		f.proofs.put(presence{repo, d}, at, 1)
	}
}

// isProven says whether it may be opened without another question.
func (f *FS) isProven(repo string, d digest.Digest) bool {
	if f.proofs == nil {
		return true
	}
	at, ok := f.proofs.get(presence{repo, d})
	return ok && time.Since(at) < f.tags.freshness
}

// mayOpen asks, where that is not known, whether the registry lets this tree read a blob of r.
func (f *FS) mayOpen(ctx context.Context, r repository, desc ocispec.Descriptor) error {
	repo := r.Reference.Repository
	if desc.Size == 0 || f.isProven(repo, desc.Digest) {
		return nil
	}
	asked := time.Now()
	if err := r.hasBlob(ctx, desc); err != nil {
		return failure(err, "ask for blob %s in %s", desc.Digest, repo)
	}
	f.prove(repo, desc.Digest, asked)
	return nil
}

// hasBlob asks whether the repository has a blob, by a byte of it where HEAD is refused: storage that a registry leads to may
// take GET alone.
func (r repository) hasBlob(ctx context.Context, desc ocispec.Descriptor) error {
	resp, err := r.do(ctx, http.MethodHead, "blobs", desc.Digest.String(), nil)
	if err != nil {
		return err
	}
	finish(resp)
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		body, _, err := r.fetchBlob(ctx, desc, 0, 1)
		if err == nil {
			body.Close()
		}
		return err
	}
	return responseError(resp)
}

// perhapsOthers says whether a failure to read a blob may have been meant for another user: who reads a blob at the same time
// waits for the one request that brings it, whoever sends that. This tree has to ask by itself then.
func (f *FS) perhapsOthers(repo string, d digest.Digest, err error) bool {
	class := classOf(err)
	var known *Error
	if errors.As(err, &known) {
		class = known.Class
	}
	if f.proofs == nil || class != classDenied && class != classUnauthorized {
		return false
	}
	f.proofs.drop(presence{repo, d})
	return true
}

// isDenied says whether an error is the registry's refusal of this to this user; to who is nobody it says so by a 401.
func (f *FS) isDenied(ctx context.Context, err error) bool {
	var known *Error
	if !errors.As(err, &known) || known.Class != classUnauthorized {
		return known != nil && known.Class == classDenied
	}
	c, ok := f.registry.Client.(client)
	return ok && c.isNobody(ctx, f.registry.Reference.Host())
}

// forOne is the level of what is told of a registry, where it is only what one of many users may do there.
func (f *FS) forOne(level slog.Level) slog.Level {
	if f.proofs != nil {
		return slog.LevelDebug
	}
	return level
}
