package treetest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"ocidav/davfs"
)

var _ davfs.Tree = (*Mem)(nil)

// Mem is a davfs.Tree in memory with a switch for each way in which a storage fails. Its zero value is an empty tree.
type Mem struct {
	mu     sync.Mutex
	root   *node
	calls  map[string]int
	faults map[string]error
	cutAt  int64
	cutErr error
	delay  time.Duration
	before func(method, name string)
}

type node struct {
	name    string // as it is shown
	dir     bool
	content []byte // never changed, only replaced
	mod     time.Time
	birth   time.Time
	ctype   string
	sums    []string
	props   []davfs.Property
	members map[string]*node // by key
}

// A Failure is an error of a storage.
type Failure struct {
	Class string
	After time.Duration
}

func (f *Failure) Error() string             { return "registry.internal:5000 says: " + f.Class }
func (f *Failure) FailureClass() string      { return f.Class }
func (f *Failure) RetryAfter() time.Duration { return f.After }

// Fail makes a method of Tree fail with err before it does anything; "" is every method, and nil ends it.
func (m *Mem) Fail(method string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faults == nil {
		m.faults = make(map[string]error)
	}
	m.faults[method] = err
}

// FailReads makes the reads of every opened file fail with err once n bytes of it have been read; nil ends it. An
// io.EOF is a content that is shorter than it was described.
func (m *Mem) FailReads(n int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cutAt, m.cutErr = n, err
}

// Heal ends all failures.
func (m *Mem) Heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults, m.cutErr, m.delay = nil, nil, 0
}

// Slow makes every method and read wait for d, or for the end of its context.
func (m *Mem) Slow(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delay = d
}

// Before sets a function that every method calls with its own name, and the first name it is given, before it begins:
// the place for what another client does in between.
func (m *Mem) Before(f func(method, name string)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = f
}

// Calls gives the number of calls by method since the last Calls; "Read" counts those of opened files.
func (m *Mem) Calls() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.calls
	m.calls = nil
	return c
}

func (m *Mem) begin(ctx context.Context, method, name string) error {
	m.mu.Lock()
	if m.root == nil {
		now := time.Now()
		m.root = &node{name: "/", dir: true, mod: now, birth: now, members: make(map[string]*node)}
	}
	if m.calls == nil {
		m.calls = make(map[string]int)
	}
	m.calls[method]++
	err := cmp.Or(m.faults[method], m.faults[""])
	delay, before := m.delay, m.before
	m.mu.Unlock()
	if before != nil {
		before(method, name)
	}
	if delay > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
	return cmp.Or(err, ctx.Err())
}

// compose is as much of Unicode's NFC as the suite uses; davfs has no table of it and Mem needs none.
var compose = strings.NewReplacer("e\u0301", "\u00e9", "u\u0308", "\u00fc", "a\u030a", "\u00e5")

// Key is Tree's.
func (m *Mem) Key(name string) string { return key(name) }

func key(name string) string { return compose.Replace(name) }

func notExist(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist} }

// find gives the node of a name. The caller holds mu, as for all that follow up to the methods of Tree.
func (m *Mem) find(op, name string) (*node, error) {
	n := m.root
	for s := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if s == "" {
			continue
		}
		if n = n.members[key(s)]; n == nil { // a file has no members
			return nil, notExist(op, name)
		}
	}
	return n, nil
}

func (m *Mem) parent(op, name string) (*node, error) {
	p, err := m.find(op, path.Dir(name))
	if err == nil && !p.dir {
		err = notExist(op, path.Dir(name))
	}
	return p, err
}

func (n *node) info() *memInfo {
	i := &memInfo{name: n.name, dir: n.dir, content: n.content, mod: n.mod, birth: n.birth, ctype: n.ctype, sums: n.sums, props: n.props}
	if !n.dir {
		sum := sha256.Sum256(n.content)
		i.etag = fmt.Sprintf(`"%x"`, sum[:16]) // a whole one is cut off in the headers of litmus
	}
	return i
}

// old is what a Check gets: an interface that is nil for nothing.
func (n *node) old() fs.FileInfo {
	if n == nil {
		return nil
	}
	return n.info()
}

func (n *node) clone() *node {
	c := *n
	c.props = slices.Clone(n.props)
	if n.dir {
		c.members = make(map[string]*node, len(n.members))
		for k, m := range n.members {
			c.members[k] = m.clone()
		}
	}
	return &c
}

func (m *Mem) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	if err := m.begin(ctx, "Stat", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("stat", name)
	if err != nil {
		return nil, err
	}
	return n.info(), nil
}

func (m *Mem) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	if err := m.begin(ctx, "ReadDir", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !n.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	l := make([]fs.FileInfo, 0, len(n.members))
	for _, c := range n.members {
		l = append(l, c.info())
	}
	slices.SortFunc(l, func(a, b fs.FileInfo) int { return cmp.Compare(a.Name(), b.Name()) })
	return l, nil
}

func (m *Mem) Open(ctx context.Context, name string, fi fs.FileInfo) (fs.File, error) {
	if err := m.begin(ctx, "Open", name); err != nil {
		return nil, err
	}
	i, ok := fi.(*memInfo)
	if !ok || i.dir {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return &memFile{m: m, ctx: ctx, info: i, r: bytes.NewReader(i.content)}, nil
}

func (m *Mem) Put(ctx context.Context, name string, r io.Reader, o davfs.PutOptions) (fs.FileInfo, error) {
	if err := m.begin(ctx, "Put", name); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("put %s: %w", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := m.parent("put", name)
	if err != nil {
		return nil, err
	}
	base := path.Base(name)
	old := p.members[key(base)]
	if name == "/" || old != nil && old.dir {
		return nil, &fs.PathError{Op: "put", Path: name, Err: fs.ErrExist}
	}
	if o.Check != nil {
		if err := o.Check(old.old()); err != nil {
			return nil, err
		}
	}
	n := &node{name: base, content: content, mod: time.Now(), ctype: o.ContentType}
	n.birth = n.mod
	if o.Checksums != nil {
		n.sums = o.Checksums()
	}
	if !o.ModTime.IsZero() {
		n.mod = o.ModTime
	}
	if old != nil {
		n.name, n.birth, n.props = old.name, old.birth, old.props
	}
	p.members[key(base)] = n
	return n.info(), nil
}

// place is Copy and Rename.
func (m *Mem) place(op, src, dst string, check davfs.Check, move bool) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	invalid := &fs.PathError{Op: op, Path: src, Err: fs.ErrInvalid}
	s, err := m.find(op, src)
	if err != nil {
		return nil, err
	}
	ks, kd := key(src), key(dst)
	respell := move && ks == kd && src != dst
	if !respell && (within(ks, kd) || within(kd, ks)) {
		return nil, invalid
	}
	p, err := m.parent(op, dst)
	if err != nil {
		return nil, err
	}
	base := path.Base(dst)
	if respell {
		s.name = base
		return s.info(), nil
	}
	if check != nil {
		if err := check(p.members[key(base)].old()); err != nil {
			return nil, err
		}
	}
	c := s.clone()
	c.name = base
	p.members[key(base)] = c
	if move {
		from, _ := m.parent(op, src)
		delete(from.members, key(path.Base(src)))
	}
	return c.info(), nil
}

func within(name, dir string) bool {
	return name == dir || dir == "/" || strings.HasPrefix(name, dir+"/")
}

func (m *Mem) Copy(ctx context.Context, src, dst string, check davfs.Check) (fs.FileInfo, error) {
	if err := m.begin(ctx, "Copy", src); err != nil {
		return nil, err
	}
	return m.place("copy", src, dst, check, false)
}

func (m *Mem) Rename(ctx context.Context, oldName, newName string, check davfs.Check) error {
	if err := m.begin(ctx, "Rename", oldName); err != nil {
		return err
	}
	_, err := m.place("rename", oldName, newName, check, true)
	return err
}

func (m *Mem) Mkdir(ctx context.Context, name string, check davfs.Check) error {
	if err := m.begin(ctx, "Mkdir", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p, err := m.parent("mkdir", name)
	if err != nil {
		return err
	}
	base := path.Base(name)
	if name == "/" || p.members[key(base)] != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	if check != nil {
		if err := check(nil); err != nil {
			return err
		}
	}
	now := time.Now()
	p.members[key(base)] = &node{name: base, dir: true, mod: now, birth: now, members: make(map[string]*node)}
	return nil
}

func (m *Mem) RemoveAll(ctx context.Context, name string, check davfs.Check) error {
	if err := m.begin(ctx, "RemoveAll", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if name == "/" {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrPermission}
	}
	n, err := m.find("remove", name)
	if err != nil {
		return err
	}
	if check != nil {
		if err := check(n.info()); err != nil {
			return err
		}
	}
	p, _ := m.parent("remove", name)
	delete(p.members, key(path.Base(name)))
	return nil
}

func (m *Mem) Props(ctx context.Context, name string, fi fs.FileInfo) ([]davfs.Property, error) {
	if err := m.begin(ctx, "Props", name); err != nil {
		return nil, err
	}
	i, ok := fi.(*memInfo)
	if !ok {
		return nil, &fs.PathError{Op: "props", Path: name, Err: fs.ErrInvalid}
	}
	return slices.Clone(i.props), nil
}

func (m *Mem) PatchProps(ctx context.Context, name string, p davfs.PropPatch) error {
	if err := m.begin(ctx, "PatchProps", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("proppatch", name)
	if err != nil {
		return err
	}
	if p.Check != nil {
		if err := p.Check(n.info()); err != nil {
			return err
		}
	}
	l := slices.DeleteFunc(slices.Clone(n.props), func(old davfs.Property) bool {
		return slices.Contains(p.Remove, old.XMLName) ||
			slices.ContainsFunc(p.Set, func(q davfs.Property) bool { return q.XMLName == old.XMLName })
	})
	n.props = append(l, p.Set...)
	if !p.ModTime.IsZero() {
		n.mod = p.ModTime
	}
	if !p.BirthTime.IsZero() {
		n.birth = p.BirthTime
	}
	return nil
}
