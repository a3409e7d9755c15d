package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// smallBytes is what is read whole when it is opened: manifests and small files. Hashing that much costs less than
// opening its file did, so that no state is needed to trust one.
const smallBytes = 64 << 10

// memoryBlob is a small one.
type memoryBlob struct{ *bytes.Reader }

func (memoryBlob) Close() error { return nil }

func (c *Cache) openSmall(ctx context.Context, desc ocispec.Descriptor, fetch Fetch) (Blob, error) {
	if data, ok := c.readSmall(desc); ok {
		c.hits.Add(1)
		return memoryBlob{bytes.NewReader(data)}, nil
	}
	c.misses.Add(1)
	data, err := c.small.do(ctx, desc.Digest, func(ctx context.Context) ([]byte, error) {
		data, err := fetchSmall(ctx, desc, fetch)
		if err == nil {
			if err := c.Add(ctx, desc, bytes.NewReader(data)); err != nil && !errors.Is(err, errNoRoom) {
				c.log.warn("blobs are not kept, but passed through", desc.Digest, err)
			}
		}
		return data, err
	})
	if err != nil {
		return nil, err
	}
	return memoryBlob{bytes.NewReader(data)}, nil
}

// readSmall reads a small blob from the disk; false if it is not there, or damaged.
func (c *Cache) readSmall(desc ocispec.Descriptor) ([]byte, bool) {
	file, _ := c.store.open(desc)
	if file == nil {
		return nil, false
	}
	defer file.Close()
	data := make([]byte, desc.Size)
	_, err := io.ReadFull(file, data)
	if err == nil && desc.Digest.Algorithm().FromBytes(data) != desc.Digest {
		err = errDamaged
	}
	if err != nil {
		c.damaged(desc, err)
		return nil, false
	}
	return data, true
}

func fetchSmall(ctx context.Context, desc ocispec.Descriptor, fetch Fetch) ([]byte, error) {
	s := newStream(ctx, desc, fetch, 0)
	defer s.Close()
	data := make([]byte, desc.Size)
	if _, err := io.ReadFull(s, data); err != nil {
		return nil, err
	}
	if desc.Digest.Algorithm().FromBytes(data) != desc.Digest {
		return nil, fmt.Errorf("the registry sends other bytes than those of %s", desc.Digest)
	}
	return data, nil
}

// group lets callers that want the same at the same time have it done once. It runs apart from them, each leaves with
// its own context, and it ends when the last has left. The zero value is ready.
type group[T any] struct {
	mu sync.Mutex
	in map[digest.Digest]*call[T]
}

type call[T any] struct {
	waiting int // guarded by the group
	cancel  context.CancelFunc
	done    chan struct{} // closed when the rest is set
	value   T
	err     error
}

func (g *group[T]) do(ctx context.Context, key digest.Digest, f func(context.Context) (T, error)) (T, error) {
	g.mu.Lock()
	c, ok := g.in[key]
	if !ok {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c = &call[T]{cancel: cancel, done: make(chan struct{})}
		if g.in == nil {
			g.in = map[digest.Digest]*call[T]{}
		}
		g.in[key] = c
		go func() {
			c.value, c.err = f(own)
			g.mu.Lock()
			g.forget(key, c)
			g.mu.Unlock()
			cancel()
			close(c.done)
		}()
	}
	c.waiting++
	g.mu.Unlock()
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.waiting--; c.waiting == 0 {
		g.forget(key, c) // who comes now must not join what ends
		c.cancel()
	}
	var none T
	return none, ctx.Err()
}

// forget takes c out, unless another has its place. The caller holds mu.
func (g *group[T]) forget(key digest.Digest, c *call[T]) {
	if g.in[key] == c {
		delete(g.in, key)
	}
}
