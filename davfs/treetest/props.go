package treetest

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"

	"ocidav/davfs"
)

func (s *suite) props() {
	s.put("/f", "f")
	s.mkdir("/d")
	x := func(local string) xml.Name { return xml.Name{Space: "urn:x", Local: local} }
	for _, name := range []string{"/f", "/d", "/"} {
		s.hasProps(name)
		if name == "/" && s.rootRefuses() {
			continue
		}
		inner := `<a xmlns="urn:y" k="&quot;">t&amp;t <b/> </a>` + "\n"
		s.patch(name, []davfs.Property{
			prop("urn:x", "one", "1"),
			prop("", "none", "no namespace"),
			{XMLName: x("lang"), Lang: "de", InnerXML: []byte(inner)},
			prop("urn:x", "high", "\U00010000"),
		})
		s.hasProps(name, "{urn:x}high =\U00010000", "{urn:x}lang de="+inner, "{urn:x}one =1", "{}none =no namespace")
		s.patch(name, []davfs.Property{prop("urn:x", "one", "2")}, x("lang"), x("absent"), xml.Name{Local: "none"})
		s.hasProps(name, "{urn:x}high =\U00010000", "{urn:x}one =2")
		// A name in both is set.
		s.patch(name, []davfs.Property{prop("urn:x", "one", "3")}, x("one"), x("high"))
		s.hasProps(name, "{urn:x}one =3")
		s.patch(name, nil, x("one"))
		s.hasProps(name)
	}
	s.hasFile("/f", "f")
	s.hasMembers("/", "d/", "f")

	var many []davfs.Property
	for i := range 100 {
		many = append(many, prop("urn:many", fmt.Sprintf("p%d", i), fmt.Sprint(i)))
	}
	s.patch("/f", many)
	if n := len(s.propsOf("/f")); n != 100 {
		s.Errorf("100 properties are kept as %d", n)
	}
}

// rootRefuses says whether the root keeps no properties. A tree that refuses them has to refuse all and keep none.
func (s *suite) rootRefuses() bool {
	err := s.tree.PatchProps(s.ctx, "/", davfs.PropPatch{Set: []davfs.Property{prop("urn:x", "p", "v")}})
	if errors.Is(err, fs.ErrPermission) {
		s.hasProps("/")
		return true
	}
	if err != nil {
		s.Fatalf("PatchProps of the root: %v", err)
	}
	s.patch("/", nil, xml.Name{Space: "urn:x", Local: "p"})
	s.hasProps("/")
	return false
}

// propsFollow: properties stay with a file that is overwritten, copied or moved, and go with it.
func (s *suite) propsFollow() {
	s.treeAt("/d")
	for _, name := range []string{"/d", "/d/a", "/d/sub", "/d/sub/b"} {
		s.patch(name, []davfs.Property{prop("urn:x", "of", name)})
	}
	fi := s.put("/d/a", "new content")
	if l, err := s.tree.Props(s.ctx, "/d/a", fi); err != nil || len(l) != 1 {
		s.Errorf("Props by the FileInfo of Put = %v, %v", l, err)
	}
	s.hasProps("/d/a", "{urn:x}of =/d/a")
	if _, err := s.tree.Copy(s.ctx, "/d", "/e", nil); err != nil {
		s.Fatal(err)
	}
	if err := s.tree.Rename(s.ctx, "/d", "/g", nil); err != nil {
		s.Fatal(err)
	}
	for _, at := range []string{"/e", "/g"} {
		for _, sub := range []string{"", "/a", "/sub", "/sub/b"} {
			s.hasProps(at+sub, "{urn:x}of =/d"+sub)
		}
	}
	l, err := s.tree.ReadDir(s.ctx, "/e")
	if err != nil {
		s.Fatal(err)
	}
	for _, fi := range l {
		want := 0
		if fi.Name() == "a" || fi.Name() == "sub" {
			want = 1
		}
		if p, err := s.tree.Props(s.ctx, "/e/"+fi.Name(), fi); err != nil || len(p) != want {
			s.Errorf("Props of the listed %s = %v, %v, want %d", fi.Name(), p, err, want)
		}
	}

	// A copy over a file brings its own properties.
	s.put("/f", "f")
	s.patch("/f", []davfs.Property{prop("urn:x", "old", "old")})
	if _, err := s.tree.Copy(s.ctx, "/e/a", "/f", nil); err != nil {
		s.Fatal(err)
	}
	s.hasProps("/f", "{urn:x}of =/d/a")
	s.patch("/f", []davfs.Property{prop("urn:x", "of", "f")})
	s.hasProps("/e/a", "{urn:x}of =/d/a")
	if err := s.tree.RemoveAll(s.ctx, "/f", nil); err != nil {
		s.Fatal(err)
	}
	s.put("/f", "f")
	s.hasProps("/f")
}
