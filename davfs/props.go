package davfs

import (
	"encoding/xml"
	"net/http"

	"golang.org/x/net/webdav"
)

var (
	_ webdav.DeadPropsHolder = (*dirFile)(nil)
	_ webdav.DeadPropsHolder = (*readFile)(nil)
)

// DeadProps gives the dead properties (RFC 4918 section 4). A COPY needs none, since Tree.Copy takes them along.
func (s *resource) DeadProps() (map[xml.Name]webdav.Property, error) {
	if s.rq.bare || s.rq.method == "COPY" {
		return nil, nil
	}
	l, err := s.rq.deadProps(s.rq.ctx, s.name, s.fi)
	if err != nil {
		return nil, s.rq.answer("props", s.name, err)
	}
	m := make(map[xml.Name]webdav.Property, len(l))
	for _, p := range l {
		m[p.XMLName] = webdav.Property(p)
	}
	return m, nil
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
		err := s.rq.tree.PatchProps(s.rq.ctx, s.name, set, remove)
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
