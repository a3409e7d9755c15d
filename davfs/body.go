package davfs

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
)

const (
	maxXML      = 1 << 20 // bytes of an XML body; the engine has no limit
	maxXMLDepth = 256     // nested elements
)

// A body is the request's body with an account of it: whoever reads it, the request knows afterwards whether all of it
// arrived. It has no WriteTo, so that io.Copy gives it to putFile.ReadFrom whatever its length.
type body struct {
	r    io.ReadCloser
	want int64 // announced length, negative for none
	n    int64
	err  error // what ended it, other than its proper end
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	b.n += int64(n)
	if err == io.EOF && b.want >= 0 && b.n < b.want {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		b.err = &bodyError{err}
		err = b.err
	}
	return n, err
}

func (b *body) Close() error { return b.r.Close() }

// A bodyError is the client's: the connection broke or the body is shorter than it was announced.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "read request body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// xmlBody is what davfs itself needs to know of an XML body.
type xmlBody struct {
	raw   []byte
	empty bool
	root  xml.Name
	named []xml.Name // in a propfind: the properties asked for by name; nil for allprop and propname
}

// readXML reads an XML body whole, with limits that the engine does not have, refuses what the engine should, and
// leaves the body for the engine to read.
func readXML(r *http.Request) (xmlBody, error) {
	if r.ContentLength > maxXML {
		return xmlBody{}, refuse(http.StatusRequestEntityTooLarge, "The XML of this request is too large.")
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxXML+1))
	if err != nil {
		return xmlBody{}, err
	}
	if len(b) > maxXML {
		return xmlBody{}, refuse(http.StatusRequestEntityTooLarge, "The XML of this request is too large.")
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	if len(b) == 0 {
		return xmlBody{empty: true}, nil
	}
	x, err := parseXML(b)
	x.raw = b
	if err != nil {
		return xmlBody{}, refuse(http.StatusBadRequest, "The XML of this request is not valid: "+err.Error()+".")
	}
	return x, nil
}

func parseXML(b []byte) (xmlBody, error) {
	var x xmlBody
	var open []xml.Name
	prop := xml.Name{Space: "DAV:", Local: "prop"}
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		t, err := d.Token()
		if err == io.EOF {
			if x.root.Local == "" {
				return x, errors.New("there is no element")
			}
			return x, nil
		}
		if err != nil {
			return x, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			for _, a := range t.Attr {
				// Namespaces in XML 1.0 section 2.2: a prefix cannot be undeclared.
				if a.Name.Space == "xmlns" && a.Value == "" {
					return x, errors.New("the namespace of prefix " + a.Name.Local + " is empty")
				}
			}
			switch {
			case len(open) == 0 && x.root.Local == "":
				x.root = t.Name
			case len(open) == 2 && open[1] == prop:
				x.named = append(x.named, t.Name)
			}
			if open = append(open, t.Name); len(open) > maxXMLDepth {
				return x, errors.New("its elements are nested too deeply")
			}
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
}
