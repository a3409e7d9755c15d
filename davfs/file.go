package davfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/net/webdav"
)

// The three handles of the engine. None of them publishes anything in Close, which the engine calls after a torn
// upload in the same way as after a whole one.
var (
	_ webdav.File   = (*dirFile)(nil)
	_ webdav.File   = (*readFile)(nil)
	_ webdav.File   = (*putFile)(nil)
	_ io.ReaderFrom = (*putFile)(nil)
	_ io.ReaderAt   = (*readFile)(nil)
	_ webdav.ETager = described{}
)

var errHandle = errors.New("davfs: this handle does not do that")

// A handle is what those of existing names share.
type handle struct {
	rq   *request
	name string
	fi   fs.FileInfo
}

func (h *handle) Stat() (os.FileInfo, error)         { return describe(h.fi), nil }
func (h *handle) Write([]byte) (int, error)          { return 0, errHandle }
func (h *handle) Read([]byte) (int, error)           { return 0, errHandle }
func (h *handle) Seek(int64, int) (int64, error)     { return 0, errHandle }
func (h *handle) Readdir(int) ([]os.FileInfo, error) { return nil, errHandle }
func (h *handle) Close() error                       { return nil }

// A dirFile is a directory.
type dirFile struct{ handle }

// Readdir gives no members: the engine asks for them in COPY alone, where Tree.Copy has taken them all (copymove.go).
func (d *dirFile) Readdir(int) ([]os.FileInfo, error) { return nil, nil }

// A readFile is the content of a file, opened at the first read: HEAD, 304 and PROPFIND open nothing, and
// http.ServeContent's two Seeks cost nothing. It must not have WriteTo, or the COPY of a file would go past
// putFile.ReadFrom.
type readFile struct {
	handle
	off int64 // where the next Read reads
	pos int64 // where f stands

	mu     sync.Mutex // Close may meet a Read of http.ServeContent's goroutine
	f      fs.File
	closed bool
}

func (f *readFile) open() (fs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, fs.ErrClosed
	}
	if f.f == nil {
		o, err := f.rq.tree.Open(f.rq.ctx, f.name, f.fi)
		if err != nil {
			return nil, f.broken(err)
		}
		f.f = o
	}
	return f.f, nil
}

// broken records a failed read. What is described and cannot be read is broken, even if the tree should say that it is
// not there.
func (f *readFile) broken(err error) error {
	if !isFailure(err) {
		err = fmt.Errorf("content is missing: %v", err)
	}
	f.rq.fail(err)
	return errFailed
}

func (f *readFile) Read(p []byte) (int, error) {
	size := f.fi.Size()
	if f.off >= size {
		return 0, io.EOF
	}
	o, err := f.open()
	if err != nil {
		return 0, err
	}
	if err := f.seek(o); err != nil {
		return 0, err
	}
	n, err := o.Read(p)
	f.pos += int64(n)
	f.off += int64(n)
	switch {
	case err == io.EOF && f.off < size:
		return n, f.broken(io.ErrUnexpectedEOF)
	case err != nil && err != io.EOF:
		return n, f.broken(err)
	}
	return n, err
}

// seek brings the tree's file to where f stands.
func (f *readFile) seek(o fs.File) (err error) {
	if f.pos == f.off {
		return nil
	}
	s, ok := o.(io.Seeker)
	if !ok {
		return f.broken(errors.New("the tree's file cannot seek"))
	}
	if f.pos, err = s.Seek(f.off, io.SeekStart); err != nil {
		return f.broken(err)
	}
	return nil
}

func (f *readFile) ReadAt(p []byte, off int64) (int, error) {
	o, err := f.open()
	if err != nil {
		return 0, err
	}
	r, ok := o.(io.ReaderAt)
	if !ok {
		return 0, f.broken(errors.New("the tree's file cannot read at an offset"))
	}
	n, err := r.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = f.broken(err)
	}
	return n, err
}

func (f *readFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.off
	case io.SeekEnd:
		offset += f.fi.Size()
	}
	if offset < 0 {
		return 0, errHandle
	}
	f.off = offset
	return offset, nil
}

func (f *readFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}

// local is the tree's own handle if it is a descriptor of this machine that stands where f does, so that the kernel can
// send it (net.TCPConn.ReadFrom). Once it was asked for, f itself must not be read any more.
func (f *readFile) local() (io.Reader, bool) {
	o, err := f.open()
	if err != nil {
		return nil, false
	}
	c, ok := o.(syscall.Conn)
	if !ok {
		return nil, false
	}
	if err := f.seek(o); err != nil {
		return nil, false
	}
	_, err = c.SyscallConn() // a tree may have to look where the content is
	return o, err == nil
}

// announce tells the tree's file that the next n bytes will be read one after the other, if it wants to know.
func (f *readFile) announce(n int64) {
	o, err := f.open()
	if err != nil {
		return
	}
	if s, ok := o.(interface{ Sequential(n int64) }); ok && f.seek(o) == nil {
		s.Sequential(n)
	}
}

// A putFile is a name that is about to get content. No handle shows dead properties to the engine, so that it copies none:
// Tree.Copy takes them along and Tree.Put keeps those that there are.
type putFile struct {
	rq   *request
	name string
	fi   fs.FileInfo
	err  error // also while nothing has been copied
}

// ReadFrom hands the content to the tree. io.Copy calls it with the request's body in PUT and with the source's handle
// in COPY; in both cases the tree sees, or does itself, the reading, and so never takes a torn content for a whole one.
func (p *putFile) ReadFrom(r io.Reader) (int64, error) {
	if src, ok := r.(*readFile); ok {
		p.fi, p.err = p.rq.tree.Copy(p.rq.ctx, src.name, p.name, p.rq.check)
	} else {
		p.fi, p.err = p.put(r, p.rq.check)
	}
	if p.err = p.rq.changed("put", p.name, p.err); p.err != nil {
		return 0, p.err
	}
	p.rq.put = p.fi
	return p.fi.Size(), nil
}

func (p *putFile) put(r io.Reader, check Check) (fs.FileInfo, error) {
	fi, err := p.rq.tree.Put(p.rq.ctx, p.name, r, PutOptions{
		Size:        max(p.rq.body.want, 0),
		ModTime:     p.rq.mtime,
		ContentType: keptType(p.rq.ctype, p.name),
		Check:       check,
		Recent:      !p.rq.cond.stated(),
		Checksums:   p.rq.body.checksum.keep,
	})
	if err == nil && p.rq.body.err != nil {
		err = p.rq.body.err // the tree did not look; at least the client hears of it
	}
	return fi, err
}

// Stat describes the new content, for the ETag of the answer; the engine calls it between the copy and Close.
func (p *putFile) Stat() (os.FileInfo, error) {
	if p.err != nil {
		return nil, p.err
	}
	return describe(p.fi), nil
}

func (p *putFile) Close() error { return p.err }

// Write is refused: it cannot tell the end of a content from its breaking off, which ReadFrom can. The engine never
// calls it on a File that has ReadFrom.
func (p *putFile) Write([]byte) (int, error)          { return 0, errHandle }
func (p *putFile) Read([]byte) (int, error)           { return 0, errHandle }
func (p *putFile) Seek(int64, int) (int64, error)     { return 0, errHandle }
func (p *putFile) Readdir(int) ([]os.FileInfo, error) { return nil, errHandle }

// keptType is the media type to keep from a PUT: none if it says nothing (many clients send octet-stream for all, curl
// sends that of a form) or nothing new.
func keptType(header, name string) string {
	t, _, err := mime.ParseMediaType(header)
	switch {
	case err != nil, t == "application/octet-stream", t == "application/x-www-form-urlencoded",
		strings.HasPrefix(t, "multipart/"), header == mime.TypeByExtension(path.Ext(name)):
		return ""
	}
	return header
}
