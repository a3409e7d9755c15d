//go:build unix

package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory, so that time is that of synctest.
type pipes struct {
	conns, closed chan net.Conn
	close         func()
}

func newPipes() *pipes {
	l := &pipes{conns: make(chan net.Conn), closed: make(chan net.Conn)}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipes) Close() error   { l.close(); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours
}

// served serves h as Start does, in memory.
func served(t *testing.T, h http.HandlerFunc, certificate *Certificate) *pipes {
	l := newPipes()
	s := Servers{Log: slog.New(slog.DiscardHandler)}
	server := s.server(h)
	done := make(chan struct{})
	go func() {
		defer close(done)
		serve(server, patient{l, patience}, certificate)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
		time.Sleep(time.Second) // net/http lingers
	})
	return l
}

// upload reads the body, and says how that ended.
func upload(ended chan<- error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
		if err != nil {
			http.Error(w, "late", http.StatusRequestTimeout)
		}
	}
}

// TestBodies: a client that sends nothing is ended in its time, and one that sends a byte now and then never is.
func TestBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		c := served(t, upload(ended), nil).dial()
		defer c.Close()
		io.WriteString(c, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
		for range 20 {
			time.Sleep(patience - time.Second)
			if _, err := io.WriteString(c, "b"); err != nil {
				t.Fatalf("a client that moves: %v", err)
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("a client that moves is ended: %v", err)
		default:
		}
		from := time.Now()
		if err := <-ended; err == nil || time.Since(from) != patience {
			t.Errorf("after %s: %v, want after %s", time.Since(from), err, patience)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusRequestTimeout || !resp.Close {
			t.Errorf("the answer is %v, %v", resp, err)
		}
	})
}

// TestWaitingIsNotSilence: while the handler does something else the client owes nothing.
func TestWaitingIsNotSilence(t *testing.T) {
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			client := client(t, secure, func(w http.ResponseWriter, r *http.Request) {
				var b [1]byte
				io.ReadFull(r.Body, b[:])
				time.Sleep(10 * patience)
				io.WriteString(w, "a")
				http.NewResponseController(w).Flush()
				time.Sleep(10 * patience)
				rest, err := io.ReadAll(r.Body)
				fmt.Fprint(w, len(rest), err)
			})
			body, in := io.Pipe()
			go func() {
				in.Write([]byte("123"))
				time.Sleep(20*patience + patience/2)
				in.Write([]byte("45"))
				in.Close()
			}()
			req, _ := http.NewRequest("PUT", client.url, body)
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			// HTTP/1 reads the body away before the answer begins.
			if want := map[bool]string{false: "a", true: "a4 <nil>"}[secure]; err != nil || !strings.HasPrefix(string(got), want) {
				t.Errorf("secure %t: %q, %v, want %q", secure, got, err, want)
			}
			client.close()
		})
	}
}

// TestAnswers: the same for those who take an answer, on a connection.
func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		c := served(t, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(w, io.LimitReader(zeros{}, 1<<20))
			ended <- err
		}, nil).dial()
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		for range 20 {
			time.Sleep(patience - time.Second)
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatalf("a client that moves: %v", err)
			}
		}
		from := time.Now()
		if err := <-ended; err == nil || time.Since(from) > 2*patience {
			t.Errorf("after %s: %v", time.Since(from), err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the connection: %v", err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestStreams: a stream of HTTP/2 of which nothing is taken is ended, and the others of its connection go on.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		client := client(t, true, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/large" {
				_, err := io.Copy(w, io.LimitReader(zeros{}, 64<<20))
				ended <- err
			}
		})
		defer client.close()
		resp, err := client.Get(client.url + "/large")
		if err != nil || resp.ProtoMajor != 2 {
			t.Fatal(resp, err)
		}
		for range 40 { // pings would keep a connection; so do requests
			time.Sleep(patience / 10)
			if small, err := client.Get(client.url + "/small"); err != nil || small.StatusCode != http.StatusOK {
				t.Fatalf("another stream: %v", err)
			} else {
				small.Body.Close()
			}
			select {
			case err := <-ended:
				if err == nil {
					t.Error("all was taken")
				}
				resp.Body.Close()
				return
			default:
			}
		}
		t.Error("a stream of which nothing is taken goes on")
		resp.Body.Close()
		<-ended
	})
}

// TestHeaders: those who dribble their headers have 30 seconds in all.
func TestHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := served(t, func(http.ResponseWriter, *http.Request) { t.Error("it is served") }, nil).dial()
		defer c.Close()
		from := time.Now()
		go io.Copy(io.Discard, c)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n")
		for {
			time.Sleep(time.Second)
			if _, err := io.WriteString(c, "X: y\r\n"); err != nil {
				break
			}
		}
		if d := time.Since(from).Round(time.Second); d > readHeaderTimeout+5*time.Second { // net/http lingers
			t.Errorf("it had %s", d)
		}
	})
}

// TestServerDeadline: a deadline that the server sets is kept, that of closing by TLS for one.
func TestServerDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		c := &conn{Conn: theirs, patience: patience}
		c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		from := time.Now()
		if _, err := c.Write([]byte("x")); err == nil || time.Since(from) != 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(from))
		}
	})
}

// TestLargeHeader: 431, and the server keeps no more of it than it has to.
func TestLargeHeader(t *testing.T) {
	for size, code := range map[int]int{maxHeader / 2: 200, 2 * maxHeader: 431} {
		synctest.Test(t, func(t *testing.T) {
			c := served(t, func(http.ResponseWriter, *http.Request) {}, nil).dial()
			defer c.Close()
			go func() {
				io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nIf: ")
				io.WriteString(c, strings.Repeat("x", size))
				io.WriteString(c, "\r\n\r\n")
			}()
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.StatusCode != code {
				t.Errorf("%d bytes: %v, %v, want %d", size, resp, err, code)
			}
		})
	}
}

// A testClient speaks to a server in memory.
type testClient struct {
	http.Client
	url   string
	close func()
}

func client(t *testing.T, secure bool, h http.HandlerFunc) *testClient {
	var certificate *Certificate
	c := &testClient{url: "http://x"}
	if secure {
		dir := t.TempDir()
		certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		pair(t, "x", certFile, keyFile)
		var err error
		if certificate, err = LoadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		c.url = "https://x"
	}
	l := served(t, h, certificate)
	transport := &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return l.dial(), nil },
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: true,
	}
	c.Transport, c.close = transport, transport.CloseIdleConnections
	return c
}
