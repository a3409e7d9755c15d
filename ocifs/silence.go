package ocifs

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// How long a registry may be silent. WebDAV clients give up after 30 seconds or a minute and would not hear why. Only the
// end of an upload may take longer, while a registry assembles it.
const (
	answerTimeout = 25 * time.Second // before the head of its answer
	uploadTimeout = 2 * time.Minute  // the same for content, and while it takes no more of it
)

// impatient gives up requests that are not answered in time. The time that a body takes to come is not the registry's.
type impatient struct{ next http.RoundTripper }

func (t impatient) RoundTrip(req *http.Request) (*http.Response, error) {
	patience := silence(answerTimeout)
	if (req.Method == http.MethodPut || req.Method == http.MethodPatch) && strings.Contains(req.URL.Path, "/blobs/uploads/") {
		patience = silence(uploadTimeout)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	c := &clock{patience: time.Duration(patience), timer: time.AfterFunc(time.Duration(patience), func() { cancel(patience) })}
	req = req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &timed{req.Body, c}
	}
	resp, err := t.next.RoundTrip(req)
	c.end()
	if err != nil {
		if context.Cause(ctx) == error(patience) {
			err = patience // as it is: *url.Error looks at no chain for Timeout
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = watch(resp.Body, func() { cancel(nil) })
	return resp, nil
}

// clock measures for how long a registry is silent.
type clock struct {
	mu       sync.Mutex
	timer    *time.Timer
	patience time.Duration
	over     bool // it has answered
}

func (c *clock) run(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if on && !c.over {
		c.timer.Reset(c.patience)
	} else {
		c.timer.Stop()
	}
}

func (c *clock) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.timer.Stop()
}

// timed is a request's body: the clock stands still while the content is waited for, and begins anew when it has come.
type timed struct {
	io.ReadCloser
	clock *clock
}

func (t *timed) Read(p []byte) (int, error) {
	t.clock.run(false)
	defer t.clock.run(true)
	return t.ReadCloser.Read(p)
}

// WriteTo saves the copying where the length is unknown and the content comes in pieces.
func (t *timed) WriteTo(w io.Writer) (int64, error) {
	to, ok := t.ReadCloser.(io.WriterTo)
	if !ok {
		return io.Copy(w, struct{ io.Reader }{t})
	}
	t.clock.run(false)
	defer t.clock.run(true)
	return to.WriteTo(timedWriter{w, t.clock})
}

type timedWriter struct {
	io.Writer
	clock *clock
}

func (t timedWriter) Write(p []byte) (int, error) {
	t.clock.run(true)
	defer t.clock.run(false)
	return t.Writer.Write(p)
}

// silence is a net.Error that is a timeout: for how long there was none.
type silence time.Duration

func (s silence) Error() string {
	return fmt.Sprintf("the registry has not answered for %s", time.Duration(s))
}
func (silence) Timeout() bool   { return true }
func (silence) Temporary() bool { return true }

// watched is the body of an answer: each piece of it has to come within answerTimeout, or the registry is silent. Time
// that its reader takes does not count. It also ends the context of its request when it is closed.
type watched struct {
	body   io.ReadCloser
	timer  *time.Timer
	silent *atomic.Bool
	cancel func()
}

func watch(body io.ReadCloser, cancel func()) watched {
	w := watched{body: body, silent: new(atomic.Bool), cancel: cancel}
	w.timer = time.AfterFunc(time.Hour, func() {
		w.silent.Store(true)
		cancel()
	})
	w.timer.Stop()
	return w
}

func (w watched) Read(p []byte) (int, error) {
	w.timer.Reset(answerTimeout)
	n, err := w.body.Read(p)
	w.timer.Stop()
	if err != nil && err != io.EOF && w.silent.Load() {
		err = silence(answerTimeout)
	}
	return n, err
}

func (w watched) Close() error {
	w.timer.Stop()
	defer w.cancel()
	return w.body.Close()
}
