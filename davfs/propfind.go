package davfs

import (
	"bytes"
	"context"
	"encoding/xml"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// A propfind is a PROPFIND (RFC 4918 section 9.1): what it asks for, and the snapshot that it is answered from. All is
// asked of the tree before the first byte of the answer, so that a multistatus that was begun cannot fail.
type propfind struct {
	rq        *request
	ctx       context.Context
	names     []xml.Name // asked for by name; in allprop those of include
	all       bool
	onlyNames bool
	minimal   bool // leave out what is not there
	compact   bool // leave out of allprop what can be done without

	fi              fs.FileInfo   // of what was asked about
	members         []fs.FileInfo // of that
	dead            [][]Property  // of it and its members in this order; nil where none can be part of the answer
	locks           lockView
	available, used int64 // bytes, negative for unknown
}

// maxNamedProperties bounds what one PROPFIND may ask for, which is answered for every member.
const maxNamedProperties = 256

func (h *Handler) servePropfind(w *guard, r *http.Request, rq *request) error {
	p := &propfind{rq: rq, ctx: rq.ctx, available: -1, used: -1}
	body, err := readXML(r)
	if err != nil {
		return err
	}
	if err := p.read(body); err != nil {
		return err
	}
	d := depth(r.Header.Get("Depth"))
	switch d {
	case "", "infinity":
		return errFiniteDepth
	case "0", "1":
	default:
		return refuse(http.StatusBadRequest, "PROPFIND takes the Depth 0 or 1.")
	}
	if err := rq.checkConditions(); err != nil {
		return err
	}
	agent := r.UserAgent()
	p.compact = strings.HasPrefix(agent, "Microsoft-WebDAV-MiniRedir/")
	p.minimal = r.Header.Get("Brief") == "t" || strings.Contains(r.Header.Get("Prefer"), "return=minimal")
	if err := p.snapshot(d == "1"); err != nil {
		return err
	}
	if p.wants(davName("lockdiscovery")) {
		p.locks = h.locks.view(rq.tree.Key(rq.name))
	}
	// macOS since 15.4 waits for a minute and a half where it gets a quota (cryptomator/webdav-nio-adapter#107).
	quota := p.onlyNames || p.wants(davName("quota-available-bytes")) || p.wants(davName("quota-used-bytes"))
	if quota && h.Quota != nil && !strings.HasPrefix(agent, "WebDAVFS/") {
		p.available, p.used = h.Quota(p.ctx)
	}
	m := newMultistatus(w)
	var one resource
	for i := range 1 + len(p.members) {
		one = p.resource(i)
		p.write(m, &one)
	}
	return m.finish()
}

// read takes over what the body asks for; none asks for all (RFC 4918 section 9.1).
func (p *propfind) read(body *element) error {
	if body == nil {
		p.all = true
		return nil
	}
	bad := func(why string) error {
		return refuse(http.StatusBadRequest, "The body is no propfind: "+why+".")
	}
	if body.name != davName("propfind") {
		return bad("its root is another element")
	}
	kinds := 0
	var include *element
	for _, c := range body.children { // unknown ones are ignored (RFC 4918 section 17)
		switch c.name {
		case davName("prop"):
			kinds++
			for _, name := range c.children {
				p.names = append(p.names, name.name)
			}
		case davName("allprop"):
			kinds++
			p.all = true
		case davName("propname"):
			kinds++
			p.onlyNames = true
		case davName("include"):
			include = c
		}
	}
	if kinds != 1 {
		return bad("it wants one of prop, allprop and propname")
	}
	if include != nil {
		if !p.all {
			return bad("include goes with allprop")
		}
		for _, name := range include.children {
			p.names = append(p.names, name.name)
		}
	}
	if len(p.names) > maxNamedProperties {
		return refuse(http.StatusRequestEntityTooLarge, "This request asks for too many properties.")
	}
	if err := checkNames(slices.Values(p.names)); err != nil {
		return err
	}
	p.names = slices.DeleteFunc(p.names, func(n xml.Name) bool { // what allprop has is not said twice
		i, live := liveByName[n]
		return p.all && live && liveProperties[i].all
	})
	seen := map[xml.Name]bool{}
	p.names = slices.DeleteFunc(p.names, func(n xml.Name) bool {
		twice := seen[n]
		seen[n] = true
		return twice
	})
	return nil
}

func (p *propfind) wants(n xml.Name) bool { return slices.Contains(p.names, n) }

// wantsDead says whether dead properties can be part of the answer. Most clients ask for live ones by name, and the
// tree then has none to look for. A display name may be one.
func (p *propfind) wantsDead() bool {
	return p.all || p.onlyNames || slices.ContainsFunc(p.names, func(n xml.Name) bool {
		_, live := liveByName[n]
		return !live || n == davName("displayname")
	})
}

// snapshot asks the tree for all that the answer is made of.
func (p *propfind) snapshot(members bool) error {
	fi, err := p.rq.stat(p.rq.name)
	if err != nil {
		return err
	}
	p.fi = fi
	if members && fi.IsDir() {
		if p.members, err = p.rq.tree.ReadDir(p.ctx, p.rq.name); err != nil {
			return err
		}
	}
	if !p.wantsDead() {
		return nil
	}
	return p.fetchDead()
}

// resource gives the one that was asked about (0) or its member i-1. It is made when it is written: a directory has 100,000.
func (p *propfind) resource(i int) (r resource) {
	if r.name, r.fi = p.rq.name, p.fi; i > 0 {
		r.fi = p.members[i-1]
		r.name = strings.TrimSuffix(p.rq.name, "/") + "/" + r.fi.Name()
	}
	if p.dead != nil {
		r.dead = p.dead[i]
	}
	return r
}

// propsAtOnce is how many members' dead properties are asked for at a time; most have none and cost nothing.
const propsAtOnce = 16

func (p *propfind) fetchDead() error {
	n := 1 + len(p.members)
	dead := make([][]Property, n)
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(propsAtOnce, n) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				r := p.resource(i)
				var err error
				if dead[i], err = p.rq.deadProps(ctx, r.name, r.fi); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.dead = dead
	return nil
}

// deadProps is Tree.Props. A member that is gone since it was listed has none: it stays in the listing, which was true
// when it was made. What cannot stand in a multistatus has come from elsewhere, and is left out.
func (rq *request) deadProps(ctx context.Context, name string, fi fs.FileInfo) ([]Property, error) {
	l, err := rq.tree.Props(ctx, name, fi)
	if err != nil {
		if isAbsent(err) {
			return nil, nil
		}
		return nil, err
	}
	return slices.DeleteFunc(l, func(p Property) bool {
		if _, live := liveByName[p.XMLName]; live && p.XMLName != davName("displayname") {
			return true
		}
		m := multistatus{}
		m.property(p)
		e, err := parseXML(slices.Concat([]byte(`<D:prop xmlns:D="DAV:">`), m.b, []byte(`</D:prop>`)))
		return err != nil || len(e.children) != 1 || e.children[0].name != p.XMLName || len(bytes.TrimSpace(e.text)) > 0
	}), nil
}

// write writes the response about r.
func (p *propfind) write(m *multistatus, r *resource) {
	m.begin(p.rq.hrefOf(r.name, r.fi.IsDir()))
	m.propstat()
	if p.all || p.onlyNames {
		for i := range liveProperties {
			if l := &liveProperties[i]; (l.all || p.onlyNames) && r.deadProperty(l.name) == nil {
				p.writeLive(m, l, r)
			}
		}
		for _, d := range r.dead {
			switch {
			case p.onlyNames:
				m.name(d.XMLName)
			case !p.compact || !idle[d.XMLName]:
				m.property(d)
			}
		}
	}
	var missing []xml.Name
	for _, n := range p.names {
		i, live := liveByName[n]
		d := r.deadProperty(n)
		switch {
		case d != nil && p.all: // it is there already
		case d != nil:
			m.property(*d)
		case !live || !p.writeLive(m, &liveProperties[i], r):
			missing = append(missing, n)
		}
	}
	m.endPropstat(http.StatusOK, "")
	if len(missing) > 0 && !p.minimal {
		m.propstat()
		for _, n := range missing {
			m.name(n)
		}
		m.endPropstat(http.StatusNotFound, "")
	}
	m.end()
}

// writeLive writes a live property, or its name; false if r has none of it.
func (p *propfind) writeLive(m *multistatus, l *liveProperty, r *resource) bool {
	before := len(m.b)
	m.b = append(appendStart(m.b, l.name, ""), '>')
	start := len(m.b)
	var ok bool
	if m.b, ok = l.value(p, r, m.b); !ok {
		m.b = m.b[:before]
		return false
	}
	if p.onlyNames || len(m.b) == start {
		m.b = append(m.b[:start-1], "/>"...)
		return true
	}
	m.b = append(appendTag(append(m.b, "</"...), l.name), '>')
	return true
}

// deadProperty gives the dead property of the name, nil for none.
func (r *resource) deadProperty(n xml.Name) *Property {
	for i := range r.dead {
		if r.dead[i].XMLName == n {
			return &r.dead[i]
		}
	}
	return nil
}
