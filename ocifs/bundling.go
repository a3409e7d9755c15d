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

// bundling is what is to be written, by repository.
type bundling struct {
	mu      sync.Mutex
	due     map[string]*bundleDue
	refused bool // the registry lets us push no index
}

type bundleDue struct {
	first time.Time
	timer *time.Timer
}

// bundleLater has the bundle of the repository written some time after the last call.
func (f *FS) bundleLater(changed reference) {
	repo := changed.repo
	if f.bundles == nil || changed.tag == indexTag {
		return
	}
	b := &f.bundling
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.due[repo]; d != nil {
		if time.Since(d.first) < bundleLatest-bundleQuiet {
			d.timer.Reset(bundleQuiet)
		}
		return
	}
	if b.due == nil {
		b.due = map[string]*bundleDue{}
	}
	b.due[repo] = &bundleDue{first: time.Now(), timer: time.AfterFunc(bundleQuiet, func() {
		f.behind(func(ctx context.Context) { f.bundleNow(ctx, repo) })
	})}
}

// bundleAll writes what is due, when the tree is closed.
func (f *FS) bundleAll(ctx context.Context) {
	b := &f.bundling
	b.mu.Lock()
	repos := make([]string, 0, len(b.due))
	for repo, d := range b.due {
		d.timer.Stop()
		repos = append(repos, repo)
	}
	b.mu.Unlock()
	_ = each(ctx, f, repos, func(ctx context.Context, _ int, repo string) error {
		f.bundleNow(ctx, repo)
		return nil
	})
}

// bundleNow writes the bundle of repo, and the directory index where the directory is large.
func (f *FS) bundleNow(ctx context.Context, repo string) {
	b := &f.bundling
	b.mu.Lock()
	due := b.due[repo] != nil
	delete(b.due, repo)
	refused := b.refused
	b.mu.Unlock()
	if !due {
		return
	}
	n, of, err := f.bundle(ctx, repo)
	if err == nil && n >= indexFrom && n > of/2 && !refused { // a poor one must not replace a better one
		if err = f.pushIndex(ctx, repo); status(err) == http.StatusUnauthorized || status(err) == http.StatusForbidden {
			b.mu.Lock()
			b.refused = true
			b.mu.Unlock()
		}
	}
	if err != nil {
		f.log.Debug("what is known of a directory is not kept", "repository", repo, "error", err)
	}
}

// bundle writes what is known of repo to the local disk, and says how many members of how many that are.
func (f *FS) bundle(ctx context.Context, repo string) (n, of int, err error) {
	tags, err := f.listTags(ctx, repo)
	if err != nil {
		return 0, 0, err
	}
	if len(tags) < bundleFrom {
		f.bundles.drop(repo)
		return 0, len(tags), nil
	}
	f.recall(ctx, repo, tags) // a tree that only writes knows little of what is there
	// Manifests come from the bundle before, as far as they are in it: both are sorted, so it is read along.
	next, stop := iter.Pull(f.bundles.members(repo))
	defer stop()
	before, more := next()
	err = f.bundles.write(repo, func(yield func(bundled) bool) {
		for _, tag := range tags {
			t, at, known := f.tags.last(reference{repo, tag})
			if tag == indexTag || known && t.digest == "" {
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
			case had && digest.FromBytes(before.manifest) == t.digest:
				m.manifest = before.manifest
			default:
				var e error
				if m.manifest, e = f.manifestBytes(ctx, repo, t); e != nil {
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

// pushIndex pushes the bundle of repo as its directory index.
func (f *FS) pushIndex(ctx context.Context, repo string) error {
	file, err := f.bundles.open(repo)
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
		return f.pushBlob(ctx, repo, desc, func() (io.Reader, error) { return io.NewSectionReader(file, 0, size), nil })
	}
	if err := push(); err != nil {
		return err
	}
	a := &artifact{kind: kindIndex, name: "index.gz", modTime: time.Now(), size: size, layers: []blob{blobOf(desc)}}
	_, err = f.commit(ctx, repo, indexTag, a, push)
	return err
}

// recall learns what the last process knew of tags in repo, or the last machine, where so many are unknown that asking
// for each would take long. What it does not find out is asked for by the caller. False: it had nothing to look at.
func (f *FS) recall(ctx context.Context, repo string, tags []string) bool {
	if f.bundles == nil {
		return false
	}
	leave, err := f.recalls.join(ctx, repo)
	if err != nil {
		return false
	}
	defer leave()
	if _, unknown := f.age(repo, tags); unknown < bundleFrom { // or another has just done it
		return true
	}
	learn := func(m bundled) error {
		if _, listed := slices.BinarySearch(tags, m.tag); listed {
			d := digest.FromBytes(m.manifest)
			if f.tags.recall(reference{repo, m.tag}, tagged{d, int64(len(m.manifest))}, m.asked) {
				f.decode(repo, m.tag, d, m.manifest)
			}
		}
		return ctx.Err()
	}
	if err := f.bundles.read(repo, learn); err != nil {
		f.log.Debug("what was known of a directory is lost", "repository", repo, "error", err)
	}
	_, there := slices.BinarySearch(tags, indexTag)
	if _, unknown := f.age(repo, tags); !there || unknown < indexFrom {
		return true
	}
	err = f.fetchIndex(ctx, repo)
	if err == nil {
		err = f.bundles.read(repo, learn)
	}
	if err != nil && ctx.Err() == nil {
		f.log.Debug("a directory index is of no use", "repository", repo, "error", err)
	}
	return true
}

// fetchIndex makes the directory index of repo the bundle on the local disk.
func (f *FS) fetchIndex(ctx context.Context, repo string) error {
	r, err := f.repository(repo)
	if err != nil {
		return err
	}
	_, data, err := r.fetchManifest(ctx, indexTag)
	if err != nil {
		return failure(err, "fetch manifest %s in %s", indexTag, repo)
	}
	desc, err := parseIndex(data)
	if err != nil {
		return err
	}
	b, err := f.openBlob(ctx, repo, desc)
	if err != nil {
		return err
	}
	defer b.Close()
	return f.bundles.keep(repo, b)
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
