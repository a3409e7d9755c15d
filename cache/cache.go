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

// A Fetch opens a blob's bytes from offset to the end at the registry.
type Fetch = func(ctx context.Context, offset int64) (io.ReadCloser, error)

// Stats counts what happened since New.
type Stats struct {
	Hits, Misses, Evicted int64 // blobs
	Bytes                 int64 // on the disk
	InFlight              int   // blobs that are being fetched into it
}

// A Cache is safe for concurrent use.
type Cache struct {
	store    *store
	small    group[[]byte]
	verified group[struct{}] // large blobs that are being hashed
	log      complaints

	mu      sync.Mutex
	flights map[digest.Digest]*flight
	running sync.WaitGroup

	hits, misses atomic.Int64
}

// New opens the cache in o.Dir. An error means that the directory cannot be used.
func New(o Options) (*Cache, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Cache{flights: map[digest.Digest]*flight{}, log: complaints{log: log}}
	var err error
	if c.store, err = openStore(o.Dir, o.MaxBytes, &c.log); err != nil {
		return nil, fmt.Errorf("cache directory: %w", err)
	}
	return c, nil
}

// Open opens the blob desc, from the disk or else by fetch. The error is fetch's, or says what is wrong with desc;
// where it can it comes with the first read.
func (c *Cache) Open(ctx context.Context, desc ocispec.Descriptor, fetch Fetch) (Blob, error) {
	if err := check(desc); err != nil {
		return nil, err
	}
	if desc.Size <= smallBytes {
		return c.openSmall(ctx, desc, fetch)
	}
	b := &blob{ctx: ctx, cache: c, desc: desc, fetch: fetch}
	var err error
	if b.file, err = c.openVerified(ctx, desc); err != nil {
		return nil, err
	}
	if b.file != nil {
		c.hits.Add(1)
	} else {
		c.misses.Add(1)
	}
	return b, nil
}

// openVerified opens a blob on the disk, and hashes it if that has not been done since New; nil if there is none or it
// is damaged. The error is the context's.
func (c *Cache) openVerified(ctx context.Context, desc ocispec.Descriptor) (*os.File, error) {
	file, verified := c.store.open(desc)
	if file == nil || verified {
		return file, nil
	}
	_, err := c.verified.do(ctx, desc.Digest, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.store.verify(ctx, desc) // with a file of its own: the first caller may leave
	})
	if err == nil {
		return file, nil
	}
	file.Close()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	c.damaged(desc, err)
	return nil, nil
}

// damaged removes a blob that is not what it should be.
func (c *Cache) damaged(desc ocispec.Descriptor, err error) {
	c.log.warn("a cached blob is damaged, it is fetched again", desc.Digest, err)
	c.store.drop(desc.Digest)
}

// Add keeps a blob that is at hand, unless it is kept already; then r is not read. An error means that it was not kept.
func (c *Cache) Add(ctx context.Context, desc ocispec.Descriptor, r io.Reader) error {
	if err := check(desc); err != nil {
		return err
	}
	if c.store.touch(desc) {
		return nil
	}
	if !c.store.reserve(desc.Size) {
		return fmt.Errorf("blob %s: %w", desc.Digest, errNoRoom)
	}
	err := c.store.write(desc, contextReader{ctx, r})
	if err != nil {
		c.store.release(desc.Size)
	}
	return err
}

// Stats tells what the cache has done.
func (c *Cache) Stats() Stats {
	s := c.store.stats()
	s.Hits, s.Misses = c.hits.Load(), c.misses.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	s.InFlight = len(c.flights)
	return s
}

// Close ends what is on its way into the cache. Blobs that are open stay readable as far as they are on the disk.
func (c *Cache) Close() error {
	c.mu.Lock()
	for d, f := range c.flights {
		f.cancel()
		delete(c.flights, d)
	}
	c.mu.Unlock()
	c.running.Wait()
	return nil
}

var (
	errDamaged = errors.New("the bytes do not have the digest")
	errNoRoom  = errors.New("no room")
)

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

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
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
