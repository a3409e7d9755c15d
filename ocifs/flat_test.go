package ocifs

import (
	"errors"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

var flatIn = flatLayout{repo: "team/files"}

// TestFlatTags nails the format: what is written under a tag must be found under it by any later version.
func TestFlatTags(t *testing.T) {
	long := strings.Repeat("a", 100)
	for _, tt := range []struct{ dir, name, file, marker string }{
		{"/", "report.pdf", "report.pdf", "_b.report.pdf"},
		{"/", "my file.txt", "_.my_20file.txt", "_b.my_20file.txt"},
		{"/", "_f.x", "_._5ff.x", "_b._5ff.x"},
		{"/", "_b.x", "_._5fb.x", "_b._5fb.x"},
		{"/", long + long[:28], long + long[:28], "_c.na3m6e52yqaosecqohgwv5dqqtp2zlkolyyczff75usoae5pw47a"},
		{"/reports/2026", "summary.pdf", "_f.e713e3a1461f4729dcea1513.summary.pdf", "_f.e713e3a1461f4729dcea1513._b.summary.pdf"},
		{"/reports/2026", ".x", "_f.e713e3a1461f4729dcea1513._..x", "_f.e713e3a1461f4729dcea1513._b..x"},
		{"/a", long, "_f.6a50dc8584134c7de537c005." + long, "_f.6a50dc8584134c7de537c005._c.falfs6ei4sqnhi3lqk4dgfvlgjua5ohqb6gnhoie22asi3jiliha"},
		{"/a", long + "a", "_f.6a50dc8584134c7de537c005._h.tudzgolzsg2xvgnaprxgwsusxk3i3p3aknc42c4h6oc2isfhe26a", "_f.6a50dc8584134c7de537c005._c.tudzgolzsg2xvgnaprxgwsusxk3i3p3aknc42c4h6oc2isfhe26a"},
		{"/caf\u00e9", "x", "_f.a434c8fb44ab6b773c8921e9.x", "_f.a434c8fb44ab6b773c8921e9._b.x"},
		{"/cafe\u0301", "x", "_f.a434c8fb44ab6b773c8921e9.x", "_f.a434c8fb44ab6b773c8921e9._b.x"},
		{"/My Docs", "x", "_f.ef46a111bd5c945ccb3255e6.x", "_f.ef46a111bd5c945ccb3255e6._b.x"},
	} {
		d, err := flatIn.directory(tt.dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.file(tt.name); got != tt.file {
			t.Errorf("the file %q in %s has the tag %q, want %q", tt.name, tt.dir, got, tt.file)
		}
		if got := d.marker(tt.name); got != tt.marker {
			t.Errorf("the directory %q in %s has the tag %q, want %q", tt.name, tt.dir, got, tt.marker)
		}
		if d.repo != "team/files" {
			t.Errorf("%s is in %s", tt.dir, d.repo)
		}
	}
	deep := strings.Repeat("/"+strings.Repeat("x", 255), 100)
	if d, err := flatIn.directory(deep); err != nil || len(d.key) != keyBytes {
		t.Errorf("a deep directory: %v, %v", d, err)
	}
	if _, err := flatIn.directory("/a/" + strings.Repeat("x", 256)); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a name that cannot be: %v", err)
	}
}

// TestFlatForeign: tags of the path layout, of other directories, and such as nobody writes are none of a directory.
func TestFlatForeign(t *testing.T) {
	d, err := flatIn.directory("/a")
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{
		"", "x", "_b.x", d.key, d.key + "_d.x", d.key + "_e.x", d.key + "_f.x", d.key + "_.x", d.key + "_l.flat", "_f." + strings.Repeat("0", 24) + ".x",
	} {
		if name, kind := d.nameOf(tag); kind != tagForeign {
			t.Errorf("%q is %q, %v", tag, name, kind)
		}
	}
	root, _ := flatIn.directory("/")
	for _, tag := range []string{"_d.x", "_e.x", d.key + "x", d.key, "_f.x", "_l.flat"} {
		if name, kind := root.nameOf(tag); kind != tagForeign {
			t.Errorf("in the root %q is %q, %v", tag, name, kind)
		}
	}
	for _, tag := range []string{"_b.x", d.key + "x"} { // nor do those of the flat layout mean anything in the other
		if name, kind := in.nameOf(tag); kind != tagForeign {
			t.Errorf("in the path layout %q is %q, %v", tag, name, kind)
		}
	}
}

func FuzzFlat(f *testing.F) {
	for _, s := range []string{"/a", "/a/b", "/A b/_f.x", "/ä/a\u0308", "/a/" + strings.Repeat("é", 60), "/_b.x/.x", "/a/" + strings.Repeat("x", 101)} {
		f.Add(s)
	}
	grammar := regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	f.Fuzz(func(t *testing.T, name string) {
		name = path.Clean("/" + name)
		nfc := norm.NFC.String(name)
		d, err := flatIn.directory(path.Dir(name))
		base, nfcBase := path.Base(name), path.Base(nfc)
		if err != nil || checkName(base) != nil || checkName(nfcBase) != nil {
			return
		}
		for _, kind := range []tagKind{tagFile, tagDirectory} {
			tag := d.tagOf(base, kind)
			if !grammar.MatchString(tag) || !strings.HasPrefix(tag, d.key) {
				t.Fatalf("%q has the tag %q", name, tag)
			}
			if got := flatIn.of("team/files", tag); got != d {
				t.Fatalf("%q is in %v, its tag %q in %v", name, d, tag, got)
			}
			if back, k := d.nameOf(tag); k != kind || back != "" && back != nfcBase || back == "" && len(tag) != len(d.key)+55 {
				t.Fatalf("%q -> %q -> %q, kind %v", name, tag, back, k)
			}
			if _, k := in.nameOf(tag); d.key != "" && k != tagForeign || kind == tagDirectory && k != tagForeign {
				t.Fatalf("%q has the tag %q, which is one of the path layout too", name, tag)
			}
		}
		if d.file(base) == d.marker(base) || d.file(base) == d.index() {
			t.Fatalf("%q shares its tag", name)
		}
	})
}
