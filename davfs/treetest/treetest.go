// Package treetest holds the suite that every davfs.Tree passes, and Mem, a tree in memory whose failures can be
// switched on.
//
// A test of the suite begins with a tree of its own from newTree. It says only what the documentation of davfs.Tree
// says, so a tree that fails it is not one, and a property that davfs relies on belongs here.
package treetest

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ocidav/davfs"
)

// Options fit the suite to the tree.
type Options struct {
	// Short cuts counts and sizes, for a tree whose every call is a journey.
	Short bool

	// Parallel runs the tests of the suite side by side, each on its own tree.
	Parallel bool

	// Large is the size of the largest content in bytes; zero is 5 MiB and some, or 1 MiB and some if Short. Choose it
	// so that the tree has to cut it into parts.
	Large int64
}

func (o Options) count(long, short int) int {
	if o.Short {
		return short
	}
	return long
}

// Run runs the suite. newTree gives an empty tree that nothing else uses.
func Run(t *testing.T, newTree func(t *testing.T) davfs.Tree, o Options) {
	if o.Large == 0 {
		o.Large = int64(o.count(5<<20+17, 1<<20+17))
	}
	for _, c := range []struct {
		name string
		test func(s *suite)
	}{
		{"Root", (*suite).root},
		{"Contents", (*suite).contents},
		{"Seek", (*suite).seek},
		{"TornPut", (*suite).tornPut},
		{"ReplacedWhileRead", (*suite).replacedWhileRead},
		{"ETag", (*suite).etag},
		{"Times", (*suite).times},
		{"ContentType", (*suite).contentType},
		{"Checksums", (*suite).checksums},
		{"Names", (*suite).names},
		{"Normalisation", (*suite).normalisation},
		{"Absent", (*suite).absent},
		{"Taken", (*suite).taken},
		{"ParentIsFile", (*suite).parentIsFile},
		{"Remove", (*suite).remove},
		{"RemovedDirectoryIsEmpty", (*suite).removedDirectoryIsEmpty},
		{"Rename", (*suite).rename},
		{"RenameReplaces", (*suite).renameReplaces},
		{"Copy", (*suite).copy},
		{"CopyReplaces", (*suite).copyReplaces},
		{"IntoItself", (*suite).intoItself},
		{"Check", (*suite).check},
		{"OneOfManyWins", (*suite).oneOfManyWins},
		{"Props", (*suite).props},
		{"PropsFollow", (*suite).propsFollow},
		{"Large listing", (*suite).largeListing},
		{"Writers", (*suite).writers},
		{"Cancelled", (*suite).cancelled},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", ""), func(t *testing.T) {
			if o.Parallel {
				t.Parallel()
			}
			c.test(&suite{T: t, tree: newTree(t), ctx: t.Context(), Options: o})
		})
	}
}

// A suite is one test with its tree. Its methods of two words fail the test if the tree does not do what they say.
type suite struct {
	*testing.T
	Options
	tree davfs.Tree
	ctx  context.Context
}

// noise is n bytes that compress badly and differ by seed.
func noise(n int64, seed uint64) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	rand.NewChaCha8(key).Read(b)
	return b
}

func (s *suite) put(name, content string) fs.FileInfo {
	s.Helper()
	fi, err := s.tree.Put(s.ctx, name, strings.NewReader(content), davfs.PutOptions{Size: int64(len(content))})
	if err != nil {
		s.Fatalf("Put %q: %v", name, err)
	}
	return fi
}

func (s *suite) mkdir(names ...string) {
	s.Helper()
	for _, n := range names {
		if err := s.tree.Mkdir(s.ctx, n, nil); err != nil {
			s.Fatalf("Mkdir %q: %v", n, err)
		}
	}
}

func (s *suite) stat(name string) fs.FileInfo {
	s.Helper()
	fi, err := s.tree.Stat(s.ctx, name)
	if err != nil {
		s.Fatalf("Stat %q: %v", name, err)
	}
	return fi
}

func (s *suite) read(name string, fi fs.FileInfo) []byte {
	s.Helper()
	f, err := s.tree.Open(s.ctx, name, fi)
	if err != nil {
		s.Fatalf("Open %q: %v", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		s.Fatalf("read %q: %v", name, err)
	}
	return b
}

// hasFile checks that name is a file with the content.
func (s *suite) hasFile(name, content string) {
	s.Helper()
	fi := s.stat(name)
	if fi.IsDir() {
		s.Fatalf("%q is a directory", name)
	}
	if fi.Size() != int64(len(content)) {
		s.Errorf("%q has size %d, want %d", name, fi.Size(), len(content))
	}
	if b := s.read(name, fi); string(b) != content {
		s.Errorf("%q has another content (%d bytes, want %d)", name, len(b), len(content))
	}
}

// hasMembers checks that name is a directory with exactly these members, sorted.
func (s *suite) hasMembers(name string, want ...string) {
	s.Helper()
	if !s.stat(name).IsDir() {
		s.Fatalf("%q is no directory", name)
	}
	l, err := s.tree.ReadDir(s.ctx, name)
	if err != nil {
		s.Fatalf("ReadDir %q: %v", name, err)
	}
	got := []string{}
	for _, fi := range l {
		n := fi.Name()
		if fi.IsDir() {
			n += "/"
		}
		got = append(got, n)
	}
	if !slices.Equal(got, append([]string{}, want...)) {
		s.Errorf("ReadDir %q = %q, want %q", name, got, want)
	}
}

// isAbsent checks that name is nothing, and that its parent does not list it.
func (s *suite) isAbsent(name string) {
	s.Helper()
	_, err := s.tree.Stat(s.ctx, name)
	s.wantErr("Stat "+name, err, fs.ErrNotExist)
}

func (s *suite) wantErr(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func etagOf(t testing.TB, fi fs.FileInfo) string {
	t.Helper()
	e, ok := fi.(interface {
		ETag(context.Context) (string, error)
	})
	if !ok {
		t.Fatalf("the FileInfo %T has no ETag", fi)
	}
	tag, err := e.ETag(t.Context())
	if err != nil {
		t.Fatalf("ETag: %v", err)
	}
	return tag
}

// A tornReader gives content and then fails.
type tornReader struct {
	content io.Reader
	err     error
}

func (r *tornReader) Read(p []byte) (int, error) {
	n, err := r.content.Read(p)
	if err == io.EOF {
		err = r.err
	}
	return n, err
}

func prop(space, local, inner string) davfs.Property {
	return davfs.Property{XMLName: xml.Name{Space: space, Local: local}, InnerXML: []byte(inner)}
}

// propsOf gives the dead properties of name as sorted lines.
func (s *suite) propsOf(name string) []string {
	s.Helper()
	l, err := s.tree.Props(s.ctx, name, s.stat(name))
	if err != nil {
		s.Fatalf("Props %q: %v", name, err)
	}
	lines := []string{}
	for _, p := range l {
		lines = append(lines, fmt.Sprintf("{%s}%s %s=%s", p.XMLName.Space, p.XMLName.Local, p.Lang, p.InnerXML))
	}
	slices.Sort(lines)
	return lines
}

func (s *suite) hasProps(name string, want ...string) {
	s.Helper()
	if got := s.propsOf(name); !slices.Equal(got, append([]string{}, want...)) {
		s.Errorf("properties of %q = %q, want %q", name, got, want)
	}
}

func (s *suite) patch(name string, set []davfs.Property, remove ...xml.Name) {
	s.Helper()
	if err := s.tree.PatchProps(s.ctx, name, davfs.PropPatch{Set: set, Remove: remove}); err != nil {
		s.Fatalf("PatchProps %q: %v", name, err)
	}
}

// sameSecond compares times as far as a file system must keep them.
func sameSecond(a, b time.Time) bool { return a.Truncate(time.Second).Equal(b.Truncate(time.Second)) }

func equal(a, b []byte) bool { return bytes.Equal(a, b) }
