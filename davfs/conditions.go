package davfs

import (
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/webdav"
)

// conditions are those of a request: If (RFC 4918 section 10.4), and If-Match, If-None-Match and
// If-Unmodified-Since (RFC 9110 section 13.1). They are asked twice, before the body is read and again in the tree's
// Check, so that of several writers with one ETag one wins.
type conditions struct {
	lists     []ifList
	tokens    []string // that the client has given
	match     []string // nil for no header; "*" alone
	noneMatch []string
	since     time.Time
}

// An ifList is one parenthesis of an If header: all of it must hold, of the resources that it is about.
type ifList struct {
	names []string // empty for a tag that is no name of this drive
	conds []ifCond
}

type ifCond struct {
	not         bool
	token, etag string // one of them
	held        bool   // the token is a lock on one of the names
}

// stated says whether a condition hangs on what stands at a name; locks do not.
func (c *conditions) stated() bool {
	return c.match != nil || c.noneMatch != nil || !c.since.IsZero() || slices.ContainsFunc(c.lists, func(l ifList) bool {
		return slices.ContainsFunc(l.conds, func(cond ifCond) bool { return cond.etag != "" })
	})
}

// Bounds of what one If header can ask of the tree and of the locks. Clients send one list for each lock that they hold.
const (
	maxIfLists      = 256
	maxIfConditions = 1024
)

var errPrecondition = refuse(http.StatusPreconditionFailed, "A condition of the request does not hold.")

// readConditions reads the headers of r, which is about rq.name and, in COPY and MOVE, rq.dst.
func (h *Handler) readConditions(r *http.Request, rq *request) error {
	c := &rq.cond
	// Finder sends one line for each token; a tag does not reach into the next line.
	for _, line := range r.Header.Values("If") {
		lists, err := h.parseIf(line, rq)
		if err != nil {
			return err
		}
		c.lists = append(c.lists, lists...)
	}
	n := 0
	for _, l := range c.lists {
		n += len(l.conds)
	}
	if len(c.lists) > maxIfLists || n > maxIfConditions {
		return refuse(http.StatusBadRequest, "The If header has too many conditions.")
	}
	for _, l := range c.lists {
		for i, cond := range l.conds {
			if cond.token == "" {
				continue
			}
			l.conds[i].held = slices.ContainsFunc(l.names, func(n string) bool { return h.locks.holds(cond.token, rq.key(n)) })
			if !cond.not {
				c.tokens = append(c.tokens, cond.token)
			}
		}
	}
	// Office sends Lock-Token alone.
	if t := codedURL(r.Header.Get("Lock-Token")); t != "" {
		c.tokens = append(c.tokens, t)
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil // the others are http.ServeContent's
	}
	c.match = entityTags(r.Header.Values("If-Match"))
	c.noneMatch = entityTags(r.Header.Values("If-None-Match"))
	if c.match == nil {
		c.since, _ = http.ParseTime(r.Header.Get("If-Unmodified-Since")) // RFC 9110 section 13.1.4: ignored if invalid
	}
	return nil
}

// parseIf reads one If header. A list without a tag is about the request's name; that it may be about the destination
// is what many clients mean.
func (h *Handler) parseIf(s string, rq *request) (lists []ifList, err error) {
	bad := refuse(http.StatusBadRequest, "The If header is not valid.")
	names := []string{rq.name}
	if rq.dst != "" {
		names = append(names, rq.dst)
	}
	tagged := false
	for s = trim(s); s != ""; s = trim(s) {
		switch {
		case s[0] == '<' && (tagged || lists == nil):
			var tag string
			var ok bool
			if tag, s, ok = strings.Cut(s[1:], ">"); !ok {
				return nil, bad
			}
			tagged, names = true, h.tagged(tag, rq)
			if !strings.HasPrefix(trim(s), "(") {
				return nil, bad
			}
		case s[0] == '(':
			l := ifList{names: names}
			if l.conds, s = parseIfList(s[1:]); l.conds == nil {
				return nil, bad
			}
			lists = append(lists, l)
		default:
			return nil, bad
		}
	}
	if lists == nil {
		return nil, bad
	}
	return lists, nil
}

// parseIfList reads the conditions of a list up to its parenthesis; nil for none or an error.
func parseIfList(s string) (conds []ifCond, rest string) {
	for {
		s = trim(s)
		if strings.HasPrefix(s, ")") {
			return conds, s[1:]
		}
		var c ifCond
		if len(s) > 3 && strings.EqualFold(s[:3], "Not") {
			c.not, s = true, trim(s[3:])
		}
		ok := false
		switch {
		case strings.HasPrefix(s, "<"):
			c.token, s, ok = strings.Cut(s[1:], ">")
			ok = ok && c.token != ""
		case strings.HasPrefix(s, "["):
			s = trim(s[1:])
			c.etag = leadingTag(s)
			s = trim(s[len(c.etag):])
			if ok = c.etag != "" && strings.HasPrefix(s, "]"); ok {
				s = s[1:]
			}
		}
		if !ok {
			return nil, s
		}
		conds = append(conds, c)
	}
}

func trim(s string) string { return strings.Trim(s, " \t") }

// tagged gives the name of a resource tag by its path alone, so that no proxy that rewrites Host can make it another
// one (tailscale/tailscale#12097).
func (h *Handler) tagged(tag string, rq *request) []string {
	u, err := url.Parse(tag)
	if err != nil || !strings.HasPrefix(u.Path, "/") {
		return nil
	}
	for _, base := range []string{rq.base, h.prefix} {
		if name, err := nameUnder(base, u); err == nil {
			return []string{name}
		}
	}
	return nil
}

// leadingTag is the entity-tag that s begins with (RFC 9110 section 8.8.3); "" for none.
func leadingTag(s string) string {
	t := strings.TrimPrefix(s, "W/")
	if !strings.HasPrefix(t, `"`) {
		return ""
	}
	end := strings.IndexByte(t[1:], '"')
	if end < 0 {
		return ""
	}
	return s[:len(s)-len(t)+end+2]
}

// entityTags reads If-Match or If-None-Match. What is no entity-tag matches nothing and ends its line: Joplin sends
// such a thing with every PUT.
func entityTags(lines []string) (tags []string) {
	for _, s := range lines {
		if tags == nil {
			tags = []string{}
		}
		if trim(s) == "*" {
			tags = append(tags, "*")
			continue
		}
		for {
			s = strings.TrimLeft(s, " \t,")
			t := leadingTag(s)
			if t == "" {
				break
			}
			tags, s = append(tags, t), s[len(t):]
		}
	}
	return tags
}

// checkConditions asks them of the tree as it is. All names that they speak of are looked up now, also those of lists
// that need not be asked yet, because a Check must not call the tree.
func (rq *request) checkConditions() error {
	for _, l := range rq.cond.lists {
		if slices.ContainsFunc(l.conds, func(c ifCond) bool { return c.etag != "" }) {
			for _, n := range l.names {
				rq.stat(n)
			}
		}
	}
	return rq.cond.check(rq, rq.stat)
}

// check asks the conditions of what stat says.
func (c *conditions) check(rq *request, stat func(name string) (fs.FileInfo, error)) error {
	if err := c.checkIf(rq, stat); err != nil || c.match == nil && c.noneMatch == nil && c.since.IsZero() {
		return err
	}
	fi, err := stat(rq.name)
	if err != nil && !isAbsent(err) {
		return err
	}
	var etag string
	if err == nil {
		if etag, err = rq.etag(fi); err != nil {
			return err
		}
	} else {
		fi = nil
	}
	has := func(tags []string, equal func(a, b string) bool) bool {
		return fi != nil && slices.ContainsFunc(tags, func(t string) bool { return t == "*" || equal(t, etag) })
	}
	strong := func(a, b string) bool { return a == b && strings.HasPrefix(a, `"`) }
	weak := func(a, b string) bool { return strings.TrimPrefix(a, "W/") == strings.TrimPrefix(b, "W/") }
	switch {
	case c.match != nil && !has(c.match, strong),
		!c.since.IsZero() && fi != nil && fi.ModTime().Truncate(time.Second).After(c.since),
		has(c.noneMatch, weak):
		return errPrecondition
	}
	return nil
}

func (c *conditions) checkIf(rq *request, stat func(name string) (fs.FileInfo, error)) error {
	for _, l := range c.lists {
		ok, err := l.holds(rq, stat)
		if ok || err != nil {
			return err
		}
	}
	if c.lists != nil {
		return errPrecondition
	}
	return nil
}

func (l ifList) holds(rq *request, stat func(name string) (fs.FileInfo, error)) (bool, error) {
	for _, c := range l.conds {
		held := c.held
		if c.token == "" {
			for _, n := range l.names {
				fi, err := stat(n)
				if isAbsent(err) {
					continue
				}
				if err != nil {
					return false, err
				}
				etag, err := rq.etag(fi)
				if err != nil {
					return false, err
				}
				held = held || etag == c.etag
			}
		}
		if held == c.not {
			return false, nil
		}
	}
	return true, nil
}

// etag is the ETag of fi; a directory has none.
func (rq *request) etag(fi fs.FileInfo) (string, error) {
	if fi.IsDir() {
		return "", nil
	}
	etag, err := describe(fi).ETag(rq.ctx)
	if err == webdav.ErrNotImplemented {
		return "", nil
	}
	return etag, err
}
