package ocifs

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// putOptions is davfs.PutOptions: both name the same unnamed type, as for all that the tree's methods take.
type putOptions = struct {
	Size        int64
	ModTime     time.Time
	ContentType string
	Check       func(old fs.FileInfo) error
	Recent      bool
	Checksums   func() []string
}

// Put makes name a file with the bytes of r. The content is uploaded without any lock; the lock is for the last look at
// the name and the one manifest that makes it visible.
func (f *FS) Put(ctx context.Context, name string, r io.Reader, o putOptions) (_ fs.FileInfo, err error) {
	if name == "/" {
		return nil, fmt.Errorf("/ is a directory: %w", fs.ErrExist)
	}
	p, err := f.place(name)
	if err != nil {
		return nil, err
	}
	f.uploads.Add(1)
	defer f.uploads.Add(-1)
	began := time.Now()
	asking := ctx // ctx is another before they may have been asked
	may := func() error {
		_, err := f.mayPut(asking, p, o.Check, f.tag)
		return err
	}
	if f.pushesAhead(p, o) {
		may = begun(may)
	} else if err := may(); err != nil { // what will be refused is refused before the content is read
		return nil, err
	} else {
		may = nothing
	}
	s, err := f.receive(ctx, p.repo, r, o.Size)
	if err != nil {
		return nil, cmp.Or(may(), err)
	}
	defer func() { f.release(ctx, s, err == nil) }()
	ctx = f.writing(ctx)
	push := func(underWay func()) error { return f.pushParts(ctx, p.repo, s, underWay) }
	err = f.beside(ctx, p, asOf(began), push)
	if err = cmp.Or(may(), err); err != nil {
		return nil, err
	}

	unlock, err := f.lock(ctx, name)
	if err != nil {
		return nil, failure(err, "wait to write %s", name)
	}
	defer unlock()
	ask := f.last(o.Check)
	if o.Recent {
		ask = f.tag
	}
	old, err := f.mayPut(ctx, p, o.Check, ask)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	a := &artifact{
		kind: kindFile, name: p.base, modTime: now, birthTime: now, contentType: o.ContentType,
		size: s.size, content: s.content, layers: blobsOf(s.parts),
	}
	if !o.ModTime.IsZero() {
		a.modTime = o.ModTime
	}
	if o.Checksums != nil {
		a.checksums = o.Checksums()
	}
	if old != nil {
		a.name, a.birthTime, a.props = old.name, old.birthTime, old.props
		if a.birthTime.IsZero() {
			a.birthTime = now
		}
	}
	i, err := f.commit(ctx, p.repo, p.file, a, func() error { return push(func() {}) })
	if err != nil {
		return nil, err
	}
	return i, nil
}

// aheadBytes is the content that is worth no question before it is read and pushed: most clients send it with the request.
const aheadBytes = 64 << 10

// pushesAhead says whether short content is pushed while the registry is asked whether its name can become a file, which
// saves a round trip: that is the rule in a directory that was there, and what is refused all the same leaves a blob that
// means nothing. Where a condition hangs on the answer it is refused before.
func (f *FS) pushesAhead(p place, o putOptions) bool {
	return f.local == nil && 0 < o.Size && o.Size <= aheadBytes && (o.Check == nil || o.Recent) &&
		f.knownDirectory(parent(p.name)) && !f.wasThere(p.repo, p.marker)
}

// begun does what is asked for at once, and gives the function that waits for it.
func begun(do func() error) (wait func() error) {
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = do()
	}()
	return func() error {
		<-done
		return err
	}
}

// mayPut looks whether name can become a file and gives the file that is there, nil for none.
func (f *FS) mayPut(ctx context.Context, p place, check func(fs.FileInfo) error, ask asker) (*info, error) {
	s, err := f.lookToWrite(ctx, p, check, ask)
	switch {
	case err != nil:
		return nil, err
	case s.foreign:
		return nil, errForeign(p.name)
	case s.dir != nil:
		return nil, fmt.Errorf("%s is a directory: %w", p.name, fs.ErrExist)
	}
	if s.file == nil {
		if bare, err := f.knownBare(ctx, p.name); err != nil || bare {
			return nil, cmp.Or(err, fmt.Errorf("%s is a directory of artifacts that were not written by ocidav: %w", p.name, fs.ErrExist))
		}
	}
	return s.file, s.agree(check)
}

// pushParts uploads the content, and beside it "{}", which the first file of a directory needs too: as soon as the registry
// takes an upload there, so that what it refuses is refused once. That is when underWay is called, too.
func (f *FS) pushParts(ctx context.Context, repo string, s *spool, underWay func()) error {
	if err := f.waitFor(ctx, s.notBefore); err != nil {
		return failure(err, "wait for the registry")
	}
	if _, ok := f.present.get(presence{repo, emptyBlob.Digest}); ok && len(s.parts) == 1 { // a short file among others
		return f.pushBlob(ctx, repo, s.parts[0], func() (io.Reader, error) {
			underWay()
			return s.open(0, s.parts[0].Size)
		})
	}
	taken := make(chan struct{})
	take := sync.OnceFunc(func() {
		underWay()
		close(taken)
	})
	if len(s.parts) == 0 {
		take()
	}
	offsets := make([]int64, len(s.parts)+1)
	for i, part := range s.parts {
		offsets[i+1] = offsets[i] + part.Size
	}
	return each(ctx, f, append(s.parts[:len(s.parts):len(s.parts)], emptyBlob), func(ctx context.Context, i int, part ocispec.Descriptor) error {
		if i < len(s.parts) {
			err := f.pushBlob(ctx, repo, part, func() (io.Reader, error) {
				take() // an upload is open
				return s.open(offsets[i], part.Size)
			})
			if err == nil {
				take() // it was there
			}
			return err
		}
		select {
		case <-taken:
			return f.pushBlob(ctx, repo, emptyBlob, bytesOpener(emptyBlob.Data))
		case <-ctx.Done():
			return failure(ctx.Err(), "wait for the registry")
		}
	})
}

// release gives the content up that a Put has received. What has been written is likely to be read next, so it is offered
// to the blobs at hand; a file, which may have to be copied, behind the answer.
func (f *FS) release(ctx context.Context, s *spool, written bool) {
	switch {
	case !written || s.gone:
		s.Close()
	case f.local != nil: // it is at hand as it is
		if s.file == nil {
			f.holdContent(s)
		}
		s.Close()
	case s.file == nil:
		f.keepContent(ctx, s)
		s.Close()
	case f.keeping.Add(1) > maxKeeping: // they take room on the disk meanwhile
		f.keeping.Add(-1)
		s.Close()
	default:
		keep := func(ctx context.Context) {
			defer f.keeping.Add(-1)
			defer s.Close()
			f.keepContent(ctx, s)
		}
		if !f.behind(keep) {
			keep(ctx)
		}
	}
}

// maxKeeping is the number of spools that are given to the blobs at hand at one time.
const maxKeeping = 4

// holdContent offers what is small to memory.
func (f *FS) holdContent(s *spool) {
	offset := int64(0)
	for _, part := range s.parts {
		f.blobs.Hold(part, s.memory[offset:offset+part.Size])
		offset += part.Size
	}
}

func (f *FS) keepContent(ctx context.Context, s *spool) {
	offset := int64(0)
	for _, part := range s.parts {
		if r, err := s.open(offset, part.Size); err == nil {
			f.keepBlob(ctx, part, r)
		}
		offset += part.Size
	}
}

// agree asks check about what is shown.
func (s state) agree(check func(fs.FileInfo) error) error {
	switch i := s.shown(); {
	case check == nil:
		return nil
	case i == nil:
		return check(nil)
	default:
		return check(i)
	}
}

// last is how to ask at the commit where only a condition hangs on the answer.
func (f *FS) last(check func(fs.FileInfo) error) asker {
	if check == nil {
		return f.tag
	}
	return f.askNow()
}

// askNow asks the registry even if its last answer is fresh, for others may have written since, unless this tree is told
// of that. A window of one round trip is left, because a registry has no compare-and-swap.
func (f *FS) askNow() asker {
	if f.told {
		return f.tag
	}
	return f.askTag
}

func errForeign(name string) error {
	return fmt.Errorf("%s is the tag of an artifact that was not written by ocidav: %w", name, fs.ErrPermission)
}
