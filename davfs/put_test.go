package davfs_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// The engine closes a torn upload like a whole one; nothing of it may be seen.
func TestTornPut(t *testing.T) {
	half := strings.Repeat("x", 5000)
	for name, rest := range map[string]string{
		"length":  "Content-Length: 10000\r\n\r\n" + half,
		"nothing": "Content-Length: 10000\r\n\r\n",
		"chunked": "Transfer-Encoding: chunked\r\n\r\n1388\r\n" + half + "\r\n",
		"chunk":   "Transfer-Encoding: chunked\r\n\r\n2710\r\n" + half,
		"garbage": "Transfer-Encoding: chunked\r\n\r\n1388\r\n" + half + "\r\nno chunk\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrive(t)
			addr := d.listen()
			for _, target := range []string{"/d/f", "/d/new"} {
				a := d.torn(addr, "PUT "+target+" HTTP/1.1\r\nHost: x\r\n"+rest)
				if !strings.HasPrefix(a, "HTTP/1.1 400 ") {
					t.Errorf("PUT %s: %.60q, want 400", target, a)
				}
			}
			d.hasFile("/d/f", "content of f")
			d.isAbsent("/d/new")
		})
	}
}

// A connection that is reset, not closed: the handler ends, and nothing of the body is seen. net/http's client is no
// help here: it waits for the Read of the request's body, which nothing ends.
func TestResetPut(t *testing.T) {
	half := strings.Repeat("x", 5000)
	for _, head := range []string{"Content-Length: 10000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n2710\r\n"} {
		for _, target := range []string{"/d/f", "/d/new"} {
			d := newDrive(t)
			begun, ended := make(chan bool), make(chan bool)
			d.tree.Before(func(method, _ string) {
				if method == "Put" {
					close(begun)
				}
			})
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				d.ServeHTTP(w, r)
			}))
			t.Cleanup(srv.Close)
			c, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, "PUT "+target+" HTTP/1.1\r\nHost: x\r\n"+head+half)
			<-begun
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatalf("PUT %s: the handler does not end with its connection", target)
			}
			d.tree.Before(nil)
			d.hasFile("/d/f", "content of f")
			d.isAbsent("/d/new")
		}
	}
}

// A careless tree hides the error of its reader, or does not look at it at all.
type careless struct {
	*treetest.Mem
	err error
}

func (c careless) Put(ctx context.Context, name string, r io.Reader, o davfs.PutOptions) (fs.FileInfo, error) {
	b, _ := io.ReadAll(r)
	if c.err != nil {
		return nil, c.err
	}
	return c.Mem.Put(ctx, name, bytes.NewReader(b), o)
}

// That a body broke off is said whatever the tree makes of it, and also where it is not net/http that notices.
func TestShortBodyIsTheReason(t *testing.T) {
	d := newDrive(t)
	for _, tree := range []davfs.Tree{d.tree, careless{d.tree, errors.New("broken pipe")}, careless{d.tree, nil}} {
		d.Tree = tree
		r := httptest.NewRequest("PUT", "/d/f", strings.NewReader("short"))
		r.ContentLength = 100
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest {
			t.Errorf("a short body with a %T: status %d, want 400: %s", tree, w.Code, w.Body)
		}
		if tree == d.tree {
			d.hasFile("/d/f", "content of f")
		}
	}
}

func TestPutStatus(t *testing.T) {
	d := newDrive(t)
	for _, content := range []string{"", "x", strings.Repeat("large ", 100_000)} {
		name := fmt.Sprintf("/put%d", len(content))
		for _, code := range []int{http.StatusCreated, http.StatusNoContent, http.StatusNoContent} {
			w := d.want(code, "PUT", name, content)
			if code == http.StatusNoContent && w.Body.Len() > 0 {
				t.Errorf("204 with the body %q", w.Body)
			}
			if get := d.want(http.StatusOK, "GET", name, ""); get.Header().Get("ETag") != w.Header().Get("ETag") {
				t.Errorf("PUT has ETag %s, GET %s", w.Header().Get("ETag"), get.Header().Get("ETag"))
			}
			d.hasFile(name, content)
		}
	}
	// Over a real connection an empty body is http.NoBody, which writes itself without a call.
	addr := d.listen()
	for _, h := range []string{"Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"} {
		d.raw(addr, "PUT /empty HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+h)
		d.hasFile("/empty", "")
		d.want(http.StatusNoContent, "DELETE", "/empty", "")
	}
}

func TestPutContentRange(t *testing.T) {
	d := newDrive(t)
	d.want(http.StatusBadRequest, "PUT", "/d/f", "part", "Content-Range", "bytes 0-3/12")
	d.want(http.StatusBadRequest, "PUT", "/d/new", "part", "Content-Range", "")
	d.hasFile("/d/f", "content of f")
	d.isAbsent("/d/new")
}

func TestPutTrailingSlash(t *testing.T) {
	d := newDrive(t)
	for _, name := range []string{"/new/", "/d/", "/"} {
		if w := d.want(http.StatusMethodNotAllowed, "PUT", name, "x"); w.Header().Get("Allow") == "" {
			t.Errorf("PUT %s: 405 without Allow", name)
		}
	}
	d.isAbsent("/new")
	d.want(http.StatusConflict, "LOCK", "/new/", lockBody)
	d.isAbsent("/new")
}

func TestPutKeepsMediaType(t *testing.T) {
	d := newDrive(t)
	for header, want := range map[string]string{
		"image/x-own":                       "image/x-own",
		"":                                  "text/plain; charset=utf-8",
		"application/octet-stream":          "text/plain; charset=utf-8",
		"application/x-www-form-urlencoded": "text/plain; charset=utf-8",
		"not a type;;":                      "text/plain; charset=utf-8",
	} {
		d.do("PUT", "/f.txt", "\x89PNG", "Content-Type", header)
		if got := d.want(http.StatusOK, "HEAD", "/f.txt", "").Header().Get("Content-Type"); got != want {
			t.Errorf("PUT with Content-Type %q: GET has %q, want %q", header, got, want)
		}
	}
	d.do("PUT", "/noextension", "<html>", "Content-Type", "")
	if got := d.do("GET", "/noextension", "").Header().Get("Content-Type"); got != "application/octet-stream" {
		t.Errorf("a content of unknown type is %q: it was sniffed", got)
	}
}

// A refusal that comes before the end of a large body is heard, and the connection serves on (RFC 9110 section 9.6 does
// not ask for it, Windows does).
func TestEarlyRefusalIsHeard(t *testing.T) {
	d := newDrive(t)
	d.lock("/top")
	conn, err := net.Dial("tcp", d.listen())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(conn)
	body := strings.Repeat("x", 8<<20)
	for range 2 {
		if _, err := fmt.Fprintf(conn, "PUT /top HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(body)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(700 * time.Millisecond) // net/http lingers for half a second
		if _, err := io.WriteString(conn, body); err != nil {
			t.Fatalf("the rest of the body: %v", err)
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != http.StatusLocked || res.Close {
			t.Fatalf("the answer: %v, %v", res, err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPutTooLarge(t *testing.T) {
	d := newDrive(t)
	w := httptest.NewRecorder()
	r := httptest.NewRequest("PUT", "/d/f", strings.NewReader("too large"))
	r.Body = http.MaxBytesReader(w, r.Body, 3)
	d.ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", w.Code)
	}
	d.hasFile("/d/f", "content of f")
}

func TestMkcolWithBody(t *testing.T) {
	d := newDrive(t)
	addr := d.listen()
	for _, body := range []string{"Content-Length: 1\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"} {
		a := d.raw(addr, "MKCOL /new HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+body)
		if !strings.HasPrefix(a, "HTTP/1.1 415 ") {
			t.Errorf("MKCOL with a body: %.60q, want 415", a)
		}
	}
	d.isAbsent("/new")
	d.want(http.StatusCreated, "MKCOL", "/new/", "")
}

// HEAD, 304 and PROPFIND read no content.
func TestHeadOpensNothing(t *testing.T) {
	d := newDrive(t)
	etag := d.do("HEAD", "/d/f", "").Header().Get("ETag")
	for _, c := range []struct {
		code   int
		method string
		header []string
	}{
		{200, "HEAD", nil},
		{206, "HEAD", []string{"Range", "bytes=1-2"}},
		{304, "GET", []string{"If-None-Match", etag}},
		{412, "GET", []string{"If-Match", `"other"`}},
		{416, "GET", []string{"Range", "bytes=100-"}},
	} {
		d.tree.Calls()
		d.want(c.code, c.method, "/d/f", "", c.header...)
		if got := d.tree.Calls(); got["Stat"] != 1 || len(got) != 1 {
			t.Errorf("%s %q costs %v, want one Stat", c.method, c.header, got)
		}
	}
	d.want(http.StatusOK, "GET", "/d/f", "")
	if got := d.tree.Calls(); got["Stat"] != 1 || got["Open"] != 1 {
		t.Errorf("GET costs %v, want one Stat and one Open", got)
	}
}

// A diskTree opens files of the operating system.
type diskTree struct {
	*treetest.Mem
	path string
}

func (d diskTree) Open(context.Context, string, fs.FileInfo) (fs.File, error) { return os.Open(d.path) }

// A sender takes note of what it is given to send.
type sender struct {
	*httptest.ResponseRecorder
	bytes.Buffer
	from io.Reader
}

func (s *sender) Write(p []byte) (int, error) { return s.ResponseRecorder.Write(p) }
func (s *sender) ReadFrom(r io.Reader) (int64, error) {
	if lr, ok := r.(*io.LimitedReader); ok {
		s.from = lr.R
	}
	return s.Buffer.ReadFrom(r)
}

// A tree's descriptor reaches net/http itself, which gives it to sendfile.
func TestSendfile(t *testing.T) {
	content := strings.Repeat("0123456789", 100_000)
	p := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDrive(t)
	d.Tree = diskTree{d.tree, p}
	d.put("/big", content)
	s := &sender{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest("GET", "/big", nil)
	r.Header.Set("Range", "bytes=5000-900000")
	d.ServeHTTP(s, r)
	if _, ok := s.from.(*os.File); !ok {
		t.Errorf("net/http is given a %T, not the file", s.from)
	}
	if got := s.ResponseRecorder.Body.String() + s.Buffer.String(); got != content[5000:900001] {
		t.Errorf("got %d other bytes", len(got))
	}
	addr := d.listen()
	for _, rg := range []string{"", "bytes=3-999990", "bytes=-10"} {
		req, _ := http.NewRequest("GET", "http://"+addr+"/big", nil)
		req.Header.Set("Range", rg)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		want := map[string]string{"": content, "bytes=3-999990": content[3:999991], "bytes=-10": content[999990:]}[rg]
		if err != nil || string(b) != want {
			t.Errorf("range %q gives %d bytes, %v, want %d", rg, len(b), err, len(want))
		}
	}
	// A content that became shorter does not end like a whole one.
	if err := os.Truncate(p, 500_000); err != nil {
		t.Fatal(err)
	}
	res, err := http.Get("http://" + addr + "/big")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(res.Body); err != io.ErrUnexpectedEOF {
		t.Errorf("a shortened content ends with %v", err)
	}
	res.Body.Close()
}

var _ davfs.Tree = diskTree{}
