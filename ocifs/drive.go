package ocifs

import (
	"sync"
	"sync/atomic"

	"oras.land/oras-go/v2/registry/remote"
)

// A Drive is one root in a registry and a tree of it for each user, who is known to the registry by credentials of his own.
// What the registry has answered one of them the others do not know: answers about names, lists, manifests and which
// repository has which blob belong to a tree, so no code has to ask whose they are. The blobs at hand are shared, which
// isolation.go makes good, and so is what keeps the trees from each other's way: the locks of names, what is being
// cleared or buried, and the bounds of memory and of the spool. What one of them changes the others are told.
type Drive struct {
	options Options
	common  *common
}

// NewDrive gives the drive of o, without its Registry, which is each tree's own.
func NewDrive(o Options) (*Drive, error) {
	if err := checkPrefix(o.Prefix); err != nil {
		return nil, err
	}
	o.Isolated = true
	return &Drive{o, newCommon(o)}, nil
}

// Tree gives a new tree for the user whose client reg is. It sends nothing. Close takes it out of the drive.
func (d *Drive) Tree(user string, reg *remote.Registry) (*FS, error) {
	o := d.options
	o.Registry = reg
	return newTree(o, d.common, "user "+user)
}

// Forget is that of all trees.
func (d *Drive) Forget(repo, tag string) {
	for _, f := range d.common.others(nil) {
		f.Forget(repo, tag)
	}
}

// Stats is that of all trees together.
func (d *Drive) Stats() Stats { return d.common.stats() }

// Kept is how much the tree keeps in memory, in descriptions of files, some 700 bytes each with all that leads to them; answers,
// with the names in lists, and repositories are counted by what they take of that.
func (f *FS) Kept() int { return f.artifacts.size() + f.tags.said.size()/3 + f.catalog.size()/10 }

// Trim forgets all that can be asked for again.
func (f *FS) Trim() {
	f.tags.forgetAll()
	f.lists.forgetAll()
	f.listed.clear()
	f.artifacts.clear()
	f.present.clear()
	f.catalog.trim()
}

// common is what the trees of a drive have in common; a tree that is not one of several has its own.
type common struct {
	locks     locks
	memory    memory
	spoolRoom room
	uploads   atomic.Int64       // Puts
	keeping   atomic.Int32       // spools that are given to the blobs at hand
	places    places             // see clearings
	burying   flights[reference] // see tombstones

	mu    sync.Mutex
	trees map[*FS]bool
}

func newCommon(o Options) *common {
	c := &common{memory: memory{max: o.Memory}, spoolRoom: room{max: o.SpoolSize}, trees: map[*FS]bool{}}
	if c.memory.max <= 0 {
		c.memory.max = defaultMemory
	}
	if o.SpoolDir != "" {
		sweepSpools(o.SpoolDir)
	}
	return c
}

func (c *common) enter(f *FS) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trees[f] = true
}

func (c *common) leave(f *FS) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.trees, f)
}

// others gives all trees but f.
func (c *common) others(f *FS) (list []*FS) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for o := range c.trees {
		if o != f {
			list = append(list, o)
		}
	}
	return list
}

// tell has the other trees of the drive know that f has changed what stands under a tag, or may have. They ask for it with
// their own credentials; those that have never asked in its repository have nothing to forget.
func (f *FS) tell(ref reference) {
	for _, o := range f.others(f) {
		if _, known := o.repositories.get(ref.repo); known {
			o.catalog.written(ref.repo)
			o.tags.forget(ref)
			o.alsoListed(ref)
		}
	}
}
