package treetest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"ocidav/davfs"
)

func (s *suite) root() {
	if !s.stat("/").IsDir() {
		s.Error("the root is no directory")
	}
	s.hasMembers("/")
	s.wantErr("RemoveAll /", s.tree.RemoveAll(s.ctx, "/", nil), fs.ErrPermission)
	s.wantErr("Mkdir /", s.tree.Mkdir(s.ctx, "/", nil), fs.ErrExist)
	_, err := s.tree.Put(s.ctx, "/", strings.NewReader("x"), davfs.PutOptions{})
	s.wantErr("Put /", err, fs.ErrExist)
	s.hasMembers("/")
}

func (s *suite) contents() {
	for i, n := range []int64{0, 1, 100, 64<<10 - 1, 1<<20 + 1, s.Large} {
		want := noise(n, uint64(i))
		// The hint may be absent or wrong; the bytes count.
		for _, hint := range []int64{0, n, n + 10} {
			if hint != n && n > 1 && s.Short {
				continue
			}
			fi, err := s.tree.Put(s.ctx, "/f", strings.NewReader(string(want)), davfs.PutOptions{Size: hint})
			if err != nil {
				s.Fatalf("Put of %d bytes: %v", n, err)
			}
			if fi.Size() != n || fi.IsDir() || fi.Name() != "f" {
				s.Errorf("Put of %d bytes describes %q, %d bytes", n, fi.Name(), fi.Size())
			}
			if st := s.stat("/f"); etagOf(s, st) != etagOf(s, fi) {
				s.Errorf("%d bytes: Stat has ETag %s, Put had %s", n, etagOf(s, st), etagOf(s, fi))
			}
			if got := s.read("/f", fi); !equal(got, want) {
				s.Fatalf("%d bytes came back as %d others", n, len(got))
			}
		}
	}
	s.hasMembers("/", "f")
}

func (s *suite) seek() {
	want := noise(300_000, 1)
	fi := s.put("/f", string(want))
	f, err := s.tree.Open(s.ctx, "/f", fi)
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	sk, ok := f.(io.ReadSeeker)
	if !ok {
		s.Fatal("the file is no io.Seeker")
	}
	at, ok := f.(io.ReaderAt)
	if !ok {
		s.Fatal("the file is no io.ReaderAt")
	}
	if end, err := sk.Seek(0, io.SeekEnd); err != nil || end != int64(len(want)) {
		s.Fatalf("Seek to the end = %d, %v", end, err)
	}
	if n, err := sk.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		s.Errorf("Read at the end = %d, %v", n, err)
	}
	for _, off := range []int64{200_000, 0, 131_071, 299_999, 5} {
		if _, err := sk.Seek(off, io.SeekStart); err != nil {
			s.Fatal(err)
		}
		b := make([]byte, min(1000, len(want)-int(off)))
		if _, err := io.ReadFull(sk, b); err != nil || !equal(b, want[off:int(off)+len(b)]) {
			s.Errorf("read at %d: other bytes, %v", off, err)
		}
		c := make([]byte, len(b))
		if n, err := at.ReadAt(c, off); n != len(c) || err != nil && err != io.EOF || !equal(c, b) {
			s.Errorf("ReadAt %d = %d, %v", off, n, err)
		}
	}
	if n, err := at.ReadAt(make([]byte, 20), int64(len(want))-10); n != 10 || err != io.EOF {
		s.Errorf("ReadAt beyond the end = %d, %v, want 10, EOF", n, err)
	}
	if _, err := s.tree.Open(s.ctx, "/", s.stat("/")); !errors.Is(err, fs.ErrInvalid) {
		s.Errorf("Open of a directory: error %v, want %v", err, fs.ErrInvalid)
	}
}

func (s *suite) tornPut() {
	torn := errors.New("the cable is out")
	s.put("/old", "old content")
	for _, n := range []int64{0, 1, 4096, s.Large} {
		for _, name := range []string{"/old", "/new"} {
			r := &tornReader{strings.NewReader(string(noise(n, 3))), torn}
			_, err := s.tree.Put(s.ctx, name, r, davfs.PutOptions{Size: n + 1})
			if !errors.Is(err, torn) {
				s.Errorf("Put torn after %d bytes: error %v, want the reader's", n, err)
			}
		}
	}
	s.hasFile("/old", "old content")
	s.isAbsent("/new")
	s.hasMembers("/", "old")
}

// replacedWhileRead: what was described is what is read.
func (s *suite) replacedWhileRead() {
	before, after := string(noise(s.Large, 4)), string(noise(1000, 5))
	fi := s.put("/f", before)
	f, err := s.tree.Open(s.ctx, "/f", fi)
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	head := make([]byte, 1000)
	if _, err := io.ReadFull(f, head); err != nil {
		s.Fatal(err)
	}
	s.put("/f", after)
	rest, err := io.ReadAll(f)
	if err != nil || string(head)+string(rest) != before {
		s.Errorf("the reader of the old content got %d bytes, %v, not the old content", len(head)+len(rest), err)
	}
	if got := s.read("/f", fi); string(got) != before {
		s.Error("Open by the old FileInfo does not give the old content")
	}
	s.hasFile("/f", after)
}

func (s *suite) etag() {
	s.mkdir("/d")
	a := etagOf(s, s.put("/a", "content"))
	if len(a) < 3 || a[0] != '"' || a[len(a)-1] != '"' {
		s.Errorf("ETag %s is not quoted, or weak", a)
	}
	b := etagOf(s, s.put("/a", "contenT"))
	if a == b {
		s.Error("another content has the same ETag")
	}
	if c := etagOf(s, s.put("/d/b", "content")); c != a {
		s.Errorf("the same content has ETags %s and %s", a, c)
	}
	s.patch("/a", []davfs.Property{prop("urn:x", "p", "v")})
	if c := etagOf(s, s.stat("/a")); c != b {
		s.Error("PatchProps has changed the ETag")
	}
	l, err := s.tree.ReadDir(s.ctx, "/d")
	if err != nil || len(l) != 1 || etagOf(s, l[0]) != a {
		s.Errorf("ReadDir describes another ETag than Put: %v", err)
	}
}

func birthOf(fi fs.FileInfo) (time.Time, bool) {
	b, ok := fi.(interface{ BirthTime() time.Time })
	if !ok {
		return time.Time{}, false
	}
	return b.BirthTime(), true
}

func (s *suite) times() {
	start := time.Now().Add(-2 * time.Second)
	fi := s.put("/f", "1")
	if m := fi.ModTime(); m.Before(start) || m.After(time.Now().Add(2*time.Second)) {
		s.Errorf("a file of now has the time %v", m)
	}
	birth, hasBirth := birthOf(s.stat("/f"))

	want := time.Date(1999, 12, 31, 23, 59, 58, 123456789, time.UTC)
	if _, err := s.tree.Put(s.ctx, "/f", strings.NewReader("2"), davfs.PutOptions{ModTime: want}); err != nil {
		s.Fatal(err)
	}
	fi = s.stat("/f")
	if !sameSecond(fi.ModTime(), want) {
		s.Errorf("time %v was kept as %v", want, fi.ModTime())
	}
	if b, _ := birthOf(fi); hasBirth && !b.Equal(birth) {
		s.Errorf("Put over a file has changed its birth time from %v to %v", birth, b)
	}
	s.patch("/f", []davfs.Property{prop("urn:x", "p", "v")})
	if m := s.stat("/f").ModTime(); !m.Equal(fi.ModTime()) {
		s.Errorf("PatchProps has changed the time to %v", m)
	}
	if _, err := s.tree.Copy(s.ctx, "/f", "/g", nil); err != nil {
		s.Fatal(err)
	}
	if err := s.tree.Rename(s.ctx, "/f", "/h", nil); err != nil {
		s.Fatal(err)
	}
	for _, name := range []string{"/g", "/h"} {
		if m := s.stat(name).ModTime(); !m.Equal(fi.ModTime()) {
			s.Errorf("the time of the file at %s is %v, was %v", name, m, fi.ModTime())
		}
	}
	s.mkdir("/d")
	born := time.Date(1998, 7, 6, 5, 4, 3, 0, time.UTC)
	for _, name := range []string{"/g", "/d"} {
		before := s.stat(name)
		for _, p := range []davfs.PropPatch{{ModTime: want.Add(time.Hour)}, {BirthTime: born}} {
			if err := s.tree.PatchProps(s.ctx, name, p); err != nil {
				s.Fatal(err)
			}
		}
		fi := s.stat(name)
		b, _ := birthOf(fi)
		if !sameSecond(fi.ModTime(), want.Add(time.Hour)) || hasBirth && !sameSecond(b, born) {
			s.Errorf("PatchProps has set the times of %s to %v and %v", name, fi.ModTime(), b)
		}
		if !fi.IsDir() && etagOf(s, fi) != etagOf(s, before) {
			s.Errorf("PatchProps of the times has changed the ETag of %s", name)
		}
	}
	s.mkdir("/d/now")
	if m := s.stat("/d/now").ModTime(); m.Before(start) || m.After(time.Now().Add(2*time.Second)) {
		s.Errorf("a directory of now has the time %v", m)
	}
}

// checksums: digests that a client has sent along stay with the content, and go with it.
func (s *suite) checksums() {
	sums := func(name string) string {
		s.Helper()
		c, ok := s.stat(name).(interface{ Checksums() []string })
		if !ok {
			s.Skip("the tree keeps no checksums")
		}
		return strings.Join(slices.DeleteFunc(c.Checksums(), func(c string) bool {
			return strings.HasPrefix(c, "SHA256:") // which a tree may know by itself
		}), " ")
	}
	ended := false
	_, err := s.tree.Put(s.ctx, "/f", io.MultiReader(strings.NewReader("1"), readerFunc(func([]byte) (int, error) {
		ended = true
		return 0, io.EOF
	})), davfs.PutOptions{Checksums: func() []string {
		if !ended {
			s.Error("Checksums was called before the end of the content")
		}
		return []string{"SHA1:abc", "MD5:def"}
	}})
	if err != nil {
		s.Fatal(err)
	}
	if got := sums("/f"); got != "SHA1:abc MD5:def" {
		s.Errorf("the checksums are kept as %q", got)
	}
	s.patch("/f", []davfs.Property{prop("urn:x", "p", "v")})
	if _, err := s.tree.Copy(s.ctx, "/f", "/g", nil); err != nil {
		s.Fatal(err)
	}
	for _, name := range []string{"/f", "/g"} {
		if got := sums(name); got != "SHA1:abc MD5:def" {
			s.Errorf("the checksums of %s are now %q", name, got)
		}
	}
	s.put("/f", "2")
	if got := sums("/f"); got != "" {
		s.Errorf("a new content has the checksums %q of the old one", got)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (s *suite) contentType() {
	typeOf := func(name string) string {
		c, ok := s.stat(name).(interface {
			ContentType(context.Context) (string, error)
		})
		if !ok {
			s.Skip("the tree keeps no media types")
		}
		ctype, err := c.ContentType(s.ctx)
		if err != nil {
			s.Fatalf("ContentType: %v", err)
		}
		return ctype
	}
	o := davfs.PutOptions{ContentType: "text/x-own; charset=utf-8"}
	if _, err := s.tree.Put(s.ctx, "/f", strings.NewReader("x"), o); err != nil {
		s.Fatal(err)
	}
	if got := typeOf("/f"); got != o.ContentType {
		s.Errorf("media type %q was kept as %q", o.ContentType, got)
	}
	s.put("/f", "y")
	if got := typeOf("/f"); got == o.ContentType {
		s.Error("the media type of the replaced content is still there")
	}
}

func (s *suite) cancelled() {
	s.put("/f", "old")
	s.put("/g", "g")
	fi := s.stat("/f")
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	start := time.Now()
	absent := func(what string, err error) {
		s.Helper()
		if errors.Is(err, fs.ErrNotExist) {
			s.Errorf("%s with a cancelled context says %v", what, err)
		}
	}
	_, err := s.tree.Stat(ctx, "/f")
	absent("Stat", err)
	if l, err := s.tree.ReadDir(ctx, "/"); err == nil && len(l) != 2 {
		s.Errorf("ReadDir with a cancelled context lists %d of 2 members", len(l))
	} else {
		absent("ReadDir", err)
	}
	if f, err := s.tree.Open(ctx, "/f", fi); err == nil {
		_, err = io.ReadAll(f)
		absent("read", err)
		f.Close()
	}
	_, err = s.tree.Copy(ctx, "/f", "/h", nil)
	absent("Copy", err)
	absent("Rename", s.tree.Rename(ctx, "/f", "/i", nil))
	absent("RemoveAll", s.tree.RemoveAll(ctx, "/g", nil))
	if d := time.Since(start); d > 10*time.Second {
		s.Errorf("calls with a cancelled context took %v", d)
	}

	// A Put in the middle of its content.
	s.put("/p", "old")
	ctx, cancel = context.WithCancel(s.ctx)
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := s.tree.Put(ctx, "/p", pr, davfs.PutOptions{})
		done <- err
	}()
	pw.Write(noise(1000, 1))
	cancel()
	pw.CloseWithError(ctx.Err()) // as net/http does with the body of a request
	select {
	case err := <-done:
		if err == nil {
			s.Error("a cancelled Put has succeeded")
		}
		absent("Put", err)
	case <-time.After(20 * time.Second):
		s.Fatal("a cancelled Put does not end")
	}
	s.hasFile("/p", "old")
}

// writers work in one directory at the same time; none loses what another wrote.
func (s *suite) writers() {
	s.mkdir("/d")
	n := s.count(24, 6)
	var want []string
	var wg sync.WaitGroup
	for i := range n {
		name := string(rune('a' + i))
		want = append(want, name)
		wg.Go(func() {
			for _, c := range []string{"first", "second", name} {
				if _, err := s.tree.Put(s.ctx, "/d/"+name, strings.NewReader(c), davfs.PutOptions{}); err != nil {
					s.Errorf("Put %s: %v", name, err)
				}
			}
		})
		wg.Go(func() {
			tmp := "/d/" + name + ".tmp"
			if _, err := s.tree.Put(s.ctx, tmp, strings.NewReader("x"), davfs.PutOptions{}); err != nil {
				s.Errorf("Put %s: %v", tmp, err)
			} else if err := s.tree.RemoveAll(s.ctx, tmp, nil); err != nil {
				s.Errorf("RemoveAll %s: %v", tmp, err)
			}
		})
		wg.Go(func() {
			if _, err := s.tree.ReadDir(s.ctx, "/d"); err != nil {
				s.Errorf("ReadDir: %v", err)
			}
		})
	}
	wg.Wait()
	s.hasMembers("/d", want...)
	for _, name := range want {
		s.hasFile("/d/"+name, name)
	}

	// One name, many contents: one of them, whole.
	contents := make(map[string]bool)
	for i := range n {
		c := string(noise(10_000, uint64(i)))
		contents[c] = true
		wg.Go(func() {
			if _, err := s.tree.Put(s.ctx, "/one", strings.NewReader(c), davfs.PutOptions{}); err != nil {
				s.Errorf("Put: %v", err)
			}
		})
	}
	wg.Wait()
	if !contents[string(s.read("/one", s.stat("/one")))] {
		s.Error("the file has a content that nobody wrote")
	}
}
