package ocifs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
)

// Blob is the content of one blob. Its reads end with the context that it was opened with.
type Blob = interface {
	io.ReaderAt
	io.ReadSeekCloser
}

// Source is where a blob comes from.
type Source = struct {
	// Local opens the blob where it lies on this machine; a nil function or a nil file: it does not. The file is the
	// caller's to close.
	Local func(ctx context.Context) (*os.File, error)
	// Fetch opens the bytes [from, to) at the registry. The body begins at start: at from, or at 0 from a registry that
	// knows no ranges, and then ends with the blob.
	Fetch func(ctx context.Context, from, to int64) (body io.ReadCloser, start int64, err error)
}

// Blobs keeps content-addressed blobs near. Implementations verify what they fetch: a blob that does not fit its digest
// is never read to its end without an error.
type Blobs interface {
	// Open opens a blob. It may have a method File() *os.File, a descriptor of its own on the whole content, and a method
	// Sequential(from, to int64), which is told what will be read next, one byte after the other.
	Open(ctx context.Context, desc ocispec.Descriptor, src Source) (Blob, error)
	// Add offers a blob that is at hand. An error means that it was not kept.
	Add(ctx context.Context, desc ocispec.Descriptor, r io.Reader) error
	// Hold offers a blob of a registry on this machine that has just been written, to be held in memory if it is small. The
	// slice is the caller's.
	Hold(desc ocispec.Descriptor, data []byte)
}

// Told is the Options.Freshness of a registry whose every change is told to FS.Changed before it is answered.
const Told time.Duration = math.MaxInt64

// Options of a tree; zero values are good unless said otherwise.
type Options struct {
	Registry  *remote.Registry // required; see Dial
	Prefix    string           // repository of the root, "" for x.root
	Layout    string           // LayoutPath or LayoutFlat; empty: path, until FS.Settle has asked
	Blobs     Blobs            // required
	Freshness time.Duration    // for how long an answer about a name is good; zero: it is asked each time; see Told
	// SoleWriter: nobody else writes below Prefix, or FS.Changed is told of it, so that an answer that is fresh is enough to write
	// by. Where that is not so, what others write in that time may be lost.
	SoleWriter bool
	PartSize   int64   // bytes of a layer at most; zero: 4 GiB
	SpoolDir   string  // of its own, where content waits that does not fit in memory; empty: os.TempDir()
	SpoolSize  int64   // bytes that may wait there, of all uploads; zero: as the disk has
	Memory     int64   // bytes that the content of all uploads may take of it at one time; zero: 256 MiB
	Profile    Profile // what is known of the registry beforehand; see ParseProfile
	Upload     string  // how large content is uploaded, one of the Upload constants; empty: UploadAuto
	IndexDir   string  // of its own, where what is known of directories is kept for the next process; empty: it is not, see bundling.go
	NoIndex    bool    // push no directory index
	Isolated   bool    // the blobs at hand are those of others too, who may read more: see isolation.go
	Discover   bool    // show directories without a marker in which others' artifacts are; see bare.go
	Parallel   int     // requests at once for one operation; zero: 16

	// WriteTimeout is for how long a push is tried again that fails, from the content's last byte on; zero: a minute.
	WriteTimeout time.Duration

	// Local opens a blob or manifest where the registry has it on this machine, nil for one that is not there. Nothing is
	// kept a second time then. Nil: the registry is elsewhere.
	Local func(d digest.Digest) (*os.File, error)

	// LocalTag gives the digest of the manifest under a tag where the registry has both on this machine, and "" for whatever
	// only the registry can tell. Nil: it is always asked.
	LocalTag func(repository, tag string) digest.Digest

	Log *slog.Logger // nil: discard
}

const (
	defaultPartSize = 4 << 30
	defaultParallel = 16
	defaultWriting  = time.Minute
	defaultMemory   = 256 << 20
)

// Bounds of what is kept in memory, by number or, for lists, by names.
const (
	keptArtifacts    = 120_000
	keptAnswers      = 150_000
	keptListedNames  = 200_000
	keptRepositories = 2_000
	keptBlobNames    = 50_000

	artifactBytes = 1 << 10 // of a manifest: ours have less, and one that is longer counts as several
)

// FS is a tree of directories and files in an OCI registry; the package documentation says how. Its methods are those
// of davfs.Tree, which says what they promise. All are safe for concurrent use.
type FS struct {
	registry *remote.Registry
	layout   layout
	wanted   string // Options.Layout
	prefix   string
	blobs    Blobs
	partSize int64
	spoolDir string
	upload   string
	profile  Profile
	parallel int
	local    func(digest.Digest) (*os.File, error)
	localTag func(repository, tag string) digest.Digest
	discover bool
	told     bool // of every change, so that what was answered is true until then
	log      *slog.Logger

	*common                              // with the trees of other users of the same drive
	proofs  *recent[presence, time.Time] // of what the registry lets this tree read; nil: none is needed

	writeTimeout time.Duration
	noStreams    atomic.Bool // the registry takes uploads in one piece only
	shortPages   atomic.Bool // the registry gives no long pages of tags
	bundles      *bundles    // nil: none are kept
	bundling     bundling
	recalls      flights[directory]
	revalidation revalidation
	background   background

	tags         *answers[tagged]            // what the registry said about tags
	lists        *answers[tagList]           // and about directories
	listed       *recent[directory, listed]  // the same, for questions about single tags
	listing      flights[directory]          // and who asks for them
	catalog      catalog                     // repositories, and what others have in them
	furnishing   flights[directory]          // bare directories that get a marker
	scans        scans                       // how the tags of a flat layout are listed
	questions    questions                   // about tags, that several want an answer to
	artifacts    *recent[artifactKey, *info] // manifests by digest
	repositories *recent[string, repository] // clients
	present      *recent[presence, struct{}] // blobs known to be in a repository
	spares       spares                      // upload sessions for what comes next
	pushes       flights[presence]           // and those on their way there
	mounting     flights[presence]           // or by reference
	mounts       atomic.Bool                 // the last mount was one
	rung         atomic.Int32                // of the removal ladder that works here
	deletes      atomic.Bool                 // a tag was seen to go by its deletion
	compatible   atomic.Bool                 // the registry only takes the compatible form
	clearings    clearings                   // places of removed directories, behind the answers
	tombstones   tombstones                  // and what is left of removed files
}

// artifactKey: a manifest reads differently under different tags, since its name must fit.
type artifactKey struct {
	digest digest.Digest
	tag    string
}

// presence is a blob in a repository.
type presence struct {
	repo   string
	digest digest.Digest
}

// New gives the tree in o.Registry under o.Prefix. It sends nothing.
func New(o Options) (*FS, error) { return newTree(o, newCommon(o), "") }

// newTree gives a tree for the user, whose name is for bundles.
func newTree(o Options, c *common, user string) (*FS, error) {
	if err := checkPrefix(o.Prefix); err != nil {
		return nil, err
	}
	f := &FS{
		common:   c,
		registry: o.Registry, blobs: o.Blobs, partSize: o.PartSize, spoolDir: o.SpoolDir, parallel: o.Parallel, log: o.Log,
		upload: o.Upload, writeTimeout: o.WriteTimeout,
		told:         o.Freshness == Told || o.SoleWriter,
		discover:     o.Discover,
		local:        o.Local,
		wanted:       o.Layout,
		prefix:       o.Prefix,
		localTag:     o.LocalTag,
		tags:         newAnswers[tagged](o.Freshness, keptAnswers),
		lists:        newAnswers[tagList](o.Freshness, keptListedNames),
		listed:       newRecent[directory, listed](keptListedNames),
		artifacts:    newRecent[artifactKey, *info](keptArtifacts),
		repositories: newRecent[string, repository](keptRepositories),
		present:      newRecent[presence, struct{}](keptBlobNames),
	}
	var err error
	if f.layout, err = newLayout(o.Layout, o.Registry.Reference.Registry, o.Prefix); err != nil {
		return nil, err
	}
	f.background.init()
	f.bundling.refused = o.NoIndex
	if o.IndexDir != "" && f.local == nil {
		f.bundles = &bundles{dir: o.IndexDir, host: o.Registry.Reference.Registry, user: user, limit: keptBundleBytes}
	}
	if o.Isolated {
		f.proofs = newRecent[presence, time.Time](keptProofs)
	}
	if f.partSize <= 0 {
		f.partSize = defaultPartSize
	}
	if f.writeTimeout <= 0 {
		f.writeTimeout = defaultWriting
	}
	switch f.upload {
	case "", UploadAuto:
		f.upload = UploadAuto
	case UploadStream, UploadMonolithic, UploadDirect:
	default:
		return nil, fmt.Errorf("there is no way to upload called %q", f.upload)
	}
	if err := f.begin(o.Profile); err != nil {
		return nil, err
	}
	if f.spoolDir == "" {
		f.spoolDir = os.TempDir()
	}
	if f.parallel <= 0 {
		f.parallel = defaultParallel
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	f.tombstones.slots = make(chan struct{}, tombstonesAtOnce)
	f.tombstones.deleting, f.clearings.places = &c.burying, &c.places
	f.clearings.hands = make(hands, max(1, f.parallel/2)) // who waits for an answer goes first
	c.enter(f)
	return f, nil
}

// flights lets one do what several want at the same time. The zero value is ready.
type flights[K comparable] struct {
	mu sync.Mutex
	in map[K]chan struct{}
}

// join waits while another is busy with key, then gives the function that ends one's own turn.
func (f *flights[K]) join(ctx context.Context, key K) (leave func(), err error) {
	for {
		leave, busy := f.take(key)
		if busy == nil {
			return leave, nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take gives the function that ends one's turn, or what is closed when the other who is busy with key has ended his.
func (f *flights[K]) take(key K) (leave func(), busy <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if busy, ok := f.in[key]; ok {
		return nil, busy
	}
	if f.in == nil {
		f.in = map[K]chan struct{}{}
	}
	mine := make(chan struct{})
	f.in[key] = mine
	return func() {
		f.mu.Lock()
		delete(f.in, key)
		f.mu.Unlock()
		close(mine)
	}, nil
}
