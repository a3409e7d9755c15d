package foreign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxAsking is how many manifests of an index are asked for at a time.
const maxAsking = 8

// archiveItem is the image.tar, if there can be one: not where a manifest names what cannot be, or more than the limits.
func (a *artifact) archiveItem() item {
	i := a.item()
	date := i.ask
	i.Name, i.MediaType = nameArchive, archiveType
	i.ask = func(ctx context.Context, e *Entry) error {
		var err error
		if e.archive, err = a.plan(ctx); err != nil {
			return err
		}
		e.Size, e.Digest = e.archive.length(), e.archive.digest()
		if date != nil {
			err = date(ctx, e)
		}
		return err
	}
	return i
}

// A planner collects what an archive is made of.
type planner struct {
	archive *archive
	sizes   map[digest.Digest]int64
	folders map[string]bool
}

// plan finds out what the archive of a consists of, one level of indexes after the other. For an index all manifests below
// it are asked for, and those that are not in the registry are left out: it is common to copy an index with some of its
// platforms.
func (a *artifact) plan(ctx context.Context) (*archive, error) {
	desc := ocispec.Descriptor{MediaType: a.mediaType(), Digest: a.desc.Digest, Size: a.desc.Size}
	archive, err := begin(a.tag, desc)
	if err != nil {
		return nil, err
	}
	p := &planner{archive, map[digest.Digest]int64{}, map[string]bool{}}
	level := []parts{partsOf(desc, a.doc)}
	manifests := len(level)
	for depth := a.depth; ; depth++ {
		var next []ocispec.Descriptor
		for _, m := range level {
			if err := p.addAll(m); err != nil {
				return nil, err
			}
			next = append(next, m.manifests...)
		}
		if next = p.unknown(next); len(next) == 0 {
			return archive, nil
		}
		if manifests += len(next); manifests > maxManifests || depth == maxDepth {
			return nil, errNone
		}
		if level, err = a.fetch(ctx, next); err != nil {
			return nil, err
		}
	}
}

// unknown are those that are not in the archive yet, each once.
func (p *planner) unknown(all []ocispec.Descriptor) []ocispec.Descriptor {
	seen := map[digest.Digest]bool{}
	var once []ocispec.Descriptor
	for _, d := range all {
		if _, known := p.sizes[d.Digest]; !known && !seen[d.Digest] {
			seen[d.Digest] = true
			once = append(once, d)
		}
	}
	return once
}

// addAll takes in a manifest and its blobs.
func (p *planner) addAll(m parts) error {
	if m.broken {
		return errNone
	}
	if err := p.add(m.desc, true); err != nil {
		return err
	}
	for _, b := range m.blobs {
		if err := p.add(b, false); err != nil {
			return err
		}
	}
	return nil
}

// add takes something into the archive, once. Of one digest there cannot be two sizes.
func (p *planner) add(desc ocispec.Descriptor, manifest bool) error {
	if size, known := p.sizes[desc.Digest]; known {
		if size != desc.Size {
			return errNone
		}
		return nil
	}
	p.sizes[desc.Digest] = desc.Size
	if f := blobFolder(desc.Digest); !p.folders[f] {
		p.folders[f] = true
		if err := p.archive.add(member{name: f}); err != nil {
			return err
		}
	}
	return p.archive.add(member{size: desc.Size, digest: desc.Digest, mediaType: desc.MediaType, manifest: manifest})
}

// fetch asks for manifests, some at a time, and leaves out those that are not there. If they name more blobs than an
// archive has members the others are not asked for.
func (a *artifact) fetch(ctx context.Context, descs []ocispec.Descriptor) ([]parts, error) {
	all := make([]parts, len(descs))
	var named atomic.Int64
	err := each(ctx, len(descs), func(ctx context.Context, n int) error {
		desc := descs[n]
		data, err := a.src.Manifest(ctx, desc)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("read manifest %s of %s: %w", desc.Digest, a.tag, err)
		}
		desc.Size = int64(len(data))
		all[n] = partsOf(desc, parse(data))
		if named.Add(int64(len(all[n].blobs)+len(all[n].manifests))) > maxMembers {
			return errNone
		}
		return nil
	})
	return slices.DeleteFunc(all, func(m parts) bool { return m.desc.Digest == "" }), err
}

// parts are a manifest and what it names: what is kept of it, for many can be long.
type parts struct {
	desc             ocispec.Descriptor
	blobs, manifests []ocispec.Descriptor
	broken           bool // it names what cannot be
}

// partsOf leaves out the layers that lie elsewhere: who loads the image looks for them there.
func partsOf(desc ocispec.Descriptor, doc document) parts {
	m := parts{desc: desc}
	var blobs []descriptor
	if doc.Config != nil {
		blobs = append(blobs, *doc.Config)
	}
	for _, d := range append(blobs, doc.Layers...) {
		if !d.valid() {
			m.broken = true
		} else if len(d.URLs) == 0 {
			m.blobs = append(m.blobs, d.blob())
		}
	}
	for _, d := range doc.Manifests {
		if d.isManifest() {
			m.manifests = append(m.manifests, d.blob())
		}
	}
	return m
}

// each calls do with the numbers up to n, some at a time, until one fails.
func each(ctx context.Context, n int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, maxAsking) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
