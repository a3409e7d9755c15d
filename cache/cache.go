// Package cache keeps blobs of a registry on the local disk, by digest.
//
// # Directory
//
//	DIR/blobs/ALGORITHM/HH/HEX   a whole blob; HH are the first two digits of HEX
//	DIR/incoming/blob-*          one that is on its way; what a crash leaves there is removed at the next start
//
// The file system is the index: what lies there under a proper name is an entry, its size is its charge and its
// modification time its recency. Anything else in the directory is not ours and left alone.
//
// # Invariants
//
//   - A blob that does not fit its digest is never read to its end without an error. What comes from the registry is
//     hashed on its way, and the last 64 KiB wait for the result. What was on the disk before this process is hashed
//     when it is first opened, small blobs each time; a damaged one is removed and fetched. Only a read that does not
//     begin at the start and cannot be kept goes unverified.
//   - One fetch of a blob at a time, however many readers there are. They follow it while it arrives, each leaves with
//     its own context, and it ends when the last has left. A reader far ahead of it asks the registry by itself.
//   - The files have Options.MaxBytes at most. Room is made before a blob arrives: the least recently used go. Open
//     ones are removed too, but their readers keep reading. What does not fit is passed through.
//   - The disk is an aid, never a condition: whatever fails there is logged and the bytes come from the registry.
//
// store.go is the directory and its account, flight.go a blob on its way into it, stream.go and source.go the registry's
// bytes, blob.go a reader, small.go what fits in memory.
package cache

import (
	"context"
	_ "crypto/sha256" // go-digest knows what is linked
	_ "crypto/sha512"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Options of a cache.
type Options struct {
	Dir      string       // made if it does not exist
	MaxBytes int64        // of all files together; zero keeps nothing and passes all through
	Log      *slog.Logger // nil: discard
}

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

// Stats counts what happened since New.
type Stats struct {
	Hits, Misses int64 // opened blobs that were whole on the disk, and others; not those of a local source
	Evicted      int64 // blobs
	Fetched      int64 // bytes from the registry, of what is kept
	Bytes        int64 // on the disk, also those that are reserved for what is on its way
	InFlight     int   // requests at the registry that fill the cache
}

// A Cache is safe for concurrent use.
type Cache struct {
	store   *store
	small   group[[]byte]
	hashing group[struct{}] // large blobs without a map
	log     complaints
	slots   *slots
	checks  chan struct{} // of the one that checks a blob in the background

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup

	hits, misses, fetched, inFlight atomic.Int64
}

// New opens the cache in o.Dir. An error means that the directory cannot be used. One that another process uses, or that
// may not be written, is left alone, and nothing is kept.
func New(o Options) (*Cache, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Cache{log: complaints{log: log}, slots: newSlots(maxFetches), checks: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	var err error
	if c.store, err = openStore(o.Dir, o.MaxBytes, &c.log); err != nil {
		return nil, fmt.Errorf("cache directory: %w", err)
	}
	return c, nil
}

// Open opens the blob desc, from src's local file, from the disk, or else by src's fetch. The error is src's, or says
// what is wrong with desc; where it can it comes with the first read. The blob may have a method File() *os.File: a
// descriptor of its own on the whole content, which the caller may seek and hand to the kernel while the blob is open,
// nil while that cannot be trusted.
func (c *Cache) Open(ctx context.Context, desc ocispec.Descriptor, src Source) (Blob, error) {
	if err := check(desc); err != nil {
		return nil, err
	}
	if src.Local != nil {
		if file := c.openLocal(ctx, desc, src); file != nil {
			return &blob{ctx: ctx, cache: c, desc: desc, file: file}, nil
		}
	}
	if isSmall(desc) {
		return c.openSmall(ctx, desc, src)
	}
	return c.openLarge(ctx, desc, src)
}

// openLocal opens the local source; nil if it does not have the blob.
func (c *Cache) openLocal(ctx context.Context, desc ocispec.Descriptor, src Source) *os.File {
	file, err := src.Local(ctx)
	if file == nil && err == nil {
		return nil
	}
	if err == nil {
		var i os.FileInfo
		if i, err = file.Stat(); err == nil && i.Size() == desc.Size && i.Mode().IsRegular() {
			return file
		}
		file.Close()
		if err == nil {
			err = errors.New("it has another size")
		}
	}
	c.log.warn("a local blob cannot be used, it is fetched", desc.Digest, err)
	return nil
}

func (c *Cache) openLarge(ctx context.Context, desc ocispec.Descriptor, src Source) (Blob, error) {
	b := &blob{ctx: ctx, cache: c, desc: desc, src: src}
	for range 2 { // what cannot be used is thrown away, and begun anew
		e := c.store.pinLarge(c, desc)
		if e == nil {
			break
		}
		err := e.content.enter(ctx)
		if err == nil {
			b.content = e.content
			break
		}
		c.store.unpin(e)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.log.warn("a cached blob is damaged, it is fetched again", desc.Digest, err)
		c.store.drop(e)
	}
	if b.content == nil {
		c.misses.Add(1)
		return b, nil
	}
	b.content.arrive(b)
	return b, nil
}

// arrive counts an open blob, and sees to it that it can be trusted soon.
func (c *content) arrive(b *blob) {
	c.mu.Lock()
	b.wrong = c.wrong
	whole, trusted := c.verified && c.absent == 0, c.trustedLocked()
	if whole && !trusted && c.cache.ctx.Err() == nil && !c.resting {
		c.resting = true
		c.users++
		c.cache.store.pinAgain(c.entry)
		c.cache.running.Go(c.checkRest)
	}
	c.mu.Unlock()
	if whole {
		c.cache.hits.Add(1)
	} else {
		c.cache.misses.Add(1)
	}
	if trusted {
		b.file, b.losses = c.openTrusted()
	}
}

// Add keeps a blob that is at hand, unless it is kept already; then r is not read. An error means that it was not kept.
func (c *Cache) Add(ctx context.Context, desc ocispec.Descriptor, r io.Reader) error {
	if err := check(desc); err != nil {
		return err
	}
	if e := c.store.pin(desc); e != nil {
		c.store.unpin(e)
		return nil
	}
	a, room := c.store.accountOf(desc), chargeOf(desc, desc.Size)
	if !c.store.reserve(a, room) {
		return fmt.Errorf("blob %s: %w", desc.Digest, errNoRoom)
	}
	err := c.store.write(desc, contextReader{ctx, r})
	if err != nil {
		c.store.release(a, room)
	}
	return err
}

// Stats tells what the cache has done.
func (c *Cache) Stats() Stats {
	s := c.store.stats()
	s.Hits, s.Misses, s.Fetched, s.InFlight = c.hits.Load(), c.misses.Load(), c.fetched.Load(), int(c.inFlight.Load())
	return s
}

// Close ends what is on its way into the cache and lets another process have the directory. Blobs that are open stay
// readable; what is not on the disk they fetch without keeping it.
func (c *Cache) Close() error {
	c.cancel()
	c.running.Wait()
	c.store.close()
	return nil
}

var errNoRoom = errors.New("no room")

// check refuses what cannot be verified, and what could not be a file's name.
func check(desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("blob %q: %w", desc.Digest, err)
	}
	if desc.Size < 0 {
		return fmt.Errorf("blob %s: its size is %d", desc.Digest, desc.Size)
	}
	return nil
}

// complaints logs the disk's troubles, one of a kind in a minute: a full disk has the same for every blob.
type complaints struct {
	log  *slog.Logger
	last sync.Map // of time.Time by message
}

func (c *complaints) warn(message string, d digest.Digest, err error) {
	now := time.Now()
	if t, ok := c.last.Load(message); ok && now.Sub(t.(time.Time)) < time.Minute {
		return
	}
	c.last.Store(message, now)
	c.log.Warn(message, "digest", d, "error", err)
}
