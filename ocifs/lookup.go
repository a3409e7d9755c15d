package ocifs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/text/unicode/norm"
)

// Key is the name in Unicode NFC.
func Key(name string) string { return norm.NFC.String(name) }

// Key is that of all trees.
func (f *FS) Key(name string) string { return Key(name) }

// Stat describes name.
func (f *FS) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	_, i, err := f.lookup(ctx, name)
	if in, ok := inside(err); ok {
		return f.statInside(ctx, in)
	}
	if err != nil {
		return nil, err
	}
	return i, nil
}

// state is what a name was found to be: at most one of both is shown, the directory.
type state struct {
	file, dir *info
	bare      bool     // it lies in a bare directory
	foreign   bool     // a tag is somebody's artifact
	exhibit   *exhibit // and it is shown, where no directory is
}

// shown is what the tree shows: a directory's marker outranks a file of the same name, so that one can take the
// other's place in one step.
func (s state) shown() *info {
	if s.dir != nil {
		return s.dir
	}
	return s.file
}

// lookup says where name is kept and what is there. fs.ErrNotExist: nothing, or an ancestor is no directory. *insideError:
// an exhibit, or what may be in one.
func (f *FS) lookup(ctx context.Context, name string) (state, *info, error) {
	if name == "/" {
		i := &info{artifact: artifact{kind: kindDirectory, name: "/"}}
		return state{dir: i}, i, nil
	}
	p, err := f.place(name)
	if err != nil {
		return state{}, nil, err
	}
	s, err := f.look(ctx, p, nil)
	if err != nil {
		return s, nil, err
	}
	if i := s.shown(); i != nil {
		return s, i, nil
	}
	if s.exhibit != nil {
		return s, nil, &insideError{name: name, exhibit: *s.exhibit}
	}
	i, err := f.bareAt(ctx, name)
	if err != nil || i != nil {
		return s, i, err
	}
	return s, nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
}

// asker answers what stands under a tag; nil for nothing. It is f.tag or f.askTag; no asker at all is f.tag where only
// what is shown counts.
type asker func(ctx context.Context, repo, tag string) (*info, error)

// look asks about a name, and f.tag about its ancestors, all at once. fs.ErrNotExist: an ancestor is no directory;
// *insideError: it is an exhibit. A name is reachable only through the markers of all its ancestors, so that a directory
// appears and disappears in one step.
func (f *FS) look(ctx context.Context, p place, ask asker) (state, error) {
	return f.lookBy(ctx, p, ask, nil)
}

// lookBy is look with another way to ask about the ancestors.
func (f *FS) lookBy(ctx context.Context, p place, ask, above asker) (state, error) {
	type question struct{ name, repo, tag string }
	questions := []question{{p.name, p.repo, p.file}, {p.name, p.repo, p.marker}}
	ancestors, err := f.above(p.name)
	if err != nil {
		return state{}, err
	}
	for _, a := range ancestors {
		questions = append(questions, question{a.name, a.repo, a.marker})
	}
	answers := make([]*info, len(questions))
	failures := make([]error, len(questions))
	hidden := ask == nil && f.wasThere(p.repo, p.marker) // what a directory hides is asked for only if that is gone
	var open []int                                       // a name that is read often costs no goroutines
	for i, q := range questions {
		known := hidden && i == 0
		if !known && (i >= 2 && above == nil || i < 2 && ask == nil) {
			answers[i], known = f.atHand(q.repo, q.tag)
		}
		if !known {
			open = append(open, i)
		}
	}
	if len(open) > 0 {
		_ = each(ctx, f, open, func(ctx context.Context, _, i int) error {
			ask := ask
			if i >= 2 {
				ask = above
			}
			if ask == nil {
				ask = f.tag
			}
			answers[i], failures[i] = ask(ctx, questions[i].repo, questions[i].tag)
			return nil
		})
	}
	if hidden && answers[1] == nil && failures[1] == nil {
		answers[0], failures[0] = f.tag(ctx, p.repo, p.file)
	}
	if err := ctx.Err(); err != nil {
		return state{}, failure(err, "look up %s", p.name)
	}
	bare := false
	for i := len(questions) - 1; i >= 2; i-- { // from the root down: the first that is missing decides
		if failures[i] != nil {
			return state{}, failures[i]
		}
		if bare || answers[i] == nil { // below it our markers are of nothing
			if err := f.missing(ctx, p.name, questions[i].name, bare); err != nil {
				return state{}, err
			}
			bare = true
		}
	}
	if err := errors.Join(failures[:2]...); err != nil {
		return state{}, err
	}
	s := state{file: answers[0], dir: answers[1], bare: bare}
	if bare { // nor are our files
		s.dir = nil
		if s.file != nil && s.file.kind != kindForeign && s.file.kind != kindShared {
			s.file = nil
		}
	}
	if s.file != nil && s.file.kind == kindForeign {
		s.exhibit, s.file, s.foreign = f.exhibitAt(p, s.file), nil, true
	}
	if s.dir != nil && s.dir.kind == kindForeign {
		s.dir, s.foreign = nil, true
	}
	return s, nil
}

// atHand says what stands under a tag, nil for nothing, if that is in memory and fresh.
func (f *FS) atHand(repo, tag string) (i *info, known bool) {
	ref := reference{repo, tag}
	t, known, fresh := f.tags.get(ref)
	switch {
	case known && fresh && t.digest == "":
		return nil, true
	case !known || !fresh:
		return nil, f.unlistedAtHand(ref)
	}
	a, known := f.artifacts.get(artifactKey{t.digest, tag})
	if !known {
		return nil, false
	}
	return a.in(repo), true
}

// wasThere says whether the last answer about a tag, however old, was that it is there.
func (f *FS) wasThere(repo, tag string) bool {
	t, known, _ := f.tags.get(reference{repo, tag})
	return known && t.digest != ""
}

// tag says what stands under a tag, nil for nothing, from a fresh answer if there is one, or if somebody is just asking.
func (f *FS) tag(ctx context.Context, repo, tag string) (*info, error) {
	return f.tagOr(ctx, repo, tag, f.unlisted)
}

// member is tag for what a list has just named, so that no list needs to be asked whether it is there.
func (f *FS) member(ctx context.Context, repo, tag string) (*info, error) {
	return f.tagOr(ctx, repo, tag, func(context.Context, string, string) bool { return false })
}

func (f *FS) tagOr(ctx context.Context, repo, tag string, unlisted func(ctx context.Context, repo, tag string) bool) (*info, error) {
	ref := reference{repo, tag}
	if t, known, fresh := f.tags.get(ref); known && fresh {
		return f.answered(ctx, repo, tag, t)
	}
	q, mine := f.join(ref)
	if mine {
		defer f.questions.end(ref, q)
		if t, known, fresh := f.tags.get(ref); known && fresh { // somebody's question has just ended
			q.old = true
			q.i, q.err = f.answered(ctx, repo, tag, t)
		} else if q.old = unlisted(ctx, repo, tag); !q.old {
			q.i, q.err = f.askTag(ctx, repo, tag)
		}
		return q.i, q.err
	}
	select {
	case <-q.done:
	case <-ctx.Done():
		return nil, failure(ctx.Err(), "ask for tag %s in %s", tag, repo)
	}
	if q.err != nil || !q.old && time.Since(q.asked.at) >= f.tags.freshness || f.tags.changedSince(ref, q.asked) {
		return f.askTag(ctx, repo, tag) // what has failed for another; all who have waited ask at once
	}
	return q.i, nil
}

// requestBegan is the key of davfs.RequestBegan.
type requestBegan = struct{ RequestBegan struct{} }

// requestIsNow is for how long what was asked since a request began is no older than the request: while it has not
// waited for a lock or for a slow registry.
const requestIsNow = time.Second

// tagNow says what stands under a tag as the registry has known it since the request of ctx began, which looks at its
// names before it calls. Others may have written until then, so answers from before that are not enough (askNow).
func (f *FS) tagNow(ctx context.Context, repo, tag string) (*info, error) {
	if began, ok := requestTime(ctx); ok {
		return f.tagSince(ctx, repo, tag, began)
	}
	return f.askNow()(ctx, repo, tag)
}

// requestTime is when the request of ctx began, if that is known and not too long ago, else now.
func requestTime(ctx context.Context) (began time.Time, ok bool) {
	if began, ok = ctx.Value(requestBegan{}).(time.Time); ok && time.Since(began) < requestIsNow {
		return began, true
	}
	return time.Now(), false
}

// answered gives what the answer t says.
func (f *FS) answered(ctx context.Context, repo, tag string, t tagged) (*info, error) {
	if t.digest == "" {
		return nil, nil
	}
	i, err := f.manifest(ctx, repo, tag, t)
	if errors.Is(err, errAbsent) { // it has changed meanwhile
		return f.askTag(ctx, repo, tag)
	}
	return i, err
}

// askTag asks the registry what stands under a tag. A manifest that is near is not fetched again: HEAD is free where
// GET counts as a pull.
func (f *FS) askTag(ctx context.Context, repo, tag string) (*info, error) {
	r, err := f.repository(repo)
	if err != nil {
		return nil, err
	}
	ref := reference{repo, tag}
	stamp := f.tags.ask()
	if i, ok := f.near(ref, stamp); ok {
		return i, nil
	}
	if t, known, _ := f.tags.get(ref); known && t.digest != "" {
		t, err := r.headManifest(ctx, tag)
		if err != nil {
			return nil, failure(err, "ask for tag %s in %s", tag, repo)
		}
		if t.digest != "" {
			i, err := f.manifest(ctx, repo, tag, t)
			if !errors.Is(err, errAbsent) {
				if err == nil {
					f.tags.learn(ref, t, stamp, 1)
				}
				return i, err
			}
		}
	}
	d, data, err := r.fetchManifest(ctx, tag)
	if errors.Is(err, errAbsent) {
		f.tags.learn(ref, tagged{}, stamp, 1)
		return nil, nil
	}
	if err != nil {
		return nil, failure(err, "fetch manifest %s in %s", tag, repo)
	}
	f.keepManifest(ctx, d, data)
	i := f.decode(repo, tag, d, data) // first: who sees the answer looks for it
	f.tags.learn(ref, tagged{d, int64(len(data))}, stamp, 1)
	return i, nil
}

// manifest gives what the manifest t says under tag: from memory, from the blobs at hand, or from the registry.
// errAbsent: it is gone.
func (f *FS) manifest(ctx context.Context, repo, tag string, t tagged) (*info, error) {
	if a, ok := f.artifacts.get(artifactKey{t.digest, tag}); ok {
		return a.in(repo), nil
	}
	data, err := f.manifestBytes(ctx, repo, t)
	if err != nil {
		return nil, err
	}
	return f.decode(repo, tag, t.digest, data), nil
}

// manifestBytes gives a manifest that the registry has named as that of a tag, from the blobs at hand, or from the registry.
// errAbsent: it is gone.
func (f *FS) manifestBytes(ctx context.Context, repo string, t tagged) ([]byte, error) {
	r, err := f.repository(repo)
	if err != nil {
		return nil, err
	}
	fetch := func(ctx context.Context, _, _ int64) (io.ReadCloser, int64, error) {
		_, data, err := r.fetchManifest(ctx, t.digest.String())
		return io.NopCloser(bytes.NewReader(data)), 0, err
	}
	desc := manifestDescriptor(t.digest, t.size)
	var data []byte
	b, err := f.blobs.Open(ctx, desc, Source{Local: f.localFile(desc), Fetch: fetch})
	if err == nil {
		defer b.Close()
		data, err = io.ReadAll(b)
	}
	if err != nil && f.perhapsOthers(repo, t.digest, err) {
		_, data, err = f.fetchTag(ctx, repo, t.digest.String())
	}
	if errors.Is(err, errAbsent) {
		return nil, errAbsent
	}
	return data, failure(err, "fetch manifest %s in %s", t.digest, repo)
}

// keepManifest offers a verified manifest to the blobs at hand.
func (f *FS) keepManifest(ctx context.Context, d digest.Digest, data []byte) {
	f.keepBlob(ctx, manifestDescriptor(d, int64(len(data))), bytes.NewReader(data))
}

func (f *FS) keepBlob(ctx context.Context, desc ocispec.Descriptor, r io.Reader) {
	if f.local != nil {
		return // it is at hand as it is
	}
	if err := f.blobs.Add(ctx, desc, r); err != nil {
		f.log.DebugContext(ctx, "blob not kept", "digest", desc.Digest, "error", err)
	}
}

func manifestDescriptor(d digest.Digest, size int64) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: size}
}

// decode parses a verified manifest and remembers it.
func (f *FS) decode(repo, tag string, d digest.Digest, data []byte) *info {
	i := &info{repo: repo, artifact: parse(f.layout.of(repo, tag), tag, data)}
	f.artifacts.put(artifactKey{d, tag}, i, 1+len(data)/artifactBytes)
	if i.kind != kindForeign && i.kind != kindShared && i.props.digest == "" { // its config is "{}", so that is there
		f.present.put(presence{repo, emptyBlob.Digest}, struct{}{}, 1)
	}
	return i.in(repo)
}
