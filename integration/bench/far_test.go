package bench

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// wire is a TCP proxy that gives each direction a latency and takes nothing of the bandwidth: bytes wait their time, as
// many as are on their way.
type wire struct {
	listener net.Listener
	to       string
	latency  time.Duration // of one way
}

func startWire(tb testing.TB, to string, latency time.Duration) *wire {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	w := &wire{l, to, latency}
	tb.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(c)
		}
	}()
	return w
}

// carry is one connection. A new one takes a round trip more, as TCP does.
func (w *wire) carry(near net.Conn) {
	defer near.Close()
	time.Sleep(2 * w.latency)
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer far.Close()
	var both sync.WaitGroup
	both.Go(func() { w.pass(far, near) })
	both.Go(func() { w.pass(near, far) })
	both.Wait()
}

type packet struct {
	data []byte
	due  time.Time
}

// pass moves bytes one way. 64 MiB are on their way at most, as through a window that is large enough.
func (w *wire) pass(to, from net.Conn) {
	packets := make(chan packet, 1024)
	go func() {
		defer close(packets)
		for {
			data := make([]byte, 64<<10)
			n, err := from.Read(data)
			if n > 0 {
				packets <- packet{data[:n], time.Now().Add(w.latency)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range packets {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil {
			from.Close()
			for range packets {
			}
			return
		}
	}
	if c, ok := to.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

// farRow is a cold read in sequence over a registry that is 40 ms away, there and back, against the same bytes from the
// same registry through the same wire, which is what curl would get.
func farRow(tb testing.TB, latency time.Duration) row {
	all, err := targets()
	if err != nil {
		tb.Fatal(err)
	}
	registry := all["registry"]
	if registry == nil {
		tb.Skip("docker-registry is not installed")
	}
	w := startWire(tb, strings.TrimSuffix(strings.TrimPrefix(registry.base, "http://"), "/"), latency)
	far := "http://" + w.listener.Addr().String()
	for _, name := range []string{"far28", "wire"} {
		delete(all, name)
	}
	over, err := startOcidav("far28", far+"/team")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { stop(over.cmd()) })
	over.put = all["over28"].write
	all["far28"] = over
	all["wire"] = &target{name: "wire", put: registry.put, url: func(name string) string {
		return far + "/" + strings.TrimPrefix(registry.url(name), registry.base)
	}}
	return row{"GET_big_cold_40ms", rate, []string{"far28"}, []string{"wire"}, rows[1].prepare}
}

// BenchmarkFar: the registry is 40 ms away, there and back.
func BenchmarkFar(b *testing.B) {
	r := farRow(b, 20*time.Millisecond)
	all := map[string][][]float64{}
	for b.Loop() {
		for name, v := range r.run(b, full) {
			all[name] = append(all[name], v...)
		}
	}
	r.report(b, all)
}

func TestFar(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts all servers")
	}
	farRow(t, time.Millisecond).run(t, tiny)
}

// TestWire: the proxy is late by its latency and changes nothing.
func TestWire(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	w := startWire(t, l.Addr().String(), 10*time.Millisecond)
	c, err := net.Dial("tcp", w.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	begun := time.Now()
	if _, err := c.Write([]byte("there and back")); err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "there and back" || time.Since(begun) < 40*time.Millisecond {
		t.Errorf("%q after %s, %v", got, time.Since(begun), err)
	}
}
