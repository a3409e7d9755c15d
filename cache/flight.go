package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// copyBytes is read from the registry at once.
const copyBytes = 256 << 10

// errDisk is a failure of the local disk: whoever meets it reads at the registry.
var errDisk = errors.New("the cache's disk")

// flight is a blob on its way into the store, and the readers that follow it.
type flight struct {
	desc   ocispec.Descriptor
	file   *os.File // written by run, read by all
	cancel context.CancelFunc

	uses int // readers, and run itself until it ends; guarded by Cache.mu. At zero the file is closed

	mu       sync.Mutex
	changed  chan struct{} // closed, and another made, when one of these changes
	arrived  int64         // bytes that may be read
	finished bool
	err      error // of a flight that finished without the whole blob
}

// join gives the flight of desc, which begins if there is none; nil if there is no room for it. leave must be called.
func (c *Cache) join(ctx context.Context, desc ocispec.Descriptor, fetch Fetch) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.flights[desc.Digest]; ok {
		f.uses++
		return f
	}
	if !c.store.reserve(desc.Size) {
		return nil
	}
	file, err := c.store.create()
	if err != nil {
		c.store.release(desc.Size)
		c.log.warn("blobs are not kept, but passed through", desc.Digest, err)
		return nil
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{desc: desc, file: file, cancel: cancel, uses: 2, changed: make(chan struct{})}
	c.flights[desc.Digest] = f
	c.running.Go(func() { c.land(f, f.run(own, fetch)) })
	return f
}

// land keeps what a flight has brought and tells its readers of err. They have the file also where it is not kept.
func (c *Cache) land(f *flight, err error) {
	kept := err
	if err == nil {
		kept = c.store.keep(f.desc, f.file.Name())
	}
	if kept != nil {
		_ = os.Remove(f.file.Name())
		c.store.release(f.desc.Size)
	}
	if kept != nil && (err == nil || errors.Is(err, errDisk)) {
		c.log.warn("blobs are not kept, but passed through", f.desc.Digest, kept)
	}
	f.finish(err)
	c.leave(f)
}

// leave is for each that has joined. When no reader is left a flight has no reason to go on.
func (c *Cache) leave(f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.uses--
	f.mu.Lock()
	finished := f.finished
	f.mu.Unlock()
	if finished || f.uses <= 1 {
		if c.flights[f.desc.Digest] == f {
			delete(c.flights, f.desc.Digest)
		}
		f.cancel()
	}
	if f.uses == 0 {
		f.file.Close()
	}
}

// run brings the blob into the file and verifies it.
func (f *flight) run(ctx context.Context, fetch Fetch) error {
	in := newStream(ctx, f.desc, fetch, 0)
	defer in.Close()
	verifier := f.desc.Digest.Verifier()
	buf := make([]byte, copyBytes)
	for offset := int64(0); offset < f.desc.Size; {
		n, err := in.Read(buf)
		if err != nil {
			return err
		}
		verifier.Write(buf[:n])
		if _, err := f.file.Write(buf[:n]); err != nil {
			return fmt.Errorf("%w: %w", errDisk, err)
		}
		offset += int64(n)
		f.arrive(min(offset, f.desc.Size-tailBytes))
	}
	if !verifier.Verified() {
		return fmt.Errorf("the registry sends other bytes than those of %s", f.desc.Digest)
	}
	f.arrive(f.desc.Size)
	return nil
}

func (f *flight) arrive(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n > f.arrived {
		f.arrived = n
		f.tell()
	}
}

func (f *flight) finish(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finished, f.err = true, err
	f.tell()
}

// tell wakes all who wait. The caller holds mu.
func (f *flight) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// distance is how far offset is ahead of what has arrived.
func (f *flight) distance(offset int64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return offset - f.arrived
}

// ReadAt fills p from offset as the bytes arrive. What has arrived is handed out although the flight failed later.
func (f *flight) readAt(ctx context.Context, p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		f.mu.Lock()
		arrived, finished, failed, changed := f.arrived, f.finished, f.err, f.changed
		f.mu.Unlock()
		switch at := offset + int64(n); {
		case at == f.desc.Size:
			return n, io.EOF
		case at < arrived:
			m, err := f.file.ReadAt(p[n:n+int(min(int64(len(p)-n), arrived-at))], at)
			n += m
			if err != nil {
				return n, fmt.Errorf("%w: %w", errDisk, err)
			}
		case finished && failed != nil:
			return n, failed
		default:
			select {
			case <-changed:
			case <-ctx.Done():
				return n, ctx.Err()
			}
		}
	}
	return n, nil
}
