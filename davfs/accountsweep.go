package davfs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// How many trees of users there are, for how long, and what they keep in memory.
const (
	maxSessions  = 256
	sessionIdle  = 15 * time.Minute
	sessionNames = 400_000 // kept by all of them, more than one tree keeps; some 280 MB
	closeTime    = 30 * time.Second
)

// leave ends a request.
func (a *Accounts) leave(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.running--
	s.used = time.Now()
	if s.gone && s.running == 0 {
		a.closeLocked(s)
	}
	if time.Since(a.swept) > time.Second {
		a.sweepLocked()
	}
}

// doubt has the log-in asked for before the next request: the storage has refused the credentials.
func (a *Accounts) doubt(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.good = time.Time{}
}

// sweepLocked closes what is not used any more, and what is too much. The most recently used one stays in any case.
func (a *Accounts) sweepLocked() {
	a.swept = time.Now()
	type one struct {
		c credentials
		*session
		kept int
	}
	var all []one
	total := 0
	for c, s := range a.live {
		all = append(all, one{c, s, s.account.Kept()})
		total += all[len(all)-1].kept
	}
	slices.SortFunc(all, func(x, y one) int { return x.used.Compare(y.used) })
	for n, s := range all {
		last := n == len(all)-1
		idle := s.running == 0 && a.swept.Sub(s.used) > sessionIdle
		much := !last && (len(a.live) > maxSessions || total > sessionNames)
		switch {
		case idle, much && s.running == 0:
			total -= s.kept
			a.dropLocked(s.c, s.session)
		case much && total > sessionNames && s.kept > 0:
			total -= s.kept
			s.account.Trim()
		}
	}
	if a.timer == nil && len(a.live) > 0 {
		a.timer = time.AfterFunc(sessionIdle/2, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.timer != nil { // it is not closed
				a.timer = nil
				a.sweepLocked()
			}
		})
	}
}

// dropLocked ends a session, with its last request if it has some.
func (a *Accounts) dropLocked(c credentials, s *session) {
	if a.live[c] == s {
		delete(a.live, c)
	}
	if !s.gone && s.running == 0 {
		a.closeLocked(s)
	}
	s.gone, s.good = true, time.Time{}
}

func (a *Accounts) closeLocked(s *session) {
	s.gone = true
	a.closing.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		if err := s.account.Close(ctx); err != nil {
			a.Log.Warn("a user's tree did not come to its end", "err", err)
		}
	})
}

// Close closes all accounts, when there are no requests any more. An error: some have not come to their end with ctx.
func (a *Accounts) Close(ctx context.Context) error {
	a.once.Do(a.init)
	a.mu.Lock()
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	var mu sync.Mutex
	var errs []error
	for c, s := range a.live {
		delete(a.live, c)
		s.gone = true
		a.closing.Go(func() {
			if err := s.account.Close(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	a.mu.Unlock()
	a.closing.Wait()
	return errors.Join(errs...)
}
