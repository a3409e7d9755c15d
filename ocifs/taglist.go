package ocifs

import "slices"

// tagList is the tags of a directory: those that were listed, and those that may have come since. One too many costs a
// question, and reads as absent; one too few would hide a file.
type tagList struct {
	listed  []string // sorted, each once
	since   []string
	changes int // of any of them
}

// maxSince is the number of changes after which a list is asked for anew, or a tenth of a long one, for many of its tags may have
// gone again: those that were listed too.
const maxSince = 1000

// with adds a tag. False: there have been too many changes.
func (l tagList) with(tag string) (tagList, bool) {
	if l.changes >= max(maxSince, len(l.listed)/10) || len(l.since) >= maxSince {
		return tagList{}, false
	}
	l.changes++
	if _, ok := slices.BinarySearch(l.listed, tag); ok || slices.Contains(l.since, tag) {
		return l, true
	}
	l.since = append(l.since, tag) // behind the end of all earlier ones, which share it
	return l, true
}

func (l tagList) weight() int { return max(1, len(l.listed)+len(l.since)) }

// all gives all tags, sorted. The slice is shared.
func (l tagList) all() []string {
	if len(l.since) == 0 {
		return l.listed
	}
	all := slices.Concat(l.listed, l.since)
	slices.Sort(all)
	return all
}

// alsoListed notes that a tag may have come, or gone: the list need not be asked for again.
func (f *FS) alsoListed(ref reference) {
	f.lists.amend(f.listOf(ref), func(l tagList) (tagList, int, bool) {
		l, ok := l.with(ref.tag)
		return l, l.weight(), ok
	})
}

// listedTags gives the tags of a directory from a fresh list, if there is one. The slice is shared.
func (f *FS) listedTags(d directory) ([]string, bool) {
	l, known, fresh := f.lists.get(d.list())
	if !known || !fresh {
		return nil, false
	}
	return l.all(), true
}

// keepList keeps the tags of a directory, and gives them sorted.
func (f *FS) keepList(d directory, tags []string, asked, tagsAsked stamp) []string {
	tags = sorted(tags)
	l := tagList{listed: tags}
	f.lists.learn(d.list(), l, asked, l.weight())
	f.keepListed(d, tags, tagsAsked)
	return tags
}
