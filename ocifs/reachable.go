package ocifs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"
)

// A name is reachable through the markers of all its ancestors, and another server can take one of them away at any time.
// What is written below it then would be acknowledged and never seen, and what is moved there would be lost. So whoever
// writes asks for these markers anew, beside the requests that it makes anyway: an answer from before the request is not
// enough, however fresh. A window of one round trip is left, because a registry has no condition to push a tag by.

// reachable asks whether all ancestors of p are directories, as the registry has known them at since or later.
// fs.ErrNotExist: one is not.
func (f *FS) reachable(ctx context.Context, p place, since time.Time) error {
	above, err := f.above(p.name)
	if err != nil {
		return err
	}
	return each(ctx, f, above, func(ctx context.Context, _ int, a place) error {
		i, err := f.tagSince(ctx, a.repo, a.marker, since)
		if err == nil && i == nil {
			err = fmt.Errorf("%s: its directory %s does not exist any more: %w", p.name, a.name, fs.ErrNotExist)
		}
		return err
	})
}

// beside calls do and asks meanwhile whether p is reachable, see there, from when do calls ask on: the later that is, the more
// writers into one directory share an answer. A failure of do comes first.
func (f *FS) beside(ctx context.Context, p place, since time.Time, do func(ask func()) error) error {
	if f.told || f.tags.freshness == 0 || parent(p.name) == "/" { // it is known, or asked for at each look
		return do(func() {})
	}
	var gone error
	var wg sync.WaitGroup
	ask := sync.OnceFunc(func() { wg.Go(func() { gone = f.reachable(ctx, p, since) }) })
	err := do(ask)
	if err == nil {
		ask()
	}
	wg.Wait()
	return cmp.Or(err, gone)
}

// asOf gives the time at which what has begun at began may be said to have begun: itself, while that has not waited for a
// lock, a slow registry or a slow client.
func asOf(began time.Time) time.Time {
	if time.Since(began) < requestIsNow {
		return began
	}
	return time.Now()
}

// questions about tags that are under way. Whoever wants an answer that is no older than its own question shares one that
// began later: many writers into one directory ask for its marker once in a round trip, not once each.
type questions struct {
	mu sync.Mutex
	in map[reference]*question
}

type question struct {
	asked stamp
	done  chan struct{}

	i   *info
	err error
	old bool // answered by something fresh that is older than the question
}

// since gives tagSince.
func (f *FS) since(t time.Time) asker {
	return func(ctx context.Context, repo, tag string) (*info, error) { return f.tagSince(ctx, repo, tag, t) }
}

// tagSince says what stands under a tag as the registry has known it at since or later.
func (f *FS) tagSince(ctx context.Context, repo, tag string, since time.Time) (*info, error) {
	if f.told {
		return f.tag(ctx, repo, tag)
	}
	ref := reference{repo, tag}
	for {
		if t, ok := f.tags.since(ref, since); ok {
			return f.answered(ctx, repo, tag, t)
		}
		q, mine := f.join(ref)
		if mine {
			q.i, q.err = f.askTag(ctx, repo, tag)
			f.questions.end(ref, q)
			return q.i, q.err
		}
		select {
		case <-q.done:
		case <-ctx.Done():
			return nil, failure(ctx.Err(), "ask for tag %s in %s", tag, repo)
		}
		young := !q.old && !q.asked.at.Before(since) && !f.tags.changedSince(ref, q.asked)
		if young && !errors.Is(q.err, context.Canceled) { // that is somebody else's end
			return q.i, q.err
		}
	}
}

// join gives the question about ref that is under way, or begins one, which is the caller's to ask and to end.
func (f *FS) join(ref reference) (q *question, mine bool) {
	qs := &f.questions
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if q, ok := qs.in[ref]; ok {
		return q, false
	}
	if qs.in == nil {
		qs.in = map[reference]*question{}
	}
	q = &question{asked: f.tags.ask(), done: make(chan struct{})}
	qs.in[ref] = q
	return q, true
}

func (qs *questions) end(ref reference, q *question) {
	qs.mu.Lock()
	delete(qs.in, ref)
	qs.mu.Unlock()
	close(q.done)
}
