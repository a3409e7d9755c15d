package registrytest

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
)

// A Server serves a handler on connections that are pipes within the process: real HTTP without the network.
type Server struct {
	server *http.Server
	pipes  *pipes
}

// Listen serves h until Close.
func Listen(h http.Handler) *Server {
	s := &Server{
		server: &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)},
		pipes:  &pipes{conns: make(chan net.Conn), done: make(chan struct{})},
	}
	go func() { _ = s.server.Serve(s.pipes) }()
	return s
}

var errClosed = errors.New("the registry is closed")

// DialContext connects to the handler, whatever the address; it is for http.Transport.
func (s *Server) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case s.pipes.conns <- server:
		return client, nil
	case <-s.pipes.done:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends all connections and refuses new ones.
func (s *Server) Close() error { return errors.Join(s.pipes.Close(), s.server.Close()) }

// pipes is the net.Listener of the server.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, errClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "registry.localhost" }
