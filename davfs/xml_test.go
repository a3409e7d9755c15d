package davfs

import (
	"strings"
	"testing"
	"unicode/utf16"
)

func TestParseXML(t *testing.T) {
	for s, ok := range map[string]bool{
		`<a/>`: true, `<?xml version="1.0"?><!-- c --><a/> ` + "\n": true, `<a><b/>text<b></b></a>`: true,
		`<x:a xmlns:x="urn:x" x:k="v"/>`: true, `<a xmlns="urn:x"><b xmlns=""/></a>`: true, `<a xml:lang="de"/>`: true,
		"\ufeff<a/>": true, `<?xml version="1.0" encoding="UTF-8" ?><a/>`: true, `<?xml version='1.0' encoding='us-ascii'?><a/>`: true,
		"<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><a>\xfc</a>": true,
		``: false, ` `: false, `text`: false, `<a>`: false, `</a>`: false, `<a></b>`: false, `<a/><b/>`: false, `<a/>x`: false,
		`<x:a/>`: false, `<a x:k="v"/>`: false, `<x:a xmlns:x=""/>`: false, `<x:a xmlns:x="u"></a>`: false, `<:a/>`: false,
		`<x:a:b xmlns:x="u"/>`: false, `<x:1 xmlns:x="u"/>`: false, `<a><b xmlns:x="u"/><x:c/></a>`: false,
		`<!DOCTYPE a><a/>`: false, `<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`: false, `<a>&b;</a>`: false, "<a>\xff</a>": false,
		"<a>\x00</a>": false, `<?xml version="1.0" encoding="koi8-r"?><a/>`: false, `<a k="1" `: false, `<a><?xml version="1.0"?></a>`: false, `<a><?pi x?></a>`: true, `<a`: false,
		strings.Repeat("<a>", 300) + strings.Repeat("</a>", 300):                false,
		"<a>" + strings.Repeat("<b/>", maxXMLElements) + "</a>":                 false,
		"<a>" + strings.Repeat(`<b xmlns:x="u"/>`, maxXMLNamespaces+1) + "</a>": false,
	} {
		if _, err := parseXML([]byte(s)); (err == nil) != ok {
			t.Errorf("%.60q: %v", s, err)
		}
	}
	for _, order := range []string{"big", "little"} {
		for _, mark := range []string{"\ufeff", ""} {
			var b []byte
			for _, u := range utf16.Encode([]rune(mark + `<?xml version="1.0" encoding="utf-16"?><a>ü</a>`)) {
				if order == "big" {
					b = append(b, byte(u>>8), byte(u))
				} else {
					b = append(b, byte(u), byte(u>>8))
				}
			}
			if e, err := parseXML(b); err != nil || string(e.text) != "ü" {
				t.Errorf("UTF-16, %s endian: %v, %v", order, e, err)
			}
		}
	}
	e, err := parseXML([]byte("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xfc</a>"))
	if err != nil || string(e.text) != "ü" {
		t.Errorf("Latin-1: %v, %v", e, err)
	}
}

// A value that grows by the declarations that it needs has an end too.
func TestContentIsBounded(t *testing.T) {
	long := strings.Repeat("u", 30_000)
	e, err := parseXML([]byte(`<a xmlns:x="` + long + `"><p>` + strings.Repeat("<x:a/>", 1000) + `</p></a>`))
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := e.children[0].content(maxProperty); ok {
		t.Errorf("a value of %d bytes", len(b))
	}
}
