//go:build !noembed

package embedded

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
)

// Collect removes what nobody names any more; the package documentation says what that is. Writers are held for moments,
// readers never. One collection runs at a time. It ends early with ctx or Close, and what it has removed until then is
// in the answer, as it is where it fails.
func (r *Registry) Collect(ctx context.Context, rules Rules) (Collected, error) {
	if !r.begin() {
		return Collected{}, errClosed
	}
	defer r.end()
	r.collecting.Lock()
	defer r.collecting.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.closing, func() { cancel(errClosed) })()

	c := r.newCollection(rules)
	if err := r.gate.watch(ctx); err != nil {
		return c.done, fmt.Errorf("collect: %w", err)
	}
	defer r.gate.unwatch()
	err := c.named(ctx)
	if err == nil {
		err = c.blobs(ctx)
	}
	if err != nil {
		err = fmt.Errorf("collect: %w", err)
	}
	return c.done, err
}

func (r *Registry) newCollection(rules Rules) *collection {
	now := time.Now()
	return &collection{
		tree: r.tree, gate: &r.gate, rules: rules, young: now.Add(-rules.Grace), youngUpload: now.Add(-rules.Uploads),
		used: map[digest.Digest]struct{}{}, warn: r.journal.log.Warn, fault: r.fault, sweeps: r.sweeps,
	}
}

// collection is one run. It removes from the names to the content: tags' history, revisions, links, and blobs last,
// when every repository has said what it uses. So whatever ends it, what is left is whole.
type collection struct {
	tree               tree
	gate               *gate
	rules              Rules
	young, youngUpload time.Time                  // what was used after that stays
	used               map[digest.Digest]struct{} // blobs, manifests among them
	warn               func(string, ...any)
	fault              func(doomed) error // of tests, before something is removed
	sweeps             func([]doomed)     // of tests, before the gate is held for that
	done               Collected
}

// use keeps blobs.
func (c *collection) use(digests ...digest.Digest) {
	for _, d := range digests {
		c.used[d] = struct{}{}
	}
}

// named looks at all repositories. There is no registry without their directory: one that has blobs and no repositories
// is half of a backup, or its volume is not mounted, and who names the blobs cannot be known.
func (c *collection) named(ctx context.Context) error {
	if exists(filepath.Join(string(c.tree), "blobs")) { // asked first: whoever pushes the first blob makes the other before
		fi, err := os.Stat(c.tree.repositories())
		if err == nil && !fi.IsDir() {
			err = fmt.Errorf("%s is no directory", c.tree.repositories())
		}
		if err != nil {
			return err
		}
	}
	return c.repositories(ctx, c.tree.repositories(), "")
}

// repositories looks at all that lies in dir, the directory of the repository name, the deepest first. Hidden ones are
// none, snapshots of a file system for instance: no name of a repository begins with a dot.
func (c *collection) repositories(ctx context.Context, dir, name string) error {
	names, err := list(dir)
	if err != nil {
		return err
	}
	own := false
	for _, base := range names {
		if base[0] == '.' {
			continue
		}
		if base[0] == '_' {
			if _, err := list(filepath.Join(dir, base)); err != nil { // before "not there" is taken for "has none"
				return err
			}
			own = true
			continue
		}
		below := base
		if name != "" {
			below = name + "/" + base
		}
		if err := c.repositories(ctx, filepath.Join(dir, base), below); err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if own {
		if empty, err := newRepository(c, name, dir).collect(ctx); err != nil || !empty {
			return err
		}
	}
	if name == "" || c.rules.DryRun {
		return nil
	}
	return c.prune(ctx, dir, own)
}

// prune removes what is left of a repository in which nothing is, and its directory if none of another repository is in
// it. What is not empty cannot be removed by rmdir, whoever fills it and whenever.
func (c *collection) prune(ctx context.Context, dir string, own bool) error {
	names, err := list(dir)
	if err != nil || len(names) > 0 && !own {
		return err
	}
	return c.gate.hold(ctx, func() {
		gone := own
		for _, base := range names {
			if base[0] == '_' {
				gone = removeEmpty(filepath.Join(dir, base), 3) && gone
			}
		}
		if gone {
			c.done.Repositories++
		}
		syscall.Rmdir(dir)
	})
}

// removeEmpty removes dir if there are only directories in it, depth levels at most. It is rmdir, for os.Remove would
// remove a file as well.
func removeEmpty(dir string, depth int) bool {
	if syscall.Rmdir(dir) == nil {
		return true
	}
	names, err := list(dir)
	if err != nil || depth == 0 {
		return false
	}
	for _, base := range names {
		if !removeEmpty(filepath.Join(dir, base), depth-1) {
			return false
		}
	}
	return syscall.Rmdir(dir) == nil
}

// blobs removes the blobs that no repository uses.
func (c *collection) blobs(ctx context.Context) error {
	root := filepath.Join(string(c.tree), "blobs")
	return eachName(ctx, root, func(algorithm string) error {
		return eachName(ctx, filepath.Join(root, algorithm), func(prefix string) error {
			b := c.batch()
			dir := filepath.Join(root, algorithm, prefix)
			err := eachName(ctx, dir, func(hex string) error {
				return c.blob(b, digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex), filepath.Join(dir, hex))
			})
			if err != nil {
				return err
			}
			return b.remove(ctx)
		})
	})
}

func (c *collection) blob(b *batch, d digest.Digest, dir string) error {
	if d.Validate() != nil {
		return nil
	}
	content, err := b.look(dir, "data")
	if err != nil {
		return err
	}
	if _, ok := c.used[d]; !ok && content != "" {
		b.add(blobContent, content, d)
	}
	return nil
}
