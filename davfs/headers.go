package davfs

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Timeouts of locks. The engine prints the one that was asked for, and "Second-0" for none or an infinite one, which
// LibreOffice reads as expired.
const (
	defaultLockTimeout = 600 * time.Second
	maxLockTimeout     = 3600 * time.Second
)

// repairHeaders writes the headers of r the way the engine understands them.
func (h *Handler) repairHeaders(r *http.Request) {
	if d := r.Header.Get("Depth"); d != "" {
		r.Header.Set("Depth", depth(d))
	}
	// RFC 4918 section 10.6: absent is T. The engine takes it for F in MOVE (golang/go#66059).
	switch o := strings.ToUpper(strings.TrimSpace(r.Header.Get("Overwrite"))); o {
	case "F":
		r.Header.Set("Overwrite", "F")
	default:
		r.Header.Set("Overwrite", "T")
	}
	// Finder sends one line for each token; the engine reads the first line.
	if lines := r.Header.Values("If"); len(lines) > 0 {
		r.Header.Set("If", pathTags(strings.Join(lines, " "), h.tagPath))
	}
	// RFC 4918 section 10.5 wants a Coded-URL; Windows sometimes leaves the brackets out.
	if t := strings.TrimSpace(r.Header.Get("Lock-Token")); t != "" && t[0] != '<' {
		r.Header.Set("Lock-Token", "<"+t+">")
	}
}

// depth reads "Infinity" and "1,noroot" as well; the engine knows neither.
func depth(s string) string {
	s, _, _ = strings.Cut(strings.ToLower(s), ",")
	return strings.TrimSpace(s)
}

// lockTimeout chooses the first timeout of the list that it understands (RFC 4918 section 10.7), within bounds.
func lockTimeout(s string) string {
	d := defaultLockTimeout
	for t := range strings.SplitSeq(s, ",") {
		t = strings.TrimSpace(t)
		if strings.EqualFold(t, "Infinite") {
			d = maxLockTimeout
			break
		}
		if len(t) < 7 || !strings.EqualFold(t[:7], "Second-") {
			continue
		}
		n, err := strconv.ParseUint(t[7:], 10, 64)
		if err != nil || n == 0 {
			continue
		}
		d = maxLockTimeout
		if n < uint64(maxLockTimeout/time.Second) {
			d = time.Duration(n) * time.Second
		}
		break
	}
	return "Second-" + strconv.Itoa(int(d/time.Second))
}

// pathTags replaces the resource tags of an If header (RFC 4918 section 10.4.2), which stand outside of the
// parentheses, and leaves tokens and entity tags within them as they are.
func pathTags(s string, path func(tag string) string) string {
	var b strings.Builder
	list := false
	for s != "" {
		end := 1
		switch s[0] {
		case '(':
			list = true
		case ')':
			list = false
		case '[':
			end = strings.IndexByte(s, ']') + 1
		case '<':
			end = strings.IndexByte(s, '>') + 1
		}
		if end == 0 { // unclosed: the engine's parser shall say so
			end = len(s)
		} else if s[0] == '<' && !list {
			b.WriteString("<" + path(s[1:end-1]) + ">")
			s = s[end:]
			continue
		}
		b.WriteString(s[:end])
		s = s[end:]
	}
	return b.String()
}

// tagPath reduces a resource tag to its path. The engine answers 404 for a tag outside of its prefix, where RFC 4918
// means that the list does not match; it does skip one with a host.
func (h *Handler) tagPath(tag string) string {
	u, err := url.Parse(tag)
	if err == nil && u.Path != "" {
		if name, err := h.nameOf(u); err == nil {
			return h.href(name)
		}
	}
	return "//elsewhere.invalid/"
}

// sameHost compares a host of a URL with the one that the request was sent to; a default port may be left out.
func sameHost(u *url.URL, host string) bool {
	strip := func(h string) string {
		return strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(h), ":80"), ":443")
	}
	return strip(u.Host) == strip(host)
}
