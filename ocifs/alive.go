package ocifs

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

const (
	deadTime  = 10 * time.Minute
	keptAlive = 20_000
)

// alive is whether a repository has something of others in it. Where again and again nothing is found, as in those that are left
// of our own removed directories, it is looked for less often, up to every deadTime.
type alive struct {
	is     bool
	until  time.Time
	lasted time.Duration
}

// seenAlive gives the repositories, repo and those below it, that were alive when they were last looked at.
func (c *catalog) seenAlive(repo string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	repos := within(c.repos, repo)
	if c.none {
		repos = []string{repo}
	}
	return slices.DeleteFunc(repos, func(repo string) bool { return !c.alive[repo].is })
}

// isAlive says whether somebody's artifact stands under a tag of the repository that is a file's name. What ocidav has
// left there is none: members of directories that are gone, and tombstones.
func (f *FS) isAlive(ctx context.Context, h hands, repo string) (is bool, err error) {
	c := &f.catalog
	c.mu.Lock()
	a, known := c.alive[repo]
	if known && time.Now().Before(a.until) {
		c.mu.Unlock()
		return a.is, nil
	}
	mine := &look{repo: repo}
	if c.looking == nil {
		c.looking = map[*look]bool{}
	}
	c.looking[mine] = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.looking, mine)
	}()
	d := directory{repo: repo}
	var tags []string
	err = h.do(ctx, func() (err error) { tags, err = f.listTags(ctx, d); return err })
	if f.proofs != nil && f.isDenied(ctx, err) { // of others, whom this user is not to know of
		tags, err = nil, nil
	}
	if err != nil {
		return false, err
	}
	a = alive{lasted: max(catalogTime, min(2*a.lasted, deadTime))}
	// There may be very many tombstones.
	a.is, err = found(eachBy(ctx, h, tags, func(ctx context.Context, _ int, tag string) error {
		if name, kind := d.nameOf(tag); kind != tagFile || name == "" {
			return nil
		}
		i, err := f.member(ctx, repo, tag)
		if err == nil && i != nil && (i.kind == kindForeign || i.kind == kindShared) {
			err = errFound
		}
		return err
	}))
	if err != nil {
		return false, err
	}
	if a.is {
		a.lasted = catalogTime
		if f.proofs != nil { // it is a name, which this user may see no longer
			a.lasted = min(catalogTime, f.tags.freshness)
		}
	}
	a.until = time.Now().Add(a.lasted)
	c.mu.Lock()
	defer c.mu.Unlock()
	if mine.changed {
		return a.is, nil
	}
	if c.alive == nil || len(c.alive) >= keptAlive {
		c.alive = map[string]alive{}
	}
	c.alive[repo] = a
	return a.is, nil
}

// found says whether a search has ended because it has found something.
func found(err error) (bool, error) {
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}

var errFound = errors.New("found")

// areAlive says of several sets of repositories whether one of each is alive. All are asked about at once, and no more of a
// set when one has been found.
func (f *FS) areAlive(ctx context.Context, sets [][]string) ([]bool, error) {
	type question struct {
		set  int
		repo string
	}
	var questions []question
	for n, set := range sets {
		for _, repo := range set {
			questions = append(questions, question{n, repo})
		}
	}
	is := make([]atomic.Bool, len(sets))
	h := f.hands() // of all of them: those that wait for a repository hold none
	err := each(ctx, f, questions, func(ctx context.Context, _ int, q question) error {
		if is[q.set].Load() {
			return nil
		}
		alive, err := f.isAlive(ctx, h, q.repo)
		if alive {
			is[q.set].Store(true)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	all := make([]bool, len(sets))
	for n := range sets {
		all[n] = is[n].Load()
	}
	return all, nil
}
