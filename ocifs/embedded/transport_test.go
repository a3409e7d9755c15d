//go:build !noembed

package embedded

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"oras.land/oras-go/v2/errdef"
)

// body is a request's body that knows whether it was closed.
type body struct {
	io.Reader
	closed chan struct{}
}

func newBody(r io.Reader) *body { return &body{r, make(chan struct{})} }

func (b *body) Close() error { close(b.closed); return nil } // a second Close panics

func (b *body) wait(t *testing.T) {
	t.Helper()
	select {
	case <-b.closed:
	case <-time.After(10 * time.Second):
		t.Error("the request's body was not closed")
	}
}

func call(h http.HandlerFunc, req *http.Request) (*http.Response, error) {
	return (&transport{handler: h, panicked: func(any, []byte) {}}).RoundTrip(req)
}

func request(ctx context.Context, method string, b io.Reader) *http.Request {
	req, err := http.NewRequestWithContext(ctx, method, "http://embedded/v2/a%2Fb?x=1#f", b)
	if err != nil {
		panic(err)
	}
	return req
}

func TestHandlerSeesAServerRequest(t *testing.T) {
	b := newBody(strings.NewReader("content"))
	req := request(t.Context(), "PUT", b)
	req.ContentLength = 7
	req.Header = nil
	resp, err := call(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if string(got) != "content" || err != nil {
			t.Errorf("body %q, %v", got, err)
		}
		if r.Host != "embedded" || r.URL.Host != "" || r.URL.Scheme != "" || r.RequestURI != "/v2/a%2Fb?x=1" ||
			r.URL.Path != "/v2/a/b" || r.RemoteAddr == "" || r.Header.Get("Content-Length") != "7" || r.ContentLength != 7 {
			t.Errorf("request %+v", r)
		}
		r.Header.Set("Changed", "yes")
		w.Header().Set("Trailer", "X")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK)
		io.WriteString(w, "answer")
	}, req)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusTeapot || resp.Status != "418 I'm a teapot" || string(got) != "answer" || err != nil ||
		resp.ContentLength != 6 || resp.Header.Get("Content-Length") != "6" || resp.Header["Trailer"] != nil {
		t.Errorf("response %+v, %q, %v", resp, got, err)
	}
	if req.Header != nil || req.URL.Host != "embedded" || resp.Request != req {
		t.Error("the caller's request was changed")
	}
	b.wait(t)
}

func TestAnswersWithoutBody(t *testing.T) {
	for _, c := range []struct {
		method string
		status int
		length int64
	}{{"HEAD", 200, 9}, {"GET", 204, 0}, {"GET", 304, 0}} {
		resp, err := call(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "9")
			w.WriteHeader(c.status)
			io.WriteString(w, "nine byte")
		}, request(t.Context(), c.method, nil))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); len(got) > 0 || err != nil || resp.ContentLength != c.length || resp.StatusCode != c.status {
			t.Errorf("%v: %q, %v, length %d, %s", c, got, err, resp.ContentLength, resp.Status)
		}
	}
}

func TestHandlerThatEndsEarly(t *testing.T) {
	long := strings.Repeat("x", 3*answerBuffer)
	for name, c := range map[string]struct {
		handler   http.HandlerFunc
		roundTrip string // error, "" for none
		read      error
	}{
		"panic before the answer": {func(http.ResponseWriter, *http.Request) { panic("oops") }, "oops", nil},
		"abort before the answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			panic(http.ErrAbortHandler)
		}, "aborted", nil},
		"less than announced": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "short")
		}, "", io.ErrUnexpectedEOF},
		"long answer, less than announced": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10000000")
			io.WriteString(w, long)
		}, "", io.ErrUnexpectedEOF},
	} {
		resp, err := call(c.handler, request(t.Context(), "GET", nil))
		if c.roundTrip != "" {
			if err == nil || !strings.Contains(err.Error(), c.roundTrip) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, c.read) {
			t.Errorf("%s: read: %v", name, err)
		}
	}
	for _, p := range []any{"oops", http.ErrAbortHandler} {
		resp, err := call(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, long)
			panic(p)
		}, request(t.Context(), "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err == nil || len(got) != len(long) {
			t.Errorf("panic(%v) in a long answer: %d bytes, %v", p, len(got), err)
		}
	}
}

func TestFailingRequestBody(t *testing.T) {
	broken := errors.New("broken")
	refuse := func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(500)
		}
	}
	b := newBody(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)))
	if _, err := call(refuse, request(t.Context(), "PUT", b)); !errors.Is(err, broken) {
		t.Errorf("a body that fails: %v", err)
	}
	b.wait(t)
	req := request(t.Context(), "PUT", strings.NewReader("abc"))
	req.ContentLength = 5
	if _, err := call(refuse, req); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body that is short: %v", err)
	}
	b = newBody(strings.NewReader("unread"))
	if resp, err := call(func(http.ResponseWriter, *http.Request) {}, request(t.Context(), "PUT", b)); err != nil || resp.StatusCode != 200 {
		t.Errorf("a body that is not read: %v, %v", resp, err)
	}
	b.wait(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b = newBody(strings.NewReader("x"))
	if _, err := call(refuse, request(ctx, "PUT", b)); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	b.wait(t)
}

func TestCancel(t *testing.T) {
	ended := make(chan error, 1)
	endless := func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				ended <- err
				return
			}
		}
	}
	wait := func(what string) {
		t.Helper()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the handler goes on", what)
		}
	}
	before := runtime.NumGoroutine()

	ctx, cancel := context.WithCancel(t.Context())
	resp, err := call(endless, request(ctx, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, answerBuffer*3/2)); err != nil {
		t.Error(err)
	}
	cancel()
	wait("cancel of a download")
	if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: %v", err)
	}

	if resp, err = call(endless, request(t.Context(), "GET", nil)); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	wait("close of the body")
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("read after close: %v", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	go func() { pw.Write(make([]byte, 1000)); cancel() }()
	_, err = call(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	}, request(ctx, "PUT", pr))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancel of an upload: %v", err)
	}
	wait("cancel of an upload")

	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = call(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		ended <- nil
	}, request(ctx, "GET", nil))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	wait("deadline")
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func TestFlushHandsOver(t *testing.T) {
	flushed := make(chan struct{})
	resp, err := call(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-flushed
		io.WriteString(w, "second")
	}, request(t.Context(), "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, p); err != nil || resp.ContentLength != -1 {
		t.Errorf("%q, %v, length %d", p, err, resp.ContentLength)
	}
	close(flushed)
	if rest, err := io.ReadAll(resp.Body); string(rest) != "second" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestRingKeepsOrder(t *testing.T) {
	var want, got bytes.Buffer
	var r ring
	for i := range 2000 {
		p := bytes.Repeat([]byte{byte(i)}, i*37%5000)
		want.Write(p[:r.write(p, -1)])
		out := make([]byte, i*53%4900)
		got.Write(out[:r.read(out)])
		if r.n > answerBuffer || len(r.b) > answerBuffer {
			t.Fatalf("%d of %d bytes", r.n, len(r.b))
		}
	}
	out := make([]byte, answerBuffer)
	got.Write(out[:r.read(out)])
	if !bytes.Equal(want.Bytes(), got.Bytes()) {
		t.Errorf("wrote %d bytes, read %d", want.Len(), got.Len())
	}
}

// A transfer with the registry itself that ends in the middle leaves nothing behind and nothing visible.
func TestCancelledTransfers(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	repo := client(t, r, "r")
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	if err := repo.Blobs().Push(t.Context(), blob(data), bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	rc, err := repo.Blobs().Fetch(ctx, blob(data))
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(rc, make([]byte, 1000))
	cancel()
	if _, err := io.Copy(io.Discard, rc); !errors.Is(err, context.Canceled) {
		t.Errorf("download: %v", err)
	}
	rc.Close()
	if rc, err = repo.Blobs().Fetch(t.Context(), blob(data)); err != nil {
		t.Fatal(err)
	}
	rc.Close()

	data[0]++
	ctx, cancel = context.WithCancel(t.Context())
	half := io.MultiReader(bytes.NewReader(data[:1<<20]), readerFunc(func([]byte) (int, error) {
		cancel()
		<-ctx.Done()
		return 0, ctx.Err()
	}))
	if err := repo.Blobs().Push(ctx, blob(data), half); !errors.Is(err, context.Canceled) {
		t.Errorf("upload: %v", err)
	}
	if _, err := repo.Blobs().Resolve(t.Context(), blob(data).Digest.String()); !errors.Is(err, errdef.ErrNotFound) {
		t.Errorf("a cancelled upload: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestCloseEndsWhatRuns(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	started := make(chan struct{})
	r.app = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		close(started)
		<-req.Context().Done()
	})
	done := make(chan error, 1)
	go func() {
		resp, err := r.Transport().RoundTrip(request(t.Context(), "GET", nil))
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	<-started
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	<-done
	resp, err := r.Transport().RoundTrip(request(t.Context(), "GET", nil))
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after Close: %v, %v", resp, err)
	}
}
