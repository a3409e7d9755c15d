package front

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// A server cannot wait for ever for clients that have gone quiet: each holds a connection, and maybe a place among the
// uploads. Nor can it give a request a time, since a file of any size over any line is a request. So there is a time for
// each step: a client that sends nothing of a body that is waited for, or takes nothing of an answer, for as long as
// patience is ended, and one that moves, however slowly, is not.
//
// Three things are timed, each where it can be seen. What is taken of an answer is known to the connection alone, which
// a conn counts, with TLS and HTTP/2 on top. A stream of HTTP/2 can stand still on a connection that moves, so its writes
// are timed by themselves. Of bodies the reads are: who waits for something else than the client is not the client's
// fault.
const (
	patience    = 5 * time.Minute
	streamPiece = 16 << 10 // of HTTP/2, a frame; one of them in the time is moving
)

// wrap ends requests whose body does not come, and streams of HTTP/2 whose answer is not taken.
func wrap(h http.Handler, patience time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor >= 2 {
			s := &stream{ResponseWriter: w, patience: patience}
			defer s.timer.stop()
			w = s
		}
		if r.Body != nil && r.Body != http.NoBody {
			b := &body{ReadCloser: r.Body, c: http.NewResponseController(w), patience: patience}
			defer b.timer.stop()
			r.Body = b
		}
		h.ServeHTTP(w, r)
	})
}

// A timer is one that does nothing until it is started. The zero value is ready.
type timer struct{ t *time.Timer }

func (t *timer) start(d time.Duration, f func()) {
	if t.t == nil {
		t.t = time.AfterFunc(d, f)
	} else {
		t.t.Reset(d)
	}
}

// stop says whether it came before the end.
func (t *timer) stop() bool { return t.t == nil || t.t.Stop() }

var past = time.Unix(1, 0) // a deadline that ends what runs

// A body is that of a request.
type body struct {
	io.ReadCloser
	c        *http.ResponseController
	patience time.Duration
	timer    timer
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.start(b.patience, func() { b.c.SetReadDeadline(past) })
	n, err := b.ReadCloser.Read(p)
	if !b.timer.stop() { // and this connection reads no more
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// A stream is a ResponseWriter of HTTP/2. It has no io.ReaderFrom, as that of net/http has none.
type stream struct {
	http.ResponseWriter
	patience time.Duration
	timer    timer
}

func (s *stream) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *stream) timed(f func() (int, error)) (int, error) {
	s.timer.start(s.patience, func() { http.NewResponseController(s.ResponseWriter).SetWriteDeadline(past) })
	n, err := f()
	if !s.timer.stop() && err == nil {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

func (s *stream) Write(p []byte) (n int, err error) {
	for err == nil && (n == 0 || n < len(p)) {
		var m int
		m, err = s.timed(func() (int, error) { return s.ResponseWriter.Write(p[n:min(len(p), n+streamPiece)]) })
		n += m
		if len(p) == 0 {
			break
		}
	}
	return n, err
}

// Flush implements http.Flusher.
func (s *stream) Flush() { _ = s.FlushError() }

// FlushError is what http.ResponseController looks for.
func (s *stream) FlushError() error {
	_, err := s.timed(func() (int, error) { return 0, http.NewResponseController(s.ResponseWriter).Flush() })
	return err
}

// patient is a listener whose connections are conns.
type patient struct {
	net.Listener
	patience time.Duration
}

func (l patient) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, patience: l.patience}, nil
}

// A conn ends its writes when nothing was taken for as long as patience. A deadline that the server sets holds beside
// that. It forwards io.ReaderFrom, which sendfile needs, and CloseWrite, by which net/http ends a connection so that the
// answer arrives.
type conn struct {
	net.Conn
	patience time.Duration

	mu    sync.Mutex
	end   time.Time // the server's deadline; zero: none
	armed time.Time // when the deadline in force was set
}

// arm sets the deadline anew, unless that was done a moment ago: it costs more than many a write.
func (c *conn) arm(now time.Time, anyway bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !anyway && now.Sub(c.armed) < c.patience/8 {
		return
	}
	c.armed = now
	until := now.Add(c.patience)
	if !c.end.IsZero() && c.end.Before(until) {
		until = c.end
	}
	c.Conn.SetWriteDeadline(until)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end, c.armed = t, time.Time{}
	return c.Conn.SetWriteDeadline(t)
}

func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetWriteDeadline(t); err != nil {
		return err
	}
	return c.SetReadDeadline(t)
}

// moved says whether the time has come to its end with something taken.
func moved(n int64, err error) bool { return n > 0 && errors.Is(err, os.ErrDeadlineExceeded) }

func (c *conn) Write(p []byte) (n int, err error) {
	for again := false; ; again = true {
		c.arm(time.Now(), again)
		m, err := c.Conn.Write(p[n:])
		n += m
		if !moved(int64(m), err) {
			return n, err
		}
	}
}

// ReadFrom leaves it to the kernel to copy from a file, or from what has one: that stays where it was, or moves by what
// was taken. Only then it goes on after a deadline, for any other copy has read more than that.
func (c *conn) ReadFrom(src io.Reader) (n int64, err error) {
	rf, ok := c.Conn.(io.ReaderFrom)
	file := fileUnder(src)
	if !ok || file == nil {
		return io.Copy(struct{ io.Writer }{c}, src)
	}
	start, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	before := start
	for again := false; ; again = true {
		c.arm(time.Now(), again)
		m, err := rf.ReadFrom(src)
		n += m
		if !moved(m, err) {
			return n, err
		}
		if at, e := file.Seek(0, io.SeekCurrent); e != nil || at != before && at != start+n {
			return n, err
		}
		if before, err = file.Seek(start+n, io.SeekStart); err != nil {
			return n, err
		}
	}
}

// fileUnder gives the file that src is, or the first part of; nil: it is none.
func fileUnder(src io.Reader) io.Seeker {
	if lr, ok := src.(*io.LimitedReader); ok {
		src = lr.R
	}
	if _, ok := src.(syscall.Conn); !ok {
		return nil
	}
	f, _ := src.(io.Seeker)
	return f
}

// CloseWrite is that of a TCP connection.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
