package ocifs

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what is asked in the background. HEAD of a tag costs a registry little, and nothing that is counted as a
// pull; but 10,000 of them at once would be in the way of people.
const (
	revalidateParallel = 4
	revalidatePause    = 20 * time.Millisecond // between two questions
	revalidateQueue    = 1000                  // directories
)

// revalidation asks again, behind the listings, what they took from older answers: the oldest first. A listing of 10,000
// names must not ask 10,000 questions, and whoever opens a name asks about it anyway. So what others have overwritten
// shows in a listing soon after it was first listed again, and what they have made or removed at once.
type revalidation struct {
	mu      sync.Mutex
	queue   []directory
	waiting map[directory][]string
	running bool
}

// familiar says how to ask for the tags of dir in a listing, and what to do when it is whole. So many questions as can be
// asked at once are asked, so that a small directory is always as the registry has it; more are not, where an answer is
// known.
func (f *FS) familiar(ctx context.Context, dir string) (ask asker, behind func(), err error) {
	if f.local != nil || f.tags.freshness <= 0 {
		return f.member, func() {}, nil
	}
	d, err := f.layout.directory(dir)
	if err != nil {
		return nil, nil, err
	}
	tags, err := f.listTags(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	stale, unknown := f.age(d.repo, tags)
	if unknown >= bundleFrom && f.recall(ctx, d, tags) {
		stale, unknown = f.age(d.repo, tags)
	}
	learnt := func() {
		if unknown >= bundleFrom {
			f.bundleLater(d.list())
		}
	}
	if len(stale) <= f.parallel {
		return f.member, learnt, nil
	}
	ask = func(ctx context.Context, repo, tag string) (*info, error) {
		if t, _, known := f.tags.last(reference{repo, tag}); known && t.digest != "" {
			return f.answered(ctx, repo, tag, t)
		}
		return f.member(ctx, repo, tag)
	}
	return ask, func() {
		learnt()
		f.revalidate(d, stale)
	}, nil
}

// age says which tags are known by an answer that is not fresh any more, and how many are not known.
func (f *FS) age(repo string, tags []string) (stale []string, unknown int) {
	for _, tag := range tags {
		switch t, known, fresh := f.tags.get(reference{repo, tag}); {
		case !known:
			unknown++
		case !fresh && t.digest != "":
			stale = append(stale, tag)
		}
	}
	return stale, unknown
}

// revalidate asks for the tags of d again, behind the caller. Tags of a directory that is waiting already replace
// those that wait.
func (f *FS) revalidate(d directory, tags []string) {
	r := &f.revalidation
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = map[directory][]string{}
	}
	if _, ok := r.waiting[d]; !ok {
		if len(r.queue) == revalidateQueue {
			return // the next listing will ask
		}
		r.queue = append(r.queue, d)
	}
	r.waiting[d] = tags
	if !r.running {
		r.running = f.behind(f.revalidateAll)
	}
}

func (f *FS) revalidateAll(ctx context.Context) {
	r := &f.revalidation
	for {
		r.mu.Lock()
		if len(r.queue) == 0 || ctx.Err() != nil {
			r.running = false
			r.mu.Unlock()
			return
		}
		d := r.queue[0]
		tags := r.waiting[d]
		r.queue = r.queue[1:]
		delete(r.waiting, d)
		r.mu.Unlock()
		if err := f.revalidateDirectory(ctx, d, tags); err != nil {
			f.log.Debug("not asked again", "directory", d, "error", err) // the next listing will
		}
	}
}

func (f *FS) revalidateDirectory(ctx context.Context, d directory, tags []string) error {
	type question struct {
		tag string
		at  time.Time
	}
	var questions []question
	for _, tag := range tags {
		_, at, _ := f.tags.last(reference{d.repo, tag})
		questions = append(questions, question{tag, at})
	}
	slices.SortStableFunc(questions, func(a, b question) int { return a.at.Compare(b.at) })
	pace := time.NewTicker(revalidatePause)
	defer pace.Stop()
	var changed atomic.Bool
	err := eachBy(ctx, make(hands, revalidateParallel), questions, func(ctx context.Context, _ int, q question) error {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		ref := reference{d.repo, q.tag}
		before, known, fresh := f.tags.get(ref)
		if !known || fresh { // somebody has asked, or changed it
			return nil
		}
		_, err := f.askTag(ctx, d.repo, q.tag)
		if after, _, _ := f.tags.get(ref); after != before {
			changed.Store(true)
		}
		return err
	})
	if changed.Load() {
		f.bundleLater(d.list())
	}
	return err
}
