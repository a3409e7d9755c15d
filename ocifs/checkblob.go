package ocifs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	checkBuffer  = 256 << 10 // of each blob that is being read
	checkTries   = 5         // in a row in which a blob does not come any further
	checkPause   = 200 * time.Millisecond
	checkWellOne = 64 << 10 // bytes of a blob that is worth to be asked for again
)

// checkJob is a blob that a manifest names.
type checkJob struct {
	at    spot
	desc  ocispec.Descriptor
	index string // it is the index of that directory
}

// blobKey is a blob in a repository, as a descriptor has it; there may be very many.
type blobKey [16]byte

func keyOfBlob(repo string, desc ocispec.Descriptor) blobKey {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s@%s %d", repo, desc.Digest, desc.Size))
	return blobKey(sum[:16])
}

// verify looks at a blob, if nobody has in that repository.
func (c *checker) verify(ctx context.Context, j checkJob) {
	defer func() {
		c.blobs.Add(1)
		c.bytes.Add(j.desc.Size)
	}()
	key := keyOfBlob(j.at.repo+" "+j.index, j.desc) // an index has to be more than the bytes of its digest
	leave, err := c.reading.join(ctx, key)
	if err != nil {
		return
	}
	defer leave()
	err = c.known(key)
	if err == errUnseen {
		err = c.sure(ctx, j.at, func(ctx context.Context) error { return c.readJob(ctx, j) })
		c.learn(key, j, err)
	}
	switch d := damageOf(err); {
	case err == nil, errors.Is(err, errStale):
	case d == nil:
		c.failed(ctx, j.at, err)
	case j.index != "":
		n := foundAt(j.at, &damage{IndexDamaged, uselessIndex + d.text, j.desc.Digest})
		n.remedy = c.dropIndex(j.at)
		c.find(n)
	default:
		n := foundAt(j.at, d)
		n.remedy = c.blobRemedy(j.at.repo, j.desc)
		c.find(n)
	}
}

var errUnseen = errors.New("not looked at yet")

// known gives what was found out about a blob before.
func (c *checker) known(key blobKey) error {
	c.mu.Lock()
	d := c.bad[key]
	c.mu.Unlock()
	if d != nil {
		return d
	}
	if _, ok := c.good.get(key); !ok {
		return errUnseen
	}
	return nil
}

func (c *checker) learn(key blobKey, j checkJob, err error) {
	switch d := damageOf(err); {
	case d != nil:
		c.mu.Lock()
		c.bad[key] = d
		c.mu.Unlock()
	case err == nil:
		c.good.put(key, struct{}{}, 1)
		c.whole.put(j.desc.Digest, j.at.repo, 1)
		if j.desc.Size <= checkWellOne && !c.o.Quick {
			c.wellOne.Store(&j)
		}
	}
}

func (c *checker) readJob(ctx context.Context, j checkJob) error {
	_, seen := c.whole.get(j.desc.Digest)
	switch {
	case c.o.Quick:
		return c.headBlob(ctx, j.at.repo, j.desc)
	case j.index != "":
		return c.readIndex(ctx, j)
	case seen && c.local != nil: // on this machine it is one file for all repositories
		return c.headBlob(ctx, j.at.repo, j.desc)
	}
	return c.readBlob(ctx, j.at.repo, j.desc)
}

// readBlob reads a blob to its end. *damage: it is not there, or not what its descriptor says.
func (c *checker) readBlob(ctx context.Context, repo string, desc ocispec.Descriptor) error {
	if !desc.Digest.Algorithm().Available() {
		return fmt.Errorf("blob %s: its digest cannot be computed here", desc.Digest)
	}
	if c.local != nil {
		return c.readLocal(ctx, repo, desc)
	}
	r, err := c.repository(repo)
	if err != nil {
		return err
	}
	verifier := desc.Digest.Verifier()
	buf := bufferFor(desc)
	n, tries := int64(0), 0
	for {
		m, end, err := c.readSome(ctx, r, desc, n, verifier, buf)
		n += m
		c.read.Add(m)
		switch {
		case err != nil && damageOf(err) != nil:
			return err
		case err == nil && end:
			c.heard()
			if n != desc.Size {
				return otherSize(desc, n)
			}
			if !verifier.Verified() {
				return otherBytes(desc)
			}
			return nil
		}
		if tries++; m > 0 {
			tries = 1
		}
		if tries == checkTries || !brokeOff(err) {
			return failure(err, "read blob %s in %s", desc.Digest, repo)
		}
		if err := c.wait(ctx); err != nil {
			return err
		}
	}
}

// bufferFor is for a blob of that size, whatever somebody says it is: of many small ones a large buffer each would be most of the
// work.
func bufferFor(desc ocispec.Descriptor) []byte {
	return make([]byte, min(checkBuffer, max(desc.Size, 512)))
}

// readLocal is readBlob where the registry is on this machine: it says whether the repository has the blob, and its file is read
// where it lies, for through the registry each blob, however small, costs a buffer of 4 MiB.
func (c *checker) readLocal(ctx context.Context, repo string, desc ocispec.Descriptor) error {
	if err := c.headBlob(ctx, repo, desc); err != nil {
		return err
	}
	file, err := c.local(desc.Digest)
	if err == nil && file == nil {
		err = errAbsent
	}
	if err != nil {
		return failure(err, "read blob %s in %s", desc.Digest, repo)
	}
	defer file.Close()
	verifier := desc.Digest.Verifier()
	n, err := io.CopyBuffer(onlyWriter{verifier}, readerOf(ctx, file), bufferFor(desc))
	c.read.Add(n)
	switch {
	case err != nil:
		return failure(err, "read blob %s in %s", desc.Digest, repo)
	case n != desc.Size:
		return otherSize(desc, n)
	case !verifier.Verified():
		return otherBytes(desc)
	}
	return nil
}

func otherBytes(desc ocispec.Descriptor) *damage {
	return &damage{BlobDamaged, fmt.Sprintf("the bytes of the blob %s do not have that digest", desc.Digest), desc.Digest}
}

// readSome reads a blob from a byte on, as far as it comes; end: up to its end, or beyond what it should have.
func (c *checker) readSome(ctx context.Context, r repository, desc ocispec.Descriptor, from int64, to io.Writer, buf []byte) (n int64, end bool, err error) {
	if from > 0 && from >= desc.Size {
		return 0, true, nil
	}
	body, start, err := r.fetchBlob(ctx, desc, from, desc.Size)
	if err != nil {
		return 0, false, blobError(desc, err)
	}
	defer body.Close()
	if _, err := io.CopyBuffer(onlyWriter{io.Discard}, io.LimitReader(body, from-start), buf); err != nil {
		return 0, false, err
	}
	limit := desc.Size - from
	if from == 0 {
		limit++ // to see whether there is more
	}
	n, err = io.CopyBuffer(onlyWriter{to}, io.LimitReader(body, limit), buf)
	return n, err == nil, err
}

// onlyWriter hides that a writer reads by itself, with a buffer of its own.
type onlyWriter struct{ io.Writer }

// blobError is damage if the registry says that it has no such blob.
func blobError(desc ocispec.Descriptor, err error) error {
	if err = absentOr(err); errors.Is(err, errAbsent) {
		return &damage{BlobMissing, fmt.Sprintf("the blob %s is not there", desc.Digest), desc.Digest}
	}
	return err
}

func otherSize(desc ocispec.Descriptor, size int64) *damage {
	return &damage{BlobDamaged, fmt.Sprintf("the blob %s has %s bytes, and should have %d", desc.Digest, sizeOf(desc, size), desc.Size), desc.Digest}
}

// sizeOf says how many bytes were seen: reading ends when there are too many.
func sizeOf(desc ocispec.Descriptor, size int64) string {
	if size == desc.Size+1 {
		return "more"
	}
	return fmt.Sprint(size)
}

// headBlob asks whether a blob is there, and for its size where the registry tells.
func (c *checker) headBlob(ctx context.Context, repo string, desc ocispec.Descriptor) error {
	r, err := c.repository(repo)
	if err != nil {
		return err
	}
	resp, err := r.do(ctx, http.MethodHead, "blobs", desc.Digest.String(), nil)
	if err != nil {
		return failure(err, "ask for blob %s in %s", desc.Digest, repo)
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		c.heard()
		if size := resp.ContentLength; size >= 0 && size != desc.Size {
			return otherSize(desc, size)
		}
		return nil
	}
	body, _, err := r.fetchBlob(ctx, desc, 0, min(desc.Size, 1)) // the answer to HEAD has no words
	if err != nil {
		return failureOr(blobError(desc, err), "ask for blob %s in %s", desc.Digest, repo)
	}
	return body.Close()
}

// failureOr is failure for what is no damage.
func failureOr(err error, format string, args ...any) error {
	if damageOf(err) != nil {
		return err
	}
	return failure(err, format, args...)
}

// readIndex reads a directory index as one who lists its directory does.
func (c *checker) readIndex(ctx context.Context, j checkJob) error {
	r, err := c.repository(j.at.repo)
	if err != nil {
		return err
	}
	body, _, err := r.fetchBlob(ctx, j.desc, 0, j.desc.Size)
	if err != nil {
		return failureOr(blobError(j.desc, err), "read blob %s in %s", j.desc.Digest, j.at.repo)
	}
	defer body.Close()
	verifier := j.desc.Digest.Verifier()
	in := &countingReader{r: io.TeeReader(io.LimitReader(body, j.desc.Size+1), verifier)}
	bundle := readBundle(in, j.index, func(bundled) error { return ctx.Err() })
	_, err = io.Copy(io.Discard, in)
	c.read.Add(in.n)
	switch {
	case err != nil:
		return failure(err, "read blob %s in %s", j.desc.Digest, j.at.repo)
	case in.n != j.desc.Size:
		return otherSize(j.desc, in.n)
	case !verifier.Verified():
		return otherBytes(j.desc)
	case errors.Is(bundle, errBundle):
		return &damage{IndexDamaged, bundle.Error(), j.desc.Digest}
	}
	return bundle
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
