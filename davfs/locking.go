package davfs

import (
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
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
	if body == nil {
		if err := rq.mayLock(); err != nil {
			return err
		}
		l, ok := h.locks.refresh(rq.key(rq.name), rq.cond.tokens, timeout, rq.mine)
		if !ok {
			return errPrecondition
		}
		if !rq.mine(l) {
			return errOthersLock
		}
		return rq.writeLock(w, l, http.StatusOK)
	}
	l, err := parseLockInfo(body)
	if err != nil {
		return err
	}
	l.token, l.root, l.key, l.timeout, l.user = newToken(), rq.name, rq.key(rq.name), timeout, rq.trace.User
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
	if err := rq.mayLock(); err != nil {
		return err
	}
	conflict, ok := h.locks.add(l)
	if conflict != nil {
		return rq.refuseLocked("no-conflicting-lock", conflict, true)
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
	return rq.writeLock(w, l, code)
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
	l, ok := h.locks.get(token, rq.key(rq.name))
	if !ok {
		return refuse(http.StatusConflict, xmlError("<D:lock-token-matches-request-uri/>"))
	}
	if !rq.mine(l) {
		return errOthersLock
	}
	h.locks.remove(token)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// errOthersLock is for UNLOCK and the refreshing of a lock (RFC 4918 sections 6.4 and 9.11.1).
var errOthersLock = refuse(http.StatusForbidden, "This lock is another user's.")

// checkLocks refuses what a lock forbids whose token the client has not given. ask: the tree may be asked.
func (h *Handler) checkLocks(rq *request, ask bool) error {
	held := h.locks.inTheWay(rq.touches(), rq.cond.tokens, rq.mine)
	if len(held) == 0 {
		return nil
	}
	if ask {
		if err := rq.mayKnow(); err != nil {
			return err
		}
	}
	return rq.refuseLocked("lock-token-submitted", held, ask)
}

// refuseLocked is 423 with the condition of RFC 4918 section 16 that failed, and the roots of the locks.
func (rq *request) refuseLocked(condition string, held []lock, ask bool) error {
	var b strings.Builder
	for _, root := range rq.roots(held, ask) {
		b.WriteString("<D:href>" + string(appendText(nil, rq.href(root))) + "</D:href>")
	}
	return refuse(http.StatusLocked, xmlError("<D:"+condition+">"+b.String()+"</D:"+condition+">"))
}

// touches says what the request does to names, as far as it is known yet: whether the target is new the tree's Check
// tells at last.
func (rq *request) touches() []touch {
	switch rq.method {
	case http.MethodPut, "LOCK":
		return []touch{{key: rq.key(rq.name), member: rq.fresh}}
	case "PROPPATCH":
		return []touch{{key: rq.key(rq.name)}}
	case "MKCOL", http.MethodDelete:
		return []touch{{key: rq.key(rq.name), member: true, deep: true}}
	case "COPY":
		return []touch{{key: rq.key(rq.dst), member: rq.fresh, deep: true}}
	case "MOVE":
		return []touch{{key: rq.key(rq.name), member: true, deep: true}, {key: rq.key(rq.dst), member: rq.fresh, deep: true}}
	}
	return nil
}

// ending gives the tokens of the locks that a success of the request ends: those of what it moves or removes, and of
// the members of a directory that it replaces (RFC 4918 sections 7.5, 7.6 and 9.6.1). They are taken before it begins,
// since a lock that comes later belongs to what stands there then.
func (h *Handler) ending(rq *request) []string {
	switch rq.method {
	case http.MethodDelete:
		return h.locks.below(rq.key(rq.name), "")
	case "MOVE":
		return h.locks.below(rq.key(rq.name), rq.key(rq.dst))
	case "COPY":
		return h.locks.below("", rq.key(rq.dst))
	}
	return nil
}

func (rq *request) writeLock(w http.ResponseWriter, l lock, code int) error {
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	w.WriteHeader(code)
	_, err := fmt.Fprintf(w, xml.Header+`<D:prop xmlns:D="DAV:"><D:lockdiscovery>%s</D:lockdiscovery></D:prop>`,
		rq.activeLock(l, l.timeout))
	return err
}

// activeLock is the element of RFC 4918 section 14.1, of a lock that has the time left. It never says 0 seconds, which
// LibreOffice takes for the end.
func (rq *request) activeLock(l lock, left time.Duration) string {
	scope, depth := "exclusive", "infinity"
	if l.shared {
		scope = "shared"
	}
	if l.flat {
		depth = "0"
	}
	return fmt.Sprintf(`<D:activelock><D:locktype><D:write/></D:locktype>`+
		`<D:lockscope><D:%s/></D:lockscope>`+
		`<D:depth>%s</D:depth>%s<D:timeout>Second-%d</D:timeout><D:locktoken><D:href>%s</D:href></D:locktoken>`+
		`<D:lockroot><D:href>%s</D:href></D:lockroot></D:activelock>`,
		scope, depth, l.owner, (left+time.Second-1)/time.Second, l.token, string(appendText(nil, rq.href(l.root))))
}

// parseLockInfo reads a lockinfo (RFC 4918 section 14.11). The owner is kept byte for byte, since clients know their own
// locks by it, with the namespaces that it stood in.
func parseLockInfo(body *element) (lock, error) {
	var l lock
	if body.name != davName("lockinfo") {
		return l, errLockInfo
	}
	scope, kind := body.child(davName("lockscope")), body.child(davName("locktype"))
	if scope == nil || kind == nil || kind.child(davName("write")) == nil {
		return l, errLockInfo
	}
	l.shared = scope.child(davName("shared")) != nil
	if !l.shared && scope.child(davName("exclusive")) == nil {
		return l, errLockInfo
	}
	owner := body.child(davName("owner"))
	if owner == nil {
		return l, nil
	}
	l.owner = ownerElement(owner)
	if len(l.owner) > maxOwner {
		return l, refuse(http.StatusRequestEntityTooLarge, "The owner of this lock is too large.")
	}
	return l, nil
}

var errLockInfo = refuse(http.StatusBadRequest, "The body is no lockinfo with a scope and the type write.")

// ownerElement writes the owner with the namespaces that its content needs declared on it. Its own prefix is another if
// D means something else inside.
func ownerElement(owner *element) string {
	prefix, used := "D", owner.used()
	for slices.ContainsFunc(used, func(n namespace) bool { return n.prefix == prefix && n.uri != davNamespace }) {
		prefix += "D"
	}
	b := append([]byte("<"+prefix), ":owner"...)
	b = namespace{prefix: prefix, uri: davNamespace}.appendDeclaration(b)
	for _, n := range used {
		if n.prefix != prefix {
			b = n.appendDeclaration(b)
		}
	}
	b = append(append(b, '>'), owner.inner...)
	return string(append(b, "</"+prefix+":owner>"...))
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
