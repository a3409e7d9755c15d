package ocifs

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"
)

// The list of repositories is no part of the specification, and long where it is there. It is asked for when somebody looks
// where no marker says what there is, from the root's repository on and no further than its range, and kept for a while.
const (
	catalogTime  = 30 * time.Second // or 60 times as long as it took to ask for it
	catalogGrace = 5 * time.Minute  // more: it is then asked for behind the answer
	catalogFails = 2 * time.Minute  // that a registry may fail at it before it is taken for one that has none
	catalogPage  = 1000
	catalogNames = 200_000 // that are kept; more of them are not looked at
)

// catalog is what is known of the repositories of the tree.
type catalog struct {
	flight flights[struct{}]

	mu      sync.Mutex
	repos   []string  // sorted
	until   time.Time // zero: it is not good at all
	asked   bool      // and answered once
	none    bool      // the registry has no such list
	err     error     // of the last question
	failed  time.Time // since when it fails; zero: it does not
	changes int       // that may have made a list that is being asked for too old
	ours    map[string]bool
	alive   map[string]alive
	looking map[*look]bool
}

// look is somebody's look into a repository; what has changed there meanwhile he may not have seen.
type look struct {
	repo    string
	changed bool
}

// catalogued gives the repositories of the tree, sorted, or false if the registry has no list of them. It is asked for apart
// from who wants to know, for it may take longer than a client waits; one that is a little too old is given meanwhile.
func (f *FS) catalogued(ctx context.Context) (repos []string, ok bool, err error) {
	c := &f.catalog
	repos, ok, age := c.known()
	if age <= 0 {
		return repos, ok, nil
	}
	if leave, busy := c.flight.take(struct{}{}); busy == nil {
		renew := func(ctx context.Context) {
			defer leave()
			if _, _, age := c.known(); age > 0 { // or somebody was faster
				f.renewCatalog(ctx)
			}
		}
		if !f.behind(renew) {
			renew(ctx)
		}
	}
	if age <= catalogGrace {
		return repos, ok, nil
	}
	leave, err := c.flight.join(ctx, struct{}{})
	if err != nil {
		return nil, false, failure(err, "list repositories")
	}
	leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.repos, !c.none, failure(c.err, "list repositories")
}

// known gives what is known, and for how long it has been too old.
func (c *catalog) known() (repos []string, ok bool, age time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until.IsZero() {
		return nil, false, math.MaxInt64
	}
	return c.repos, !c.none, time.Since(c.until)
}

// renewCatalog asks for the list. The caller has its flight. A registry that has not once given it and fails at nothing else
// for a while is taken for one that has none: all names that are not there would fail with it.
func (f *FS) renewCatalog(ctx context.Context) {
	c := &f.catalog
	c.mu.Lock()
	changes := c.changes
	c.mu.Unlock()
	began := time.Now()
	repos, err := f.askCatalog(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if c.failed.IsZero() {
			c.failed = began
		}
		lasting := status(err) >= http.StatusInternalServerError && time.Since(c.failed) > catalogFails
		withdrawn := f.proofs != nil && classOf(err) == classDenied
		if !withdrawn && (c.asked || !hasNoCatalog(err) && !lasting) {
			c.err = err
			return
		}
		f.log.Log(ctx, f.forOne(slog.LevelWarn), "the registry gives no list of its repositories, what others have pushed is found by its path alone", "error", err)
	}
	c.repos, c.none, c.err = repos, err != nil, nil
	if err == nil {
		c.asked, c.failed = true, time.Time{}
	}
	if c.changes == changes {
		c.until = time.Now().Add(max(catalogTime, 60*time.Since(began)))
	}
}

// hasNoCatalog says whether a registry's first answer to the question means that it lists no repositories, or not to us.
func hasNoCatalog(err error) bool {
	switch status(err) {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusNotImplemented, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// askCatalog asks for the repositories of the tree.
func (f *FS) askCatalog(ctx context.Context) ([]string, error) {
	repos, some, err := f.askCatalogBehind(ctx, f.prefix)
	if err == nil && !some && f.prefix != "" { // zot lists nothing behind what is no repository
		repos, _, err = f.askCatalogBehind(ctx, "")
	}
	return repos, err
}

// askCatalogBehind asks for those behind from, and says whether any were listed. A list that is in order is left where the range of
// the tree ends.
func (f *FS) askCatalogBehind(ctx context.Context, from string) (repos []string, some bool, err error) {
	last, ordered, begins := "", true, ""
	err = f.registry.Repositories(ctx, from, func(page []string) error {
		if len(page) > 0 && page[0] == begins && page[len(page)-1] == last {
			return errEnough // it does not know how to go on, and would for ever
		}
		for n, repo := range page {
			if some = true; n == 0 {
				begins = repo
			}
			ordered = ordered && repo > last
			last = repo
			if f.layout.holds(repo) {
				repos = append(repos, repo)
			}
			if len(repos) >= catalogNames || ordered && f.prefix != "" && repo > f.prefix+"/\xff" {
				return errEnough
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, false, err
	}
	slices.Sort(repos)
	return slices.Compact(repos), some, nil
}

// within gives those of the repositories that are repo or below it.
func within(repos []string, repo string) []string {
	var found []string
	if _, ok := slices.BinarySearch(repos, repo); ok {
		found = append(found, repo)
	}
	from, _ := slices.BinarySearch(repos, repo+"/")
	to, _ := slices.BinarySearch(repos, repo+"0") // the byte after the slash
	return append(found, repos[from:max(from, to)]...)
}

// writes notes that a repository is ours to write to: that it appears is no news.
func (c *catalog) writes(repo string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ours == nil || len(c.ours) >= keptRepositories {
		c.ours = map[string]bool{}
	}
	c.ours[repo] = true
}

// written notes that another tree of the drive has changed something in a repository, which is none to look for.
func (c *catalog) written(repo string) {
	c.writes(repo)
	c.changed(repo)
}

// size is the number of names.
func (c *catalog) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.repos) + len(c.alive)
}

// trim forgets them.
func (c *catalog) trim() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.repos, c.alive, c.until = nil, nil, time.Time{}
}

// changed notes that somebody has changed something in a repository.
func (c *catalog) changed(repo string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.alive, repo)
	for l := range c.looking {
		l.changed = l.changed || l.repo == repo
	}
	if _, known := slices.BinarySearch(c.repos, repo); !known && !c.ours[repo] {
		c.until = time.Time{}
		c.changes++
	}
}
