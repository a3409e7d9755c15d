package cache

import (
	"bytes"
	"math"
	"os"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Blobs that are read whole and are shorter than that are held in memory too, so many bytes of them: to open, read and hash
// a file of some KiB costs more than all else that a GET of it does.
const (
	hotBlobBytes = 16 << 10
	hotBytes     = 8 << 20
	hotOverhead  = 256 // of an entry
)

// hot holds small blobs in memory, the least recently used go first. What is in it fits its digest, and is never changed.
type hot struct {
	mu   sync.Mutex
	max  int64
	used int64
	kept *simplelru.LRU[digest.Digest, []byte]
}

func newHot(max int64) *hot {
	h := &hot{max: max}
	h.kept, _ = simplelru.NewLRU(math.MaxInt, func(_ digest.Digest, data []byte) { // bytes are the bound
		h.used -= hotCharge(data)
	})
	return h
}

func hotCharge(data []byte) int64 { return int64(len(data)) + hotOverhead }

// get gives a blob, if it is here. The slice is shared.
func (h *hot) get(desc ocispec.Descriptor) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	data, ok := h.kept.Get(desc.Digest)
	return data, ok && int64(len(data)) == desc.Size
}

// put takes in a blob that was verified, if it is small and no manifest: those are kept by who reads them.
func (h *hot) put(desc ocispec.Descriptor, data []byte) {
	if len(data) > hotBlobBytes || hotCharge(data) > h.max || isManifest(desc) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.kept.Get(desc.Digest); ok {
		return
	}
	h.kept.Add(desc.Digest, data)
	for h.used += hotCharge(data); h.used > h.max; {
		h.kept.RemoveOldest()
	}
}

// Hold takes a small blob of a local source into memory, which is likely to be opened next. What does not fit its digest is
// not taken, nor what is not small. The slice is the caller's.
func (c *Cache) Hold(desc ocispec.Descriptor, data []byte) {
	if check(desc) == nil && int64(len(data)) == desc.Size && len(data) <= hotBlobBytes &&
		fits(desc.Digest, data) {
		c.hot.put(desc, bytes.Clone(data))
	}
}

// openHot opens what is in memory; nil if it is not there.
func (c *Cache) openHot(desc ocispec.Descriptor) Blob {
	if desc.Size > hotBlobBytes {
		return nil
	}
	data, ok := c.hot.get(desc)
	if !ok {
		return nil
	}
	c.hits.Add(1)
	return memoryBlob{bytes.NewReader(data)}
}

// heat takes the file of a local source into memory and gives it as it is there; nil if it is not what it should be, or not
// small: it is read where it lies then.
func (c *Cache) heat(desc ocispec.Descriptor, file *os.File) Blob {
	if desc.Size > hotBlobBytes || isManifest(desc) || c.hot.max == 0 {
		return nil
	}
	data := make([]byte, desc.Size)
	if _, err := file.ReadAt(data, 0); err != nil || !fits(desc.Digest, data) {
		return nil
	}
	c.hot.put(desc, data)
	return memoryBlob{bytes.NewReader(data)}
}
