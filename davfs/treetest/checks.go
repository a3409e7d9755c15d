package treetest

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"

	"ocidav/davfs"
)

// check: a Check sees what is about to be replaced, and its error means that nothing has happened.
func (s *suite) check() {
	no := errors.New("no")
	var old fs.FileInfo
	calls := 0
	refuse := func(fi fs.FileInfo) error { old, calls = fi, calls+1; return no }
	put := func(name string) error {
		_, err := s.tree.Put(s.ctx, name, strings.NewReader("new"), davfs.PutOptions{Check: refuse})
		return err
	}
	copyTo := func(dst string) error { _, err := s.tree.Copy(s.ctx, "/src", dst, refuse); return err }
	rename := func(dst string) error { return s.tree.Rename(s.ctx, "/src", dst, refuse) }
	remove := func(name string) error { return s.tree.RemoveAll(s.ctx, name, refuse) }

	s.put("/src", "src")
	s.mkdir("/dir")
	s.put("/dir/m", "m")
	f := s.put("/f", "old")
	for what, change := range map[string]func(string) error{
		"Put": put, "Copy": copyTo, "Rename": rename, "RemoveAll": remove,
	} {
		old, calls = nil, 0
		if err := change("/f"); err != no && !errors.Is(err, no) {
			s.Errorf("%s: error %v, want the Check's", what, err)
		}
		if old == nil || calls != 1 || old.IsDir() || etagOf(s, old) != etagOf(s, f) {
			s.Errorf("%s: the Check was asked %d times about %v, want once about the old file", what, calls, old)
		}
		if what == "RemoveAll" {
			continue
		}
		old, calls = f, 0
		s.wantErr(what+" of a new name", change("/new"), no)
		if old != nil || calls != 1 {
			s.Errorf("%s: the Check was asked %d times about %v, want once about nothing", what, calls, old)
		}
	}
	patch := func(name string) error {
		return s.tree.PatchProps(s.ctx, name, davfs.PropPatch{Set: []davfs.Property{prop("urn:x", "p", "v")}, Check: refuse})
	}
	for _, name := range []string{"/f", "/dir"} {
		old, calls = nil, 0
		s.wantErr("PatchProps", patch(name), no)
		if calls != 1 || old == nil || old.IsDir() != (name == "/dir") {
			s.Errorf("PatchProps: the Check was asked %d times about %v, want once about %s", calls, old, name)
		}
		s.hasProps(name)
	}
	old, calls = f, 0
	s.wantErr("Mkdir", s.tree.Mkdir(s.ctx, "/new", refuse), no)
	if old != nil || calls != 1 {
		s.Errorf("Mkdir: the Check was asked %d times about %v, want once about nothing", calls, old)
	}
	old, calls = nil, 0
	s.wantErr("RemoveAll of a directory", remove("/dir"), no)
	if old == nil || !old.IsDir() {
		s.Error("RemoveAll: the Check was not asked about the directory")
	}
	s.wantErr("Rename over a directory", rename("/dir"), no)
	s.hasMembers("/", "dir/", "f", "src")
	s.hasMembers("/dir", "m")
	s.hasFile("/f", "old")
	s.hasFile("/src", "src")
	calls = 0
	s.wantErr("RemoveAll of nothing", remove("/absent"), fs.ErrNotExist)
	s.wantErr("PatchProps of nothing", patch("/absent"), fs.ErrNotExist)
	s.wantErr("Mkdir of what is there", s.tree.Mkdir(s.ctx, "/dir", refuse), fs.ErrExist)
	if calls != 0 {
		s.Error("what cannot be done has asked its Check")
	}
}

// oneOfManyWins: a Check and the change after it are one step.
func (s *suite) oneOfManyWins() {
	lost := errors.New("another was first")
	tag := etagOf(s, s.put("/f", "start"))
	compete := func(name string, check davfs.Check) string {
		var won atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		for i := range 16 {
			content := fmt.Sprintf("writer %d", i)
			wg.Go(func() {
				_, err := s.tree.Put(s.ctx, name, strings.NewReader(content), davfs.PutOptions{Check: check})
				switch {
				case err == nil:
					won.Add(1)
					winner.Store(content)
				case !errors.Is(err, lost):
					s.Errorf("Put: error %v, want %v", err, lost)
				}
			})
		}
		wg.Wait()
		if n := won.Load(); n != 1 {
			s.Fatalf("%d of 16 writers to %s have won, want 1", n, name)
		}
		return winner.Load().(string)
	}
	s.hasFile("/f", "start")
	w := compete("/f", func(old fs.FileInfo) error {
		if old == nil || etagOf(s, old) != tag {
			return lost
		}
		return nil
	})
	s.hasFile("/f", w)
	w = compete("/new", func(old fs.FileInfo) error {
		if old != nil {
			return lost
		}
		return nil
	})
	s.hasFile("/new", w)
}
