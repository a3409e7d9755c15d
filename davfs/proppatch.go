package davfs

import (
	"encoding/xml"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxProperty bounds the value of a dead property in bytes; what all of one file or directory may have together the
// tree says.
const maxProperty = 64 << 10

// A patched is one name of a PROPPATCH and what becomes of it.
type patched struct {
	name xml.Name
	set  *element // nil: removed
	code int      // 0 for what can be done
	more string   // XML about the code
}

// serveProppatch is PROPPATCH (RFC 4918 section 9.2): all of it or nothing. The last word on each name counts, since
// its instructions are done in their order.
func (h *Handler) serveProppatch(w *guard, r *http.Request, rq *request) error {
	body, err := readXML(r)
	if err != nil {
		return err
	}
	list, err := readPropertyUpdate(body)
	if err != nil {
		return err
	}
	fi, err := rq.stat(rq.name)
	if err != nil {
		return err
	}
	patch := PropPatch{Check: rq.check}
	for i := range list {
		if err := list[i].apply(&patch, fi); err != nil {
			return err
		}
	}
	refused := slices.ContainsFunc(list, func(p patched) bool { return p.code != 0 })
	// A client that says in seconds what it has read in seconds has changed nothing.
	if sameSecond(patch.ModTime, fi.ModTime()) {
		patch.ModTime = time.Time{}
	}
	if sameSecond(patch.BirthTime, birthTime(fi)) {
		patch.BirthTime = time.Time{}
	}
	changes := len(patch.Set)+len(patch.Remove) > 0 || !patch.ModTime.IsZero() || !patch.BirthTime.IsZero()
	if changes && !refused {
		if err := rq.changed("proppatch", rq.name, rq.tree.PatchProps(rq.ctx, rq.name, patch)); err != nil {
			return rq.failed()
		}
	}
	for i := range list {
		switch p := &list[i]; {
		case p.code != 0:
		case refused:
			p.code = http.StatusFailedDependency
		default:
			p.code = http.StatusOK
		}
	}
	m := newMultistatus(w)
	m.begin(rq.hrefOf(rq.name, fi.IsDir()))
	for len(list) > 0 {
		code, more := list[0].code, list[0].more
		m.propstat()
		list = slices.DeleteFunc(list, func(p patched) bool {
			same := p.code == code && p.more == more
			if same {
				m.name(p.name)
			}
			return same
		})
		m.endPropstat(code, more)
	}
	m.end()
	return m.finish()
}

// readPropertyUpdate gives the names in the order in which they are first spoken of.
func readPropertyUpdate(body *element) ([]patched, error) {
	bad := refuse(http.StatusBadRequest, "The body is no propertyupdate that sets or removes properties.")
	if body == nil || body.name != davName("propertyupdate") {
		return nil, bad
	}
	var list []patched
	at := map[xml.Name]int{}
	for _, op := range body.children {
		if op.name != davName("set") && op.name != davName("remove") {
			continue // RFC 4918 section 17
		}
		prop := op.child(davName("prop"))
		if prop == nil {
			return nil, bad
		}
		for _, e := range prop.children {
			i, ok := at[e.name]
			if !ok {
				i = len(list)
				at[e.name] = i
				list = append(list, patched{name: e.name})
			}
			list[i].set = nil
			if op.name == davName("set") {
				list[i].set = e
			}
		}
	}
	if len(list) == 0 {
		return nil, bad
	}
	return list, checkNames(func(yield func(xml.Name) bool) {
		for _, p := range list {
			if !yield(p.name) {
				return
			}
		}
	})
}

// apply adds p to the patch, or says why it cannot be done.
func (p *patched) apply(patch *PropPatch, fi fs.FileInfo) error {
	_, live := liveByName[p.name]
	setTime := settable[p.name]
	switch {
	case setTime != nil && p.set != nil:
		t, ok := parseTime(string(p.set.text))
		if !ok {
			p.code = http.StatusConflict // RFC 4918 section 9.2.1: the value is not appropriate
			return nil
		}
		setTime(patch, t)
	case setTime != nil && p.name.Space != davNamespace: // other programs' names for what cannot be absent
	case p.name == checksums && p.set != nil && hasChecksums(fi, p.set): // rclone says them with every time that it sets
	case live && p.name != davName("displayname"):
		p.code, p.more = http.StatusForbidden, `<D:error><D:cannot-modify-protected-property/></D:error>`
	case p.set == nil:
		patch.Remove = append(patch.Remove, p.name)
	default:
		value, ok := p.set.content(maxProperty)
		if !ok {
			return refuse(http.StatusInsufficientStorage, "A property is too large.")
		}
		patch.Set = append(patch.Set, Property{XMLName: p.name, Lang: p.set.lang, InnerXML: value})
	}
	return nil
}

// hasChecksums says whether the value of an oc:checksums is nothing new.
func hasChecksums(fi fs.FileInfo, value *element) bool {
	known, ok := fi.(interface{ Checksums() []string })
	if !ok {
		return false
	}
	said := strings.Fields(string(value.text))
	for _, c := range value.children {
		said = append(said, strings.Fields(string(c.text))...)
	}
	for _, sum := range said {
		if !slices.ContainsFunc(known.Checksums(), func(k string) bool { return strings.EqualFold(k, sum) }) {
			return false
		}
	}
	return len(said) > 0
}

// parseTime reads the forms in which clients say a time: as HTTP does, as RFC 3339 does, and in seconds since 1970.
func parseTime(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	t, err := http.ParseTime(s)
	if err != nil {
		t, err = time.Parse(time.RFC1123Z, s)
	}
	if err != nil {
		t, err = time.Parse(time.RFC3339Nano, s)
	}
	if err != nil {
		return unixTime(s)
	}
	return t, isFileTime(t)
}

// unixTime reads seconds since 1970, as X-OC-Mtime has them too. A fraction is left out.
func unixTime(s string) (time.Time, bool) {
	whole, _, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	t := time.Unix(n, 0)
	return t, err == nil && isFileTime(t)
}

// isFileTime says whether Windows' clock and RFC 3339 can say t.
func isFileTime(t time.Time) bool { return t.UTC().Year() >= 1601 && t.UTC().Year() <= 9999 }

func sameSecond(a, b time.Time) bool { return !a.IsZero() && a.Unix() == b.Unix() }
