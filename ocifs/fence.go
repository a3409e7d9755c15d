package ocifs

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// A registry sends its clients elsewhere: blobs lie in an object store, tokens are made by another host. Whoever has the
// registry in his hands, or the name of a host that it sends to, could so have this process ask what only this machine or
// its cloud may ask (SSRF), and read the answer as a file. So there is a fence around what a registry may lead to:
//
//   - Credentials go to the registry and to the realm of its tokens, never along with a redirect (oras-go), and an upload
//     never goes on elsewhere (upload.go).
//   - From a registry that is asked by HTTPS nothing leads to plain HTTP.
//   - Addresses of the link, at which clouds tell a machine its secrets, and other such addresses are asked for nobody.
//   - From a registry at a public address nothing leads to this machine itself. To private networks it may: object stores
//     have private addresses there, although their registry has not.
//
// An address is judged when it is connected to, whatever name it was found by, so a name that changes gains nothing.
type fence struct {
	next  http.RoundTripper
	host  string // of the registry
	plain bool   // it is asked by plain HTTP
}

func (f fence) RoundTrip(req *http.Request) (*http.Response, error) {
	if !f.plain && req.URL.Scheme != "https" {
		closeBody(req)
		return nil, fenced("%s://%s: the registry leads from HTTPS to plain HTTP", req.URL.Scheme, req.URL.Host)
	}
	w := &way{from: f.host, own: strings.EqualFold(req.URL.Host, f.host)}
	if req.Header.Get("Referer") != "" { // which may be a signed URL
		req = req.Clone(req.Context())
		req.Header.Del("Referer")
	}
	return f.next.RoundTrip(req.WithContext(context.WithValue(req.Context(), wayKey{}, w)))
}

// way is what a dialer has to know of the request that it dials for.
type way struct {
	from    string // the registry
	own     bool   // it is to the registry itself
	proxied bool   // the connection is to a proxy, which then connects
}

type wayKey struct{}

func wayOf(ctx context.Context) *way {
	w, _ := ctx.Value(wayKey{}).(*way)
	return w
}

// throughProxy is choose, a transport's Proxy. Of where a proxy connects to only an address in the URL is known.
func throughProxy(choose func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(req *http.Request) (*url.URL, error) {
		proxy, err := choose(req)
		w := wayOf(req.Context())
		if w == nil || proxy == nil || err != nil {
			return proxy, err
		}
		w.proxied = true
		if a, e := netip.ParseAddr(req.URL.Hostname()); e == nil && !w.own {
			err = checkAddress(a, false)
		}
		return proxy, err
	}
}

// homes are the registries that a transport has connected to, by host; true: at an address that is not public.
type homes struct{ sync.Map }

// control is for net.Dialer: it sees the address when the name has been resolved.
func (h *homes) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	w := wayOf(ctx)
	if w == nil || w.proxied {
		return nil
	}
	at, err := netip.ParseAddrPort(address)
	switch {
	case err != nil:
		return err
	case w.own:
		h.Store(w.from, !isPublic(at.Addr()))
		return nil
	}
	near, _ := h.Load(w.from)
	return checkAddress(at.Addr(), near == true)
}

// blocked are this machine, the link, groups, and where clouds tell a machine its secrets.
var blocked = auth.DefaultBlockedRealmPrefixes()

// checkAddress says why a registry, near at hand or at a public address, may not lead to an address.
func checkAddress(a netip.Addr, near bool) error {
	a = a.Unmap().WithZone("")
	if a.IsLoopback() || a.IsUnspecified() {
		if near {
			return nil
		}
		return fenced("%s: the registry is at a public address and leads to this machine", a)
	}
	if slices.ContainsFunc(blocked, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return fenced("%s: the registry leads to an address that only machines of a link or cloud may ask", a)
	}
	return nil
}

// isPublic says whether an address can be reached from anywhere.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	return !a.IsLoopback() && !a.IsUnspecified() && !a.IsPrivate() && !a.IsLinkLocalUnicast()
}

// fenced is the refusal. It is no failure that passes, so nothing is tried again.
func fenced(format string, args ...any) error {
	return &Error{Class: classUnavailable, Err: fmt.Errorf("not asked: "+format, args...)}
}
