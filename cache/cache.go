// Package cache keeps blobs of a registry on the local disk, by digest.
//
// # Directory
//
//	DIR/blobs/ALGORITHM/HH/HEX       a whole blob; HH are the first two digits of HEX
//	DIR/blobs/ALGORITHM/HH/HEX.crc   the map of a large one, more than 64 KiB: the CRC-32C of each block of 1 MiB
//	DIR/manifests/ALGORITHM/HH/HEX   a manifest
//	DIR/partial/ALGORITHM/HH/HEX     a large blob of which some blocks are there, a file with holes, and its map
//	DIR/incoming/blob-*              what is written at once; what a crash leaves there is removed at the next start
//	DIR/lock                         locked by the process that uses the directory
//
// The file system is the index: what lies there under a proper name is an entry, what it takes on the disk its charge
// and its modification time its recency. Anything else in the directory is not ours and left alone. A second process in
// the same directory says so once and keeps nothing. Upkeep counts, prunes and verifies what lies there while no process
// uses it; it takes the lock for that.
//
// # Blocks
//
// A small blob and a manifest are read whole and hashed each time, but for those of a few KiB that were read or added last:
// they are in memory. What is small and added waits there for a quiet moment to be written to the disk. A large blob is fetched, kept and checked by blocks.
// A read asks the registry for exactly the blocks that it lacks, neighbours in one request, and each block is asked for
// once however many wait for it. A reader that has read 1 MiB in sequence, or says that it will, has a stream from there
// to the next block that is there, or to where it said. That is 2 to 16 blocks ahead of it, is held back while the reader
// is slow, and ends when the reader leaves, does not read for some seconds, or others wait for a fetch. Bytes are handed
// out as they arrive. A registry that ignores ranges is read once, from the start, for all who wait.
//
// A block is written before its sum, so that what a crash leaves is believed as far as the sums fit. When all blocks are
// there they are hashed; blocks that come in their order have been by then. What a former process has verified is
// checked by its sums, each block before it is read first, and the rest in the background. A block whose sum does not fit
// is fetched again; if it comes back with another sum than it had, all is hashed again.
//
// A large blob that its writer has in a file is taken as it is, under a second name, or copied where that cannot be. It is
// as good as one that was hashed here; its sums come a little later, one blob at a time. One that has none when the
// process ends is hashed by the next.
//
// # Invariants
//
//   - A download that began at the start is never completed with damaged bytes, whatever mix of cached, partial and
//     fetched blocks served it. The last block, and at least the last 64 KiB, is handed out when all blocks have been
//     hashed, and when the sums of all that this reader was handed before are those of the hashed blocks. That holds for
//     a reader that goes on at the registry by itself too: it hashes what it was handed once more.
//   - Any other reader is given the last block unverified only while other blocks are absent: it has come, and nobody
//     can know more without fetching the rest. When all are there it waits until they are verified.
//   - A registry that sends wrong bytes is asked once more for all of them, then the read fails. Nothing of that is kept.
//   - The directory has Options.MaxBytes at most, in allocated bytes, with maps, with what is on its way, and with what
//     was removed but is still open. Room is made before bytes are asked for: the least recently used that are not open
//     go. An eighth, 1 GiB at most, is for manifests, the rest for blobs; neither pushes the other out. A blob for which
//     there is no room, or that is larger than all of it, is passed through.
//   - Fetches that fill the cache are 32 at once, and 4 of one blob. Every wait ends with its context, and what nobody
//     wants any more ends. Blobs that are passed through have one request for each reader, and none besides.
//   - The disk is an aid, never a condition: whatever fails there is logged, one of a kind in a minute, and the bytes
//     come from the registry.
//   - A local source is read where it lies. It is not verified and nothing of it is kept, but for what is small and fits its
//     digest, in memory.
//
// What changes the files of a running process is noticed if it cuts them, not if it overwrites blocks that have been
// checked.
//
// # Files
//
// store.go and files.go are what the directory holds, account.go its bytes, directory.go its names. content.go is a large
// blob, reading.go and wants.go what its readers want, transfer.go the requests that bring it, keep.go how it comes to
// the disk, take.go what a writer has in a file, check.go, verify.go, digest.go, sums.go and proof.go its truth. blob.go
// is a reader, local.go one of a local source, idle.go what such a one leaves open, source.go and stream.go the
// registry's bytes, small.go what is read whole, hot.go what is held in memory and behind.go what waits there. upkeep.go
// is for who looks after a directory.
package cache

import (
	"context"
	"crypto/sha256"
	_ "crypto/sha512" // go-digest knows what is linked
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"

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
	hot     *hot
	behind  *behind
	idle    idle
	log     complaints
	slots   *slots
	checks  chan struct{} // of the one that checks a blob in the background
	mapping chan struct{} // of the one that gives a taken blob its map
	copies  chan struct{}

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
	c := &Cache{log: complaints{log: log}, slots: newSlots(maxFetches), checks: make(chan struct{}, 1),
		mapping: make(chan struct{}, 1), copies: make(chan struct{}, maxCopies)}
	c.hot, c.behind = newHot(min(hotBytes, o.MaxBytes/8)), newBehind(min(behindBytes, o.MaxBytes/8))
	c.ctx, c.cancel = context.WithCancel(context.Background())
	var err error
	if c.store, err = openStore(o.Dir, o.MaxBytes, &c.log); err != nil {
		return nil, fmt.Errorf("cache directory: %w", err)
	}
	return c, nil
}

// Open opens the blob desc, from src's local file, from the disk, or else by src's fetch. The error is src's, or says
// what is wrong with desc; where it can it comes with the first read. The blob may have a method File() *os.File: a
// descriptor of its own on the whole content, standing anywhere, which the caller may seek and hand to the kernel while
// the blob is open, nil while that cannot be trusted; and a method Sequential(from, to int64), for a caller that knows
// what it will read.
func (c *Cache) Open(ctx context.Context, desc ocispec.Descriptor, src Source) (Blob, error) {
	if err := check(desc); err != nil {
		return nil, err
	}
	if b := c.openHot(desc); b != nil {
		return b, nil
	}
	if src.Local != nil {
		if file := c.openLocal(ctx, desc, src); file != nil {
			if b := c.heat(desc, file); b != nil {
				file.Close()
				return b, nil
			}
			return &local{ctx: ctx, desc: desc, idle: &c.idle, file: file}, nil
		}
	}
	if isSmall(desc) {
		return c.openSmall(ctx, desc, src)
	}
	return c.openLarge(ctx, desc, src)
}

// openLocal opens the local source; nil if it does not have the blob.
func (c *Cache) openLocal(ctx context.Context, desc ocispec.Descriptor, src Source) *os.File {
	if file := c.idle.take(desc.Digest); file != nil {
		if hasSize(file, desc.Size) == nil {
			return file
		}
		_ = file.Close() // another may lie there by now
	}
	file, err := src.Local(ctx)
	if file == nil && err == nil {
		return nil
	}
	if err == nil {
		if err = hasSize(file, desc.Size); err == nil {
			return file
		}
		_ = file.Close()
	}
	c.log.warn("a local blob cannot be used, it is fetched", desc.Digest, err)
	return nil
}

func hasSize(file *os.File, size int64) error {
	i, err := file.Stat()
	if err == nil && (i.Size() != size || !i.Mode().IsRegular()) {
		err = errors.New("it has another size")
	}
	return err
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
//
// If r has a method File() *os.File that gives a file, then that is the blob from its first byte to its last, hashed
// already, and the cache's from now on: nobody writes it any more. It is not copied if it can get a name in the
// directory: on Linux, on the same file system, opened with O_TMPFILE or with a name still. If it must be copied, that
// may go on after Add has returned, also when the caller has closed it.
func (c *Cache) Add(ctx context.Context, desc ocispec.Descriptor, r io.Reader) error {
	if err := check(desc); err != nil {
		return err
	}
	if e := c.store.pin(desc); e != nil {
		c.store.unpin(e)
		return nil
	}
	if f, ok := r.(interface{ File() *os.File }); ok && !isSmall(desc) {
		if file := f.File(); file != nil {
			return c.take(ctx, desc, file)
		}
	}
	if desc.Size <= smallBytes {
		return c.addSmall(ctx, desc, r)
	}
	return c.write(desc, contextReader{ctx, r})
}

// write writes a blob to the directory, if there is room.
func (c *Cache) write(desc ocispec.Descriptor, r io.Reader) error {
	a, room := c.store.accountOf(desc), chargeOf(desc, desc.Size)
	if !c.store.reserve(a, room) {
		return fmt.Errorf("blob %s: %w", desc.Digest, errNoRoom)
	}
	err := c.store.write(desc, r)
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
	c.idle.close()
	c.store.close()
	return nil
}

var errNoRoom = errors.New("no room")

// check refuses what cannot be verified, and what could not be a file's name.
func check(desc ocispec.Descriptor) error {
	if !isPlain(desc.Digest) {
		if err := desc.Digest.Validate(); err != nil {
			return fmt.Errorf("blob %q: %w", desc.Digest, err)
		}
	}
	if desc.Size < 0 {
		return fmt.Errorf("blob %s: its size is %d", desc.Digest, desc.Size)
	}
	return nil
}

// fits says whether data is the blob d.
func fits(d digest.Digest, data []byte) bool {
	if !isPlain(d) {
		return d.Algorithm().FromBytes(data) == d
	}
	sum := sha256.Sum256(data)
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return string(d[len(d)-len(text):]) == string(text[:])
}

// isPlain says whether d is a SHA-256 digest as nearly all are: Validate's regular expressions take longer than all else
// that opening a small file takes in this process.
func isPlain(d digest.Digest) bool {
	hex, ok := strings.CutPrefix(string(d), "sha256:")
	if !ok || len(hex) != 64 {
		return false
	}
	for i := range len(hex) {
		if c := hex[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
