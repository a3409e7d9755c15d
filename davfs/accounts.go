package davfs

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// An Account is one user's way into a storage that knows its users itself: a Tree of what he may see, who is known there by
// the credentials that it was opened with.
type Account interface {
	Tree

	// LogIn asks the storage whether it takes the credentials now; it is called before anything else, again from time to time,
	// and not twice at once. A failure of [ClassUnauthorized]: it does not. Any other says nothing about them.
	LogIn(ctx context.Context) error

	// MayWrite asks the storage whether this user may write the file name, or the members of the directory: a failure of
	// [ClassDenied] if he may not. It is asked for what nothing is written for yet, a lock.
	MayWrite(ctx context.Context, name string, directory bool) error

	// Kept is how much it keeps in memory, by names; Trim forgets all that can be asked for again.
	Kept() int
	Trim()

	// Close ends what goes on behind the answers. Nothing is called after it.
	Close(ctx context.Context) error
}

// Accounts are the users of a storage that knows them itself, by HTTP Basic: each has a Tree of his own, so that nothing that
// the storage has said to one of them can be answered to another. Log-ins that were good are remembered for a while, by a hash
// under a key that nobody outside of the process has; a user is who has a name and a password, for one name may have several
// with different rights. How many trees there are, and what they keep, is bounded: those that nobody uses are closed, the
// least recently used first. It is safe for concurrent use.
type Accounts struct {
	// Open opens the account of a user, without asking the storage anything. Both are empty for who gives no credentials.
	Open func(name, password string) (Account, error)

	// Key is Tree.Key of all of them.
	Key func(name string) string

	// Junk is the policy of each tree, see WithJunk.
	Junk Junk

	Log *slog.Logger

	once  sync.Once
	key   [32]byte
	junk  *junkStore
	slots chan struct{}

	mu      sync.Mutex
	live    map[credentials]*session
	checks  map[credentials]*check
	swept   time.Time
	timer   *time.Timer
	closing sync.WaitGroup
}

// Bounds of the accounts.
const (
	logInGood    = 5 * time.Minute  // that it is not asked for again
	logInTime    = 20 * time.Second // that it may take
	logInsAtOnce = 32
	maxSessions  = 256
	sessionIdle  = 15 * time.Minute
	sessionNames = 300_000 // kept by all of them, more than one tree keeps; some 200 MB
	closeTime    = 30 * time.Second

	maxCredentials = 16 << 10 // bytes; some registries take a whole key for a password
)

// credentials is the hash of a name and a password.
type credentials [sha256.Size]byte

// A session is the account of somebody who has logged in. All but the first three are guarded by Accounts.mu.
type session struct {
	account   Account
	tree      Tree // the same with its junk
	anonymous bool

	good    time.Time // until then the log-in is
	running int       // requests
	used    time.Time
	gone    bool // not live any more: closed with the last request
}

// A check is a log-in that is being asked for, by whoever comes with the same credentials meanwhile.
type check struct {
	done chan struct{}
	err  error // read after done
}

func (a *Accounts) init() {
	rand.Read(a.key[:])
	a.junk = newJunkStore(junkLimits)
	a.slots = make(chan struct{}, logInsAtOnce)
	a.live, a.checks = map[credentials]*session{}, map[credentials]*check{}
	if a.Log == nil {
		a.Log = slog.New(slog.DiscardHandler)
	}
}

func (a *Accounts) sum(name, password string) (c credentials) {
	mac := hmac.New(sha256.New, a.key[:])
	fmt.Fprintf(mac, "%d:%s%s", len(name), name, password)
	mac.Sum(c[:0])
	return c
}

// enter gives the session of the credentials, which leave ends. Those that are not known are guesses, maybe: slow is called
// before they are looked at, and failed when they were refused, once for all who have come with them at that moment.
func (a *Accounts) enter(ctx context.Context, name, password string, slow func() error, failed func()) (*session, error) {
	a.once.Do(a.init)
	c := a.sum(name, password)
	for {
		s, guess := a.take(c)
		if s != nil {
			return s, nil
		}
		if guess {
			if err := slow(); err != nil {
				return nil, err
			}
		}
		first, err := a.logIn(ctx, c, name, password)
		switch {
		case err == nil:
		case isFailure(err) && classOf(err) == ClassUnauthorized:
			if first {
				failed()
			}
			return nil, errUnauthorized
		default:
			return nil, err
		}
	}
}

// take begins a request of a session whose log-in is good; guess: there is none of these credentials.
func (a *Accounts) take(c credentials) (s *session, guess bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s = a.live[c]
	if s == nil || !time.Now().Before(s.good) {
		return nil, s == nil
	}
	s.running++
	return s, false
}

// logIn has the storage asked whether it takes the credentials, and says whether it was this call that began it.
func (a *Accounts) logIn(ctx context.Context, c credentials, name, password string) (first bool, err error) {
	a.mu.Lock()
	k := a.checks[c]
	if first = k == nil; first {
		k = &check{done: make(chan struct{})}
		a.checks[c] = k
		go func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logInTime)
			defer cancel()
			k.err = a.check(ctx, c, name, password)
			a.mu.Lock()
			delete(a.checks, c)
			a.mu.Unlock()
			close(k.done)
		}()
	}
	a.mu.Unlock()
	select {
	case <-k.done:
		return first, k.err
	case <-ctx.Done():
		return first, ctx.Err()
	}
}

func (a *Accounts) check(ctx context.Context, c credentials, name, password string) error {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	a.mu.Lock()
	s := a.live[c]
	fresh := s == nil
	if !fresh {
		s.running++ // it is not closed meanwhile
	}
	a.mu.Unlock()
	if fresh {
		account, err := a.Open(name, password)
		if err != nil {
			return err
		}
		s = &session{account: account, tree: a.withJunk(account, c), anonymous: name == ""}
	}
	err := s.account.LogIn(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if !fresh {
		s.running--
	}
	switch {
	case s.gone: // others were too many
		if s.running == 0 {
			a.closeLocked(s)
		}
	case err == nil:
		s.good, s.used = time.Now().Add(logInGood), time.Now()
		a.live[c] = s
		a.sweepLocked()
	case fresh:
		a.closeLocked(s)
	case isFailure(err) && classOf(err) == ClassUnauthorized:
		a.dropLocked(c, s)
	}
	return err
}

// withJunk gives t with the user's junk, whose place in the store is his over the end of his tree. A name alone would not do:
// some storages take any name where the password is a token.
func (a *Accounts) withJunk(t Tree, c credentials) Tree {
	if a.Junk != JunkMemory {
		return WithJunk(t, a.Junk)
	}
	owner := "/" + hex.EncodeToString(c[:])
	return newJunkMemory(t, isJunk, junkFiles{a.junk, func(name string) string { return owner + t.Key(name) }})
}

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
