package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A broken upload is what a client sends instead of a whole PUT, over a connection of its own.
type brokenUpload struct {
	name   string
	header string                                      // how the length is announced; %d is the whole length
	send   func(conn *net.TCPConn, content []byte)     // what comes of it
	answer func(t *testing.T, status int, broken bool) // checks the answer, where the client is there to hear it
}

var brokenUploads = []brokenUpload{
	{"short", "Content-Length: %d", func(c *net.TCPConn, content []byte) {
		c.Write(content[:len(content)/2])
		c.CloseWrite() // the client still listens
	}, wantRefusal},
	{"no-body", "Content-Length: %d", func(c *net.TCPConn, _ []byte) { c.CloseWrite() }, wantRefusal},
	{"closed", "Content-Length: %d", func(c *net.TCPConn, content []byte) {
		c.Write(content[:len(content)-1])
		c.Close()
	}, nil},
	{"reset", "Content-Length: %d", func(c *net.TCPConn, content []byte) {
		c.Write(content[:len(content)/2])
		time.Sleep(20 * time.Millisecond) // a reset would overtake what is still in the buffers
		c.SetLinger(0)
		c.Close()
	}, nil},
	{"chunked-without-end", "Transfer-Encoding: chunked\r\nX-Whole: %d", func(c *net.TCPConn, content []byte) {
		half := content[:len(content)/2]
		fmt.Fprintf(c, "%x\r\n%s\r\n", len(half), half)
		c.CloseWrite()
	}, wantRefusal},
	{"chunk-too-short", "Transfer-Encoding: chunked\r\nX-Whole: %d", func(c *net.TCPConn, content []byte) {
		fmt.Fprintf(c, "%x\r\n%s", len(content), content[:len(content)/2])
		c.CloseWrite()
	}, wantRefusal},
	{"chunk-without-sense", "Transfer-Encoding: chunked\r\nX-Whole: %d", func(c *net.TCPConn, content []byte) {
		fmt.Fprintf(c, "5\r\n%s\r\nzz\r\n", content[:5])
		c.CloseWrite()
	}, wantRefusal},
	{"reset-after-chunk", "Transfer-Encoding: chunked\r\nX-Whole: %d", func(c *net.TCPConn, content []byte) {
		fmt.Fprintf(c, "%x\r\n%s\r\n", len(content), content)
		time.Sleep(20 * time.Millisecond)
		c.SetLinger(0)
		c.Close()
	}, nil},
}

// wantRefusal is for a client that hears the answer: it must not be told that its file is stored.
func wantRefusal(t *testing.T, status int, broken bool) {
	t.Helper()
	if !broken && (status < 400 || status >= 500) {
		t.Errorf("the answer to half an upload is %d, want 4xx", status)
	}
}

// dialDrive opens a connection to the drive and sends the head of a request on it.
func dialDrive(t testing.TB, d *drive, method, name, header string) *net.TCPConn {
	t.Helper()
	host := strings.TrimPrefix(d.url, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", method, name, host, header)
	return conn.(*net.TCPConn)
}

// TestTornUpload breaks uploads in every way that a client can: each leaves what was there, or nothing.
func TestTornUpload(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		d.mkcol("/d")
		old := random(5000)
		d.put("/d/old.bin", old)
		before := d.do(http.MethodHead, "/d/old.bin", nil, okay).header.Get("ETag")
		sizes := []int{1000, 3 << 20} // one stays in memory, one is spooled
		for _, size := range sizes {
			for _, u := range brokenUploads {
				for _, name := range []string{"/d/old.bin", fmt.Sprintf("/d/new-%s-%d", u.name, size)} {
					conn := dialDrive(t, d, http.MethodPut, name, fmt.Sprintf(u.header, size))
					u.send(conn, random(size))
					if u.answer != nil {
						resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
						if err != nil {
							u.answer(t, 0, true)
						} else {
							resp.Body.Close()
							u.answer(t, resp.StatusCode, false)
						}
					}
				}
			}
		}
		// The server may still read what came on connections that nobody hears.
		puts := 2 * len(sizes) * len(brokenUploads)
		eventually(t, 10*time.Second, "not every upload has ended", func() bool {
			return strings.Count(d.log.String(), "method=PUT") >= puts
		})
		d.want("/d/old.bin", old)
		if tag := d.do(http.MethodHead, "/d/old.bin", nil, okay).header.Get("ETag"); tag != before {
			t.Errorf("the entity tag of the old file is now %s, was %s", tag, before)
		}
		if got := d.names("/d/"); !slices.Equal(got, []string{"old.bin"}) {
			t.Errorf("broken uploads left %q", got)
		}
		d.stop()
		d.start()
		d.want("/d/old.bin", old)
		if got := d.names("/d/"); !slices.Equal(got, []string{"old.bin"}) {
			t.Errorf("broken uploads left %q, seen after a restart", got)
		}
	})
}

// TestKillInUpload kills the server in the middle of uploads.
func TestKillInUpload(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		old := random(3 << 20)
		d.put("/old.bin", old)
		content := random(2 << 20)
		for _, name := range []string{"/old.bin", "/new.bin"} {
			conn := dialDrive(t, d, http.MethodPut, name, fmt.Sprintf("Content-Length: %d", len(content)))
			conn.Write(content[:len(content)-1])
		}
		conn := dialDrive(t, d, http.MethodPut, "/chunked.bin", "Transfer-Encoding: chunked")
		fmt.Fprintf(conn, "%x\r\n%s\r\n", len(content), content)
		time.Sleep(100 * time.Millisecond)
		d.crash()
		d.start()
		d.want("/old.bin", old)
		d.wantAbsent("/new.bin", "/chunked.bin")
		if got := d.names("/"); !slices.Equal(got, []string{"old.bin"}) {
			t.Errorf("after kill -9 / has %q", got)
		}
		d.wantNoSpool()
	})
}

// TestOddPuts sends uploads that must not be taken for the whole file, and some that must.
func TestOddPuts(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		d.mkcol("/dir")
		old := []byte("0123456789")
		d.put("/f", old)
		part := []byte("xx")
		for _, c := range []struct {
			why, name string
			want      int
			header    []string
		}{
			{"a range of a file (RFC 9110 section 14.5)", "/f", 400, []string{"Content-Range", "bytes 2-3/10"}},
			{"a range of no file", "/g", 400, []string{"Content-Range", "bytes 0-1/2"}},
			{"a missing parent", "/no/such/f", 409, nil},
			{"a file as parent", "/f/g", 409, nil},
			{"a directory in the way", "/dir", 405, nil},
			{"another entity-tag", "/f", 412, []string{"If-Match", `"other"`}},
			{"a file that must not be there", "/f", 412, []string{"If-None-Match", "*"}},
			{"no file where there must be one", "/g", 412, []string{"If-Match", "*"}},
		} {
			if a := d.try(http.MethodPut, c.name, part, c.header...); a.status != c.want {
				t.Errorf("PUT %s with %s: %v, want %d", c.name, c.why, a, c.want)
			}
			d.want("/f", old)
		}
		if got := d.names("/"); !slices.Equal(got, []string{"dir", "f"}) {
			t.Errorf("/ has %q", got)
		}

		// Overwriting in all lengths, the empty one too; chunked without a length is as good.
		for _, size := range []int{0, 1, 4096, 1 << 20, 1<<20 + 1, 5 << 20, 0} {
			content := random(size)
			d.put("/f", content)
			d.want("/f", content)
			a := send(client, http.MethodPut, d.href("/chunked"), struct{ io.Reader }{bytes.NewReader(content)})
			if !slices.Contains(made, a.status) {
				t.Fatalf("chunked PUT of %d bytes: %v", size, a)
			}
			d.want("/chunked", content)
			if size > 10 {
				a := d.try(http.MethodGet, "/f", nil, "Range", "bytes=3-8")
				if a.status != http.StatusPartialContent || !bytes.Equal(a.body, content[3:9]) {
					t.Errorf("a range of %d bytes: %v", size, a)
				}
			}
		}
	})
}

// TestLockLeavesContent locks what is there and what is not.
func TestLockLeavesContent(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		content := random(1000)
		d.put("/f", content)
		lock := []byte(`<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>` +
			`<D:locktype><D:write/></D:locktype></D:lockinfo>`)
		d.do("LOCK", "/f", lock, okay, "Timeout", "Second-60")
		d.want("/f", content)
		if a := d.try(http.MethodPut, "/f", []byte("x")); a.status != http.StatusLocked {
			t.Errorf("PUT without the token: %v, want 423", a)
		}
		d.want("/f", content)
		d.do("LOCK", "/new", lock, []int{http.StatusCreated})
		d.want("/new", nil)
		if a := d.try("LOCK", "/no/parent", lock); a.status != http.StatusConflict {
			t.Errorf("LOCK without a parent: %v, want 409", a)
		}
	})
}
