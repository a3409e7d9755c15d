package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path"
	"time"
)

// A Door is how a drive on this machine was told to listen.
type Door struct {
	Address, Prefix string
	TLS             bool
	Clients         bool // have to have a certificate
	Proxy           bool // is who may enter
}

const healthTimeout = 5 * time.Second

// Health asks the drive whether it answers, all addresses of the machine being those of loopback. A drive that refuses
// whoever has no password does, or no certificate, or is not its proxy. The certificate is not looked at, for it is that of
// the name by which clients know the drive.
func (d Door) Health(ctx context.Context) error {
	host, port, err := net.SplitHostPort(d.Address)
	if err != nil {
		return err
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "127.0.0.1"
		if a.Is6() {
			host = "::1"
		}
	}
	address := net.JoinHostPort(host, port)
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	config := &tls.Config{InsecureSkipVerify: true}
	if d.TLS && d.Clients {
		return turnedAway(ctx, address, config)
	}
	scheme := "http"
	if d.TLS {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodOptions, scheme+"://"+address+path.Clean("/"+d.Prefix), nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusUnauthorized, d.Proxy && resp.StatusCode == http.StatusForbidden:
		return nil
	}
	return fmt.Errorf("the drive answers %s", resp.Status)
}

// turnedAway says whether there is a server that wants to see a certificate. It says so behind the handshake, so a request
// would cross that and could take it along.
func turnedAway(ctx context.Context, address string, config *tls.Config) error {
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err == nil {
		defer conn.Close()
		end, _ := ctx.Deadline()
		conn.SetReadDeadline(end)
		_, err = conn.Read(make([]byte, 1))
	}
	var said *net.OpError
	if errors.As(err, &said) && said.Op == "remote error" { // an alert; it is of no type that one could name
		return nil
	}
	if err == nil {
		err = errors.New("the drive speaks to a client without a certificate")
	}
	return err
}
