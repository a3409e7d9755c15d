package ocifs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of what is cleared behind the answers.
const (
	clearingsAtOnce  = 4    // each holds the list of its directory
	clearingsPatient = 100  // where there are more none gives way any more
	clearingsWaiting = 1000 // and here RemoveAll clears by itself

	// clearingInline is for how long it does, as its client waits for that; what is left then is an orphan.
	clearingInline = 10 * time.Second
)

// clearings are the places of removed directories that are being cleared while the answer is given already. There is one
// for a directory at a time. Whoever makes the directory anew waits for it first (join), so that it cannot take what is
// new for what is old. The hands are one set for all of them. Their requests give way to those that somebody waits for.
type clearings struct {
	hands hands

	*places // of all trees of the drive; its mutex is for the rest too
	turns   chan struct{}
	count   int
	stopped bool
	stop    context.CancelFunc
	ctx     context.Context
	wg      sync.WaitGroup
}

// places are those that are being cleared.
type places struct {
	mu   sync.Mutex
	last map[directory]*clearing
}

type clearing struct {
	mu    sync.Mutex
	taken bool   // begun, or left to who came to wait for it
	hurry func() // it gives way no more
	done  chan struct{}
}

// take says whether the caller is the one to do it.
func (c *clearing) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.taken
	c.taken = true
	return first
}

// begin has clear called behind; false: there is too much to do already.
func (c *clearings) begin(d directory, clear func(ctx context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || c.count == clearingsWaiting {
		return false
	}
	if c.last == nil {
		c.last = map[directory]*clearing{}
	}
	if c.turns == nil {
		c.turns = make(chan struct{}, clearingsAtOnce)
		c.ctx, c.stop = context.WithCancel(context.Background())
	}
	earlier := c.last[d] // another server made the directory in between
	hurry := make(chan struct{})
	mine := &clearing{taken: earlier != nil, done: make(chan struct{}), hurry: sync.OnceFunc(func() {
		close(hurry)
		if earlier != nil {
			earlier.hurry()
		}
	})}
	c.last[d] = mine
	if c.count++; c.count > clearingsPatient {
		c.hurryLocked()
	}
	c.wg.Go(func() {
		defer c.end(d, mine)
		if earlier != nil {
			<-earlier.done
		}
		if !c.turn(hurry) {
			return
		}
		defer func() { <-c.turns }()
		if earlier != nil || mine.take() {
			clear(giveWay(c.ctx, hurry))
		}
	})
	return true
}

// turn waits for one's turn; false: there will be none. Whoever must hurry has those hurry whose turn it is.
func (c *clearings) turn(hurry <-chan struct{}) bool {
	for {
		select {
		case c.turns <- struct{}{}:
			return true
		case <-c.ctx.Done():
			return false
		case <-hurry:
			hurry = nil
			c.mu.Lock()
			c.hurryLocked()
			c.mu.Unlock()
		}
	}
}

func (c *clearings) hurryLocked() {
	for _, running := range c.last {
		running.hurry()
	}
}

func (c *clearings) end(d directory, mine *clearing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last[d] == mine {
		delete(c.last, d)
	}
	c.count--
	close(mine.done)
}

// join waits for the clearing of d. One that has not begun is left to the caller.
func (c *clearings) join(ctx context.Context, d directory) error {
	c.mu.Lock()
	running := c.last[d]
	c.mu.Unlock()
	if running == nil || running.take() {
		return nil
	}
	running.hurry()
	select {
	case <-running.done:
		return nil
	case <-ctx.Done():
		return failure(ctx.Err(), "wait until %s is cleared", d)
	}
}

// close waits until the places of removed directories are cleared, or until ctx ends; what is left then are orphans, as
// after a crash.
func (c *clearings) close(ctx context.Context) error {
	c.mu.Lock()
	c.stopped = true
	left := c.count
	c.hurryLocked()
	c.mu.Unlock()
	if left == 0 {
		return nil
	}
	done := make(chan struct{})
	go func() { c.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	left = c.count
	c.mu.Unlock()
	c.stop()
	<-done
	return fmt.Errorf("clear behind %d removed directories: %w", left, ctx.Err())
}

// clearBehind clears the place of the directory p, which is gone, behind the answer. It is gone whatever happens now, so
// a failure is not the client's: what stays is an orphan, cleared when a directory of that name is made again.
func (f *FS) clearBehind(ctx context.Context, p place) {
	d, err := f.layout.directory(p.name)
	if err != nil {
		return // it never held anything
	}
	clear := func(ctx context.Context) {
		if err := f.clear(ctx, f.newWalk(f.clearings.hands), p); err != nil && !errors.Is(err, fs.ErrExist) {
			f.log.WarnContext(ctx, "members of a removed directory are left in the registry", "directory", p.name, "error", err)
		}
	}
	if !f.clearings.begin(d, clear) {
		ctx, cancel := context.WithTimeout(ctx, clearingInline)
		defer cancel()
		clear(ctx)
	}
}

// clear removes all that ocidav has written in the place of the directory p, which has no marker, from the bottom up: a
// crash leaves the markers by which the rest is found. What others pushed stays. fs.ErrExist: there is a marker by now,
// made by another server, and what is there may be new.
func (f *FS) clear(ctx context.Context, w *walk, p place) error {
	return f.clearDirectory(ctx, w, p.name, f.goneAt(p))
}

// goneAt asks whether the directory p is still gone; fs.ErrExist: it is not.
func (f *FS) goneAt(p place) func(context.Context) error {
	return func(ctx context.Context) error {
		i, err := f.askNow()(ctx, p.repo, p.marker)
		if err == nil && i != nil {
			err = fmt.Errorf("%s has been made again: %w", p.name, fs.ErrExist)
		}
		return err
	}
}

// noRoot refuses to clear the place of dir if its tags show that it is the root of another drive: the files there are no orphans.
func noRoot(dir string, tags []string) error {
	if slices.ContainsFunc(tags, func(tag string) bool { return strings.HasPrefix(tag, recordPrefix) }) {
		return fmt.Errorf("%s is the root of another drive, and cannot be written to from here: %w", dir, fs.ErrPermission)
	}
	return nil
}

func (f *FS) clearDirectory(ctx context.Context, w *walk, dir string, gone func(context.Context) error) error {
	d, err := f.layout.directory(dir)
	if err != nil {
		return err
	}
	if err := f.forgetList(dir, w.began); err != nil {
		return err
	}
	l, err := f.listTo(ctx, w.hands, dir, f.member, isLost)
	if err == nil {
		err = noRoot(dir, l.names)
	}
	if err != nil {
		return err
	}
	below := w.within()
	for _, m := range l.members {
		if m.IsDir() {
			name := join(dir, m.name)
			below.enter(name, func() error { return f.clearDirectory(ctx, w, name, gone) })
		}
	}
	if err := below.wait(); err != nil {
		return err
	}
	return f.removeTags(ctx, w.hands, d.repo, l.ours, gone)
}

// removeTags removes tags of a directory that is gone. Whether it still is, is asked before each few of them: a registry
// has no condition to remove a tag by, and another server may make the directory at any time. No hand does that, which could
// do something else while it gives way.
func (f *FS) removeTags(ctx context.Context, h hands, repo string, tags []string, gone func(context.Context) error) error {
	for len(tags) > 0 {
		n := min(len(tags), cap(h))
		if mustGiveWay(ctx) {
			n = min(n, fewTags)
		}
		some := tags[:n]
		tags = tags[n:]
		err := inTurn(ctx, func(ctx context.Context) error {
			if err := gone(ctx); err != nil {
				return err
			}
			return eachBy(ctx, h, some, func(ctx context.Context, _ int, tag string) error { return f.removeTag(ctx, repo, tag) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}
