package ocifs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/ocifs/foreign"
)

// manifest looks at what a manifest says under its tag, and has its blobs verified.
func (w *checkWalk) manifest(ctx context.Context, in *checkedDirectory, at spot, data []byte) error {
	a := parse(in.directory, at.tag, data)
	own := ownType(data)
	_, kind := in.nameOf(at.tag)
	isRecord := strings.HasPrefix(at.tag, recordPrefix) && own == typeLayout
	isIndex := at.tag == in.index() && own == typeIndex
	isOurs := a.kind == kindFile || a.kind == kindDirectory || isIndex
	in.mu.Lock()
	switch {
	case a.kind == kindTombstone:
		in.tombs = append(in.tombs, at)
	case isOurs && in.unled:
		in.ours = append(in.ours, at)
	case isRecord:
		in.records = append(in.records, at)
	case a.kind == kindDirectory:
		in.dirs = append(in.dirs, a.name)
	case a.kind == kindFile || a.kind == kindShared:
		if in.hides(a.name) {
			in.kinds[at.tag] = a.kind
		}
	}
	in.theirs = in.theirs || a.kind == kindShared || a.kind == kindForeign && !isOurs && !isRecord
	in.mu.Unlock()
	if a.name != "" && in.name != "" {
		at.path = join(in.name, a.name)
	}
	switch {
	case a.kind == kindTombstone:
		w.tombs.Add(1)
		return w.blobsOf(ctx, at, data)
	case in.unled && isOurs: // nobody sees it, and nobody misses it
		return nil
	case at.tag == in.index():
		return w.index(ctx, in, at, data)
	case a.kind == kindFile || a.kind == kindShared:
		w.files.Add(1)
		return w.blobsOf(ctx, at, data)
	case a.kind == kindDirectory || isRecord:
		return w.blobsOf(ctx, at, data)
	case kind == tagDirectory:
		d := &damage{MarkerDamaged, "under the tag of a directory stands something else, so that neither it nor what is in it is shown", at.digest}
		if own == typeDirectory {
			d.text = "the marker cannot be read, so that neither the directory nor what is in it is shown"
		}
		w.damagedTag(in, at, d)
		return nil
	case own == typeFile || own == typeDirectory:
		w.find(foundAt(at, &damage{NameMismatch, "the tag is not that of the name in the manifest, or there is none, so that it is not shown as what it is", at.digest}))
		return w.blobsOf(ctx, at, data)
	}
	w.others.Add(1)
	return w.foreign(ctx, at, data, 0)
}

// hides says whether the directory has a marker of that name.
func (in *checkedDirectory) hides(name string) bool {
	_, is := slices.BinarySearch(in.tags, in.marker(name))
	return is
}

// ownType gives the type of what ocidav has written, in both forms.
func ownType(data []byte) string {
	var m ocispec.Manifest
	if json.Unmarshal(data, &m) != nil {
		return ""
	}
	return cmp.Or(m.ArtifactType, m.Annotations[keyType])
}

// blobsOf has the blobs of a manifest verified.
func (w *checkWalk) blobsOf(ctx context.Context, at spot, data []byte) error {
	blobs, _ := foreign.Parts(data)
	return w.enqueue(ctx, at, blobs)
}

func (w *checkWalk) enqueue(ctx context.Context, at spot, blobs []ocispec.Descriptor) error {
	for _, b := range blobs {
		if err := w.enqueueJob(ctx, checkJob{at: at, desc: ocispec.Descriptor{Digest: b.Digest, Size: b.Size}}); err != nil {
			return err
		}
	}
	return nil
}

func (w *checkWalk) enqueueJob(ctx context.Context, j checkJob) error {
	w.foundBlobs.Add(1)
	w.foundBytes.Add(j.desc.Size)
	select {
	case w.jobs <- j:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// index has a directory index read.
func (w *checkWalk) index(ctx context.Context, in *checkedDirectory, at spot, data []byte) error {
	desc, err := parseIndex(data)
	if err != nil {
		n := foundAt(at, &damage{IndexDamaged, uselessIndex + err.Error(), at.digest})
		if ownType(data) == typeIndex { // else it is somebody's
			n.remedy = w.dropIndex(at)
		}
		w.find(n)
		return nil
	}
	return w.enqueueJob(ctx, checkJob{at: at, desc: desc, index: in.String()})
}

// checkDepth is how deep indexes of others lie in each other at most.
const checkDepth = 4

// foreign has the blobs of somebody's artifact verified, and of all manifests below an index.
func (w *checkWalk) foreign(ctx context.Context, at spot, data []byte, depth int) error {
	if w.o.NoForeign {
		return nil
	}
	blobs, manifests := foreign.Parts(data)
	if err := w.enqueue(ctx, at, blobs); err != nil || depth == checkDepth {
		return err
	}
	for _, m := range manifests {
		var child []byte
		err := w.sure(ctx, at, func(ctx context.Context) (err error) { child, err = w.memberOf(ctx, at, m.Digest); return err })
		switch d := damageOf(err); {
		case err == nil:
			w.manifests.Add(1)
			if err := w.foreign(ctx, at, child, depth+1); err != nil {
				return err
			}
		case errors.Is(err, errStale):
			return nil
		case d != nil:
			n := foundAt(at, d)
			if d.kind == ManifestDamaged {
				n.remedy = w.manifestRemedy(at, m.Digest)
			}
			w.find(n)
		default:
			w.failed(ctx, at, err)
		}
	}
	return context.Cause(ctx)
}

// memberOf gives a manifest that an index names.
func (w *checkWalk) memberOf(ctx context.Context, at spot, d digest.Digest) ([]byte, error) {
	_, data, err := w.manifestAt(ctx, at.repo, d.String())
	switch found := damageOf(err); {
	case found == nil:
		return data, err
	case found.kind == ManifestMissing || found.kind == TagEmpty:
		return nil, &damage{MemberMissing, fmt.Sprintf("the index names the manifest %s, which is not there; it may be meant so", d), d}
	default:
		return nil, &damage{ManifestDamaged, fmt.Sprintf("of the index, manifest %s: %s", d, found.text), d}
	}
}
