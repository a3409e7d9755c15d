package treetest

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"ocidav/davfs"
)

// hostile are names that some storage could take for something else.
var hostile = []string{
	"with space", " leading", "trailing ", "100%", "%2e", "a%20b", "#hash", "what?", "semi;colon", "a+b", "a&b",
	"<tag>", `"quoted"`, "it's", "back\\slash", "co:lon", "at@sign", "a=b", "[x]", "{y}", "a,b", "star*", "pipe|",
	".hidden", "..two", "...", "-dash", "_under", "_.dot", "_d.x", "_e.x", "_h.x", "_x.y", "_d.", "x.dir", "x.root",
	"sha256-" + strings.Repeat("0123456789abcdef", 4), "sha256-x", "latest", "tags", "blobs", "manifests", "uploads",
	"index.json", "oci-layout", "UPPER", "upper", "a..b", "a__b", "a--b", "a.-b", "end.", "end-", "~tilde", "~$x.docx",
	"\u00fcml\u00e4ut", "\u65e5\u672c\u8a9e", "\U0001f4be disk", "zero\u200bwidth", "$HOME", "`id`",
	strings.Repeat("a", 128), strings.Repeat("b", 129), strings.Repeat("c", 255), strings.Repeat("\u20ac", 85),
	strings.Repeat("D", 200) + ".txt", strings.Repeat("D", 200) + ".txd",
}

func (s *suite) names() {
	names := slices.Clone(hostile)
	if s.Short {
		names = slices.DeleteFunc(names, func(n string) bool { return len(n)%3 == 1 && len(n) < 128 })
	}
	s.mkdir("/files", "/dirs")
	for _, n := range names {
		s.put("/files/"+n, "content of "+n)
		s.mkdir("/dirs/" + n)
	}
	slices.Sort(names)
	var dirs []string
	for _, n := range names {
		dirs = append(dirs, n+"/")
	}
	s.hasMembers("/files", names...)
	s.hasMembers("/dirs", dirs...)
	for i, n := range names {
		s.hasFile("/files/"+n, "content of "+n)
		if got := s.stat("/dirs/" + n).Name(); got != n {
			s.Errorf("directory %q is called %q", n, got)
		}
		if i%4 == 0 || !s.Short {
			s.put("/dirs/"+n+"/"+n, "x")
			s.hasMembers("/dirs/"+n, n)
		}
	}
	for i, n := range names {
		if i%2 == 0 {
			for _, dir := range []string{"/files/", "/dirs/"} {
				if err := s.tree.RemoveAll(s.ctx, dir+n, nil); err != nil {
					s.Errorf("RemoveAll %q: %v", dir+n, err)
				}
			}
		}
	}
	var left []string
	for i, n := range names {
		if i%2 == 1 {
			left = append(left, n)
		}
	}
	s.hasMembers("/files", left...)
}

// normalisation: a name in NFC and in NFD is one name, and an upper case letter is another letter.
func (s *suite) normalisation() {
	const nfc, nfd = "caf\u00e9", "cafe\u0301"
	s.put("/"+nfc, "1")
	s.hasFile("/"+nfd, "1")
	s.put("/"+nfd, "2")
	s.hasFile("/"+nfc, "2")
	s.hasMembers("/", nfc)
	s.wantErr("Mkdir by the other spelling", s.tree.Mkdir(s.ctx, "/"+nfd, nil), fs.ErrExist)

	// Another spelling is no other place: whatever the tree makes of it, the file must not be replaced by itself and
	// then removed.
	if err := s.tree.Rename(s.ctx, "/"+nfc, "/"+nfd, nil); err != nil && !errors.Is(err, fs.ErrInvalid) {
		s.Errorf("Rename to the other spelling: %v", err)
	}
	s.hasFile("/"+nfc, "2")
	if l, err := s.tree.ReadDir(s.ctx, "/"); err != nil || len(l) != 1 {
		s.Errorf("there are %d members after a rename to another spelling, %v", len(l), err)
	}
	_, err := s.tree.Copy(s.ctx, "/"+nfc, "/"+nfd, nil)
	s.wantErr("Copy to the other spelling", err, fs.ErrInvalid)
	s.hasFile("/"+nfd, "2")
	if err := s.tree.RemoveAll(s.ctx, "/"+nfd, nil); err != nil {
		s.Errorf("RemoveAll by another spelling: %v", err)
	}
	s.isAbsent("/" + nfc)

	s.mkdir("/d\u00fc")
	s.put("/du\u0308/f", "3")
	s.hasFile("/d\u00fc/f", "3")
	s.put("/Case", "upper")
	s.put("/case", "lower")
	s.mkdir("/CASE", "/cASE")
	s.hasMembers("/", "CASE/", "Case", "cASE/", "case", "d\u00fc/")
	s.hasFile("/Case", "upper")
	s.put("/CASE/f", "x")
	s.hasMembers("/cASE")
}

func (s *suite) absent() {
	s.mkdir("/d")
	for _, name := range []string{"/x", "/d/x", "/x/y", "/x/y/z"} {
		_, err := s.tree.Stat(s.ctx, name)
		s.wantErr("Stat "+name, err, fs.ErrNotExist)
		_, err = s.tree.ReadDir(s.ctx, name)
		s.wantErr("ReadDir "+name, err, fs.ErrNotExist)
		s.wantErr("RemoveAll "+name, s.tree.RemoveAll(s.ctx, name, nil), fs.ErrNotExist)
		s.wantErr("Rename "+name, s.tree.Rename(s.ctx, name, "/t", nil), fs.ErrNotExist)
		_, err = s.tree.Copy(s.ctx, name, "/t", nil)
		s.wantErr("Copy "+name, err, fs.ErrNotExist)
		s.wantErr("PatchProps "+name, s.tree.PatchProps(s.ctx, name, davfs.PropPatch{Set: []davfs.Property{prop("u:", "p", "v")}}),
			fs.ErrNotExist)
	}
	s.put("/f", "f")
	for _, name := range []string{"/x/y", "/x/y/z"} { // no parent
		s.wantErr("Mkdir "+name, s.tree.Mkdir(s.ctx, name, nil), fs.ErrNotExist)
		_, err := s.tree.Put(s.ctx, name, strings.NewReader("x"), davfs.PutOptions{})
		s.wantErr("Put "+name, err, fs.ErrNotExist)
		_, err = s.tree.Copy(s.ctx, "/f", name, nil)
		s.wantErr("Copy to "+name, err, fs.ErrNotExist)
		s.wantErr("Rename to "+name, s.tree.Rename(s.ctx, "/f", name, nil), fs.ErrNotExist)
		s.wantErr("Rename of a directory to "+name, s.tree.Rename(s.ctx, "/d", name, nil), fs.ErrNotExist)
	}
	s.hasMembers("/", "d/", "f")
	s.hasMembers("/d")
}

// taken: one name is one thing.
func (s *suite) taken() {
	s.mkdir("/d")
	s.put("/d/member", "m")
	s.put("/f", "f")
	s.wantErr("Mkdir of a directory", s.tree.Mkdir(s.ctx, "/d", nil), fs.ErrExist)
	s.wantErr("Mkdir of a file", s.tree.Mkdir(s.ctx, "/f", nil), fs.ErrExist)
	_, err := s.tree.Put(s.ctx, "/d", strings.NewReader("x"), davfs.PutOptions{})
	s.wantErr("Put of a directory", err, fs.ErrExist)
	if _, err := s.tree.ReadDir(s.ctx, "/f"); err == nil {
		s.Error("ReadDir of a file succeeds")
	}
	s.hasMembers("/", "d/", "f")
	s.hasMembers("/d", "member")
	s.hasFile("/f", "f")
}

func (s *suite) parentIsFile() {
	s.put("/f", "f")
	s.put("/g", "g")
	_, err := s.tree.Stat(s.ctx, "/f/x")
	s.wantErr("Stat below a file", err, fs.ErrNotExist)
	s.wantErr("Mkdir below a file", s.tree.Mkdir(s.ctx, "/f/x", nil), fs.ErrNotExist)
	_, err = s.tree.Put(s.ctx, "/f/x", strings.NewReader("x"), davfs.PutOptions{})
	s.wantErr("Put below a file", err, fs.ErrNotExist)
	_, err = s.tree.Copy(s.ctx, "/g", "/f/x", nil)
	s.wantErr("Copy below a file", err, fs.ErrNotExist)
	s.wantErr("Rename below a file", s.tree.Rename(s.ctx, "/g", "/f/x", nil), fs.ErrNotExist)
	s.wantErr("RemoveAll below a file", s.tree.RemoveAll(s.ctx, "/f/x", nil), fs.ErrNotExist)
	s.hasFile("/f", "f")
	s.hasFile("/g", "g")
}

// tree makes a directory with members and sub-directories.
func (s *suite) treeAt(d string) {
	s.Helper()
	s.mkdir(d, d+"/sub", d+"/sub/deep", d+"/empty")
	s.put(d+"/a", "a of "+d)
	s.put(d+"/empty file", "")
	s.put(d+"/sub/b", "b of "+d)
	s.put(d+"/sub/deep/c", "c of "+d)
}

// hasTree checks for what treeAt(of) made, now at d.
func (s *suite) hasTree(d, of string) {
	s.Helper()
	s.hasMembers(d, "a", "empty/", "empty file", "sub/")
	s.hasMembers(d+"/sub", "b", "deep/")
	s.hasMembers(d + "/empty")
	s.hasFile(d+"/a", "a of "+of)
	s.hasFile(d+"/empty file", "")
	s.hasFile(d+"/sub/b", "b of "+of)
	s.hasFile(d+"/sub/deep/c", "c of "+of)
}

func (s *suite) remove() {
	s.treeAt("/d")
	s.put("/f", "f")
	s.put("/g", "g")
	if err := s.tree.RemoveAll(s.ctx, "/f", nil); err != nil {
		s.Errorf("RemoveAll of a file: %v", err)
	}
	s.isAbsent("/f")
	if err := s.tree.RemoveAll(s.ctx, "/d", nil); err != nil {
		s.Errorf("RemoveAll of a directory: %v", err)
	}
	for _, name := range []string{"/d", "/d/a", "/d/sub", "/d/sub/deep/c"} {
		s.isAbsent(name)
	}
	s.hasMembers("/", "g")
	s.wantErr("second RemoveAll", s.tree.RemoveAll(s.ctx, "/d", nil), fs.ErrNotExist)
	s.put("/f", "again")
	s.hasFile("/f", "again")
}

func (s *suite) removedDirectoryIsEmpty() {
	for range s.count(3, 2) {
		s.treeAt("/d")
		s.patch("/d", []davfs.Property{prop("urn:x", "p", "v")})
		if err := s.tree.RemoveAll(s.ctx, "/d", nil); err != nil {
			s.Fatal(err)
		}
		s.mkdir("/d")
		s.hasMembers("/d")
		s.hasProps("/d")
		s.mkdir("/d/sub")
		s.hasMembers("/d/sub")
		s.isAbsent("/d/sub/b")
		if err := s.tree.RemoveAll(s.ctx, "/d", nil); err != nil {
			s.Fatal(err)
		}
	}
	// A name changes its kind.
	s.put("/d", "file")
	s.hasFile("/d", "file")
	if err := s.tree.RemoveAll(s.ctx, "/d", nil); err != nil {
		s.Fatal(err)
	}
	s.mkdir("/d")
	s.hasMembers("/d")
}

func (s *suite) rename() {
	s.put("/f", "f")
	s.treeAt("/d")
	s.mkdir("/e")
	for _, m := range [][2]string{{"/f", "/e/g"}, {"/e/g", "/e/h"}, {"/d", "/e/x"}, {"/e/x", "/y"}} {
		if err := s.tree.Rename(s.ctx, m[0], m[1], nil); err != nil {
			s.Fatalf("Rename %s to %s: %v", m[0], m[1], err)
		}
		s.isAbsent(m[0])
		if got := s.stat(m[1]).Name(); got != path.Base(m[1]) {
			s.Errorf("after Rename to %s the name is %q", m[1], got)
		}
	}
	s.hasFile("/e/h", "f")
	s.hasTree("/y", "/d")
	s.isAbsent("/d/sub/b")
	s.hasMembers("/", "e/", "y/")
	s.mkdir("/d") // nothing of what was there is left
	s.hasMembers("/d")
}

func (s *suite) renameReplaces() {
	s.put("/f", "f")
	s.put("/g", "g")
	if err := s.tree.Rename(s.ctx, "/f", "/g", nil); err != nil {
		s.Fatalf("Rename of a file over a file: %v", err)
	}
	s.hasFile("/g", "f")
	s.treeAt("/d")
	s.treeAt("/e")
	s.put("/e/only in e", "x")
	if err := s.tree.Rename(s.ctx, "/d", "/e", nil); err != nil {
		s.Fatalf("Rename of a directory over a directory: %v", err)
	}
	s.hasTree("/e", "/d")
	if err := s.tree.Rename(s.ctx, "/e", "/g", nil); err != nil {
		s.Fatalf("Rename of a directory over a file: %v", err)
	}
	s.hasTree("/g", "/d")
	s.put("/h", "h")
	if err := s.tree.Rename(s.ctx, "/h", "/g", nil); err != nil {
		s.Fatalf("Rename of a file over a directory: %v", err)
	}
	s.hasFile("/g", "h")
	s.hasMembers("/", "g")
}

func (s *suite) copy() {
	s.treeAt("/d")
	fi, err := s.tree.Copy(s.ctx, "/d", "/e", nil)
	if err != nil {
		s.Fatalf("Copy of a directory: %v", err)
	}
	if !fi.IsDir() || fi.Name() != "e" {
		s.Errorf("Copy describes %q", fi.Name())
	}
	s.hasTree("/e", "/d")
	s.hasTree("/d", "/d")
	fi, err = s.tree.Copy(s.ctx, "/d/a", "/e/sub/a copy", nil)
	if err != nil {
		s.Fatalf("Copy of a file: %v", err)
	}
	if fi.Name() != "a copy" || etagOf(s, fi) != etagOf(s, s.stat("/d/a")) {
		s.Errorf("Copy describes %q with another ETag", fi.Name())
	}
	s.hasFile("/e/sub/a copy", "a of /d")

	// Copies live on their own.
	s.put("/d/a", "changed")
	s.hasFile("/e/a", "a of /d")
	if err := s.tree.RemoveAll(s.ctx, "/d", nil); err != nil {
		s.Fatal(err)
	}
	s.hasFile("/e/sub/a copy", "a of /d")
	s.hasFile("/e/sub/deep/c", "c of /d")
}

func (s *suite) copyReplaces() {
	s.put("/f", "f")
	s.put("/g", "g")
	s.treeAt("/d")
	s.treeAt("/e")
	s.put("/e/only in e", "x")
	for _, c := range [][2]string{{"/f", "/g"}, {"/d", "/e"}} {
		if _, err := s.tree.Copy(s.ctx, c[0], c[1], nil); err != nil {
			s.Fatalf("Copy %s over %s: %v", c[0], c[1], err)
		}
	}
	s.hasFile("/g", "f")
	s.hasTree("/e", "/d")
	for _, c := range [][2]string{{"/d", "/g"}, {"/f", "/e"}} {
		if _, err := s.tree.Copy(s.ctx, c[0], c[1], nil); err != nil {
			s.Fatalf("Copy %s over %s: %v", c[0], c[1], err)
		}
	}
	s.hasTree("/g", "/d")
	s.hasFile("/e", "f")
	s.hasTree("/d", "/d")
	s.hasFile("/f", "f")
}

func (s *suite) intoItself() {
	s.treeAt("/d")
	s.put("/f", "f")
	for _, c := range [][2]string{
		{"/d", "/d"}, {"/d", "/d/new"}, {"/d", "/d/sub"}, {"/d", "/d/sub/deep/new"}, {"/d/sub", "/d"},
		{"/d/sub/b", "/d"}, {"/d/sub/b", "/d/sub"}, {"/f", "/f"}, {"/d", "/"}, {"/f", "/"},
	} {
		_, err := s.tree.Copy(s.ctx, c[0], c[1], nil)
		s.wantErr(fmt.Sprintf("Copy %s to %s", c[0], c[1]), err, fs.ErrInvalid)
		s.wantErr(fmt.Sprintf("Rename %s to %s", c[0], c[1]), s.tree.Rename(s.ctx, c[0], c[1], nil), fs.ErrInvalid)
	}
	// Another spelling of a name is the name.
	const nfc, nfd = "/caf\u00e9", "/cafe\u0301"
	if s.tree.Key(nfc) == s.tree.Key(nfd) {
		s.treeAt(nfc)
		for _, c := range [][2]string{
			{nfc, nfd + "/sub"}, {nfc, nfd + "/new"}, {nfc + "/sub", nfd}, {nfc + "/a", nfd}, {nfd + "/sub/b", nfc}, {nfd, nfc + "/new"},
		} {
			_, err := s.tree.Copy(s.ctx, c[0], c[1], nil)
			s.wantErr(fmt.Sprintf("Copy %s to %s", c[0], c[1]), err, fs.ErrInvalid)
			s.wantErr(fmt.Sprintf("Rename %s to %s", c[0], c[1]), s.tree.Rename(s.ctx, c[0], c[1], nil), fs.ErrInvalid)
		}
		s.hasTree(nfd, nfc)
	}
	s.wantErr("Rename of the root", s.tree.Rename(s.ctx, "/", "/x", nil), fs.ErrInvalid)
	s.hasTree("/d", "/d")
	s.hasFile("/f", "f")
	s.put("/d.txt", "no member of /d") // a prefix of a name is no ancestor
	if err := s.tree.Rename(s.ctx, "/d", "/d2", nil); err != nil {
		s.Errorf("Rename /d to /d2: %v", err)
	}
	s.hasTree("/d2", "/d")
}

func (s *suite) largeListing() {
	n := s.count(200, 30)
	s.mkdir("/d")
	var want []string
	for i := range n {
		name := fmt.Sprintf("%03d file", i)
		if i%10 == 0 {
			s.mkdir("/d/" + name)
			want = append(want, name+"/")
		} else {
			s.put("/d/"+name, strings.Repeat("x", i))
			want = append(want, name)
		}
	}
	s.hasMembers("/d", want...)
	l, err := s.tree.ReadDir(s.ctx, "/d")
	if err != nil {
		s.Fatal(err)
	}
	for i, fi := range l {
		if i%10 != 0 && fi.Size() != int64(i) {
			s.Errorf("%s is listed with %d bytes, want %d", fi.Name(), fi.Size(), i)
		}
	}
	// What is listed can be opened as it is.
	if got := s.read("/d/"+l[n-1].Name(), l[n-1]); len(got) != n-1 {
		s.Errorf("a listed file has %d bytes, want %d", len(got), n-1)
	}
}
