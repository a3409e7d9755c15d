package ocifs

import (
	"context"
	"fmt"
	"strings"
)

// What no marker leads to is looked at last. In repositories without a marker, as far as the registry lists them, stand others'
// artifacts, which are shown, and what removed directories have left, which is not. So it is with the keys of a flat layout.

// unmarked looks at all that the walk has not come to, in and below a repository if one is said. Where a marker cannot be read,
// or the walk has not seen all, nothing is taken for an orphan: it may lie in what was not seen.
func (w *checkWalk) unmarked(ctx context.Context, under string) error {
	all, err := w.unvisited(ctx, under)
	if err != nil {
		w.failed(ctx, spot{}, err)
		return context.Cause(ctx)
	}
	below := w.walk.within()
	another := "" // root of another drive
	for _, in := range all {
		if another != "" && strings.HasPrefix(in.repo+"/", another+"/") {
			continue
		}
		if in.tags == nil {
			if in.tags, err = w.listTags(ctx, in.directory); err != nil {
				w.failed(ctx, spot{repo: in.repo}, err)
				continue
			}
		}
		if noRoot(in.repo, in.tags) != nil {
			another = in.repo
			continue
		}
		below.enter(in.String(), func() error {
			if err := w.tagsOf(ctx, in); err != nil {
				return err
			}
			if in.theirs && in.name != "" {
				w.directories.Add(1)
			}
			w.tombstonesIn(in)
			w.orphansIn(in)
			return nil
		})
	}
	return below.wait()
}

// unvisited gives the directories that the walk has not come to, sorted; where they share one repository with their tags.
func (w *checkWalk) unvisited(ctx context.Context, under string) ([]*checkedDirectory, error) {
	if l, flat := w.layout.(flatLayout); flat {
		return w.unvisitedKeys(ctx, l.repo)
	}
	repos, err := w.askCatalog(ctx)
	if err != nil && hasNoCatalog(err) {
		repos, err = nil, nil
		if under != "" { // found by its name alone
			repos = []string{under}
		}
	}
	if err != nil {
		return nil, failure(err, "list repositories")
	}
	if under != "" {
		repos = within(repos, under)
	}
	var all []*checkedDirectory
	for _, repo := range repos {
		d := directory{repo: repo}
		if w.visited[d] || isProbes(repo, w.prefix) {
			continue
		}
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(repo, w.prefix), "/")
		if shown, ok := w.bareDirectory(name); !ok || shown != d {
			name = ""
		}
		all = append(all, &checkedDirectory{name: name, directory: d, unled: true, kinds: map[string]artifactKind{}})
	}
	return all, nil
}

// unvisitedKeys gives the directories of a flat layout that the walk has not come to.
func (w *checkWalk) unvisitedKeys(ctx context.Context, repo string) ([]*checkedDirectory, error) {
	tags, err := w.allTags(ctx, repo)
	if err != nil {
		return nil, failure(err, "list tags of %s", repo)
	}
	var all []*checkedDirectory
	for _, tag := range tags {
		d := w.layout.of(repo, tag)
		if w.visited[d] {
			continue
		}
		if len(all) == 0 || all[len(all)-1].directory != d { // all tags of one key are one after the other
			all = append(all, &checkedDirectory{directory: d, unled: true, kinds: map[string]artifactKind{}})
		}
		last := all[len(all)-1]
		last.tags = append(last.tags, tag)
	}
	return all, nil
}

// isProbes says whether a repository is one that package probe makes.
func isProbes(repo, prefix string) bool {
	rest := strings.TrimPrefix(strings.TrimPrefix(repo, prefix), "/")
	return rest == "x.probe" || strings.HasPrefix(rest, "x.probe/")
}

// orphansIn tells of what is ours in a directory that no marker leads to.
func (w *checkWalk) orphansIn(in *checkedDirectory) {
	w.mu.Lock()
	unsure := w.unsure
	w.mu.Unlock()
	if len(in.ours) == 0 || unsure {
		return
	}
	text := "no marker leads to what ocidav has written there: the rest of a directory that was removed or moved"
	if !w.exclusive() {
		text += ", or a copy on its way"
	}
	n := problem{Finding: Finding{Kind: Orphan, Severity: Litter, Path: in.name, Repository: in.repo, Count: len(in.ours), Text: text}}
	n.Tag = w.keyed(in)
	n.remedy = w.sweep(in.ours, fmt.Sprintf("remove its tags, %d of them", len(in.ours)))
	w.find(n)
}

// keyed gives, for a directory that is one of several in its repository, a tag of it.
func (w *checkWalk) keyed(in *checkedDirectory) string {
	if in.key == "" {
		return ""
	}
	return in.tags[0]
}

// tombstonesIn tells of tombstones in a directory where the registry is known to delete: elsewhere it is how files are removed.
func (w *checkWalk) tombstonesIn(in *checkedDirectory) {
	if len(in.tombs) == 0 || w.local == nil && w.profile.Delete != DeleteTag && w.profile.Delete != DeleteDigest {
		return
	}
	n := problem{Finding: Finding{Kind: Tombstones, Severity: Litter, Path: in.name, Repository: in.repo, Count: len(in.tombs), Tag: w.keyed(in),
		Text: "tombstones of removed files are left, though the registry deletes tags"}}
	n.remedy = w.sweep(in.tombs, fmt.Sprintf("remove the %d tombstones", len(in.tombs)))
	w.find(n)
}

// layoutRecords tells of a drive in which both layouts are recorded; it has one, or it could not have been opened.
func (w *checkWalk) layoutRecords(in *checkedDirectory) {
	if len(in.records) < 2 {
		return
	}
	for _, at := range in.records {
		if at.tag != recordPrefix+w.Layout() {
			w.find(foundAt(at, &damage{LayoutRecord, fmt.Sprintf("both layouts are recorded, and the drive has the layout %s: remove the tag %s", w.Layout(), at.tag), at.digest}))
		}
	}
}
