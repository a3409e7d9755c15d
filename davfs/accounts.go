package davfs

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
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

	strangers places

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

	strangersAtOnce = 8 // of one address, and as many wait

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
	a.strangers.max = strangersAtOnce
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

// A stranger is who comes with credentials that are not known: with a guess, maybe.
type stranger struct {
	remote string
	slow   func() error // waits, before they are looked at
	failed func()       // they were refused
}

// enter gives the session of the credentials, which leave ends. All who come with the same at one moment are one stranger, and
// one address has a few of them looked at at a time, so that none is looked at before the failures of those ahead are known.
func (a *Accounts) enter(ctx context.Context, name, password string, who stranger) (*session, error) {
	a.once.Do(a.init)
	c := a.sum(name, password)
	for {
		s, known := a.take(c)
		if s != nil {
			return s, nil
		}
		look := func(ctx context.Context) error {
			if !known && who.slow != nil {
				leave, err := a.strangers.enter(ctx, addressKey(who.remote))
				if err != nil {
					return err
				}
				defer leave()
				if err := who.slow(); err != nil {
					return err
				}
			}
			err := a.check(ctx, c, name, password)
			if isRefusal(err) && who.failed != nil {
				who.failed()
			}
			return err
		}
		if err := a.logIn(ctx, c, look); isRefusal(err) {
			return nil, errUnauthorized
		} else if err != nil {
			return nil, err
		}
	}
}

// isRefusal says whether the storage does not take the credentials.
func isRefusal(err error) bool {
	return err != nil && isFailure(err) && classOf(err) == ClassUnauthorized
}

// take begins a request of a session whose log-in is good; known: it was.
func (a *Accounts) take(c credentials) (s *session, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s = a.live[c]
	if s == nil || !time.Now().Before(s.good) {
		return nil, s != nil
	}
	s.running++
	return s, true
}

// logIn has look called, once for all who want the same at the same time. It does not end with one of them.
func (a *Accounts) logIn(ctx context.Context, c credentials, look func(context.Context) error) error {
	a.mu.Lock()
	k := a.checks[c]
	if k == nil {
		k = &check{done: make(chan struct{})}
		a.checks[c] = k
		go func() {
			k.err = look(context.WithoutCancel(ctx))
			a.mu.Lock()
			delete(a.checks, c)
			a.mu.Unlock()
			close(k.done)
		}()
	}
	a.mu.Unlock()
	select {
	case <-k.done:
		return k.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// check asks the storage whether it takes the credentials, and keeps their session if it does.
func (a *Accounts) check(ctx context.Context, c credentials, name, password string) error {
	ctx, cancel := context.WithTimeout(ctx, logInTime)
	defer cancel()
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
	case isRefusal(err):
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
