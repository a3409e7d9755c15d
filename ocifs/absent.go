package ocifs

import (
	"context"
	"slices"
	"time"
)

// Who writes many files into a directory asks for many names that are not there, two tags each. Instead of a request for
// each the list of the repository's tags answers, when it has been asked for lately anyway, or when so many names were
// asked for that it costs less.
const (
	missesForList = 8   // names that were asked for and absent
	tagsPerMiss   = 100 // of a list that cost as much as one question
)

// listed is what is known of the tags of a directory.
type listed struct {
	tags   []string  // sorted
	asked  stamp     // of FS.tags
	misses int       // since then
	since  time.Time // of the misses, if there is no list
}

// keepListed keeps the tags of a directory for questions about single ones; list.go calls it with every answer.
func (f *FS) keepListed(d directory, tags []string, asked stamp) {
	f.listed.put(d, listed{tags: tags, asked: asked}, max(1, len(tags)))
}

// unlisted says whether a fresh list shows that repo does not have tag. What has changed since, by us or as we were told,
// must be asked for.
func (f *FS) unlisted(ctx context.Context, repo, tag string) bool {
	if f.tags.freshness == 0 {
		return false
	}
	ref := reference{repo, tag}
	if t, known, _ := f.tags.get(ref); known && t.digest != "" {
		return false // it has been there
	}
	d := f.layout.of(repo, tag)
	if l, _ := f.listed.get(d); !f.isFresh(l) {
		if !f.worthList(d, l) {
			return false
		}
		f.askListed(ctx, d) // should that fail, whoever asks for the tag will hear why
	}
	return f.unlistedAtHand(ref)
}

// unlistedAtHand is unlisted by what is in memory.
func (f *FS) unlistedAtHand(ref reference) bool {
	l, _ := f.listed.get(f.layout.of(ref.repo, ref.tag))
	if !f.isFresh(l) {
		return false
	}
	if t, known, _ := f.tags.get(ref); known && t.digest != "" {
		return false // it has been there
	}
	_, there := slices.BinarySearch(l.tags, ref.tag)
	return !there && !f.tags.changedSince(ref, l.asked)
}

// askListed asks for the list, once for all who want it at the same time.
func (f *FS) askListed(ctx context.Context, d directory) { _, _ = f.listTags(ctx, d) }

func (f *FS) isFresh(l listed) bool {
	return !l.asked.at.IsZero() && time.Since(l.asked.at) < f.tags.freshness
}

// worthList counts a question about an absent name, and says whether the list is cheaper than more of them.
func (f *FS) worthList(d directory, l listed) bool {
	now := time.Now()
	if now.Sub(l.since) > f.tags.freshness {
		l.since, l.misses = now, 0
	}
	l.misses++
	worth := l.misses > max(missesForList, len(l.tags)/tagsPerMiss)
	if worth {
		l.misses = 0
	}
	f.listed.put(d, l, max(1, len(l.tags)))
	return worth
}
