package ocifs

import (
	"context"
	"sync"
	"time"
)

// What removes behind the answers has nobody who waits for it, and may cost a registry much: distribution goes through all
// tags of a repository for each manifest that is deleted. So it goes a few tags at a time, and gives way to whatever else
// is wanted of the same host.
const (
	fewTags   = 4                      // removed in one turn
	quietTime = 250 * time.Millisecond // without others until that is believed

	// After a turn the registry is left alone for so many times what it took, since it may have others too, and longer for
	// users of this server. Of a far registry most of that was the way, so there is a bound.
	restAlone    = 1
	restAmong    = 8
	longestAlone = 100 * time.Millisecond
	longestAmong = time.Second
)

type (
	giveWayKey struct{}
	turnKey    struct{}
)

// giveWay has what is done inTurn under ctx give way, until hurry is closed because somebody waits for it. No request under
// ctx is one of those that it gives way to.
func giveWay(ctx context.Context, hurry <-chan struct{}) context.Context {
	return context.WithValue(ctx, giveWayKey{}, hurry)
}

// inTurn calls do, whose first request waits until it may go, and whose others go with it: what they do may hang on its
// answer, and that must not grow old.
func inTurn(ctx context.Context, do func(ctx context.Context) error) error {
	hurry, gives := ctx.Value(giveWayKey{}).(<-chan struct{})
	if !gives {
		return do(ctx)
	}
	t := &turn{hurry: hurry}
	defer t.end()
	return do(context.WithValue(ctx, turnKey{}, t))
}

// mustGiveWay says whether what is done inTurn under ctx is to be kept short.
func mustGiveWay(ctx context.Context) bool {
	hurry, gives := ctx.Value(giveWayKey{}).(<-chan struct{})
	select {
	case <-hurry:
		return false
	default:
		return gives
	}
}

// turn is that of one inTurn.
type turn struct {
	hurry <-chan struct{}

	mu    sync.Mutex
	of    *traffic // where it was taken
	began time.Time
}

// traffic is what goes on at one host. The zero value is ready.
type traffic struct {
	mu     sync.Mutex
	others int           // requests under way that give way to none
	quiet  time.Time     // when the last of them ended
	taken  bool          // there is one turn at a time
	last   time.Time     // when one ended
	took   time.Duration // what it took
	ended  chan struct{} // closed when it ends
}

// enter waits until a request under ctx may go, if it is one that gives way. leave is for when it has been answered.
func (t *traffic) enter(ctx context.Context) (leave func(), err error) {
	if turn, ok := ctx.Value(turnKey{}).(*turn); ok {
		return func() {}, turn.take(ctx, t)
	}
	if ctx.Value(giveWayKey{}) != nil {
		return func() {}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.others++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.others--
		t.quiet = time.Now()
	}, nil
}

// take waits for the turn, if it has not been taken.
func (u *turn) take(ctx context.Context, t *traffic) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.of == nil {
		now := time.Now()
		wait, ended := t.wait(now)
		if wait == 0 {
			u.of, u.began = t, now
			break
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ended:
		case <-u.hurry:
			timer.Stop()
			return nil
		case <-ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// wait takes the turn, or says for how long there is none at most, if no other ends before.
func (t *traffic) wait(now time.Time) (left time.Duration, ended <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	alone := now.Sub(t.quiet) // for how long
	if t.others > 0 {
		alone = 0
	}
	rest := t.last.Add(min(restAlone*t.took, longestAlone)).Sub(now)
	if alone < quietTime {
		rest = min(t.last.Add(min(restAmong*t.took, longestAmong)).Sub(now), max(rest, quietTime-alone))
	}
	switch {
	case t.taken:
		return longestAmong, t.ended
	case rest > 0:
		return rest, nil
	}
	t.taken, t.ended = true, make(chan struct{})
	return 0, nil
}

func (u *turn) end() {
	t := u.of
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken, t.last = false, time.Now()
	t.took = t.last.Sub(u.began)
	close(t.ended)
}
