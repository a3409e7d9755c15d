package ocifs

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// A layout says where in the registry a directory keeps its members. Nobody else knows: another layout is another
// implementation of this.
type layout interface {
	// directory says where the members of dir are, a clean absolute path.
	directory(dir string) (directory, error)
	// of gives the directory that has a tag of repo as a member, shown or not.
	of(repo, tag string) directory
	// holds says whether repo can be a repository of the tree.
	holds(repo string) bool
}

// Names of the layouts.
const (
	LayoutPath = "path"
	LayoutFlat = "flat"
)

// newLayout gives the layout of that name for the drive whose root is at prefix.
func newLayout(name, host, prefix string) (layout, error) {
	switch name {
	case "", LayoutPath:
		return pathLayout{host: host, prefix: prefix}, nil
	case LayoutFlat:
		repo := rootOf(prefix)
		return flatLayout{repo: repo}, checkRepository(host, repo)
	}
	return nil, fmt.Errorf("there is no layout called %q", name)
}

// directory is where the members of a directory are kept: as the tags in repo that begin with key. It gives them their
// tags, see names.go.
type directory struct {
	repo string
	key  string // empty if the directory shares its repository with no other, and for the root of the flat layout
	flat bool   // the layout
}

// list is what the list of the directory's tags is known by.
func (d directory) list() reference {
	if d.flat && d.key == "" {
		return reference{d.repo, "/"} // the empty tag is that of all of them
	}
	return reference{d.repo, d.key}
}

// index is the tag of its index, see bundling.go.
func (d directory) index() string { return d.key + indexTag }

// String names the directory among all of the registry.
func (d directory) String() string {
	if d.key == "" {
		return d.repo
	}
	return d.repo + ":" + d.key
}

// place is where a name other than the root is kept: in repo, under the tag of the file or the marker of the
// directory.
type place struct {
	name         string // clean absolute path
	base         string // its last element
	repo         string // of its parent
	file, marker string // tags
}

func (f *FS) place(name string) (place, error) {
	d, err := f.layout.directory(path.Dir(name))
	if err != nil {
		return place{}, err
	}
	base := path.Base(name)
	if err := checkName(base); err != nil {
		return place{}, err
	}
	return place{name: name, base: base, repo: d.repo, file: d.file(base), marker: d.marker(base)}, nil
}

// above gives the places of the directories above a name, but for the root, the innermost first.
func (f *FS) above(name string) ([]place, error) {
	var above []place
	for up := parent(name); up != "/"; up = parent(up) {
		p, err := f.place(up)
		if err != nil {
			return nil, err
		}
		above = append(above, p)
	}
	return above, nil
}

// listOf is what the list of tags is known by that ref is in.
func (f *FS) listOf(ref reference) reference { return f.layout.of(ref.repo, ref.tag).list() }

// rootRepository is the root's repository where the reference has no prefix: a repository needs a name.
const rootRepository = "x.root"

func rootOf(prefix string) string {
	if prefix == "" {
		return rootRepository
	}
	return prefix
}

func checkRepository(host, repo string) error {
	if n := len(host) + 1 + len(repo); n > maxRepositoryBytes {
		return fmt.Errorf("the path is too long: its repository name with the registry's host has %d characters, the limit is %d: %w",
			n, maxRepositoryBytes, fs.ErrInvalid)
	}
	return nil
}

// pathLayout keeps each directory in a repository of its own, whose name is the directory's path under the prefix.
type pathLayout struct {
	host   string // of the registry, counted in the limit of a repository name
	prefix string // repository of the root
}

func (l pathLayout) of(repo, _ string) directory { return directory{repo: repo} }

func (l pathLayout) holds(repo string) bool {
	if repo == "" || len(repo) > maxRepositoryBytes {
		return false
	}
	return l.prefix == "" || repo == l.prefix || strings.HasPrefix(repo, l.prefix+"/")
}

func (l pathLayout) directory(dir string) (directory, error) {
	if dir == "/" {
		repo := rootOf(l.prefix)
		return directory{repo: repo}, checkRepository(l.host, repo)
	}
	repo := l.prefix
	for name := range strings.SplitSeq(dir[1:], "/") {
		if err := checkName(name); err != nil {
			return directory{}, err
		}
		if repo != "" {
			repo += "/"
		}
		repo += component(name)
	}
	return directory{repo: repo}, checkRepository(l.host, repo)
}
