package ocifs

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The list of the one repository of a flat layout has the tags of all directories. While it has few pages all of it is
// asked for, and is good for all directories. Where it is long, a directory is asked for alone: its tags are those that
// begin with its key, so in a list in the order of their bytes, as the specification wants it, they come one after the
// other, behind the key itself.
//
// Many registries list in another order (of creation, or ignoring case), know no "last", or only take for it a tag that is
// there. So a part is believed only
//
//   - if the registry has been seen to list in order: a list from its beginning in which so many keys ascend, being
//     hashes, as by chance they do not;
//   - if what comes ascends, all of it behind the key;
//   - and if it shows where it ends, by a tag behind the directory's, or is not empty: an empty answer may as well mean
//     that the registry does not understand the question.
//
// Anything else has the whole list asked for, and filtered; and where it shows that the registry's lists are not what
// parts need, that stays so.
const (
	provenKeys = 10      // ascending keys: by chance one list of 10! does that
	wholePages = 20      // longer lists are not asked for as a whole, if there is a choice
	scanNames  = 100_000 // names that are kept of a whole list
)

// scans is what is known of the list.
type scans struct {
	flight flights[struct{}] // whole lists

	mu        sync.Mutex
	order     listOrder
	doubt     string // a part behind this tag was empty
	long      bool   // it has more than wholePages
	pages     int    // that it has; zero: not known
	whole     stamp  // of FS.lists: when all tags were last asked for, and are known by directory
	wholeTags stamp  // of FS.tags
	parts     int    // pages that were asked for of single directories
	since     time.Time
}

// listOrder is the order of the registry's lists.
type listOrder int

const (
	orderUnknown listOrder = iota
	orderBytes
	orderOther
)

// scan asks for the tags of d.
func (f *FS) scan(ctx context.Context, d directory) ([]string, error) {
	if tags, ok := f.scanned(d); ok {
		return tags, nil
	}
	part := f.worthPart()
	if part {
		if tags, ok, err := f.scanPart(ctx, d); ok || err != nil {
			return tags, err
		}
	}
	leave, err := f.scans.flight.join(ctx, struct{}{})
	if err != nil {
		return nil, err
	}
	defer leave()
	if tags, ok := f.listedTags(d); ok { // by whom we have waited for
		return tags, nil
	}
	if tags, ok := f.scanned(d); ok {
		return tags, nil
	}
	if !part {
		if tags, ok, err := f.scanWhole(ctx, d, wholePages); ok || err != nil {
			return tags, err
		}
		if tags, ok, err := f.scanPart(ctx, d); ok || err != nil {
			return tags, err
		}
	}
	tags, _, err := f.scanWhole(ctx, d, 0)
	return tags, err
}

// scanned gives the tags of a directory by a whole list that is fresh: those that it has brought, or none.
func (f *FS) scanned(d directory) ([]string, bool) {
	f.scans.mu.Lock()
	whole, wholeTags := f.scans.whole, f.scans.wholeTags
	f.scans.mu.Unlock()
	if whole.order == 0 || time.Since(whole.at) >= f.lists.freshness || f.lists.changedSince(d.list(), whole) {
		return nil, false
	}
	if l, ok := f.lists.learned(d.list(), whole); ok { // a moment ago, since the caller has looked for it
		return l.all(), true
	}
	tags := []string{}
	f.keepListed(d, tags, wholeTags)
	return tags, true
}

// scannedSince says whether all tags were asked for after the question that began with earlier, and those of d have not
// changed since.
func (f *FS) scannedSince(d directory, earlier stamp) bool {
	f.scans.mu.Lock()
	whole := f.scans.whole
	f.scans.mu.Unlock()
	return d.flat && whole.order > earlier.order && !f.lists.changedSince(d.list(), whole)
}

// worthPart says whether to ask for a directory alone: where that can be, until so many pages were asked for as the whole
// list has.
func (f *FS) worthPart() bool {
	s := &f.scans
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.since) >= f.lists.freshness {
		s.since, s.parts = now, 0
	}
	return s.order == orderBytes && (s.long || s.parts+1 < s.pages)
}

// scanWhole asks for all tags and gives those of d. False: it has given up after limit pages, zero for none, since the rest
// can be had in parts.
func (f *FS) scanWhole(ctx context.Context, d directory, limit int) ([]string, bool, error) {
	asked, tagsAsked := f.lists.ask(), f.tags.ask()
	var l pages
	all, names := map[string][]string{d.key: {}}, 0
	err := f.eachPage(ctx, d.repo, "", false, func(page []string) error {
		l.see(page)
		if names += len(page); names > scanNames {
			all = map[string][]string{d.key: all[d.key]}
		}
		for _, tag := range page {
			if key := keyOf(tag); key == d.key || names <= scanNames {
				all[key] = append(all[key], tag)
			}
		}
		if limit > 0 && l.n >= limit && l.order() == orderBytes && !f.scans.other() {
			return errEnough
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough):
		f.scans.learn(l, true)
		return nil, false, nil
	case err != nil && !(errors.Is(err, errAbsent) && names == 0): // no repository has no tags
		return nil, false, err
	}
	for key, tags := range all {
		all[key] = f.keepList(directory{repo: d.repo, key: key, flat: true}, tags, asked, tagsAsked)
	}
	f.scans.learn(l, false)
	if names <= scanNames {
		f.scans.mu.Lock()
		f.scans.whole, f.scans.wholeTags = asked, tagsAsked
		f.scans.mu.Unlock()
	}
	return all[d.key], true, nil
}

// scanPart asks for the tags of d alone. False: what came is not to be believed.
func (f *FS) scanPart(ctx context.Context, d directory) ([]string, bool, error) {
	asked, tagsAsked := f.lists.ask(), f.tags.ask()
	isKeyed := func(tag string) bool { return strings.HasPrefix(tag, keyPrefix) }
	var tags []string
	var ok bool
	var err error
	if d.key != "" {
		tags, ok, err = f.scanRun(ctx, d.repo, d.key, func(tag string) bool { return strings.HasPrefix(tag, d.key) })
	} else { // the root's are before all keys and behind them
		tags, ok, err = f.scanRun(ctx, d.repo, "", func(tag string) bool { return !isKeyed(tag) })
		if ok {
			var behind []string
			behind, ok, err = f.scanRun(ctx, d.repo, afterKeys, func(tag string) bool { return !isKeyed(tag) })
			tags = append(tags, behind...)
		}
	}
	if !ok {
		return nil, false, err
	}
	return f.keepList(d, tags, asked, tagsAsked), true, nil
}

// scanRun asks for the tags that come behind after, as far as they are mine: one after the other. False: it is not known
// whether these are all.
func (f *FS) scanRun(ctx context.Context, repo, after string, mine func(tag string) bool) (tags []string, ok bool, err error) {
	l := pages{last: after}
	ended := false
	err = f.eachPage(ctx, repo, after, false, func(page []string) error {
		l.see(page)
		for _, tag := range page {
			if ended = ended || !mine(tag); !ended {
				tags = append(tags, tag)
			}
		}
		if ended || l.disorder {
			return errEnough
		}
		return nil
	})
	s := &f.scans
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts += l.n
	switch code := status(err); {
	case l.disorder, code == http.StatusBadRequest, code == http.StatusNotFound, code == http.StatusUnprocessableEntity:
		s.order = orderOther // it knows no such "last", or does not list in order
		return nil, false, nil
	case err != nil && !errors.Is(err, errEnough) && !(errors.Is(err, errAbsent) && l.n == 0):
		return nil, false, err
	case !ended && len(tags) == 0 && after != "":
		s.doubt = after
		return nil, false, nil
	}
	return tags, true, nil
}

// learn takes over what a list has shown, from its beginning on; long: there is more of it.
func (s *scans) learn(l pages, long bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := l.order(); s.order == orderUnknown || o == orderOther {
		s.order = o
	}
	if s.doubt != "" && l.last > s.doubt { // there was something behind it
		s.order = orderOther
	}
	s.doubt, s.long, s.pages, s.parts = "", long, l.n, 0
}

func (s *scans) other() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.order == orderOther
}

// pages is what a list shows of the registry's order.
type pages struct {
	n        int
	last     string // the greatest tag, or what the list is to begin behind
	key      string
	keys     int
	disorder bool
}

func (l *pages) see(page []string) {
	l.n++
	for _, tag := range page {
		if tag < l.last {
			l.disorder = true
			continue
		}
		l.last = tag
		if key := keyOf(tag); key != "" && key != l.key {
			l.key = key
			l.keys++
		}
	}
}

func (l *pages) order() listOrder {
	switch {
	case l.disorder:
		return orderOther
	case l.keys >= provenKeys:
		return orderBytes
	}
	return orderUnknown
}
