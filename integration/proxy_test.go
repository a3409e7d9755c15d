package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// faulty is a proxy before a registry that breaks what a fault tells it to.
type faulty struct {
	address string
	fault   atomic.Pointer[fault]
	broken  atomic.Int64 // requests that met the fault
}

// fault is one way in which a registry can fail. Of status, mangle, lost, reset and stall one is set.
type fault struct {
	name  string
	only  func(r *http.Request) bool // the requests that meet it; nil: all
	allow []int                      // what the drive may answer then

	status int // with header and text as the body
	header []string
	text   string
	mangle func(body []byte) []byte // of successful answers; what is missing then makes a cut
	lost   bool                     // the registry does what it is asked to, but the answer never comes
	reset  bool
	stall  chan struct{} // nothing comes until it is closed, which heal does
}

// startFaulty starts a proxy, whole at first, before the registry at address.
func startFaulty(t testing.TB, address string) *faulty {
	t.Helper()
	f := &faulty{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	proxy.ModifyResponse = f.modify
	proxy.ErrorLog = log.New(io.Discard, "", 0) // it would tell of every fault
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { reset(w) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := f.fault.Load()
		if x == nil || x.only != nil && !x.only(r) {
			proxy.ServeHTTP(w, r)
			return
		}
		f.broken.Add(1)
		switch {
		case x.status != 0:
			io.Copy(io.Discard, r.Body)
			for i := 0; i < len(x.header); i += 2 {
				w.Header().Set(x.header[i], x.header[i+1])
			}
			w.WriteHeader(x.status)
			io.WriteString(w, x.text)
		case x.mangle != nil:
			proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), faultKey{}, x)))
		case x.lost:
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			reset(w)
		case x.reset:
			reset(w)
		case x.stall != nil:
			select {
			case <-x.stall:
			case <-r.Context().Done():
			}
			reset(w)
		}
	}))
	server.Config.ErrorLog = proxy.ErrorLog
	t.Cleanup(func() {
		f.heal()
		server.Close()
	})
	f.address = strings.TrimPrefix(server.URL, "http://")
	return f
}

type faultKey struct{}

// modify damages a body on its way; its headers stay those of the whole one.
func (f *faulty) modify(resp *http.Response) error {
	x, ok := resp.Request.Context().Value(faultKey{}).(*fault)
	if !ok || resp.StatusCode/100 != 2 || resp.Request.Method == http.MethodHead {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return err
	}
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	damaged := x.mangle(bytes.Clone(body))
	var end error
	if len(damaged) < len(body) {
		end = fmt.Errorf("cut by %s", x.name)
	}
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(damaged), endReader{end}))
	return nil
}

type endReader struct{ err error }

func (e endReader) Read([]byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	return 0, io.EOF
}

// reset ends the connection under an answer that has not begun.
func reset(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				tcp.SetLinger(0)
			}
			conn.Close()
		}
	}
}

// breaks makes the proxy meet its requests with x until heal.
func (f *faulty) breaks(x *fault) {
	f.broken.Store(0)
	f.fault.Store(x)
}

func (f *faulty) heal() {
	if x := f.fault.Swap(nil); x != nil && x.stall != nil {
		close(x.stall)
	}
}
