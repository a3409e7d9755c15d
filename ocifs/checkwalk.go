package ocifs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/ocifs/foreign"
)

// checkWalk goes through the tree by the names' own rules. All legs share the checker.
type checkWalk struct {
	*checker
	walk *walk
	jobs chan<- checkJob
}

// all looks at the whole tree.
func (w *checkWalk) all(ctx context.Context) error {
	if err := w.directory(ctx, w.walk, "/"); err != nil {
		return err
	}
	return w.unmarked(ctx, "")
}

// path looks at one path and all below it.
func (w *checkWalk) path(ctx context.Context, name string) error {
	name = path.Clean("/" + name)
	if name == "/" {
		return w.all(ctx)
	}
	p, err := w.place(name)
	if err != nil {
		return err
	}
	_, above, err := w.lookup(ctx, path.Dir(name))
	if exhibit, ok := inside(err); ok {
		return fmt.Errorf("%s lies in an artifact that was not written by ocidav, which is looked at as a whole: %s: %w", name, exhibit.exhibit.name, fs.ErrInvalid)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !above.IsDir():
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case err != nil:
		w.unseen(ctx, spot{path: name}, err)
		return nil
	}
	d := w.layout.of(p.repo, p.file)
	tags, err := w.listTags(ctx, d)
	if err != nil {
		w.unseen(ctx, spot{path: path.Dir(name), repo: d.repo}, err)
		return nil
	}
	in := &checkedDirectory{name: path.Dir(name), directory: d, unled: above.kind == kindBare, kinds: map[string]artifactKind{}}
	for _, tag := range []string{p.marker, p.file} {
		if _, listed := slices.BinarySearch(tags, tag); listed {
			in.tags = append(in.tags, tag)
		}
	}
	slices.Sort(in.tags)
	if len(in.tags) > 0 {
		return w.members(ctx, w.walk, in)
	}
	bare, err := w.bareAt(ctx, name)
	switch {
	case err != nil:
		w.unseen(ctx, spot{path: name, repo: d.repo}, err)
		return nil
	case bare == nil:
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	d, err = w.layout.directory(name)
	if err != nil {
		return err
	}
	return w.unmarked(ctx, d.repo)
}

// checkedDirectory is a directory that is being looked at.
type checkedDirectory struct {
	name string
	directory
	tags  []string // sorted
	unled bool     // no marker leads here, so that of what is ours nothing is shown

	mu      sync.Mutex
	kinds   map[string]artifactKind // of the tags that are files, where a directory may hide them
	dirs    []string                // names
	doubts  []doubt
	tombs   []spot
	ours    []spot
	theirs  bool   // something of others is there
	records []spot // of layouts
}

// doubt is a tag that does not look well.
type doubt struct {
	at  spot
	err *damage
}

// at says where a tag of the directory is. Its path is the directory's if it is shown nowhere.
func (in *checkedDirectory) at(tag string) spot {
	at := spot{path: in.name, repo: in.repo, tag: tag}
	if name, kind := in.nameOf(tag); kind != tagForeign && name != "" && in.name != "" {
		at.path = join(in.name, name)
	}
	return at
}

// directory looks at a directory and all below it. It fails only with the end of the check.
func (w *checkWalk) directory(ctx context.Context, leg *walk, name string) error {
	d, err := w.layout.directory(name)
	if err != nil {
		return nil // too long: it never held anything
	}
	w.mu.Lock()
	again := w.visited[d]
	w.visited[d] = true
	w.mu.Unlock()
	if again {
		return nil
	}
	w.directories.Add(1)
	var tags []string
	if err := w.forgetList(name, w.walk.began); err != nil {
		return err
	}
	err = w.hands.do(ctx, func() (err error) { tags, err = w.listTags(ctx, d); return err })
	if err != nil {
		w.unseen(ctx, spot{path: name, repo: d.repo}, err)
		return context.Cause(ctx)
	}
	w.heard()
	return w.members(ctx, leg, &checkedDirectory{name: name, directory: d, tags: tags, kinds: map[string]artifactKind{}})
}

// members looks at tags of a directory, and then at the directories among them.
func (w *checkWalk) members(ctx context.Context, leg *walk, in *checkedDirectory) error {
	if err := w.tagsOf(ctx, in); err != nil {
		return err
	}
	w.tombstonesIn(in)
	w.layoutRecords(in)
	below := leg.within()
	for _, base := range in.dirs {
		if file := in.file(base); in.kinds[file] != 0 {
			w.hidden(in.at(file))
		}
		name := join(in.name, base)
		below.enter(name, func() error { return w.directory(ctx, below, name) })
	}
	return below.wait()
}

func (w *checkWalk) hidden(at spot) {
	w.find(foundAt(at, &damage{HiddenFile, "a directory of the same name hides the file", ""}))
}

// tagsOf looks at the tags of a directory.
func (w *checkWalk) tagsOf(ctx context.Context, in *checkedDirectory) error {
	err := eachBy(ctx, w.hands, in.tags, func(ctx context.Context, _ int, tag string) error {
		return w.tag(ctx, in, tag, true)
	})
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	return w.settleDoubts(ctx, in)
}

// tag looks at a tag. What does not look well is put by, or where it is not the first look, found.
func (w *checkWalk) tag(ctx context.Context, in *checkedDirectory, tag string, first bool) error {
	at := in.at(tag)
	sum, data, err := w.manifestAt(ctx, in.repo, tag)
	switch d := damageOf(err); {
	case err == nil:
		at.digest = sum
		w.manifests.Add(1)
		return w.manifest(ctx, in, at, data)
	case d == nil:
		w.unseen(ctx, at, err)
	case first:
		in.mu.Lock()
		in.doubts = append(in.doubts, doubt{at, d})
		in.mu.Unlock()
	default:
		w.damagedTag(in, at, d)
	}
	return context.Cause(ctx)
}

// unseen notes that the walk could not look at something, in which there may be directories.
func (w *checkWalk) unseen(ctx context.Context, at spot, err error) {
	w.mu.Lock()
	w.unsure = true
	w.mu.Unlock()
	w.failed(ctx, at, err)
}

// settleDoubts asks once more for the tags that do not look well, if they are still listed, and if the registry still answers
// as it did before.
func (w *checkWalk) settleDoubts(ctx context.Context, in *checkedDirectory) error {
	if len(in.doubts) == 0 {
		return nil
	}
	w.lists.forget(in.list())
	tags, err := w.listTags(ctx, in.directory)
	if err == nil {
		err = w.sane(ctx)
	}
	for _, d := range in.doubts {
		if err != nil {
			w.unseen(ctx, d.at, err)
			continue
		}
		if _, listed := slices.BinarySearch(tags, d.at.tag); listed {
			if err := w.tag(ctx, in, d.at.tag, false); err != nil {
				return err
			}
		}
	}
	return context.Cause(ctx)
}

// damagedTag takes up a tag whose manifest cannot be had, or a marker that is none. Below a marker the walk goes on, since its
// members may all be well; where its name is not known, or a push or a removal of it has been cut off, nothing is said of
// what lies in directories without one.
func (w *checkWalk) damagedTag(in *checkedDirectory, at spot, d *damage) {
	name, kind := in.nameOf(at.tag)
	n := foundAt(at, d)
	switch {
	case at.tag == in.index():
		n = foundAt(at, &damage{IndexDamaged, uselessIndex + d.text, d.digest})
	case d.kind != TagEmpty && d.kind != MarkerDamaged:
		n.remedy = w.tagRemedy(in, at, d)
	}
	w.find(n)
	if kind != tagDirectory {
		return
	}
	w.mu.Lock()
	w.unsure = w.unsure || name == "" || d.kind == TagEmpty
	w.mu.Unlock()
	if name != "" && in.name != "" && d.kind != TagEmpty {
		in.mu.Lock()
		in.dirs = append(in.dirs, name)
		in.mu.Unlock()
	}
}

const uselessIndex = "the directory index, which is a hint and no more, is of no use: "

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
