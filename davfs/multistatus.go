package davfs

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// A multistatus writes the body of a 207 (RFC 4918 section 13) without reflection and in pieces, so that a directory of
// any size costs no memory but that of its listing. Everything of DAV: has the prefix D, because Windows knows no other
// way (golang/go#11177); other names are declared where they stand.
type multistatus struct {
	w   io.Writer
	b   []byte
	err error // of w
}

const multistatusPiece = 32 << 10 // bytes that are sent at once

func newMultistatus(w http.ResponseWriter) *multistatus {
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	w.WriteHeader(http.StatusMultiStatus)
	m := &multistatus{w: w, b: make([]byte, 0, multistatusPiece+4<<10)}
	m.b = append(m.b, `<?xml version="1.0" encoding="utf-8"?>`+"\n"+`<D:multistatus xmlns:D="DAV:">`...)
	return m
}

// begin begins the response about what is at href.
func (m *multistatus) begin(href string) {
	m.b = append(m.b, `<D:response><D:href>`...)
	m.b = appendText(m.b, href)
	m.b = append(m.b, `</D:href>`...)
}

// propstat begins a list of properties, which endPropstat ends with their status.
func (m *multistatus) propstat() { m.b = append(m.b, `<D:propstat><D:prop>`...) }

func (m *multistatus) endPropstat(code int, more string) {
	m.b = append(m.b, `</D:prop><D:status>HTTP/1.1 `...)
	m.b = strconv.AppendInt(m.b, int64(code), 10)
	m.b = append(append(m.b, ' '), http.StatusText(code)...)
	m.b = append(m.b, `</D:status>`...)
	m.b = append(m.b, more...)
	m.b = append(m.b, `</D:propstat>`...)
}

// status says what has become of the whole resource, in place of any propstat.
func (m *multistatus) status(code int, text string) {
	m.b = append(m.b, `<D:status>HTTP/1.1 `...)
	m.b = strconv.AppendInt(m.b, int64(code), 10)
	m.b = append(append(m.b, ' '), http.StatusText(code)...)
	m.b = append(m.b, `</D:status><D:responsedescription>`...)
	m.b = appendText(m.b, text)
	m.b = append(m.b, `</D:responsedescription>`...)
}

// name writes an empty element.
func (m *multistatus) name(n xml.Name) { m.b = append(appendStart(m.b, n, ""), "/>"...) }

// property writes a property with its value.
func (m *multistatus) property(p Property) {
	if len(p.InnerXML) == 0 && p.Lang == "" {
		m.name(p.XMLName)
		return
	}
	m.b = append(appendStart(m.b, p.XMLName, p.Lang), '>')
	m.b = append(m.b, p.InnerXML...)
	m.b = append(appendTag(append(m.b, "</"...), p.XMLName), '>')
}

// end ends a response, and sends what has come together.
func (m *multistatus) end() {
	m.b = append(m.b, `</D:response>`...)
	if len(m.b) >= multistatusPiece {
		m.flush()
	}
}

func (m *multistatus) flush() {
	if m.err == nil {
		_, m.err = m.w.Write(m.b)
	}
	m.b = m.b[:0]
}

// finish ends the body. Its error is the connection's.
func (m *multistatus) finish() error {
	m.b = append(m.b, "</D:multistatus>\n"...)
	m.flush()
	return m.err
}

// appendTag appends the qualified name. The prefix of other namespaces is x, and none is the empty one: no default
// namespace is ever in force.
func appendTag(b []byte, n xml.Name) []byte {
	switch n.Space {
	case davNamespace:
		b = append(b, "D:"...)
	case "":
	default:
		b = append(b, "x:"...)
	}
	return append(b, n.Local...)
}

// appendStart appends a start tag without its end.
func appendStart(b []byte, n xml.Name, lang string) []byte {
	b = appendTag(append(b, '<'), n)
	if n.Space != davNamespace && n.Space != "" {
		b = namespace{prefix: "x", uri: n.Space}.appendDeclaration(b)
	}
	if lang != "" {
		b = appendAttribute(append(b, " xml:lang="...), lang)
	}
	return b
}

// appendText appends s as character data.
func appendText(b []byte, s string) []byte { return appendEscaped(b, s, "&<>\r") }

// appendAttribute appends s as the value of an attribute, where white space but for a space would become one.
func appendAttribute(b []byte, s string) []byte {
	return append(appendEscaped(append(b, '"'), s, "&<>\"\t\n\r"), '"')
}

func appendEscaped(b []byte, s, special string) []byte {
	for i := strings.IndexAny(s, special); i >= 0; i = strings.IndexAny(s, special) {
		b = append(append(b, s[:i]...), entities[s[i]]...)
		s = s[i+1:]
	}
	return append(b, s...)
}

var entities = map[byte]string{
	'&': "&amp;", '<': "&lt;", '>': "&gt;", '"': "&quot;", '\t': "&#9;", '\n': "&#10;", '\r': "&#13;",
}

// escapePath escapes a path for a href or a header.
func escapePath(p string) string { return (&url.URL{Path: p}).EscapedPath() }
