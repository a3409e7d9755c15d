package davfs

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of an XML body: what a client may ask to be kept in memory and walked through.
const (
	maxXML           = 1 << 20 // bytes
	maxXMLDepth      = 256     // nested elements
	maxXMLElements   = 20_000
	maxXMLAttributes = 10_000   // declarations of namespaces among them
	maxXMLNamespaces = 1_000    // declarations
	maxXMLScope      = 64       // declarations in force at one place: each name there is looked up among them
	maxXMLLang       = 100      // bytes of an xml:lang, which belongs to all that is inside
	maxXMLNames      = 64 << 10 // bytes of the names of properties, with their namespaces
)

const davNamespace = "DAV:"

func davName(local string) xml.Name { return xml.Name{Space: davNamespace, Local: local} }

// An element is one element of an XML body, with all that is needed to write its content somewhere else.
type element struct {
	name     xml.Name
	lang     string // xml:lang, its own or inherited
	children []*element
	inner    []byte // the bytes between its tags, in UTF-8
	text     []byte // the character data among them, outside of children

	spaces, outer *namespace // in force inside of it and around it
	raw           string     // its name as it stands there
	nameEnd       int        // offset of the end of that
	start, end    int        // offsets of inner
	closed        int        // offset of the end of its end tag
}

// A namespace is a declaration in force, and those around it.
type namespace struct {
	prefix, uri string
	outer       *namespace
	depth       int // how many are around it
}

func (n *namespace) declared(prefix, uri string) *namespace {
	m := &namespace{prefix: prefix, uri: uri, outer: n}
	if n != nil {
		m.depth = n.depth + 1
	}
	return m
}

// find gives the name space of a prefix; "" is the default one, which is none where nothing is declared.
func (n *namespace) find(prefix string) (uri string, ok bool) {
	for ; n != nil; n = n.outer {
		if n.prefix == prefix {
			return n.uri, true
		}
	}
	return "", prefix == ""
}

// child gives the first child of the name, nil for none.
func (e *element) child(name xml.Name) *element {
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// readXML reads the body of r as XML; nil for an empty one. The limits are those above, and what is no XML with
// namespaces is refused.
func readXML(r *http.Request) (*element, error) {
	large := refuse(http.StatusRequestEntityTooLarge, "The XML of this request is too large.")
	if r.ContentLength > maxXML {
		return nil, large
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxXML+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxXML:
		return nil, large
	case len(b) == 0:
		return nil, nil
	}
	e, err := parseXML(b)
	if err == errXMLBounds {
		return nil, large
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "The XML of this request is not valid: "+err.Error()+".")
	}
	return e, nil
}

var errXMLBounds = errors.New("there is too much of it")

// checkNames bounds names that are said again in the answer, PROPFIND's for each member: one namespace in the request may
// be that of thousands.
func checkNames(names iter.Seq[xml.Name]) error {
	size := 0
	for n := range names {
		if size += len(n.Space) + len(n.Local); size > maxXMLNames {
			return refuse(http.StatusRequestEntityTooLarge, "The names of the properties in this request are too large.")
		}
	}
	return nil
}

// parseXML builds the tree of elements. The decoder of encoding/xml is used for its tokens only: it takes undeclared
// prefixes for namespaces, and prefixes that are bound to nothing for good. A document type is refused, since nothing
// that WebDAV sends has one and entities are a way to make much of little.
func parseXML(b []byte) (*element, error) {
	b, err := toUTF8(b)
	if err != nil {
		return nil, err
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // toUTF8 has done it
	var root *element
	var open []*element
	elements, attributes, declarations := 0, 0, 0
	for {
		before := int(d.InputOffset())
		t, err := d.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			e := &element{start: int(d.InputOffset()), raw: rawName(t.Name)}
			e.nameEnd = before + len("<") + len(e.raw)
			if len(open) > 0 {
				up := open[len(open)-1]
				e.outer, e.lang = up.spaces, up.lang
				up.children = append(up.children, e)
			} else if root != nil {
				return nil, errors.New("there is more than one root element")
			} else {
				root = e
			}
			elements, attributes = elements+1, attributes+len(t.Attr)
			if elements > maxXMLElements || attributes > maxXMLAttributes {
				return nil, errXMLBounds
			}
			n, err := e.declare(t)
			if err != nil {
				return nil, err
			}
			declarations += n
			open = append(open, e)
			if declarations > maxXMLNamespaces || e.spaces != nil && e.spaces.depth >= maxXMLScope {
				return nil, errXMLBounds
			}
			if len(open) > maxXMLDepth {
				return nil, errors.New("its elements are nested too deeply")
			}
		case xml.EndElement:
			name := rawName(t.Name)
			if len(open) == 0 || open[len(open)-1].raw != name {
				return nil, fmt.Errorf("the element %s is closed and was not open", name)
			}
			e := open[len(open)-1]
			e.end, e.closed = max(e.start, before), int(d.InputOffset())
			e.inner = b[e.start:e.end]
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				up := open[len(open)-1]
				up.text = append(up.text, t...)
			} else if len(bytes.TrimSpace(t)) > 0 {
				return nil, errors.New("there is text outside of the root element")
			}
		case xml.ProcInst:
			if t.Target == "xml" && before > 0 {
				return nil, errors.New("it has an XML declaration in the middle")
			}
		case xml.Directive:
			return nil, errors.New("it has a document type")
		}
	}
	switch {
	case root == nil:
		return nil, errors.New("there is no element")
	case len(open) > 0:
		return nil, fmt.Errorf("the element %s is not closed", open[len(open)-1].raw)
	}
	return root, nil
}

// used gives the namespaces in force inside of e that its content may need, the innermost of each prefix, sorted.
func (e *element) used() []namespace {
	if len(e.children) == 0 {
		return nil
	}
	var l []namespace
	seen := map[string]bool{}
	for n := e.spaces; n != nil; n = n.outer {
		if !seen[n.prefix] && (n.prefix == "" && n.uri != "" || bytes.Contains(e.inner, []byte(n.prefix+":"))) {
			l = append(l, *n)
		}
		seen[n.prefix] = true
	}
	slices.SortFunc(l, func(a, b namespace) int { return strings.Compare(a.prefix, b.prefix) })
	return l
}

// appendDeclaration appends xmlns:prefix="uri", after a space.
func (n namespace) appendDeclaration(b []byte) []byte {
	b = append(b, " xmlns"...)
	if n.prefix != "" {
		b = append(append(b, ':'), n.prefix...)
	}
	return appendAttribute(append(b, '='), n.uri)
}

// content is inner byte for byte, but that its elements declare the namespaces that were declared around them: so it
// can stand in another document. It has at most limit bytes, or ok is false.
func (e *element) content(limit int) (b []byte, ok bool) {
	used := e.used()
	at := e.start
	for _, c := range e.children {
		b = append(b, e.inner[at-e.start:c.nameEnd-e.start]...)
		whole := e.inner[c.nameEnd-e.start-len(c.raw) : c.closed-e.start]
		for _, n := range used {
			own := false
			for d := c.spaces; d != c.outer; d = d.outer {
				own = own || d.prefix == n.prefix
			}
			if !own && (n.prefix == "" || bytes.Contains(whole, []byte(n.prefix+":"))) {
				b = n.appendDeclaration(b)
			}
			if len(b) > limit {
				return nil, false
			}
		}
		at = c.nameEnd
	}
	b = append(b, e.inner[at-e.start:]...)
	return b, len(b) <= limit
}

// rawName is the name of a raw token as it stands there.
func rawName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// declare resolves the names of a start tag, and gives the number of namespaces that it declares.
func (e *element) declare(t xml.StartElement) (n int, err error) {
	e.spaces = e.outer
	for _, a := range t.Attr {
		switch {
		case a.Name.Space == "xmlns" && a.Value == "":
			// Namespaces in XML 1.0 section 2.2: a prefix cannot be undeclared.
			return 0, fmt.Errorf("the namespace of prefix %s is empty", a.Name.Local)
		case a.Name.Space == "xmlns":
			e.spaces = e.spaces.declared(a.Name.Local, a.Value)
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			e.spaces = e.spaces.declared("", a.Value)
		default:
			continue
		}
		n++
	}
	for _, a := range t.Attr {
		if a.Name.Space == "xml" && a.Name.Local == "lang" {
			if e.lang = a.Value; len(e.lang) > maxXMLLang {
				return 0, errXMLBounds
			}
		}
		if _, ok := e.spaces.find(a.Name.Space); !ok && a.Name.Space != "xmlns" && a.Name.Space != "xml" {
			return 0, fmt.Errorf("the prefix %s is not declared", a.Name.Space)
		}
	}
	if !isLocalName(t.Name.Local) {
		return 0, fmt.Errorf("the element %s has no proper name", e.raw)
	}
	uri, ok := e.spaces.find(t.Name.Space)
	if !ok {
		return 0, fmt.Errorf("the prefix %s is not declared", t.Name.Space)
	}
	e.name = xml.Name{Space: uri, Local: t.Name.Local}
	return n, nil
}

// isLocalName says whether the part after the prefix is a name by itself (NCName); the decoder has looked at the whole.
func isLocalName(s string) bool {
	return s != "" && !strings.Contains(s, ":") &&
		(s[0] >= utf8.RuneSelf || s[0] == '_' || 'a' <= s[0]|0x20 && s[0]|0x20 <= 'z')
}

// toUTF8 converts what RFC 4918 section 8.2 has every server understand, UTF-8 and UTF-16, and Latin-1, which a
// handful of clients send.
func toUTF8(b []byte) ([]byte, error) {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(b, []byte("\xfe\xff")), bytes.HasPrefix(b, []byte("\x00<\x00?")):
		order = binary.BigEndian
	case bytes.HasPrefix(b, []byte("\xff\xfe")), bytes.HasPrefix(b, []byte("<\x00?\x00")):
		order = binary.LittleEndian
	}
	if order != nil {
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = order.Uint16(b[2*i:])
		}
		b = []byte(string(utf16.Decode(units)))
		return bytes.TrimPrefix(b, []byte("\ufeff")), nil
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	switch encoding := declaredEncoding(b); encoding {
	case "", "utf-8", "us-ascii":
	case "iso-8859-1", "latin1":
		runes := make([]rune, len(b))
		for i, c := range b {
			runes[i] = rune(c)
		}
		b = []byte(string(runes))
	default:
		return nil, fmt.Errorf("its encoding %q is not known", encoding)
	}
	if !utf8.Valid(b) {
		return nil, errors.New("it is not valid UTF-8")
	}
	return b, nil
}

// declaredEncoding reads the XML declaration; "" for none.
func declaredEncoding(b []byte) string {
	rest, ok := bytes.CutPrefix(b, []byte("<?xml"))
	declaration, _, closed := bytes.Cut(rest, []byte("?>"))
	if !ok || !closed {
		return ""
	}
	_, value, ok := strings.Cut(string(declaration), "encoding")
	value = strings.TrimLeft(value, " \t\r\n=")
	if !ok || value == "" {
		return ""
	}
	value, _, _ = strings.Cut(value[1:], value[:1])
	return strings.ToLower(value)
}
