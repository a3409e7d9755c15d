package ocifs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Open opens the content that i describes. It sends nothing; the first read does.
func (f *FS) Open(ctx context.Context, name string, i fs.FileInfo) (fs.File, error) {
	if e, ok := i.(*exhibitInfo); ok {
		return openMade(ctx, name, e)
	}
	described, ok := i.(*info)
	if !ok || described.IsDir() {
		return nil, fmt.Errorf("open %s: it is no file of this tree: %w", name, fs.ErrInvalid)
	}
	return f.content(ctx, described), nil
}

func (f *FS) content(ctx context.Context, i *info) *content {
	return &content{ctx: ctx, fs: f, info: i, open: make([]Blob, len(i.layers))}
}

// content reads a file's layers as one. It is an fs.File, an io.Seeker and an io.ReaderAt; one goroutine at a time,
// also for ReadAt. It keeps the context of Open, because the interfaces of files have no other place for it.
type content struct {
	ctx    context.Context
	fs     *FS
	info   *info
	open   []Blob // by layer, nil until needed
	offset int64
	until  int64 // where a sequence ends that was announced
	told   int   // number, from 1, of the layer that was last told of it
	closed bool
}

func (c *content) Stat() (fs.FileInfo, error) { return c.info, nil }

func (c *content) Read(p []byte) (int, error) {
	n, err := c.ReadAt(p[:min(int64(len(p)), max(0, c.info.size-c.offset))], c.offset)
	c.offset += int64(n)
	if n == 0 && err == nil && len(p) > 0 {
		return 0, io.EOF
	}
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (c *content) ReadAt(p []byte, offset int64) (n int, err error) {
	if c.closed {
		return 0, fs.ErrClosed
	}
	if offset < 0 {
		return 0, fmt.Errorf("read %s at %d: %w", c.info.name, offset, fs.ErrInvalid)
	}
	start := int64(0)
	for i, l := range c.info.layers {
		if len(p) > n && offset >= start && offset < start+l.size {
			part := p[n : n+int(min(int64(len(p)-n), start+l.size-offset))]
			m, err := c.readLayer(i, l, part, offset-start)
			n, offset = n+m, offset+int64(m)
			if err != nil {
				return n, err
			}
		}
		start += l.size
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readLayer fills part from offset in layer i, sequentially where reads follow each other: that is what an uncached
// blob can be verified by.
func (c *content) readLayer(i int, l blob, part []byte, offset int64) (int, error) {
	n, err := c.readOpen(i, l, part, offset)
	if err != nil && c.open[i] != nil && c.fs.perhapsOthers(c.info.repo, l.digest, err) {
		c.open[i].Close()
		c.open[i] = nil
		m, e := c.readOpen(i, l, part[n:], offset+int64(n))
		return n + m, e
	}
	return n, err
}

func (c *content) readOpen(i int, l blob, part []byte, offset int64) (int, error) {
	if err := c.openLayer(i); err != nil {
		return 0, err
	}
	c.announce(i, l, offset)
	_, err := c.open[i].Seek(offset, io.SeekStart)
	n := 0
	if err == nil {
		n, err = io.ReadFull(c.open[i], part)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // shorter than its descriptor: not the end of the file
		err = fmt.Errorf("the blob ends at byte %d of %d", offset+int64(n), l.size)
	}
	return n, failure(err, "read blob %s of %s", l.digest, c.info.name)
}

// Sequential tells that the next n bytes will be read one after the other, so that they can be asked for at once.
func (c *content) Sequential(n int64) { c.until, c.told = c.offset+n, 0 }

// announce hands on to layer i, at offset, what it has of an announced sequence.
func (c *content) announce(i int, l blob, offset int64) {
	if c.until == 0 || c.told == i+1 {
		return
	}
	c.told = i + 1
	end := c.until
	for _, before := range c.info.layers[:i] {
		end -= before.size
	}
	if b, ok := c.open[i].(interface{ Sequential(from, to int64) }); ok {
		b.Sequential(offset, min(end, l.size))
	}
}

// SyscallConn gives the descriptor of a content that is one file on this machine, standing where c does, so that the
// kernel can send it (net.TCPConn.ReadFrom). c must not be read after that. An error: it is no such content, or not yet.
func (c *content) SyscallConn() (syscall.RawConn, error) {
	if c.closed || len(c.open) != 1 {
		return nil, errNoFile
	}
	if err := c.openLayer(0); err != nil {
		return nil, err
	}
	b, ok := c.open[0].(interface{ File() *os.File })
	if !ok {
		return nil, errNoFile
	}
	file := b.File()
	if file == nil {
		return nil, errNoFile
	}
	if _, err := file.Seek(c.offset, io.SeekStart); err != nil {
		return nil, err
	}
	return file.SyscallConn()
}

var errNoFile = errors.New("the content is no file of this machine")

func (c *content) openLayer(i int) error {
	if c.open[i] != nil {
		return nil
	}
	l := c.info.layers[i]
	b, err := c.fs.openBlob(c.ctx, c.info.repo, l.descriptor(typeContent))
	if err != nil {
		return failure(err, "read blob %s of %s", l.digest, c.info.name)
	}
	c.open[i] = b
	return nil
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.offset
	case io.SeekEnd:
		offset += c.info.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek %s to %d: %w", c.info.name, offset, fs.ErrInvalid)
	}
	c.offset = offset
	return offset, nil
}

func (c *content) Close() error {
	if c.closed {
		return fs.ErrClosed
	}
	c.closed = true
	var errs []error
	for _, b := range c.open {
		if b != nil {
			errs = append(errs, b.Close())
		}
	}
	return errors.Join(errs...)
}

// openBlob opens a blob of repo through the blobs at hand.
func (f *FS) openBlob(ctx context.Context, repo string, desc ocispec.Descriptor) (Blob, error) {
	r, err := f.repository(repo)
	if err != nil {
		return nil, err
	}
	for again := false; ; again = true {
		if err := f.mayOpen(ctx, r, desc); err != nil {
			return nil, err
		}
		b, err := f.blobs.Open(ctx, desc, f.source(r, desc))
		if err == nil || again || !f.perhapsOthers(repo, desc.Digest, err) {
			return b, err
		}
	}
}

// source says where a blob of r comes from.
func (f *FS) source(r repository, desc ocispec.Descriptor) Source {
	return Source{
		Local: f.localFile(desc),
		Fetch: func(ctx context.Context, from, to int64) (io.ReadCloser, int64, error) {
			asked := time.Now()
			body, start, err := r.fetchBlob(ctx, desc, from, to)
			if err == nil {
				f.prove(r.Reference.Repository, desc.Digest, asked)
			}
			return body, start, err
		},
	}
}

// localFile is Source.Local.
func (f *FS) localFile(desc ocispec.Descriptor) func(context.Context) (*os.File, error) {
	if f.local == nil {
		return nil
	}
	return func(context.Context) (*os.File, error) { return f.local(desc.Digest) }
}
