package davfs

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// Origins are those whose pages may use a drive in a browser (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol): by
// its name each, with the credentials that the browser has, or any other without. The nil Origins is none, and then no
// header of an answer speaks of it.
//
// It is about reading, and about methods that a page of another origin can use at all. Without being asked first a
// browser sends GET, HEAD and POST for such a page, with cached credentials; the first two change nothing, and POST is no
// method of the drive.
type Origins struct {
	any   bool
	named map[string]bool
}

var originForm = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`)

// ParseOrigins reads a list with commas, of which "*" is any; nil for none.
func ParseOrigins(s string) (*Origins, error) {
	o := &Origins{named: map[string]bool{}}
	for one := range strings.SplitSeq(s, ",") {
		one = strings.TrimSpace(one)
		switch {
		case one == "":
		case one == "*":
			o.any = true
		case !originForm.MatchString(one):
			// null is that of every page in a sandbox, the files of the drive itself among them.
			return nil, fmt.Errorf("%s: want origins as browsers write them, https://app.example.com or http://localhost:3000, or *", one)
		default:
			o.named[withoutDefaultPort(one)] = true
		}
	}
	if !o.any && len(o.named) == 0 {
		return nil, nil
	}
	return o, nil
}

func withoutDefaultPort(origin string) string {
	if rest, ok := strings.CutSuffix(origin, ":443"); ok && strings.HasPrefix(origin, "https:") {
		return rest
	}
	if rest, ok := strings.CutSuffix(origin, ":80"); ok && strings.HasPrefix(origin, "http:") {
		return rest
	}
	return origin
}

// Any says whether pages of any origin may use the drive.
func (o *Origins) Any() bool { return o != nil && o.any }

const (
	corsHeaders = "Authorization, Content-Type, Depth, Destination, If, If-Match, If-Modified-Since, If-None-Match, If-Range, " +
		"If-Unmodified-Since, Lock-Token, OC-Checksum, Overwrite, Range, Timeout, X-OC-Mtime, X-Request-Id, X-Requested-With"
	corsExposed = "Accept-Ranges, Allow, Content-Length, Content-Range, DAV, ETag, Location, Lock-Token, Retry-After, X-OC-Mtime, X-Request-Id"
	corsSeconds = "600" // that a browser may keep the answer to a preflight
)

// admit writes what a browser wants to hear, and says whether the request was a preflight, which asks for nothing else. It
// comes without credentials, so nobody is asked for them.
func (o *Origins) admit(h http.Header, r *http.Request) (preflight bool) {
	if o == nil {
		return false
	}
	if len(o.named) > 0 {
		h.Add("Vary", "Origin")
	}
	origin := r.Header.Get("Origin")
	switch {
	case o.named[origin] && len(r.Header["Origin"]) == 1:
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	case origin != "" && o.any:
		h.Set("Access-Control-Allow-Origin", "*")
	default:
		return false
	}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		h.Set("Access-Control-Expose-Headers", corsExposed)
		return false
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(allMethods, ", "))
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsSeconds)
	return true
}
