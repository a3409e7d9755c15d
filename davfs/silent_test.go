package davfs_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// once is a listener of one connection.
type once chan net.Conn

func (l once) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (once) Close() error   { return nil }
func (once) Addr() net.Addr { return &net.TCPAddr{} }

// TestSilentClients: who announces a body that does not come, where none is wanted, has the answer after a while, and holds
// nothing any longer.
func TestSilentClients(t *testing.T) {
	for request, code := range map[string]int{
		"GET /top":     http.StatusOK,
		"DELETE /d/f":  http.StatusNoContent,
		"OPTIONS /d/":  http.StatusOK,
		"GET /nowhere": http.StatusNotFound,
		"MKCOL /top":   http.StatusUnsupportedMediaType,
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDrive(t)
			ours, theirs := net.Pipe()
			l := make(once, 1)
			l <- theirs
			server := http.Server{Handler: d}
			go server.Serve(l)
			from := time.Now()
			io.WriteString(ours, request+" HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nb")
			resp, err := http.ReadResponse(bufio.NewReader(ours), nil)
			if err != nil || resp.StatusCode != code {
				t.Errorf("%s: %v, %v, want %d", request, resp, err, code)
			}
			io.Copy(io.Discard, ours) // until the server ends the connection
			if took := time.Since(from); took > time.Minute {
				t.Errorf("%s: the connection lasts %s", request, took)
			}
			ours.Close()
			close(l)
			server.Close()
			time.Sleep(time.Second) // net/http lingers
		})
	}
}

// TestLateBody: a body that the server has given up is 408, and no file.
func TestLateBody(t *testing.T) {
	d := newDrive(t)
	req := httptest.NewRequest("PUT", "/d/new", io.MultiReader(strings.NewReader("some"), iotest.ErrReader(os.ErrDeadlineExceeded)))
	w := httptest.NewRecorder()
	d.ServeHTTP(w, req)
	if w.Code != http.StatusRequestTimeout {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	d.isAbsent("/d/new")
}

// TestLargeUselessBody: a body that nobody wants is not read to its end if that is far; the connection ends then, and
// nothing of it is taken for a request.
func TestLargeUselessBody(t *testing.T) {
	d := newDrive(t)
	body := strings.Repeat("GET /d/f HTTP/1.1\r\nHost: x\r\n\r\n", 10_000)
	answer := d.raw(d.listen(), fmt.Sprintf("GET /top HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body))
	if !strings.HasPrefix(answer, "HTTP/1.1 200 OK\r\n") || !strings.Contains(answer, "\r\nConnection: close\r\n") || strings.Count(answer, "HTTP/1.1") != 1 {
		t.Errorf("%.300s", answer)
	}
}
