package ocifs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A directory of 10,000 files is 10,000 manifests to whoever has never seen it. So what is known of a repository is kept
// as a bundle: on the local disk, for the next process, and in the repository itself, for the next machine: the
// directory index. Both are hints. A name is shown if tags/list has it; what stood under it is asked again behind
// (revalidate.go) and whenever it is opened; and a manifest proves itself.
const (
	indexTag      = "_i.index" // reserved, so hidden from all listings
	typeIndex     = "application/vnd.ocidav.index.v1"
	maxIndexBytes = 256 << 20

	bundleFrom = 64  // tags; fewer are asked for as quickly
	indexFrom  = 256 // tags
)

// When a bundle is written: a while after the last change, so that a copy of many files is one, and not too long after
// the first.
const (
	bundleQuiet  = 10 * time.Second
	bundleLatest = 5 * time.Minute
)

// bundling is what is to be written, by directory.
type bundling struct {
	mu      sync.Mutex
	due     map[directory]*bundleDue
	refused bool // the registry lets us push no index
}

type bundleDue struct {
	first time.Time
	timer *time.Timer
}

// bundleLater has the bundle of the directory written some time after the last call.
func (f *FS) bundleLater(changed reference) {
	in := f.layout.of(changed.repo, changed.tag)
	if f.bundles == nil || changed.tag == in.index() {
		return
	}
	b := &f.bundling
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.due[in]; d != nil {
		if time.Since(d.first) < bundleLatest-bundleQuiet {
			d.timer.Reset(bundleQuiet)
		}
		return
	}
	if b.due == nil {
		b.due = map[directory]*bundleDue{}
	}
	b.due[in] = &bundleDue{first: time.Now(), timer: time.AfterFunc(bundleQuiet, func() {
		f.behind(func(ctx context.Context) { f.bundleNow(ctx, in) })
	})}
}

// bundleAll writes what is due, when the tree is closed.
func (f *FS) bundleAll(ctx context.Context) {
	b := &f.bundling
	b.mu.Lock()
	all := make([]directory, 0, len(b.due))
	for d, due := range b.due {
		due.timer.Stop()
		all = append(all, d)
	}
	b.mu.Unlock()
	_ = each(ctx, f, all, func(ctx context.Context, _ int, d directory) error {
		f.bundleNow(ctx, d)
		return nil
	})
}

// bundleNow writes the bundle of d, and the directory index where the directory is large.
func (f *FS) bundleNow(ctx context.Context, d directory) {
	b := &f.bundling
	b.mu.Lock()
	due := b.due[d] != nil
	delete(b.due, d)
	refused := b.refused
	b.mu.Unlock()
	if !due {
		return
	}
	n, of, err := f.bundle(ctx, d)
	if err == nil && n >= indexFrom && n > of/2 && !refused { // a poor one must not replace a better one
		if err = f.pushIndex(ctx, d); status(err) == http.StatusUnauthorized || status(err) == http.StatusForbidden {
			b.mu.Lock()
			b.refused = true
			b.mu.Unlock()
		}
	}
	if err != nil {
		f.log.Debug("what is known of a directory is not kept", "directory", d, "error", err)
	}
}

// bundle writes what is known of d to the local disk, and says how many members of how many that are.
func (f *FS) bundle(ctx context.Context, d directory) (n, of int, err error) {
	tags, err := f.listTags(ctx, d)
	if err != nil {
		return 0, 0, err
	}
	if len(tags) < bundleFrom {
		f.bundles.drop(d.String())
		return 0, len(tags), nil
	}
	f.recall(ctx, d, tags) // a tree that only writes knows little of what is there
	// Manifests come from the bundle before, as far as they are in it: both are sorted, so it is read along.
	next, stop := iter.Pull(f.bundles.members(d.String()))
	defer stop()
	before, more := next()
	err = f.bundles.write(d.String(), func(yield func(bundled) bool) {
		for _, tag := range tags {
			t, at, known := f.tags.last(reference{d.repo, tag})
			if tag == d.index() || known && t.digest == "" {
				continue
			}
			for more && before.tag < tag {
				before, more = next()
			}
			m := bundled{tag: tag, asked: at}
			switch had := more && before.tag == tag; {
			case !known && !had:
				continue
			case !known: // forgotten by now, for there are many directories
				m = before
			case had && sumOf(before.manifest) == t.digest:
				m.manifest = before.manifest
			default:
				var e error
				if m.manifest, e = f.manifestBytes(ctx, d.repo, t); e != nil {
					continue // it will be asked for
				}
			}
			if n++; !yield(m) {
				return
			}
		}
	})
	return n, len(tags), err
}

// pushIndex pushes the bundle of d as its directory index.
func (f *FS) pushIndex(ctx context.Context, d directory) error {
	file, err := f.bundles.open(d.String())
	if err != nil {
		return err
	}
	defer file.Close()
	sum := digest.Canonical.Digester()
	size, err := io.Copy(sum.Hash(), file)
	if err != nil {
		return err
	}
	desc := ocispec.Descriptor{MediaType: typeContent, Digest: sum.Digest(), Size: size}
	push := func() error {
		return f.pushBlob(ctx, d.repo, desc, func() (io.Reader, error) { return io.NewSectionReader(file, 0, size), nil })
	}
	if err := push(); err != nil {
		return err
	}
	a := &artifact{kind: kindIndex, name: "index.gz", modTime: time.Now(), size: size, layers: []blob{blobOf(desc)}}
	_, err = f.commit(ctx, d.repo, d.index(), a, push)
	return err
}

// recall learns what the last process knew of tags in d, or the last machine, where so many are unknown that asking
// for each would take long. What it does not find out is asked for by the caller. False: it had nothing to look at.
func (f *FS) recall(ctx context.Context, d directory, tags []string) bool {
	if f.bundles == nil {
		return false
	}
	leave, err := f.recalls.join(ctx, d)
	if err != nil {
		return false
	}
	defer leave()
	if _, unknown := f.age(d.repo, tags); unknown < bundleFrom { // or another has just done it
		return true
	}
	learn := func(m bundled) error {
		if _, listed := slices.BinarySearch(tags, m.tag); listed {
			sum := sumOf(m.manifest)
			if f.tags.recall(reference{d.repo, m.tag}, tagged{sum, int64(len(m.manifest))}, m.asked) {
				f.decode(d.repo, m.tag, sum, m.manifest)
			}
		}
		return ctx.Err()
	}
	if err := f.bundles.read(d.String(), learn); err != nil {
		f.log.Debug("what was known of a directory is lost", "directory", d, "error", err)
	}
	_, there := slices.BinarySearch(tags, d.index())
	if _, unknown := f.age(d.repo, tags); !there || unknown < indexFrom {
		return true
	}
	err = f.fetchIndex(ctx, d)
	if err == nil {
		err = f.bundles.read(d.String(), learn)
	}
	if err != nil && ctx.Err() == nil {
		f.log.Debug("a directory index is of no use", "directory", d, "error", err)
	}
	return true
}

// fetchIndex makes the directory index of d the bundle on the local disk.
func (f *FS) fetchIndex(ctx context.Context, d directory) error {
	r, err := f.repository(d.repo)
	if err != nil {
		return err
	}
	_, data, err := r.fetchManifest(ctx, d.index())
	if err != nil {
		return failure(err, "fetch manifest %s in %s", d.index(), d.repo)
	}
	desc, err := parseIndex(data)
	if err != nil {
		return err
	}
	b, err := f.openBlob(ctx, d.repo, desc)
	if err != nil {
		return err
	}
	defer b.Close()
	return f.bundles.keep(d.String(), b)
}

// parseIndex gives the one layer of a directory index.
func parseIndex(data []byte) (ocispec.Descriptor, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return ocispec.Descriptor{}, err
	}
	if cmp.Or(m.ArtifactType, m.Annotations[keyType]) != typeIndex || len(m.Layers) != 1 ||
		m.Layers[0].Digest.Validate() != nil || m.Layers[0].Size <= 0 || m.Layers[0].Size > maxIndexBytes {
		return ocispec.Descriptor{}, errors.New("it is no directory index")
	}
	return m.Layers[0], nil
}
