package davfs

import (
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest name of a file or directory in bytes, and the longest path, are those of every common file system.
const (
	maxSegment = 255
	maxPath    = 4096
)

// nameUnder gives the tree's name for a URL under a path. That ends at a slash or at the end: "/dav" is no prefix of
// "/davfoo".
func nameUnder(base string, u *url.URL) (string, error) {
	p := u.Path
	if p == "" {
		p = "/"
	}
	rest, ok := strings.CutPrefix(p, base)
	if !ok || rest != "" && rest[0] != '/' {
		return "", refuse(http.StatusNotFound, "There is nothing at this path.")
	}
	// Decoded it would be a separator, so the name that the client means cannot be said any more.
	if strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") {
		return "", refuse(http.StatusBadRequest, "A name cannot contain a slash.")
	}
	// A client takes dots out before it sends. What comes in another guise is meant to get past something.
	for s := range strings.SplitSeq(strings.ToLower(u.EscapedPath()), "/") {
		if dots := strings.ReplaceAll(s, "%2e", "."); dots != s && (dots == "." || dots == "..") {
			return "", refuse(http.StatusBadRequest, "A name cannot be \".\" or \"..\".")
		}
	}
	return cleanName(rest)
}

// cleanName makes p a clean absolute name or says what is wrong with it. A segment ".." is refused rather than resolved:
// a client resolves it before it sends, so one that arrives is a mistake or an attack. A "." on the way means nothing, and
// rclone sends "./a:b" so that a: is not taken for a scheme (RFC 3986 section 4.2); at the end it would be the directory.
func cleanName(p string) (string, error) {
	if len(p) > maxPath {
		return "", refuse(http.StatusRequestURITooLong, "A path cannot be longer than 4096 bytes.")
	}
	if !utf8.ValidString(p) {
		return "", refuse(http.StatusBadRequest, "A name must be valid UTF-8.")
	}
	if p == "." || strings.HasSuffix(strings.TrimRight(p, "/"), "/.") {
		return "", refuse(http.StatusBadRequest, "A name cannot be \".\".")
	}
	var b strings.Builder
	for s := range strings.SplitSeq(p, "/") {
		switch {
		case s == "" || s == ".":
			continue
		case s == "..":
			return "", refuse(http.StatusBadRequest, "A name cannot be \"..\".")
		case len(s) > maxSegment:
			return "", refuse(http.StatusBadRequest, "A name cannot be longer than 255 bytes.")
		case strings.ContainsFunc(s, unicode.IsControl):
			return "", refuse(http.StatusBadRequest, "A name cannot contain control characters.")
		}
		b.WriteByte('/')
		b.WriteString(s)
	}
	if b.Len() == 0 {
		return "/", nil
	}
	return b.String(), nil
}

// within says whether name is dir or lies below it.
func within(name, dir string) bool {
	return name == dir || dir == "/" || strings.HasPrefix(name, dir+"/")
}
