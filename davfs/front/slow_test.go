//go:build unix

package front

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// TestSlowConnections: a thousand connections that are idle or dribble keep nobody from being served, and each holds
// little memory: its own and the client's here.
func TestSlowConnections(t *testing.T) {
	const busy, requests, most = 64, 20, 64 << 10
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pair(t, "x", certFile, keyFile)
	certificate, err := LoadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	insecure := &tls.Config{InsecureSkipVerify: true}
	for _, scheme := range []string{"http", "https"} {
		var used *Certificate
		slow := 1000
		if scheme == "https" {
			used, slow = certificate, 200 // each costs a handshake
		}
		servers := Servers{Log: slog.New(slog.DiscardHandler)}
		address, err := servers.Start("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
		}), used)
		if err != nil {
			t.Fatal(err)
		}
		before := memory()
		conns := make([]net.Conn, slow)
		for i := range conns {
			if used != nil {
				conns[i], err = tls.Dial("tcp", address.String(), insecure)
			} else {
				conns[i], err = net.Dial("tcp", address.String())
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conns[i].Close()
			switch i % 3 { // 0 is idle
			case 1:
				io.WriteString(conns[i], "GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
			case 2:
				io.WriteString(conns[i], "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nb")
			}
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: insecure, MaxIdleConnsPerHost: busy}}
		var served sync.WaitGroup
		for range busy {
			served.Go(func() {
				for range requests {
					resp, err := client.Get(scheme + "://" + address.String())
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
				}
			})
		}
		served.Wait()
		client.CloseIdleConnections()
		if each := (memory() - before) / int64(slow); used == nil { // what the first have left would count for the others
			t.Logf("%d bytes for each connection", each)
			if each > most {
				t.Errorf("%d bytes for each connection, want %d at most", each, most)
			}
		}
		servers.list[0].Close()
	}
}

// memory is what the heap and the stacks take.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
