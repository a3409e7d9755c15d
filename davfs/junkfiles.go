package davfs

import (
	"container/list"
	"path"
	"sync"
)

// junkBounds say how much memory junk may take.
type junkBounds struct {
	content int64 // of one file, in bytes
	rest    int64 // of one file beside its content: properties above all
	total   int64 // of all files, by their weight
	files   int
}

var junkLimits = junkBounds{content: 1 << 20, rest: 64 << 10, total: 64 << 20, files: 100_000}

// junkFiles are the files in memory of one tree, by the keys of their names.
type junkFiles struct {
	*junkStore
	key func(name string) string // Tree.Key, below whose tree it is where the store has those of several
}

// junkStore has the files in memory. The least recently written go when there are too many.
type junkStore struct {
	junkBounds

	mu     sync.Mutex
	dirs   map[string]map[string]*list.Element // of a directory, by the base of the key
	age    list.List                           // of keptJunk, the least recently written first
	weight int64
}

type keptJunk struct {
	key string
	*junkFile
}

func newJunkStore(b junkBounds) *junkStore { return &junkStore{junkBounds: b} }

// fit says whether f may be kept at all.
func (s *junkStore) fit(f *junkFile) bool {
	n := int64(len(f.content))
	return n <= s.content && f.weight()-n <= s.rest && f.weight() <= s.total && s.files > 0
}

func (s junkFiles) elementLocked(name string) *list.Element {
	key := path.Clean(s.key(name))
	return s.dirs[path.Dir(key)][path.Base(key)]
}

// kept is f as the store has it.
func (s junkFiles) kept(f *junkFile) keptJunk { return keptJunk{path.Clean(s.key(f.name)), f} }

// get gives the file of that name, nil for none.
func (s junkFiles) get(name string) *junkFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.elementLocked(name); e != nil {
		return e.Value.(keptJunk).junkFile
	}
	return nil
}

// members gives the files of a directory by the base of their keys.
func (s junkFiles) members(dir string) map[string]*junkFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	here := s.dirs[path.Clean(s.key(dir))]
	m := make(map[string]*junkFile, len(here))
	for base, e := range here {
		m[base] = e.Value.(keptJunk).junkFile
	}
	return m
}

// set keeps f as the file written last, and the file called gone, if any, no more.
func (s junkFiles) set(f *junkFile, gone string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(s.elementLocked(gone))
	s.forgetLocked(s.elementLocked(f.name))
	s.linkLocked(s.age.PushBack(s.kept(f)))
	s.boundLocked()
}

// remove forgets the file of that name and all below it.
func (s junkFiles) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(name)
}

func (s junkFiles) removeLocked(name string) {
	s.forgetLocked(s.elementLocked(name))
	for _, e := range s.belowLocked(name) {
		s.forgetLocked(e)
	}
}

// follow does in memory what the tree has done to a directory or file: what was at dst is gone, and all that is below
// src is below dst, too or instead.
func (s junkFiles) follow(src, dst string, move bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key(src) == s.key(dst) { // another spelling of the name
		return
	}
	s.removeLocked(dst)
	for _, e := range s.belowLocked(src) {
		f := e.Value.(keptJunk)
		below := dst + f.key[len(s.key(src)):]
		g := f.as(path.Join(path.Dir(below), path.Base(f.name)))
		if !move {
			s.linkLocked(s.age.PushBack(s.kept(g)))
			continue
		}
		s.unlinkLocked(e)
		e.Value = s.kept(g) // of the same age
		s.linkLocked(e)
	}
	if move {
		s.forgetLocked(s.elementLocked(src))
	}
	s.boundLocked()
}

// belowLocked gives what is below name, the oldest first.
func (s junkFiles) belowLocked(name string) (l []*list.Element) {
	key := path.Clean(s.key(name))
	for dir := range s.dirs {
		if within(dir, key) {
			for e := s.age.Front(); e != nil; e = e.Next() {
				if within(path.Dir(e.Value.(keptJunk).key), key) {
					l = append(l, e)
				}
			}
			break
		}
	}
	return l
}

func (s *junkStore) boundLocked() {
	for s.weight > s.total || s.age.Len() > s.files {
		s.forgetLocked(s.age.Front())
	}
}

func (s *junkStore) forgetLocked(e *list.Element) {
	if e != nil {
		s.unlinkLocked(e)
		s.age.Remove(e)
	}
}

func (s *junkStore) linkLocked(e *list.Element) {
	f := e.Value.(keptJunk)
	dir := path.Dir(f.key)
	if s.dirs == nil {
		s.dirs = make(map[string]map[string]*list.Element)
	}
	if s.dirs[dir] == nil {
		s.dirs[dir] = make(map[string]*list.Element)
	}
	s.dirs[dir][path.Base(f.key)] = e
	s.weight += f.weight()
}

func (s *junkStore) unlinkLocked(e *list.Element) {
	f := e.Value.(keptJunk)
	dir := path.Dir(f.key)
	delete(s.dirs[dir], path.Base(f.key))
	if len(s.dirs[dir]) == 0 {
		delete(s.dirs, dir)
	}
	s.weight -= f.weight()
}
