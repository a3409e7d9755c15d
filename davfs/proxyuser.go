package davfs

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Users can log in at a reverse proxy, which then says in a header who they are (oauth2-proxy, Authelia, Traefik's
// middlewares). Such a header is worth what the connection is that it comes by: its other end has to be one of
// Handler.TrustedProxies. X-Forwarded-For decides nothing, for whoever can send the one header can send the other. A proxy
// takes away what its clients send under that name; one that only adds to it is noticed by the second value.

// DefaultUserHeader is the one of oauth2-proxy. Authelia has Remote-User, authentik X-Authentik-Username.
const DefaultUserHeader = "X-Forwarded-User"

// maxProxyUser is the length of a name in bytes; user names of directories and mail addresses are shorter.
const maxProxyUser = 256

var (
	errNotByProxy  = refuse(http.StatusForbidden, "This drive is entered through its proxy only.")
	errNoProxyUser = refuse(http.StatusForbidden, "The proxy in front of this drive does not say who you are.")
	errProxyUser   = refuse(http.StatusForbidden, "What the proxy in front of this drive says of the user is not one name.")
	errNobody      = refuse(http.StatusForbidden, "Without a user this drive can be read only.")
)

// plainHeader is what names of headers are made of; RFC 9110 section 5.1 has some more that no proxy uses.
var plainHeader = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// CheckUserHeader says what is wrong with a name for Auth.UserHeader.
func CheckUserHeader(name string) error {
	if !plainHeader.MatchString(name) {
		return fmt.Errorf("%q is no name of a header", name)
	}
	return nil
}

// authenticateByProxy finds out who the request is from, by the header of a trusted proxy. Nobody sees the header after it.
func (h *Handler) authenticateByProxy(r *http.Request, rq *request) error {
	header := http.CanonicalHeaderKey(h.Auth.UserHeader)
	said := r.Header[header]
	delete(r.Header, header)
	if !h.trusts(r.RemoteAddr) {
		return errNotByProxy
	}
	switch {
	case len(said) == 1 && isUserName(said[0]):
		return rq.loggedIn(said[0])
	case len(said) > 0:
		return errProxyUser
	case !h.Auth.AnonymousRead:
		return errNoProxyUser
	case !slices.Contains(readMethods, r.Method):
		return errNobody
	}
	return nil
}

// isUserName says whether the value of a header is one name. A comma would be what joins two values (RFC 9110 section 5.3),
// of which one may be the client's own.
func isUserName(s string) bool {
	return s != "" && len(s) <= maxProxyUser && utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool {
		return c == ',' || unicode.IsControl(c)
	}) && strings.TrimSpace(s) == s
}
