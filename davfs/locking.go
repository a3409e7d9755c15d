package davfs

import (
	"bytes"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// serveLock is LOCK (RFC 4918 section 9.10).
func (h *Handler) serveLock(w http.ResponseWriter, r *http.Request, rq *request, slash bool) error {
	body, err := readXML(r)
	if err != nil {
		return err
	}
	timeout := lockTimeout(r.Header.Get("Timeout"))
	if body.empty {
		l, ok := h.locks.refresh(rq.name, rq.cond.tokens, timeout)
		if !ok {
			return errPrecondition
		}
		return h.writeLock(w, l, http.StatusOK)
	}
	l, err := parseLockInfo(body.raw)
	if err != nil {
		return err
	}
	l.token, l.root, l.timeout = newToken(), rq.name, timeout
	switch r.Header.Get("Depth") {
	case "0":
		l.flat = true
	case "", "infinity":
	default:
		return refuse(http.StatusBadRequest, "LOCK takes the Depth 0 or infinity.")
	}
	if err := rq.checkConditions(); err != nil {
		return err
	}
	_, err = rq.stat(rq.name)
	if err != nil && !isAbsent(err) {
		return err
	}
	absent := err != nil
	if absent && slash {
		return refuse(http.StatusConflict, "There is no such directory to lock.")
	}
	conflict, ok := h.locks.add(l)
	if conflict != nil {
		return h.refuseLocked("no-conflicting-lock", conflict)
	}
	if !ok {
		return refuse(http.StatusInsufficientStorage, "There are too many locks.")
	}
	rq.cond.tokens = append(rq.cond.tokens, l.token)
	code := http.StatusOK
	if absent {
		// The tree, under its own lock, decides whether there is nothing yet (RFC 4918 section 9.10.4).
		created, err := rq.createEmpty()
		if err != nil {
			h.locks.remove(l.token)
			return err
		}
		if created {
			code = http.StatusCreated
		}
	}
	w.Header().Set("Lock-Token", "<"+l.token+">")
	return h.writeLock(w, l, code)
}

// createEmpty makes the file of a LOCK on an unmapped name (RFC 4918 section 9.10.4), if the name still is unmapped. If
// it is not, the lock is on what stands there, which is not touched.
func (rq *request) createEmpty() (created bool, err error) {
	taken := errors.New("taken")
	_, err = rq.tree.Put(rq.ctx, rq.name, strings.NewReader(""), PutOptions{Check: func(old fs.FileInfo) error {
		if old != nil {
			return taken
		}
		return rq.check(nil)
	}})
	if errors.Is(err, taken) || errors.Is(err, fs.ErrExist) && !isFailure(err) {
		return false, nil
	}
	return err == nil, err
}

// serveUnlock is UNLOCK. The name may be any that the lock covers (RFC 4918 section 9.11).
func (h *Handler) serveUnlock(w http.ResponseWriter, r *http.Request, rq *request) error {
	token := codedURL(r.Header.Get("Lock-Token"))
	if token == "" {
		return refuse(http.StatusBadRequest, "The Lock-Token header is missing.")
	}
	if !h.locks.holds(token, rq.name) {
		return refuse(http.StatusConflict, xmlError("<D:lock-token-matches-request-uri/>"))
	}
	h.locks.remove(token)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// checkLocks refuses what a lock forbids whose token the client has not given.
func (h *Handler) checkLocks(rq *request) error {
	if held := h.locks.inTheWay(rq.touches(), rq.cond.tokens); len(held) > 0 {
		return h.refuseLocked("lock-token-submitted", held)
	}
	return nil
}

// refuseLocked is 423 with the condition of RFC 4918 section 16 that failed, and the roots of the locks.
func (h *Handler) refuseLocked(condition string, held []lock) error {
	var b strings.Builder
	for _, l := range held {
		b.WriteString("<D:href>" + html.EscapeString(h.href(l.root)) + "</D:href>")
	}
	return refuse(http.StatusLocked, xmlError("<D:"+condition+">"+b.String()+"</D:"+condition+">"))
}

// touches says what the request does to names, as far as it is known yet: whether the target is new the tree's Check
// tells at last.
func (rq *request) touches() []touch {
	switch rq.method {
	case http.MethodPut, "LOCK":
		return []touch{{name: rq.name, member: rq.fresh}}
	case "PROPPATCH":
		return []touch{{name: rq.name}}
	case "MKCOL", http.MethodDelete:
		return []touch{{name: rq.name, member: true, deep: true}}
	case "COPY":
		return []touch{{name: rq.dst, member: rq.fresh, deep: true}}
	case "MOVE":
		return []touch{{name: rq.name, member: true, deep: true}, {name: rq.dst, member: rq.fresh, deep: true}}
	}
	return nil
}

// ending gives the tokens of the locks that a success of the request ends: those of what it moves or removes, and of
// the members of a directory that it replaces (RFC 4918 sections 7.5, 7.6 and 9.6.1). They are taken before it begins,
// since a lock that comes later belongs to what stands there then.
func (h *Handler) ending(rq *request) []string {
	switch rq.method {
	case http.MethodDelete:
		return h.locks.below(rq.name, "")
	case "MOVE":
		return h.locks.below(rq.name, rq.dst)
	case "COPY":
		return h.locks.below("", rq.dst)
	}
	return nil
}

func (h *Handler) writeLock(w http.ResponseWriter, l lock, code int) error {
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	w.WriteHeader(code)
	_, err := fmt.Fprintf(w, xml.Header+`<D:prop xmlns:D="DAV:"><D:lockdiscovery>%s</D:lockdiscovery></D:prop>`,
		h.activeLock(l))
	return err
}

// activeLock is the element of RFC 4918 section 14.1.
func (h *Handler) activeLock(l lock) string {
	scope, depth := "exclusive", "infinity"
	if l.shared {
		scope = "shared"
	}
	if l.flat {
		depth = "0"
	}
	return fmt.Sprintf(`<D:activelock xmlns:D="DAV:"><D:locktype><D:write/></D:locktype>`+
		`<D:lockscope><D:%s/></D:lockscope>`+
		`<D:depth>%s</D:depth>%s<D:timeout>Second-%d</D:timeout><D:locktoken><D:href>%s</D:href></D:locktoken>`+
		`<D:lockroot><D:href>%s</D:href></D:lockroot></D:activelock>`,
		scope, depth, l.owner, l.timeout/time.Second, l.token, html.EscapeString(h.href(l.root)))
}

// parseLockInfo reads a lockinfo (RFC 4918 section 14.11) that readXML has found well-formed. The owner is kept byte
// for byte, since clients know their own locks by it, with the namespaces that it stood in.
func parseLockInfo(b []byte) (lock, error) {
	var l lock
	var scope, write bool
	var path []string
	var spaces []xml.Attr
	var start int64
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		before := d.InputOffset()
		t, err := d.Token()
		if err != nil {
			break // the end: readXML has seen all of it
		}
		switch t := t.(type) {
		case xml.StartElement:
			if t.Name.Space != "DAV:" && len(path) < 2 {
				t.Name.Local = "{" + t.Name.Space + "}" + t.Name.Local
			}
			path = append(path, t.Name.Local)
			at := strings.Join(path, "/")
			if at == "lockinfo" || at == "lockinfo/owner" {
				spaces = append(spaces, namespaces(t.Attr)...)
			}
			switch at {
			case "lockinfo/lockscope/exclusive":
				scope = true
			case "lockinfo/lockscope/shared":
				scope, l.shared = true, true
			case "lockinfo/locktype/write":
				write = true
			case "lockinfo/owner":
				start = d.InputOffset()
			}
		case xml.EndElement:
			if strings.Join(path, "/") == "lockinfo/owner" {
				if before-start > maxOwner {
					return l, refuse(http.StatusRequestEntityTooLarge, "The owner of this lock is too large.")
				}
				l.owner = ownerElement(spaces, b[start:max(start, before)])
			}
			path = path[:len(path)-1]
		}
	}
	if !scope || !write {
		return l, refuse(http.StatusBadRequest, "The body is no lockinfo with a scope and the type write.")
	}
	return l, nil
}

func namespaces(attrs []xml.Attr) (l []xml.Attr) {
	for _, a := range attrs {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			l = append(l, a)
		}
	}
	return l
}

// ownerElement puts inner into an element that declares the namespaces it may use; the last declaration of a prefix
// counts.
func ownerElement(spaces []xml.Attr, inner []byte) string {
	declared := map[string]string{}
	for _, a := range spaces {
		name := "xmlns"
		if a.Name.Space != "" {
			name += ":" + a.Name.Local
		}
		declared[name] = a.Value
	}
	prefix := "D"
	for declared["xmlns:"+prefix] != "" && declared["xmlns:"+prefix] != "DAV:" {
		prefix += "D"
	}
	declared["xmlns:"+prefix] = "DAV:"
	var b strings.Builder
	b.WriteString("<" + prefix + ":owner")
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		b.WriteString(" " + name + `="` + html.EscapeString(declared[name]) + `"`)
	}
	b.WriteString(">")
	b.Write(inner)
	b.WriteString("</" + prefix + ":owner>")
	return b.String()
}

// newToken makes a token that nobody can guess: a URN of a random UUID (RFC 4918 section 6.5, RFC 9562 section 5.4).
func newToken() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// codedURL takes the brackets off a Coded-URL (RFC 4918 section 10.1); Windows sometimes leaves them out.
func codedURL(s string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "<"), ">")
}
