package davfs

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/webdav"
)

var (
	_ webdav.DeadPropsHolder = (*dirFile)(nil)
	_ webdav.DeadPropsHolder = (*readFile)(nil)
)

// DeadProps gives the dead properties (RFC 4918 section 4). A COPY needs none, since Tree.Copy takes them along.
func (s *resource) DeadProps() (map[xml.Name]webdav.Property, error) {
	if s.rq.method == "COPY" {
		return nil, nil
	}
	m := make(map[xml.Name]webdav.Property)
	if b, ok := s.fi.(interface{ BirthTime() time.Time }); ok && !b.BirthTime().IsZero() {
		birth := b.BirthTime().UTC().Format(time.RFC3339)
		m[creationDate] = webdav.Property{XMLName: creationDate, InnerXML: []byte(birth)}
	}
	if s.rq.locks {
		for _, p := range s.rq.h.lockProps(s.name) {
			m[p.XMLName] = p
		}
	}
	if s.rq.bare {
		return m, nil
	}
	l, err := s.rq.deadProps(s.rq.ctx, s.name, s.fi)
	if err != nil {
		return nil, s.rq.answer("props", s.name, err)
	}
	for _, p := range l {
		m[p.XMLName] = webdav.Property(p)
	}
	return m, nil
}

// The live properties that go to the engine in the place of dead ones, because it does not know them.
var (
	creationDate  = xml.Name{Space: "DAV:", Local: "creationdate"} // RFC 4918 section 15.1
	lockDiscovery = xml.Name{Space: "DAV:", Local: "lockdiscovery"}
	supportedLock = xml.Name{Space: "DAV:", Local: "supportedlock"}
)

// lockProps are the two live properties about locks (RFC 4918 sections 15.8 and 15.10), for a PROPFIND that asks for
// them by name: in an allprop the engine would list its own supportedlock too.
func (h *Handler) lockProps(name string) []webdav.Property {
	var b strings.Builder
	for _, l := range h.locks.on(name) {
		b.WriteString(h.activeLock(l))
	}
	const entry = `<D:lockentry xmlns:D="DAV:"><D:lockscope><D:%s/></D:lockscope>` +
		`<D:locktype><D:write/></D:locktype></D:lockentry>`
	supported := fmt.Sprintf(entry+entry, "exclusive", "shared")
	if h.ReadOnly {
		supported = ""
	}
	return []webdav.Property{
		{XMLName: lockDiscovery, InnerXML: []byte(b.String())},
		{XMLName: supportedLock, InnerXML: []byte(supported)},
	}
}

// Patch sets and removes properties in the order of the request (RFC 4918 section 9.2): the last word on each name
// counts. The tree does all or none.
func (s *resource) Patch(patches []webdav.Proppatch) ([]webdav.Propstat, error) {
	last := make(map[xml.Name]*Property) // nil: removed
	var order []xml.Name
	for _, patch := range patches {
		for _, p := range patch.Props {
			if _, ok := last[p.XMLName]; !ok {
				order = append(order, p.XMLName)
			}
			last[p.XMLName] = nil
			if !patch.Remove {
				q := Property(p)
				last[p.XMLName] = &q
			}
		}
	}
	done := webdav.Propstat{Status: http.StatusOK}
	var set []Property
	var remove []xml.Name
	for _, n := range order {
		done.Props = append(done.Props, webdav.Property{XMLName: n})
		if p := last[n]; p != nil {
			set = append(set, *p)
		} else {
			remove = append(remove, n)
		}
	}
	if len(order) > 0 {
		err := s.rq.tree.PatchProps(s.rq.ctx, s.name, PropPatch{Set: set, Remove: remove, Check: s.rq.check})
		if err := s.rq.changed("proppatch", s.name, err); err != nil {
			return nil, err
		}
	}
	return []webdav.Propstat{done}, nil
}

// live are the names that the engine never takes for dead properties.
var live = map[string]bool{
	"resourcetype": true, "displayname": true, "getcontentlength": true, "getlastmodified": true,
	"creationdate": true, "getcontentlanguage": true, "getcontenttype": true, "getetag": true,
	"lockdiscovery": true, "supportedlock": true,
}

// onlyLive says whether a PROPFIND asks by name, and for live properties only, as most clients do. The tree then has no
// dead properties to look for.
func onlyLive(named []xml.Name) bool {
	for _, n := range named {
		if n.Space != "DAV:" || !live[n.Local] {
			return false
		}
	}
	return len(named) > 0
}
