package ocifs

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// in is a directory of the path layout: the tags of all of them are the same.
var in = directory{repo: "any"}

func TestFileTag(t *testing.T) {
	long := strings.Repeat("a", 128)
	for _, tt := range []struct{ name, tag string }{
		{"report.pdf", "report.pdf"},
		{"Makefile", "Makefile"},
		{"_x", "_x"},
		{"__init__.py", "__init__.py"},
		{"a_b-c.d", "a_b-c.d"},
		{"v1.0.0", "v1.0.0"},
		{long, long},
		{"my file.txt", "_.my_20file.txt"},
		{".gitignore", "_..gitignore"},
		{"-x", "_.-x"},
		{"_.x", "_._5f.x"},
		{"_d.x", "_._5fd.x"},
		{"_Z.x", "_._5fZ.x"},
		{"sha256-" + strings.Repeat("0", 64), "_.sha256-" + strings.Repeat("0", 64)},
		{"sha256-" + strings.Repeat("0", 64) + ".sig", "_.sha256-" + strings.Repeat("0", 64) + ".sig"},
		{"sha256-notes.txt", "sha256-notes.txt"},
		{"ä", "_._c3_a4"},
		{"a\u0308", "_._c3_a4"},
		{"100%", "_.100_25"},
		{long + "a", "_h.yewlajfc4vkrzsqobd6or4of4mkfkxgd733dfhxjssr5w5jbm2xa"},
	} {
		if got := in.file(tt.name); got != tt.tag {
			t.Errorf("file(%q) = %q, want %q", tt.name, got, tt.tag)
		}
	}
}

func TestMarkerTag(t *testing.T) {
	for _, tt := range []struct{ name, tag string }{
		{"src", "_d.src"},
		{"My Docs", "_d.My_20Docs"},
		{"_d.x", "_d._5fd.x"},
		{strings.Repeat("b", 125), "_d." + strings.Repeat("b", 125)},
	} {
		if got := in.marker(tt.name); got != tt.tag {
			t.Errorf("marker(%q) = %q, want %q", tt.name, got, tt.tag)
		}
	}
	if got := in.marker(strings.Repeat("b", 126)); !strings.HasPrefix(got, "_e.") || len(got) != 55 {
		t.Errorf("a long directory name has the tag %q", got)
	}
}

func TestComponent(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"src", "src"},
		{"a.b-c_d", "a.b-c_d"},
		{"My Docs", "x.my-docs.g34ptuaj55"},
		{"a--b", "x.a-b.scbhulswgy"},
		{"a__b", "x.a-b.mps4drcv2a"},
		{"blobs", "x.blobs.hkr2tfhkf7"},
		{"x.y", "x.x-y.wjgktn26w6"},
		{"日本", "x.z4vl6dc34m"},
		{strings.Repeat("Z", 100), "x." + strings.Repeat("z", 32) + ".oel7tjkaxn"},
	} {
		got := component(tt.name)
		if !plainComponent.MatchString(got) {
			t.Errorf("component(%q) = %q, which is no path component", tt.name, got)
		}
		if got != tt.want {
			t.Errorf("component(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestRepository(t *testing.T) {
	for _, tt := range []struct {
		layout    pathLayout
		dir, want string
	}{
		{pathLayout{"h", "team/files"}, "/", "team/files"},
		{pathLayout{"h", "team/files"}, "/a/b", "team/files/a/b"},
		{pathLayout{"h", ""}, "/", "x.root"},
		{pathLayout{"h", ""}, "/a", "a"},
	} {
		if got, err := tt.layout.directory(tt.dir); got.repo != tt.want || err != nil {
			t.Errorf("repository(%q) under %q = %q, %v, want %q", tt.dir, tt.layout.prefix, got.repo, err, tt.want)
		}
	}
	deep := "/" + strings.Repeat("d/", 126) + "e"
	if _, err := (pathLayout{"h", ""}).directory(deep); err != nil {
		t.Errorf("255 characters: %v", err)
	}
	_, err := pathLayout{"hh", ""}.directory(deep)
	if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "255") {
		t.Errorf("256 characters: %v, want an error that names the limit", err)
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "a\x00b", "a\nb", "\x7f", "\xff", "a\u0085b", strings.Repeat("x", 256)} {
		if err := checkName(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("checkName(%q) = %v, want fs.ErrInvalid", name, err)
		}
	}
	for _, name := range []string{"...", " ", "a\\b", `"*?<>|:`, strings.Repeat("x", 255), "🦊"} {
		if err := checkName(name); err != nil {
			t.Errorf("checkName(%q) = %v", name, err)
		}
	}
}

func TestNameOfForeignTags(t *testing.T) {
	for _, tag := range []string{
		"_.report.pdf",     // would be written as it is
		"_._5F",            // upper-case hex
		"_._5",             // cut
		"_.a b",            // not in the alphabet
		"_.a_2fb", "_._00", // names that cannot be
		"_q.x", "_.", "_d.", "_h.short", "_e.",
		"sha256-" + strings.Repeat("a", 64),
		"sha256-" + strings.Repeat("a", 64) + ".sig",
	} {
		if name, kind := in.nameOf(tag); kind != tagForeign {
			t.Errorf("nameOf(%q) = %q, %v, want foreign", tag, name, kind)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"a", "A b", "_d.x", "ä", "a\u0308", ".x", "%2F", "sha256-" + strings.Repeat("0", 64), strings.Repeat("é", 120)} {
		f.Add(s)
	}
	tagGrammar := regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	f.Fuzz(func(t *testing.T, name string) {
		nfc := norm.NFC.String(name)
		if checkName(name) != nil || checkName(nfc) != nil {
			return
		}
		for _, kind := range []tagKind{tagFile, tagDirectory} {
			tag := in.tagOf(name, kind)
			if !tagGrammar.MatchString(tag) {
				t.Fatalf("%q has the tag %q, which is none", name, tag)
			}
			back, k := in.nameOf(tag)
			if k != kind || back != "" && back != nfc || back == "" && len(tag) != 55 {
				t.Fatalf("%q -> %q -> %q, kind %v", name, tag, back, k)
			}
		}
		if in.file(name) == in.marker(name) {
			t.Fatalf("file and directory %q share a tag", name)
		}
		if c := component(name); !plainComponent.MatchString(c) || reservedComponents[c] {
			t.Fatalf("%q has the component %q", name, c)
		}
	})
}

func FuzzNameOf(f *testing.F) {
	for _, s := range []string{"a", "_.a_20b", "_d.x", "_._5f", "_h.x", "_", "_.", "__"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		if name, kind := in.nameOf(tag); kind != tagForeign && name != "" && in.tagOf(name, kind) != tag {
			t.Fatalf("%q -> %q -> %q", tag, name, in.tagOf(name, kind))
		}
	})
}

// FuzzTagGrammar holds what is written by hand to the expressions that it stands for.
func FuzzTagGrammar(f *testing.F) {
	for _, s := range []string{"", "a", "_", "_.", "_a.", "_aa.", "-a", ".a", "a.-_B9", "_9.", "a b", "ä", strings.Repeat("x", 128), strings.Repeat("x", 129)} {
		f.Add(s)
	}
	tag, reserved := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`), regexp.MustCompile(`^_[A-Za-z]?\.`)
	f.Fuzz(func(t *testing.T, s string) {
		if isTag(s) != tag.MatchString(s) && !strings.HasSuffix(s, "\n") || isReserved(s) != reserved.MatchString(s) {
			t.Errorf("%q: %t, %t", s, isTag(s), isReserved(s))
		}
	})
}

func BenchmarkNameOf(b *testing.B) {
	for b.Loop() {
		in.nameOf("quarterly-report_2026.pdf")
	}
}
