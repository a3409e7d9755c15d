package cache

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

// shelf has a local file, and counts how often it is opened.
type shelf struct {
	*origin
	opened int
	files  []*os.File
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{origin: &origin{content: noise(large, 3), local: filepath.Join(t.TempDir(), "blob")}}
	if err := os.WriteFile(s.local, s.content, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shelf) source() Source {
	return Source{Fetch: s.fetch, Local: func(context.Context) (*os.File, error) {
		f, err := os.Open(s.local)
		s.opened++
		s.files = append(s.files, f)
		return f, err
	}}
}

func (s *shelf) get(t *testing.T, c *Cache) Blob {
	t.Helper()
	b, err := c.Open(t.Context(), describe(s.content), s.source())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// isOpen asks the system.
func isOpen(f *os.File) bool {
	_, err := f.Stat()
	return err == nil
}

// TestIdle: a local file that is read again and again is opened once, by who reads it at the same time once each, and who
// has closed it does not have it any more.
func TestIdle(t *testing.T) {
	c, s := newCache(t, t.TempDir(), 1<<30), newShelf(t)
	for range 5 {
		b := s.get(t, c)
		s.readAt(t, b, 10, 100)
		b.Close()
	}
	if s.opened != 1 {
		t.Errorf("opened %d times by five readers, one after the other", s.opened)
	}
	first, second := s.get(t, c), s.get(t, c)
	if s.opened != 2 {
		t.Errorf("opened %d times, and two read it", s.opened)
	}
	file := func(b Blob) *os.File { return b.(interface{ File() *os.File }).File() }
	if file(first) == file(second) {
		t.Error("two readers have one file")
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	third := s.get(t, c)
	if s.opened != 2 {
		t.Error("opened again, when one was idle")
	}
	if err := first.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
	if n, err := first.ReadAt(make([]byte, 10), 0); n != 0 || !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read when closed: %d bytes, %v", n, err)
	}
	if file(first) != nil {
		t.Error("who has closed it has the file of another")
	}
	if another := s.get(t, c); file(another) == file(third) || s.opened != 3 {
		t.Error("the file of a blob that was closed twice is given twice")
	}
	s.readAt(t, third, 0, large)
}

// TestIdleChanged: a file that has another size by now is not read.
func TestIdleChanged(t *testing.T) {
	c, s := newCache(t, t.TempDir(), 1<<30), newShelf(t)
	s.get(t, c).Close()
	if err := os.Truncate(s.local, 5); err != nil {
		t.Fatal(err)
	}
	b := s.get(t, c)
	s.readAt(t, b, 0, large) // from the registry
	if isOpen(s.files[0]) {
		t.Error("the file that cannot be used is open still")
	}
	b.Close()
	if err := os.WriteFile(s.local+".new", s.content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.local+".new", s.local); err != nil {
		t.Fatal(err)
	}
	b = s.get(t, c)
	s.readAt(t, b, 0, large)
	if _, ok := b.(*local); !ok {
		t.Errorf("the mended file is not read where it lies: %T", b)
	}
}

// TestIdleBounds: files stay open for a moment, as many as are allowed, and none after Close.
func TestIdleBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var i idle
		files := make([]*os.File, idleFiles+2)
		for n := range files {
			var err error
			if files[n], err = os.Open(os.DevNull); err != nil {
				t.Fatal(err)
			}
		}
		open := func(files []*os.File) (n int) {
			for _, f := range files {
				if isOpen(f) {
					n++
				}
			}
			return n
		}
		d := func(n int) digest.Digest { return digest.FromBytes([]byte{byte(n)}) }
		for n, f := range files[:len(files)-1] {
			i.give(d(n), f)
		}
		if isOpen(files[0]) || open(files[1:]) != idleFiles+1 {
			t.Errorf("%d are open after %d", open(files)-1, idleFiles+1)
		}
		if i.take(d(0)) != nil || i.take(d(1)) != files[1] || i.take(d(1)) != nil {
			t.Error("what is taken is another, or is taken twice")
		}
		wait := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		wait(idleFor / 2)
		i.give(d(1), files[1])
		wait(idleFor/2 + 1)
		if open(files[:idleFiles+1]) != 1 || !isOpen(files[1]) {
			t.Errorf("%d are open after their time, and one has some left", open(files[:idleFiles+1]))
		}
		wait(idleFor)
		if isOpen(files[1]) {
			t.Error("the last stays open")
		}
		last := files[len(files)-1]
		i.give(d(0), last) // the timer runs again
		wait(idleFor + 1)
		if isOpen(last) {
			t.Error("one that comes after all are gone stays open")
		}
	})
	c, s := newCache(t, t.TempDir(), 1<<30), newShelf(t)
	b, late := s.get(t, c), s.get(t, c)
	b.Close()
	c.Close()
	if isOpen(s.files[0]) || !isOpen(s.files[1]) {
		t.Error("Close closes what is idle, and not what is read")
	}
	if _, err := late.ReadAt(make([]byte, 1), 0); err != nil {
		t.Error(err)
	}
	late.Close()
	if isOpen(s.files[1]) {
		t.Error("what is closed after Close stays open")
	}
}
