package davfs

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Behind a reverse proxy the drive has two addresses, the one at which the client knows it and the one at which the
// proxy asks. A request's URL is of the second kind, Destination and the tags of If are of the first unless the proxy
// has rewritten them, and every href in an answer must be of the first: a client that does not find what it has asked
// about takes it for gone.

// origin sets what is known of the address that the client uses: by Handler.PublicURL, or by the headers of a proxy that
// is trusted.
func (h *Handler) origin(r *http.Request, rq *request) {
	rq.base = h.prefix
	switch {
	case h.PublicURL != nil:
		rq.base, rq.host = cleanBase(h.PublicURL.Path), h.PublicURL.Host
	case h.trusts(r.RemoteAddr):
		if p := r.Header.Get("X-Forwarded-Prefix"); strings.HasPrefix(p, "/") { // Traefik's: what it has taken away
			rq.base = cleanBase(p) + h.prefix
		}
		rq.host = last(r.Header.Get("X-Forwarded-Host"))
	}
}

// ParsePublicURL reads a URL for Handler.PublicURL; nil for none.
func ParsePublicURL(s string) (*url.URL, error) {
	if s == "" {
		return nil, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("%s: want http(s)://host[:port][/path]", s)
	}
	return u, nil
}

// ParseProxies reads a list for Handler.TrustedProxies, with commas.
func ParseProxies(s string) (trusted []netip.Prefix, err error) {
	for one := range strings.SplitSeq(s, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		network, err := netip.ParsePrefix(one)
		if a, e := netip.ParseAddr(one); e == nil {
			network, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: want addresses like 10.0.0.7 or networks like 10.0.0.0/8", one)
		}
		trusted = append(trusted, network.Masked())
	}
	return trusted, nil
}

// cleanBase makes a path one that a name can be appended to.
func cleanBase(p string) string { return strings.TrimSuffix(path.Clean("/"+p), "/") }

// last is what the nearest proxy has said in a list: the others may be the client's invention.
func last(list string) string { return strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:]) }

// remote is the address of the client: of the connection, or what the trusted proxy at its end says, up to the first that
// is not a trusted proxy itself.
func (h *Handler) remote(r *http.Request) string {
	address := r.RemoteAddr
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	if len(h.TrustedProxies) == 0 {
		return address
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && h.trusts(address); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		address = hop.Unmap().String()
	}
	return address
}

// trusts says whether the address, with a port or without, is a proxy's that is believed.
func (h *Handler) trusts(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	a, err := netip.ParseAddr(host)
	return err == nil && slices.ContainsFunc(h.TrustedProxies, func(p netip.Prefix) bool {
		return p.Contains(a.Unmap())
	})
}

// baseFor gives the path of the drive's root in a URL of a header, or says that it is of another server. One without a
// host is the client's. With the host at which the proxy asks, and only that one, it has been rewritten.
func (h *Handler) baseFor(u *url.URL, r *http.Request, rq *request) (base string, ok bool) {
	switch {
	case u.Host == "", rq.host != "" && sameHost(u.Host, rq.host):
		return rq.base, true
	case !sameHost(u.Host, r.Host):
		return "", false
	case rq.host == "":
		return rq.base, true
	}
	return h.prefix, true
}

// sameHost compares hosts with their ports; a default one may be left out.
func sameHost(a, b string) bool {
	strip := func(h string) string {
		return strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(h), ":80"), ":443")
	}
	return strip(a) == strip(b)
}

// href is the path of a name as the client knows it, escaped for a header or a link.
func (rq *request) href(name string) string { return escapePath(rq.base + name) }

// hrefOf is href for an answer: a directory ends in a slash (RFC 4918 section 5.2).
func (rq *request) hrefOf(name string, dir bool) string {
	if dir && name != "/" {
		name += "/"
	}
	return rq.href(name)
}
