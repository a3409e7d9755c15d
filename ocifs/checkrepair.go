package ocifs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A repair adds what was proven by its digest, or takes away what nobody can want: nothing that stands under a name is ever
// removed or replaced. Remedies are asked for when all has been seen, for what is missing here may be whole elsewhere.

// exclusive says whether nobody else writes: nobody can, where the registry is in this process.
func (c *checker) exclusive() bool { return c.local != nil || c.o.Alone }

// repairs does what can be done about what was found, or says what that is.
func (c *checker) repairs(ctx context.Context) error {
	if c.hopeless {
		return nil // nothing can be done at a registry that does not answer
	}
	for _, n := range c.found {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n.remedy == nil {
			continue
		}
		text, do := n.remedy(ctx)
		switch {
		case do == nil:
			n.RepairText = text
			continue
		case !c.o.Repair:
			n.Repair, n.RepairText = RepairPossible, text
			continue
		}
		if err := do(ctx); err != nil {
			n.Repair, n.RepairText = RepairFailed, text+", but: "+err.Error()
			continue
		}
		n.Repair, n.RepairText = RepairDone, text
		c.settled(n.Severity)
	}
	if len(c.repaired) == 0 {
		return nil
	}
	return c.pass(ctx, c.lookAgain)
}

func (c *checker) settled(severity string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Repaired++
	if severity == Damage {
		c.report.Damage--
	} else {
		c.report.Litter--
	}
}

// lookAgain looks at what names tell that have come back, which nobody has seen yet.
func (c *checker) lookAgain(ctx context.Context, jobs chan<- checkJob) error {
	w := &checkWalk{checker: c, jobs: jobs, walk: c.newWalk(c.hands)}
	for _, at := range c.repaired {
		in := &checkedDirectory{name: parentOf(at.path), directory: c.layout.of(at.repo, at.tag), tags: []string{at.tag}, kinds: map[string]artifactKind{}}
		if err := w.members(ctx, w.walk, in); err != nil {
			return err
		}
	}
	return nil
}

// parentOf is the directory of a tag's path, as far as that is known.
func parentOf(name string) string {
	if name == "" || name == "/" {
		return name
	}
	return parent(name)
}

// remedied is what was done about a blob, or can be: many files may have it.
type remedied struct {
	text string
	do   func(context.Context) error
	done bool
	err  error
}

// blobRemedy brings a blob back, once.
func (c *checker) blobRemedy(repo string, desc ocispec.Descriptor) func(context.Context) (string, func(context.Context) error) {
	return func(ctx context.Context) (string, func(context.Context) error) {
		key := keyOfBlob(repo, desc)
		r := c.remedied[key]
		if r == nil {
			r = &remedied{}
			r.text, r.do = c.blobSource(ctx, repo, desc)
			c.remedied[key] = r
		}
		if r.do == nil {
			return r.text, nil
		}
		return r.text, func(ctx context.Context) error {
			if !r.done {
				r.done, r.err = true, r.do(ctx)
			}
			return r.err
		}
	}
}

// blobSource finds where a blob can be brought from; nil: from nowhere.
func (c *checker) blobSource(ctx context.Context, repo string, desc ocispec.Descriptor) (string, func(context.Context) error) {
	from, ok := c.whole.get(desc.Digest)
	if ok && from != repo {
		return "bring it from the repository " + from, func(ctx context.Context) error {
			return c.bring(ctx, repo, desc, func() error { return c.mountFrom(ctx, repo, from, desc) })
		}
	}
	open := c.openAtHand(ctx, desc)
	if open == nil {
		return "", nil
	}
	return "push it again from what is at hand", func(ctx context.Context) error {
		return c.bring(ctx, repo, desc, func() error { return c.pushAgain(ctx, repo, desc, open) })
	}
}

// bring has a blob brought, unless it has been meanwhile, for another file, and looks whether it is well then.
func (c *checker) bring(ctx context.Context, repo string, desc ocispec.Descriptor, do func() error) error {
	if err := c.readBlob(ctx, repo, desc); damageOf(err) == nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	err := c.readBlob(ctx, repo, desc)
	if d := damageOf(err); d != nil && d.kind == BlobDamaged {
		return errors.New("the registry keeps what it has under that digest; its own storage has to be put right")
	}
	return err
}

// mountFrom brings a blob from another repository, by reference or else by its bytes.
func (c *checker) mountFrom(ctx context.Context, repo, from string, desc ocispec.Descriptor) error {
	source, err := c.repository(from)
	if err != nil {
		return err
	}
	open := func() (io.Reader, error) {
		body, _, err := source.fetchBlob(ctx, desc, 0, desc.Size)
		return body, err
	}
	r, err := c.repository(repo)
	if err != nil {
		return err
	}
	err = r.Mount(r.scope(ctx), desc, from, func() (io.ReadCloser, error) { return newBody(open) })
	if err == nil {
		return nil
	}
	return c.pushBlob(ctx, repo, desc, open)
}

// pushAgain pushes a blob that is at hand, and mends it first where that can be.
func (c *checker) pushAgain(ctx context.Context, repo string, desc ocispec.Descriptor, open opener) error {
	if err := c.mend(ctx, desc.Digest, open); err != nil {
		return err
	}
	c.present.drop(presence{repo, desc.Digest})
	return c.pushBlob(ctx, repo, desc, open)
}

func (c *checker) mend(ctx context.Context, d digest.Digest, open opener) error {
	if c.o.Mend == nil {
		return nil
	}
	r, err := open()
	if err != nil {
		return err
	}
	if closer, ok := r.(io.Closer); ok {
		defer closer.Close()
	}
	return c.o.Mend(ctx, d, r)
}

// openAtHand gives what opens the content of a blob that is at hand, proven by its digest; nil: it is not.
func (c *checker) openAtHand(ctx context.Context, desc ocispec.Descriptor) opener {
	if desc.Digest == emptyBlob.Digest {
		return bytesOpener(emptyBlob.Data)
	}
	for _, source := range []func(digest.Digest) (*os.File, error){c.o.AtHand, c.local} {
		if source == nil {
			continue
		}
		open := func() (io.Reader, error) {
			file, err := source(desc.Digest)
			if err == nil && file == nil {
				err = fs.ErrNotExist
			}
			if err != nil { // not a nil file in an interface
				return nil, err
			}
			return file, nil
		}
		if proves(ctx, open, desc) {
			return open
		}
	}
	return nil
}

// proves says whether what is opened has the digest and the size.
func proves(ctx context.Context, open opener, desc ocispec.Descriptor) bool {
	r, err := open()
	if err != nil {
		return false
	}
	defer r.(io.Closer).Close()
	verifier := desc.Digest.Verifier()
	n, err := io.Copy(verifier, readerOf(ctx, r))
	return err == nil && verifier.Verified() && (n == desc.Size || desc.Size == 0)
}

// readerOf is a reader that ends with a context.
func readerOf(ctx context.Context, r io.Reader) io.Reader {
	return readFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// tagRemedy brings back what a tag stands for, by its digest; or else, for a marker that the registry says it does not have, puts
// one of the same name: the times and properties of the directory are gone, and its members come back.
func (w *checkWalk) tagRemedy(in *checkedDirectory, at spot, d *damage) func(context.Context) (string, func(context.Context) error) {
	return func(ctx context.Context) (string, func(context.Context) error) {
		if d.digest != "" {
			if text, do := w.manifestRemedy(at, d.digest)(ctx); do != nil {
				return text, do
			}
		}
		if name, kind := in.nameOf(at.tag); kind != tagDirectory || name == "" || d.kind != ManifestMissing || in.unled || in.name == "" {
			return "", nil
		}
		return "put a new marker, without the times and properties of the old one", func(ctx context.Context) error {
			p, err := w.place(at.path)
			if err != nil {
				return err
			}
			_, _, err = w.manifestAt(ctx, at.repo, at.tag)
			if gone := damageOf(err); gone == nil || gone.kind != ManifestMissing {
				return err // somebody has put one meanwhile
			}
			return w.mark(ctx, p)
		}
	}
}

// manifestRemedy pushes a manifest that is at hand again, by its digest: what its tag stands for stays as it is.
func (c *checker) manifestRemedy(at spot, d digest.Digest) func(context.Context) (string, func(context.Context) error) {
	return func(ctx context.Context) (string, func(context.Context) error) {
		open := c.openAtHand(ctx, ocispec.Descriptor{Digest: d})
		if open == nil {
			return "", nil
		}
		return "push it again from what is at hand", func(ctx context.Context) error {
			data, err := readManifest(open, d)
			if err != nil {
				return err
			}
			if err := c.mend(ctx, d, bytesOpener(data)); err != nil {
				return err
			}
			r, err := c.repository(at.repo)
			if err != nil {
				return err
			}
			desc := ocispec.Descriptor{MediaType: mediaTypeOf(data), Digest: d, Size: int64(len(data))}
			if err := r.pushManifest(c.writing(ctx), desc, data, d.String()); err != nil {
				return failure(err, "push manifest %s to %s", d, at.repo)
			}
			if _, _, err := c.manifestAt(ctx, at.repo, at.tag); err != nil {
				return err
			}
			c.repaired = append(c.repaired, at)
			return nil
		}
	}
}

func readManifest(open opener, d digest.Digest) ([]byte, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	if closer, ok := r.(io.Closer); ok {
		defer closer.Close()
	}
	data, err := io.ReadAll(io.LimitReader(r, maxManifestBytes+1))
	if err == nil && d.Algorithm().FromBytes(data) != d {
		err = fmt.Errorf("what was at hand of manifest %s has changed", d)
	}
	return data, err
}

func mediaTypeOf(manifest []byte) string {
	var m struct {
		MediaType string `json:"mediaType"`
	}
	if json.NewDecoder(bytes.NewReader(manifest)).Decode(&m) != nil || m.MediaType == "" {
		return ocispec.MediaTypeImageManifest
	}
	return m.MediaType
}

// dropIndex takes away a directory index of ours.
func (c *checker) dropIndex(at spot) func(context.Context) (string, func(context.Context) error) {
	return func(context.Context) (string, func(context.Context) error) {
		return "remove it, it is made again", func(ctx context.Context) error { return c.drop(ctx, at) }
	}
}

// drop takes a tag of ours away, if it still stands for what it was seen to.
func (c *checker) drop(ctx context.Context, at spot) error {
	switch sum, _, err := c.manifestAt(ctx, at.repo, at.tag); {
	case err != nil && damageOf(err) == nil:
		return err
	case sum != at.digest: // it is another's by now, or gone
		return nil
	}
	return c.removeTag(ctx, at.repo, at.tag)
}

// sweep takes away tags of ours that stand for nothing any more, where nobody else writes and all of the tree was seen.
func (c *checker) sweep(tags []spot, text string) func(context.Context) (string, func(context.Context) error) {
	return func(context.Context) (string, func(context.Context) error) {
		switch {
		case c.report.Failed > 0 || c.unsure:
			return "nothing is removed, since not all of the tree could be seen", nil
		case !c.exclusive():
			return "nothing is removed while others may write to the drive", nil
		}
		return text, func(ctx context.Context) error {
			return eachBy(ctx, c.hands, tags, func(ctx context.Context, _ int, at spot) error { return c.drop(ctx, at) })
		}
	}
}
