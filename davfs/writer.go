package davfs

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A guard is the ResponseWriter under the engine. It holds the status back until the first byte, and replaces the whole
// answer if the request has failed by then. If it fails later, after part of a multistatus or of a file's content, the
// connection is cut, since a clean end would make the part look like the whole.
//
// It forwards io.ReaderFrom, which sendfile needs, and Flush, and it unwraps for http.ResponseController.
type guard struct {
	w      http.ResponseWriter
	rq     *request
	status int   // what the engine said, then what was sent
	bytes  int64 // of the answer's body
	sent   bool
	mute   bool // the engine's body is not wanted
	failed bool // the answer is the failure
}

var (
	_ io.ReaderFrom = (*guard)(nil)
	_ http.Flusher  = (*guard)(nil)
)

func (g *guard) Header() http.Header         { return g.w.Header() }
func (g *guard) Unwrap() http.ResponseWriter { return g.w }

func (g *guard) WriteHeader(code int) {
	if code >= 100 && code < 200 {
		g.w.WriteHeader(code)
		return
	}
	if g.status == 0 {
		g.status = code
	}
}

func (g *guard) Write(p []byte) (int, error) {
	if !g.commit() {
		return len(p), nil
	}
	n, err := g.w.Write(p)
	g.bytes += int64(n)
	return n, err
}

// What is copied at once where the kernel cannot help. The first piece is read before the status is settled, and is a
// small file whole. Of a content that comes from far it is what has come, so that larger ones cost fewer wakes.
const (
	firstPiece = 32 << 10
	nextPieces = 128 << 10
)

var (
	firstBuffers = sync.Pool{New: func() any { return new([firstPiece]byte) }}
	nextBuffers  = sync.Pool{New: func() any { return new([nextPieces]byte) }}
)

// ReadFrom leaves the copying to net/http if the tree has a descriptor, which the kernel can send. Of anything else a
// first piece is read before the status is settled, so that a content that cannot be read at all still gives an error.
// So is what fits into one piece: it costs less than the kernel's help.
func (g *guard) ReadFrom(src io.Reader) (int64, error) {
	rf, ok := g.w.(io.ReaderFrom)
	if local := localFile(src); ok && local != nil && g.commit() {
		n, err := rf.ReadFrom(local)
		g.bytes += n
		return n, err
	}
	var n int64
	if !g.sent {
		announce(src)
		buf := firstBuffers.Get().(*[firstPiece]byte)
		defer firstBuffers.Put(buf)
		m, err := io.ReadFull(src, buf[:])
		if m > 0 {
			w, werr := g.Write(buf[:m])
			n += int64(w)
			if werr != nil {
				return n, werr
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	if local := localFile(src); ok && !g.mute && local != nil { // it may have become one by the first read
		m, err := rf.ReadFrom(local)
		g.bytes += m
		return n + m, err
	}
	buf := nextBuffers.Get().(*[nextPieces]byte)
	defer nextBuffers.Put(buf)
	m, err := io.CopyBuffer(struct{ io.Writer }{g}, struct{ io.Reader }{src}, buf[:])
	return n + m, err
}

// announce tells the tree's file how much of it http.ServeContent is about to read.
func announce(src io.Reader) {
	if lr, ok := src.(*io.LimitedReader); ok {
		if f, ok := lr.R.(*readFile); ok {
			f.announce(lr.N)
		}
	}
}

// localFile gives the descriptor under what http.ServeContent copies, as far as it wants it; nil if there is none.
func localFile(src io.Reader) io.Reader {
	lr, ok := src.(*io.LimitedReader)
	if !ok || lr.N <= firstPiece {
		return nil
	}
	f, ok := lr.R.(*readFile)
	if !ok {
		return nil
	}
	local, ok := f.local()
	if !ok {
		return nil
	}
	return &io.LimitedReader{R: local, N: lr.N}
}

func (g *guard) Flush() {
	g.commit()
	if f, ok := g.w.(http.Flusher); ok {
		f.Flush()
	}
}

// commit sends status and headers if that was not done yet, and says whether the engine's body shall follow.
func (g *guard) commit() bool {
	err := g.rq.failed()
	if g.sent {
		if err != nil && !g.failed {
			panic(http.ErrAbortHandler)
		}
		return !g.mute
	}
	g.sent = true
	if err != nil {
		g.fail(err)
		return false
	}
	g.status = g.rq.outcome(g.status)
	g.mute = g.status == http.StatusNoContent || g.status == http.StatusNotModified
	h := g.w.Header()
	if g.rq.method == http.MethodPut && g.rq.put != nil {
		// The engine sends the ETag alone; a client that misses one of the two asks once more (Finder, davfs2).
		h.Set("Last-Modified", g.rq.put.ModTime().UTC().Format(http.TimeFormat))
	}
	switch {
	case g.status == http.StatusMethodNotAllowed:
		g.rq.setAllow(h, without(allMethods, g.rq.method))
	case g.status == http.StatusCreated || g.status >= 400:
		if h.Get("Content-Type") == "" {
			h.Set("Content-Type", "text/plain; charset=utf-8")
		}
	}
	g.rq.skip(g)
	g.w.WriteHeader(g.status)
	return !g.mute
}

// fail answers with the failure; nothing of what the engine prepared may be left.
func (g *guard) fail(err error) {
	g.failed, g.mute = true, true
	h := g.w.Header()
	for _, k := range []string{"Accept-Ranges", "Content-Length", "Content-Range", "Content-Security-Policy", "ETag",
		"Last-Modified", "Lock-Token", "X-OC-Mtime"} {
		h.Del(k)
	}
	if g.failInPart(err) {
		return
	}
	v := judge(g.rq.method, err)
	v.writeHeaders(h)
	if v.code == http.StatusMethodNotAllowed {
		g.rq.setAllow(h, without(allMethods, g.rq.method))
	}
	g.status = v.code
	if g.rq.unread() {
		http.NewResponseController(g.w).EnableFullDuplex() // else net/http announces the end of the connection
	}
	text := v.text + "\n"
	h.Set("Content-Length", strconv.Itoa(len(text)))
	g.w.WriteHeader(v.code)
	if g.rq.method != http.MethodHead {
		n, _ := io.WriteString(g.w, text)
		g.bytes += int64(n)
	}
}

// Bounds of what is read of a body that is not wanted.
const (
	drainBytes = 64 << 20
	drainTime  = 10 * time.Second
	skipBytes  = 256 << 10
)

// unread says whether there is more of the body, and the client sends it.
func (rq *request) unread() bool {
	return !rq.body.ended && rq.body.err == nil && rq.body.r != http.NoBody && !rq.expects
}

// drain reads on after a refusal that came before the end of the body, as far as the bounds go: net/http would cut the
// connection, and many clients, Windows' among them, then see no answer. One that waits for 100 Continue sends nothing.
func (rq *request) drain(g *guard) {
	if rq.failed() == nil || !rq.unread() {
		return
	}
	c := http.NewResponseController(g.w)
	if c.SetReadDeadline(time.Now().Add(drainTime)) != nil {
		return
	}
	c.Flush()
	// Past the account and the checksums, which nobody asks any more.
	_, err := io.CopyN(io.Discard, rq.body.r, drainBytes)
	if rq.shared || err == io.EOF || err == nil && rq.body.want >= 0 {
		c.SetReadDeadline(time.Time{})
		return
	}
	// What comes after this would be taken for the next request, since net/http has announced one. The answer is out.
	panic(http.ErrAbortHandler)
}

// skip reads away a body that nobody has asked for, that of a GET for one, before a success. net/http would, as far as
// skipBytes, and has no end to its patience.
func (rq *request) skip(g *guard) {
	if !rq.unread() {
		return
	}
	c := http.NewResponseController(g.w)
	if c.SetReadDeadline(time.Now().Add(drainTime)) != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, rq.body.r, skipBytes); err == io.EOF || rq.shared {
		c.SetReadDeadline(time.Time{})
		return
	}
	// As in drain. Nothing reads on then, which this deadline would end in the middle of the answer.
	g.w.Header().Set("Connection", "close")
}

// finish ends the answer after the engine.
func (g *guard) finish() { g.commit() }

// success says whether the engine has done what was asked for.
func (g *guard) success() bool {
	return g.rq.failed() == nil && g.status >= 200 && g.status < 300
}

// outcome corrects the engine's status by what the tree found at the name when it made the change: a PUT is always
// "created" to the engine, and of a COPY or MOVE it asked too early. RFC 4918 sections 9.7, 9.8.5 and 9.9.4.
func (rq *request) outcome(status int) int {
	if status == 0 {
		status = http.StatusOK
	}
	rq.mu.Lock()
	defer rq.mu.Unlock()
	if !rq.checked || status != http.StatusCreated && status != http.StatusNoContent {
		return status
	}
	if rq.fresh {
		return http.StatusCreated
	}
	return http.StatusNoContent
}
