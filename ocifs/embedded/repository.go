//go:build !noembed

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// repository is what a collection learns of one.
type repository struct {
	c         *collection
	name, dir string

	tagged map[digest.Digest]struct{}  // manifests
	used   map[digest.Digest]struct{}  // the manifests that stay, and what they name
	doomed map[digest.Digest]candidate // manifests of ours that no tag names
	unsure bool                        // something cannot be read, so nothing is removed here
	stays  bool                        // it is not empty in the end
}

// candidate is a manifest that may go.
type candidate struct {
	link  string
	names []digest.Digest
}

func newRepository(c *collection, name, dir string) *repository {
	return &repository{
		c: c, name: name, dir: dir,
		tagged: map[digest.Digest]struct{}{}, used: map[digest.Digest]struct{}{}, doomed: map[digest.Digest]candidate{},
	}
}

// collect removes what is superseded, tells the collection which blobs are used, and says whether nothing is left.
func (r *repository) collect(ctx context.Context) (empty bool, err error) {
	for _, step := range []func(context.Context) error{r.tags, r.revisions, r.sweepRevisions, r.layers, r.uploads} {
		if err := step(ctx); err != nil {
			return false, fmt.Errorf("repository %s: %w", r.name, err)
		}
	}
	return !r.stays, nil
}

// doubt keeps all that is in the repository.
func (r *repository) doubt(what string, err error) {
	if !r.unsure {
		r.c.warn("a repository is not collected, because something in it cannot be read", "repository", r.name, "what", what, "error", err)
	}
	r.unsure = true
}

// tags reads what the tags name, and removes their history: what they named before.
func (r *repository) tags(ctx context.Context) error {
	b := r.c.batch()
	root := filepath.Join(r.dir, "_manifests", "tags")
	err := eachName(ctx, root, func(tag string) error {
		if d := digestOfTag(tag); d != "" { // the referrers of older clients, and cosign's signatures, name it so
			r.used[d] = struct{}{}
		}
		if history := filepath.Join(root, tag, "index"); exists(history) {
			b.add(tagHistory, history, "")
		}
		link, err := b.look(filepath.Join(root, tag, "current"), "link")
		if err == nil && link == "" { // killed while it was written: it never was
			return nil
		}
		var current digest.Digest
		if err == nil {
			current, err = readLink(link)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // deleted just now
		case err != nil:
			r.doubt("tag "+tag, err)
		default:
			r.tagged[current] = struct{}{}
		}
		return nil
	})
	if err != nil || r.unsure { // the history is then what somebody can put it right with
		return err
	}
	return b.remove(ctx)
}

// digestOfTag gives the digest in a tag like sha256-HEX or sha256-HEX.sig.
func digestOfTag(tag string) digest.Digest {
	algorithm, rest, _ := strings.Cut(tag, "-")
	hex, _, _ := strings.Cut(rest, ".")
	if d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex); d.Validate() == nil {
		return d
	}
	return ""
}

// revisions divides the manifests: those that stay, and with them all that they name; and candidates.
func (r *repository) revisions(ctx context.Context) error {
	b := r.c.batch()
	unlinked := maps.Clone(r.tagged)
	err := eachDigest(ctx, filepath.Join(r.dir, "_manifests", "revisions"), func(d digest.Digest, dir string) error {
		link, err := b.look(dir, "link")
		if err != nil || link == "" {
			return err
		}
		_, tagged := r.tagged[d]
		delete(unlinked, d)
		m, err := r.c.manifest(d)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !tagged: // it cannot be read by anybody
			r.doomed[d] = candidate{link: link}
			return nil
		case err != nil:
			r.doubt("manifest "+d.String(), err)
			r.used[d] = struct{}{}
			return nil
		case m.ours && !tagged:
			r.doomed[d] = candidate{link, m.names}
			return nil
		}
		r.use(d, m.names)
		return nil
	})
	if err != nil {
		return err
	}
	for d := range unlinked {
		r.unlinked(d)
	}
	// What a manifest names that stays, stays: a member of an index, a version that somebody has signed.
	for again := true; again; {
		again = false
		for d := range r.doomed {
			if _, ok := r.used[d]; ok {
				r.keep(d)
				again = true
			}
		}
	}
	return b.remove(ctx)
}

// unlinked keeps what a tag names that is no manifest of the repository, because its link was lost or is not restored yet.
// Nobody can read it, so it is somebody's to put right, with all that it needs.
func (r *repository) unlinked(d digest.Digest) {
	m, err := r.c.manifest(d)
	if err != nil {
		r.doubt("manifest "+d.String()+", which a tag names", err)
	}
	r.use(d, m.names)
}

// keep takes a candidate back.
func (r *repository) keep(d digest.Digest) {
	r.use(d, r.doomed[d].names)
	delete(r.doomed, d)
}

// use keeps a manifest and what it names.
func (r *repository) use(d digest.Digest, names []digest.Digest) {
	r.used[d] = struct{}{}
	for _, name := range names {
		r.used[name] = struct{}{}
	}
}

func (r *repository) sweepRevisions(ctx context.Context) error {
	b := r.c.batch()
	b.kept = func(x doomed) { r.keep(x.digest) }
	for d, candidate := range r.doomed {
		if r.unsure {
			r.keep(d)
			continue
		}
		b.add(revision, candidate.link, d)
	}
	return b.remove(ctx)
}

// layers removes the links of blobs that no manifest names, and tells which blobs stay.
func (r *repository) layers(ctx context.Context) error {
	for _, d := range slices.Collect(maps.Keys(r.used)) { // the library serves a layer by way of the link of its target
		target, err := r.c.tree.target(r.name, d)
		if err != nil {
			return fmt.Errorf("link of blob %s: %w", d, err) // which blob it is cannot be known
		}
		r.used[target] = struct{}{}
	}
	for d := range r.used {
		r.c.use(d)
	}
	r.stays = len(r.used) > 0 || len(r.tagged) > 0 || r.unsure
	keep := func(d digest.Digest) error {
		r.stays = true
		target, err := r.c.tree.target(r.name, d)
		if err != nil {
			return fmt.Errorf("link of blob %s: %w", d, err)
		}
		r.c.use(target)
		return nil
	}
	var failure error
	b := r.c.batch()
	b.kept = func(x doomed) { failure = errors.Join(failure, keep(x.digest)) }
	err := eachDigest(ctx, filepath.Join(r.dir, "_layers"), func(d digest.Digest, dir string) error {
		link, err := b.look(dir, "link")
		if err != nil || link == "" {
			return err
		}
		if _, ok := r.used[d]; ok || r.unsure {
			return keep(d)
		}
		b.add(layer, link, d)
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(b.remove(ctx), failure)
}

// uploads removes those that nobody has gone on with.
func (r *repository) uploads(ctx context.Context) error {
	root := filepath.Join(r.dir, "_uploads")
	b := r.c.batch()
	b.kept = func(doomed) { r.stays = true }
	err := eachName(ctx, root, func(id string) error {
		name := filepath.Join(root, id)
		if fi, err := os.Lstat(name); err == nil && !fi.IsDir() { // somebody's
			r.stays = true
			return nil
		}
		b.add(upload, name, "")
		return nil
	})
	if err != nil {
		return err
	}
	return b.remove(ctx)
}
