package davfs

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

var errOtherName = refuse(http.StatusForbidden,
	"This drive asks for no password, so it goes by localhost or an address only. If it is to have this name, start it with --public-url.")

// goesBy says whether the request is to a name that nobody but this machine gives. A page of another origin can have its own
// name lead to this machine (DNS rebinding), and is then of the drive's origin to the browser, which asks nobody whether it
// may write. It cannot do so with an address, or with localhost (RFC 6761 section 6.3).
func goesBy(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost")
}
