package front

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"time"
)

// Health asks the drive on this machine that listens on address, all addresses of the machine being those of loopback,
// whether it answers. A drive that asks for a password does, and so may one whose answer is a status of well. The
// certificate is not looked at, for it is that of the name by which clients know the drive.
func Health(ctx context.Context, address, prefix string, secure bool, well ...int) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "127.0.0.1"
		if a.Is6() {
			host = "::1"
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	scheme := "http"
	if secure {
		scheme = "https"
	}
	url := scheme + "://" + net.JoinHostPort(host, port) + path.Clean("/"+prefix)
	req, err := http.NewRequestWithContext(ctx, http.MethodOptions, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if !slices.Contains(append(well, http.StatusOK, http.StatusUnauthorized), resp.StatusCode) {
		return fmt.Errorf("the drive answers %s", resp.Status)
	}
	return nil
}
