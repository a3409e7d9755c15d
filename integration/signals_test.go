package integration

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHangup: SIGHUP, which is what a service's reload sends, ends no drive, whether there is something to read again or not.
func TestHangup(t *testing.T) {
	t.Parallel()
	d := startDrive(t)
	for range 3 {
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	d.put("/f", []byte("content"))
	d.want("/f", []byte("content"))
}

// TestShutdownTimeout: an upload that runs at SIGTERM is stored if it comes to its end within the time, and cut if not.
func TestShutdownTimeout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		timeout string
		pause   time.Duration
		stored  bool
	}{{"20s", 2 * time.Second, true}, {"1s", 5 * time.Second, false}} {
		d := startDrive(t, "--shutdown-timeout", c.timeout)
		content := random(4 << 20)
		slow := &slowly{content: content, pause: c.pause, began: make(chan bool)}
		done := make(chan answer)
		go func() { done <- send(client, http.MethodPut, d.href("/f"), slow) }()
		<-slow.began
		begin := time.Now()
		if code := d.terminate(t); code != 0 {
			t.Errorf("%s: exit %d", c.timeout, code)
		}
		took := time.Since(begin)
		a := <-done
		if stored := a.err == nil && a.status == http.StatusCreated; stored != c.stored {
			t.Errorf("%s: the upload is answered %v", c.timeout, a)
		}
		if !c.stored && took > c.pause || strings.Contains(d.log.String(), "requests were cut") == c.stored {
			t.Errorf("%s: it has ended after %s", c.timeout, took)
		}
		d.start()
		if c.stored {
			d.want("/f", content)
		} else {
			d.wantAbsent("/f")
		}
		d.stop()
	}
}

// slowly is a body that pauses in its middle.
type slowly struct {
	content []byte
	pause   time.Duration
	began   chan bool
	n       int
}

func (s *slowly) Read(p []byte) (int, error) {
	half := len(s.content) / 2
	if s.n == half {
		close(s.began)
		time.Sleep(s.pause)
	}
	if s.n >= len(s.content) {
		return 0, io.EOF
	}
	end := half
	if s.n >= half {
		end = len(s.content)
	}
	n := copy(p, s.content[s.n:end])
	s.n += n
	return n, nil
}
