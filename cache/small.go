package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// smallBytes is what is read whole when it is opened: small files, and manifests up to maxManifestBytes, which nobody
// reads in parts. Hashing that much costs less than opening its file did, so that no state is needed to trust one.
const (
	smallBytes       = 64 << 10
	maxManifestBytes = 4 << 20 // distribution-spec, "Pushing Manifests"
)

// isManifest says whether a blob is one that is read to find others.
func isManifest(desc ocispec.Descriptor) bool {
	switch desc.MediaType {
	case ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
		"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json":
		return desc.Size <= maxManifestBytes
	}
	return false
}

func isSmall(desc ocispec.Descriptor) bool { return desc.Size <= smallBytes || isManifest(desc) }

// memoryBlob is a small one.
type memoryBlob struct{ *bytes.Reader }

func (memoryBlob) Close() error { return nil }

func (c *Cache) openSmall(ctx context.Context, desc ocispec.Descriptor, src Source) (Blob, error) {
	if data, ok := c.readSmall(desc); ok {
		c.hits.Add(1)
		return memoryBlob{bytes.NewReader(data)}, nil
	}
	c.misses.Add(1)
	data, err := c.small.do(ctx, desc.Digest, func(ctx context.Context) ([]byte, error) {
		data, err := c.fetchSmall(ctx, desc, src)
		if err == nil {
			c.keepFetched(desc, data)
		}
		return data, err
	})
	if err != nil {
		return nil, err
	}
	return memoryBlob{bytes.NewReader(data)}, nil
}

// keepFetched keeps a small blob that has been fetched and verified. It goes to the disk at once, so that nothing is fetched
// again after a kill.
func (c *Cache) keepFetched(desc ocispec.Descriptor, data []byte) {
	c.hot.put(desc, data)
	if err := c.write(desc, bytes.NewReader(data)); err != nil && !errors.Is(err, errNoRoom) {
		c.log.warn("blobs are not kept, but passed through", desc.Digest, err)
	}
}

// readSmall reads a small blob from the disk, or what is on its way there; false if it is not there, or damaged.
func (c *Cache) readSmall(desc ocispec.Descriptor) ([]byte, bool) {
	if data, ok := c.behind.get(desc); ok {
		return data, true
	}
	e := c.store.pin(desc)
	if e == nil {
		return nil, false
	}
	defer c.store.unpin(e)
	data, err := c.store.readWhole(e, desc)
	if err == nil && !fits(desc.Digest, data) {
		err = errDamaged
	}
	if err != nil {
		c.log.warn("a cached blob is damaged, it is fetched again", desc.Digest, err)
		c.store.drop(e)
		return nil, false
	}
	c.hot.put(desc, data)
	return data, true
}

// fetchSmall fetches a small blob. Wrong bytes are fetched once more.
func (c *Cache) fetchSmall(ctx context.Context, desc ocispec.Descriptor, src Source) ([]byte, error) {
	data := make([]byte, desc.Size)
	if len(data) > 0 {
		if err := c.slots.take(ctx); err != nil {
			return nil, err
		}
		defer c.slots.give()
		c.inFlight.Add(1)
		defer c.inFlight.Add(-1)
	}
	for range 2 {
		s := newStream(ctx, desc, src, 0, desc.Size)
		_, err := io.ReadFull(s, data)
		s.Close()
		if err != nil {
			return nil, err
		}
		c.fetched.Add(desc.Size)
		if fits(desc.Digest, data) {
			return data, nil
		}
	}
	return nil, fmt.Errorf("%w than those of %s", errOther, desc.Digest)
}
