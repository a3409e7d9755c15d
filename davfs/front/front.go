// Package front is where HTTP enters the process: the listeners, plain or by TLS, and how they end.
package front

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Bounds of a connection; those of bodies and answers are in patience.go.
const (
	readHeaderTimeout = 30 * time.Second
	idleTimeout       = 5 * time.Minute
	// maxHeader is far above what clients send: an If of 256 locks has some 40 KiB. net/http answers 431, and lets pass
	// 4 KiB more.
	maxHeader = 128 << 10
)

// Servers are the listeners of one process. The zero value but for Log is ready.
type Servers struct {
	Log *slog.Logger

	list []*http.Server
	errs chan error
}

// Start listens on address and serves h there, by TLS if there is a certificate.
func (s *Servers) Start(address string, h http.Handler, certificate *Certificate) (net.Addr, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	server := s.server(h)
	s.list = append(s.list, server)
	errs := s.failed()
	go func() {
		if err := serve(server, patient{l, patience}, certificate); !errors.Is(err, http.ErrServerClosed) {
			errs <- err
		}
	}()
	return l.Addr(), nil
}

func (s *Servers) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: wrap(h, patience), ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		DisableGeneralOptionsHandler: true, // OPTIONS * is the drive's to answer
		ErrorLog:                     slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
}

func serve(server *http.Server, l net.Listener, certificate *Certificate) error {
	if certificate == nil {
		return server.Serve(l)
	}
	server.TLSConfig = certificate.config()
	return server.ServeTLS(l, "", "")
}

// Failed says of a listener that it has ended by itself.
func (s *Servers) Failed() <-chan error { return s.failed() }

func (s *Servers) failed() chan error {
	if s.errs == nil {
		s.errs = make(chan error, 8) // more than there are listeners: who fails need not be heard
	}
	return s.errs
}

// Drain ends the servers, the last one first: what runs, and what runs behind the answers, has the timeout to finish, then
// it is cut. That costs nothing that was acknowledged.
func (s *Servers) Drain(timeout time.Duration, behind func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for i := len(s.list) - 1; i >= 0; i-- {
		if err := s.list[i].Shutdown(ctx); err != nil {
			s.Log.Warn("requests were cut", "after", timeout, "err", err)
			s.list[i].Close()
		}
	}
	if err := behind(ctx); err != nil {
		s.Log.Warn("what is left is seen by nobody, and goes when a directory of that name is made", "err", err)
	}
}

// IsLoopback says whether only this machine can reach the address, host:port. A name but localhost may be anybody's.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}
