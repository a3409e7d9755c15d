package ocifs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// CheckOptions say how far a check goes.
type CheckOptions struct {
	Paths     []string // what is looked at, with all below; none: the whole tree, and what no name leads to
	Quick     bool     // ask of blobs only whether they are there, with their size
	NoForeign bool     // leave out the blobs of others' artifacts
	Repair    bool     // repair what can be

	// Alone says that nobody else writes to the drive meanwhile. What no name leads to may else be a copy on its way, whose
	// directory gets its marker last, and is told but not removed.
	Alone bool

	// AtHand gives the content of a blob or manifest from somewhere else, to repair it with, or an error. It is verified here.
	AtHand func(d digest.Digest) (*os.File, error)

	// Mend makes the content of a blob in the registry what r gives, if that has the digest, whatever was there. Nil: there
	// is no such way, which the API does not have: a registry keeps what it has under a digest.
	Mend func(ctx context.Context, d digest.Digest, r io.Reader) error

	// Progress is called now and then from one goroutine.
	Progress func(CheckProgress)
}

// CheckProgress is how far a check has come. Found and FoundBytes are what is known to be there, all of it when Walked.
type CheckProgress struct {
	Files, Directories      int64
	Blobs, FoundBlobs       int64
	Bytes, FoundBytes       int64
	Walked                  bool
	Damage, Litter, Failure int
}

// Bounds of a check.
const (
	checkQueue    = 50_000  // blobs that are known and not looked at yet
	checkKept     = 400_000 // blobs that are known to be well
	checkFindings = 10_000  // that are told one by one
	checkFailures = 100     // the same
	checkGivesUp  = 20      // failures in a row
	checkTold     = 500 * time.Millisecond
)

// errHopeless is the end of a check of a registry that answers nothing any more.
var errHopeless = fmt.Errorf("given up after %d failures of the registry in a row", checkGivesUp)

// checker is one check. It reads what the registry has, past all that is known or kept, and by the same parsers as the tree.
//
// The walk finds files, verifiers read their blobs behind it: so what is to be done is known long before it is done. What
// looks damaged is asked for twice, then something that was well before, and whether the name is still there: a
// registry that has gone mad meanwhile, or a file that somebody has just replaced, is no damage.
type checker struct {
	*FS
	o     CheckOptions
	hands hands

	files, directories, manifests, others atomic.Int64
	tombs                                 atomic.Int64
	blobs, bytes                          atomic.Int64 // of jobs that are done
	foundBlobs, foundBytes                atomic.Int64
	read                                  atomic.Int64 // bytes
	walked                                atomic.Bool
	inRow                                 atomic.Int64
	giveUp                                context.CancelCauseFunc

	well    atomic.Pointer[manifestAt]     // the last manifest that was
	wellOne atomic.Pointer[checkJob]       // the last small blob that was
	good    *recent[blobKey, struct{}]     // blobs in repositories that are well
	whole   *recent[digest.Digest, string] // and a repository for each digest
	reading flights[blobKey]

	mu       sync.Mutex
	bad      map[blobKey]*damage
	report   CheckReport
	found    []*problem
	visited  map[directory]bool
	hopeless bool
	unsure   bool // a directory may be there that the walk did not see
	repaired []spot
	remedied map[blobKey]*remedied
}

// manifestAt is a manifest in a repository.
type manifestAt struct {
	repo   string
	digest digest.Digest
}

// Check looks at the tree as it is in the registry: every tag has its manifest, and every blob that a manifest names is
// there, with its size and its digest. Nothing is taken from the blobs at hand, and nothing kept. What the registry fails at
// is no damage: the report is then not complete, and says what was not seen. The error is that of ctx, or of a path that is not
// there; the report is good as far as it goes.
func (f *FS) Check(ctx context.Context, o CheckOptions) (CheckReport, error) {
	c := &checker{
		FS: f, o: o, hands: f.hands(), good: newRecent[blobKey, struct{}](checkKept), whole: newRecent[digest.Digest, string](checkKept),
		bad: map[blobKey]*damage{}, visited: map[directory]bool{}, remedied: map[blobKey]*remedied{},
	}
	root, err := f.layout.directory("/")
	if err != nil {
		return CheckReport{}, err
	}
	c.report = CheckReport{
		Registry: f.registry.Reference.Registry, Root: root.repo, Layout: f.Layout(), Quick: o.Quick, Started: time.Now().UTC(),
		Findings: []Finding{}, Failures: []CheckFailure{},
	}
	defer c.tell()()
	err = c.pass(ctx, c.walk)
	if err == nil {
		err = c.repairs(ctx)
	}
	return c.end(err == nil), err
}

// pass does a walk and has what it finds verified. The error is that of ctx, or of a path.
func (c *checker) pass(outer context.Context, walk func(context.Context, chan<- checkJob) error) error {
	ctx, cancel := context.WithCancelCause(outer)
	defer cancel(nil)
	c.giveUp = cancel
	jobs := make(chan checkJob, checkQueue)
	var verifiers sync.WaitGroup
	for range c.parallel {
		verifiers.Go(func() {
			for j := range jobs {
				c.verify(ctx, j)
			}
		})
	}
	err := walk(ctx, jobs)
	c.walked.Store(true)
	close(jobs)
	verifiers.Wait()
	switch {
	case outer.Err() != nil:
		return outer.Err()
	case errors.Is(context.Cause(ctx), errHopeless):
		c.note(spot{}, errHopeless)
		c.hopeless = true
		return nil
	}
	return err
}

// walk goes through all that is to be looked at.
func (c *checker) walk(ctx context.Context, jobs chan<- checkJob) error {
	w := &checkWalk{checker: c, jobs: jobs, walk: c.newWalk(c.hands)}
	if len(c.o.Paths) > 0 {
		for _, name := range c.o.Paths {
			if err := w.path(ctx, name); err != nil {
				return err
			}
		}
		return nil
	}
	return w.all(ctx)
}

// failed notes that something could not be looked at.
func (c *checker) failed(ctx context.Context, at spot, err error) {
	if ctx.Err() != nil {
		return // its end, or the check's, told elsewhere
	}
	c.note(at, err)
	if c.inRow.Add(1) >= checkGivesUp {
		c.giveUp(errHopeless)
	}
}

func (c *checker) note(at spot, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Failed++
	if len(c.report.Failures) < checkFailures {
		c.report.Failures = append(c.report.Failures, CheckFailure{Path: at.path, Repository: at.repo, Tag: at.tag, Text: err.Error()})
	}
}

// heard notes that the registry has given an answer.
func (c *checker) heard() { c.inRow.Store(0) }

// tell tells the progress until it is ended.
func (c *checker) tell() (end func()) {
	if c.o.Progress == nil {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(checkTold)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				c.o.Progress(c.progress())
			case <-stop:
				c.o.Progress(c.progress())
				return
			}
		}
	}()
	return func() { close(stop); <-stopped }
}

func (c *checker) progress() CheckProgress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CheckProgress{
		Files: c.files.Load(), Directories: c.directories.Load(), Blobs: c.blobs.Load(), FoundBlobs: c.foundBlobs.Load(),
		Bytes: c.bytes.Load(), FoundBytes: c.foundBytes.Load(), Walked: c.walked.Load(),
		Damage: c.report.Damage, Litter: c.report.Litter, Failure: c.report.Failed,
	}
}
