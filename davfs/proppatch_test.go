package davfs_test

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

const microsoft = "urn:schemas-microsoft-com:"

// update is a PROPPATCH that sets what is in XML.
func update(set string) string {
	return `<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x" xmlns:s="SAR:" xmlns:Z="` + microsoft + `"><D:set><D:prop>` + set +
		`</D:prop></D:set></D:propertyupdate>`
}

func find(props string) string {
	return `<D:propfind xmlns:D="DAV:" xmlns:x="urn:x" xmlns:s="SAR:" xmlns:oc="http://owncloud.org/ns" xmlns:Z="` + microsoft +
		`"><D:prop>` + props + `</D:prop></D:propfind>`
}

// Every way in which a client says a time is one time for all clients.
func TestProppatchTimes(t *testing.T) {
	const want = "Fri, 31 Dec 1999 23:59:58 GMT"
	unix := fmt.Sprint(time.Date(1999, 12, 31, 23, 59, 58, 0, time.UTC).Unix())
	for _, set := range []string{
		"<D:getlastmodified>" + want + "</D:getlastmodified>",
		"<D:getlastmodified>1999-12-31T23:59:58Z</D:getlastmodified>",
		"<D:lastmodified>" + unix + "</D:lastmodified>",
		"<D:lastmodified> " + unix + ".25\n</D:lastmodified>",
		"<s:lastmodified>" + want + "</s:lastmodified>",
		"<s:lastmodified>Fri, 31 Dec 1999 23:59:58 +0000</s:lastmodified>",
		"<Z:Win32LastModifiedTime>" + want + "</Z:Win32LastModifiedTime>",
	} {
		for _, name := range []string{"/top", "/d"} {
			d := newDrive(t)
			before := d.do("HEAD", "/top", "").Header().Get("ETag")
			if w := d.want(http.StatusMultiStatus, "PROPPATCH", name, update(set)); !has(w, "HTTP/1.1 200 OK") || has(w, "403") {
				t.Errorf("PROPPATCH %s: %s", set, w.Body)
			}
			w := d.do("PROPFIND", name, find("<D:getlastmodified/><D:lastmodified/><s:lastmodified/><Z:Win32LastModifiedTime/>"),
				"Depth", "0")
			if strings.Count(w.Body.String(), ">"+want+"<") != 3 || !has(w, ">"+unix+"<") || has(w, "404") {
				t.Errorf("after PROPPATCH %s: %s", set, w.Body)
			}
			if h := d.do("HEAD", "/top", "").Header(); h.Get("ETag") != before || name == "/top" && h.Get("Last-Modified") != want {
				t.Errorf("after PROPPATCH %s: %v, the ETag was %s", set, h, before)
			}
		}
	}
	d := newDrive(t)
	d.want(http.StatusMultiStatus, "PROPPATCH", "/top", update("<Z:Win32CreationTime>"+want+"</Z:Win32CreationTime>"))
	w := d.do("PROPFIND", "/top", find("<D:creationdate/><Z:Win32CreationTime/>"), "Depth", "0")
	if !has(w, ">1999-12-31T23:59:58Z<") || !has(w, ">"+want+"<") {
		t.Errorf("after PROPPATCH of the creation time: %s", w.Body)
	}
}

// What Windows sends after each upload: all of it is 200, and the rest is kept.
func TestProppatchWin32(t *testing.T) {
	d := newDrive(t)
	w := d.want(http.StatusMultiStatus, "PROPPATCH", "/top", update("<Z:Win32CreationTime>Tue, 01 Jan 2002 00:00:00 GMT</Z:Win32CreationTime>"+
		"<Z:Win32LastAccessTime>Wed, 02 Jan 2002 00:00:00 GMT</Z:Win32LastAccessTime>"+
		"<Z:Win32LastModifiedTime>Thu, 03 Jan 2002 00:00:00 GMT</Z:Win32LastModifiedTime>"+
		"<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>"))
	if strings.Count(w.Body.String(), "<D:propstat>") != 1 || strings.Count(w.Body.String(), "Win32") != 4 || !has(w, "200 OK") {
		t.Errorf("PROPPATCH: %s", w.Body)
	}
	if got := d.tree.Calls(); got["PatchProps"] != 1 {
		t.Errorf("it costs %v", got)
	}
	w = d.do("PROPFIND", "/top", "", "Depth", "0")
	for _, s := range []string{">00000020<", ">Wed, 02 Jan 2002 00:00:00 GMT<", ">Thu, 03 Jan 2002 00:00:00 GMT</D:getlastmodified>",
		">2002-01-01T00:00:00Z<"} {
		if !has(w, s) {
			t.Errorf("allprop has no %s: %s", s, w.Body)
		}
	}
	// New content has its own time, whatever was said about the old one.
	d.want(http.StatusNoContent, "PUT", "/top", "new")
	w = d.do("PROPFIND", "/top", find("<Z:Win32LastModifiedTime/><Z:Win32FileAttributes/>"), "Depth", "0")
	if has(w, "2002") || !has(w, ">00000020<") {
		t.Errorf("after a PUT: %s", w.Body)
	}
}

// All or nothing, and each property has its reason.
func TestProppatchIsAtomic(t *testing.T) {
	const dead = "<x:p>v</x:p>"
	for bad, code := range map[string]string{
		"<D:getetag>x</D:getetag>":                                       "403",
		"<D:getcontentlength>5</D:getcontentlength>":                     "403",
		"<D:getcontenttype>text/html</D:getcontenttype>":                 "403",
		"<D:resourcetype><D:collection/></D:resourcetype>":               "403",
		"<D:lockdiscovery/>":                                             "403",
		"<D:supportedlock/>":                                             "403",
		"<D:quota-available-bytes>1</D:quota-available-bytes>":           "403",
		`<o:checksums xmlns:o="http://owncloud.org/ns"/>`:                "403",
		"<D:getlastmodified>yesterday</D:getlastmodified>":               "409",
		"<D:getlastmodified/>":                                           "409",
		"<Z:Win32CreationTime>Never</Z:Win32CreationTime>":               "409",
		"<D:lastmodified>99999999999999999999</D:lastmodified>":          "409",
		"<s:lastmodified>0001-01-01T00:00:00Z</s:lastmodified>":          "409",
		"<D:creationdate>10000-01-01T00:00:00Z</D:creationdate>":         "409",
		"<D:getlastmodified>-99999999999999</D:getlastmodified>":         "409",
		"<D:getlastmodified><a/>1999-12-31</D:getlastmodified>":          "409",
		"<s:lastmodified>Fri, 31 Dec 1999 25:00:00 GMT</s:lastmodified>": "409",
	} {
		for _, set := range []string{dead + bad, bad + dead} {
			d := newDrive(t)
			w := d.want(http.StatusMultiStatus, "PROPPATCH", "/top", update(set))
			if !has(w, "HTTP/1.1 "+code) || !has(w, "HTTP/1.1 424 Failed Dependency") || has(w, " 200 ") ||
				(code == "403") != has(w, "<D:error><D:cannot-modify-protected-property/></D:error>") {
				t.Errorf("PROPPATCH %s: %s", set, w.Body)
			}
			if n := d.tree.Calls()["PatchProps"]; n != 0 {
				t.Errorf("PROPPATCH %s has changed something", set)
			}
		}
	}
	for name, class := range map[string]string{"/top": davfs.ClassQuota, "/d": davfs.ClassUnavailable} {
		d := newDrive(t)
		d.tree.Fail("PatchProps", &treetest.Failure{Class: class})
		if w := d.do("PROPPATCH", name, update(dead)); w.Code != http.StatusInsufficientStorage && w.Code != http.StatusServiceUnavailable {
			t.Errorf("the tree fails, and PROPPATCH says %d %s", w.Code, w.Body)
		}
	}
	d := newDrive(t)
	d.want(http.StatusNotFound, "PROPPATCH", "/absent", update(dead))
	d.want(http.StatusInsufficientStorage, "PROPPATCH", "/top", update("<x:p>"+strings.Repeat("v", 70_000)+"</x:p>"))
	for _, bad := range []string{"", "<a/>", `<D:propertyupdate xmlns:D="DAV:"/>`, findLive,
		`<D:propertyupdate xmlns:D="DAV:"><D:set/></D:propertyupdate>`,
		`<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop/></D:set></D:propertyupdate>`} {
		d.want(http.StatusBadRequest, "PROPPATCH", "/top", bad)
	}
}

// A client that tells the time that it has read changes nothing, so that nothing is written for it.
func TestProppatchOfTheSameTime(t *testing.T) {
	d := newDrive(t)
	now := d.do("HEAD", "/top", "").Header().Get("Last-Modified")
	d.tree.Calls()
	d.want(http.StatusMultiStatus, "PROPPATCH", "/top", update("<D:getlastmodified>"+now+"</D:getlastmodified>"))
	if n := d.tree.Calls()["PatchProps"]; n != 0 {
		t.Error("a PROPPATCH of the same time has written")
	}
}

// A display name that is set outranks the name.
func TestDisplayName(t *testing.T) {
	d := newDrive(t)
	d.want(http.StatusMultiStatus, "PROPPATCH", "/top", update("<D:displayname>My &lt;File&gt;</D:displayname>"))
	for _, body := range []string{"", find("<D:displayname/>"), `<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>`} {
		w := d.do("PROPFIND", "/", body, "Depth", "1")
		if strings.Count(w.Body.String(), "<D:displayname>My &lt;File&gt;</D:displayname>") != 1 || has(w, ">top<") ||
			!has(w, "<D:displayname>d</D:displayname>") {
			t.Errorf("PROPFIND %s: %s", body, w.Body)
		}
	}
}

// canonical says what an XML element means: its tokens with full names, and attributes that are no declarations.
func canonical(t *testing.T, s string) string {
	t.Helper()
	var b strings.Builder
	for d := xml.NewDecoder(strings.NewReader(s)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return b.String()
		}
		if err != nil {
			t.Fatalf("%v in %s", err, s)
		}
		switch token := token.(type) {
		case xml.StartElement:
			fmt.Fprintf(&b, "<{%s}%s", token.Name.Space, token.Name.Local)
			for _, a := range token.Attr {
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
					fmt.Fprintf(&b, " {%s}%s=%q", a.Name.Space, a.Name.Local, a.Value)
				}
			}
			b.WriteString(">")
		case xml.EndElement:
			b.WriteString("</>")
		case xml.CharData:
			b.Write(token)
		}
	}
}

// A value means the same wherever it stands, and what can be is kept byte for byte (RFC 4918 section 4.3).
func TestPropertyValues(t *testing.T) {
	const around = `xmlns:D="DAV:" xmlns:x="urn:x" xmlns:y="urn:y&amp;&quot;"`
	for _, c := range []struct{ value, kept string }{
		{"", ""},
		{" text &amp; &#65; <![CDATA[<a>]]> \n", " text &amp; &#65; <![CDATA[<a>]]> \n"},
		{"<!-- c -->t<?pi x?>", "<!-- c -->t<?pi x?>"},
		{`<a xmlns="urn:own">t</a>`, `<a xmlns="urn:own">t</a>`},
		{`<y:a><y:b k="1"/></y:a>`, ""},
		{`<a y:k="1">t</a><y:c/>`, ""},
		{`<x:a/>`, ""}, {`<D:href>/x</D:href>`, ""},
		{`<a><y:b xmlns:y="urn:other"/><y:b/></a>`, ""},
		{`<y:a xmlns:y="urn:other"><y:b/></y:a><y:a/>`, ""},
		{"<a\n\txmlns:z='urn:z' z:k='v' /><a/>", ""},
		{`<a xml:lang="fr">t</a>`, ""},
	} {
		for _, p := range []string{
			`<x:p>%s</x:p>`, `<p xmlns="">%s</p>`, `<p xmlns="urn:default">%s</p>`, `<x:p xml:lang="de" xmlns:q="urn:q">%s</x:p>`,
			`<p xmlns="urn:x">%s</p>`, `<D:p>%s</D:p>`,
		} {
			d := newDrive(t)
			set := fmt.Sprintf(p, c.value)
			w := d.want(http.StatusMultiStatus, "PROPPATCH", "/top", `<D:propertyupdate `+around+`><D:set><D:prop>`+set+
				`</D:prop></D:set></D:propertyupdate>`)
			parses(t, w.Body.String())
			w = d.do("PROPFIND", "/top", "", "Depth", "0")
			parses(t, w.Body.String())
			got := canonical(t, w.Body.String())
			want := canonical(t, `<a `+around+`>`+set+`</a>`)
			want = strings.TrimSuffix(strings.TrimPrefix(want, "<{}a>"), "</>")
			if !strings.Contains(got, want) {
				t.Errorf("%s has become\n%s, want\n%s", set, got, want)
			}
			if c.kept != "" && !has(w, ">"+c.kept+"</") {
				t.Errorf("%s is not kept byte for byte: %s", set, w.Body)
			}
			// And again: what is stored must survive being sent back by a client.
			inner := w.Body.String()
			d.want(http.StatusMultiStatus, "PROPPATCH", "/d", `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop>`+lastProperty(inner)+
				`</D:prop></D:set></D:propertyupdate>`)
			if got := canonical(t, d.do("PROPFIND", "/d", "", "Depth", "0").Body.String()); !strings.Contains(got, want) {
				t.Errorf("%s sent back has become\n%s, want\n%s", set, got, want)
			}
		}
	}
}

// lastProperty is what follows getetag in an allprop: the dead property.
func lastProperty(multistatus string) string {
	_, rest, _ := strings.Cut(multistatus, "</D:getetag>")
	rest, _, _ = strings.Cut(rest, "</D:prop><D:status>")
	return rest
}

// RFC 4918 section 4.3: xml:lang around a value is part of it.
func TestPropertyLanguage(t *testing.T) {
	d := newDrive(t)
	d.want(http.StatusMultiStatus, "PROPPATCH", "/top", `<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x"><D:set xml:lang="de"><D:prop>`+
		`<x:a>1</x:a><x:b xml:lang="fr">2</x:b><x:c xml:lang="">3</x:c></D:prop></D:set></D:propertyupdate>`)
	w := d.do("PROPFIND", "/top", "", "Depth", "0")
	for _, s := range []string{`<x:a xmlns:x="urn:x" xml:lang="de">1<`, `<x:b xmlns:x="urn:x" xml:lang="fr">2<`, `<x:c xmlns:x="urn:x">3<`} {
		if !has(w, s) {
			t.Errorf("there is no %s in %s", s, w.Body)
		}
	}
}

// A tree may be filled by others: what cannot stand in an answer does not break it.
func TestBrokenPropertiesAreLeftOut(t *testing.T) {
	d := newDrive(t)
	var set []davfs.Property
	for local, inner := range map[string]string{
		"open": "<a>", "close": "</x:close>", "entity": "&x;", "prefix": "<q:a/>", "control": "\x01", "bad utf-8": "\xff",
		"><D:getetag>": "x", "": "x", "1": "x", "good": "fine", "doctype": "<!DOCTYPE a>", "cdata": "<![CDATA[",
		"siblings": `</x:siblings><D:getetag>"forged"</D:getetag><x:siblings xmlns:x="urn:x">`, "text": "</x:text>forged<x:text xmlns:x='urn:x'>",
	} {
		set = append(set, davfs.Property{XMLName: xml.Name{Space: "urn:x", Local: local}, InnerXML: []byte(inner)})
	}
	for local := range map[string]bool{"getetag": true, "getcontentlength": true, "resourcetype": true} {
		set = append(set, davfs.Property{XMLName: xml.Name{Space: "DAV:", Local: local}, InnerXML: []byte("forged")})
	}
	if err := d.tree.PatchProps(t.Context(), "/top", davfs.PropPatch{Set: set}); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"", `<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>`, find("<x:open/><x:good/>")} {
		w := d.want(http.StatusMultiStatus, "PROPFIND", "/top", body, "Depth", "0")
		parses(t, w.Body.String())
		if !has(w, `<x:good xmlns:x="urn:x"`) || strings.Count(w.Body.String(), "<D:getetag") > 1 || has(w, "forged") {
			t.Errorf("PROPFIND %s: %s", body, w.Body)
		}
	}
}

// Locks and conditions hold at the commit too.
func TestProppatchIsCheckedAgain(t *testing.T) {
	d := newDrive(t)
	d.tree.Before(func(method, _ string) {
		if method == "PatchProps" {
			d.tree.Before(nil)
			d.lock("/top")
		}
	})
	d.want(http.StatusLocked, "PROPPATCH", "/top", update("<x:p>v</x:p>"))
	etag := d.do("HEAD", "/d/f", "").Header().Get("ETag")
	d.tree.Before(func(method, _ string) {
		if method == "PatchProps" {
			d.tree.Before(nil)
			d.put("/d/f", "by another")
		}
	})
	d.want(http.StatusPreconditionFailed, "PROPPATCH", "/d/f", update("<x:p>v</x:p>"), "If-Match", etag)
	if w := d.do("PROPFIND", "/d", "", "Depth", "1"); has(w, "urn:x") {
		t.Errorf("a refused PROPPATCH has set something: %s", w.Body)
	}
}
