package davfs

import (
	"cmp"
	"path"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/webdav"
)

// A lock is a write lock (RFC 4918 section 6).
type lock struct {
	token   string
	root    string // as the client spelt it
	key     string // Tree.Key of root
	flat    bool   // Depth 0; else infinity
	shared  bool
	owner   string // the owner element, whole
	user    string // who made it, and alone may use its token; empty: everybody
	timeout time.Duration
	until   time.Time
}

// covers says whether the name of that key is under the lock.
func (l *lock) covers(key string) bool { return l.key == key || !l.flat && within(key, l.key) }

func (l *lock) overlaps(m *lock) bool { return l.covers(m.key) || m.covers(l.key) }

func (l *lock) forbids(m *lock) bool { return l.overlaps(m) && !(l.shared && m.shared) }

// lockTable holds the locks, in memory and in a file that a restart reads (lockfile.go). It stands in for the engine's
// LockSystem, which knows neither shared locks nor those of members and parents, lets a list about one name open another
// (golang/go#43556), answers 423 to two writers without any lock, keeps the locks of what is gone (golang/go#42839), and
// counts its tokens up from the time of day. The token of a lock is random, so that where nobody logs in, knowing it is proof
// enough.
//
// Names are keys (Tree.Key): a lock on one spelling of a name is one on all.
type lockTable struct {
	mu    sync.Mutex
	locks map[string]*lock // by token
	file  *lockFile        // nil: they end with this process
}

// Bounds of the memory that clients can fill with locks.
const (
	maxLocks = 10_000
	maxOfOne = 2_500   // of one user, so that the others have room
	maxOwner = 4 << 10 // bytes
)

// each calls f for all locks that have not expired. The caller holds mu.
func (t *lockTable) each(f func(l *lock)) {
	now := time.Now()
	for token, l := range t.locks {
		if now.Before(l.until) {
			f(l)
		} else {
			t.end(token)
		}
	}
}

// end takes a lock away. The caller holds mu.
func (t *lockTable) end(token string) {
	if _, ok := t.locks[token]; ok {
		delete(t.locks, token)
		t.file.write(t.locks, &lock{token: token})
	}
}

// add puts l into the table, or gives the locks that forbid it (RFC 4918 section 6.2), or has no room.
func (t *lockTable) add(l lock) (conflict []lock, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := 0
	t.each(func(m *lock) {
		if l.forbids(m) {
			conflict = append(conflict, *m)
		}
		if l.user != "" && m.user == l.user {
			own++
		}
	})
	if conflict != nil || len(t.locks) >= maxLocks || own >= maxOfOne {
		return conflict, false
	}
	if t.locks == nil {
		t.locks = make(map[string]*lock)
	}
	l.until = time.Now().Add(l.timeout)
	t.locks[l.token] = &l
	t.file.write(t.locks, &l)
	return nil, true
}

func (t *lockTable) remove(tokens ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, token := range tokens {
		t.end(token)
	}
}

// refresh starts the timeout anew of the first of the tokens that is a lock on the name. A lock that is not the client's is
// given back as it is.
func (t *lockTable) refresh(key string, tokens []string, timeout time.Duration, mine func(lock) bool) (lock, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, token := range tokens {
		if l := t.locks[token]; l != nil && l.covers(key) && time.Now().Before(l.until) {
			if mine(*l) {
				l.timeout, l.until = timeout, time.Now().Add(timeout)
				t.file.write(t.locks, l)
			}
			return *l, true
		}
	}
	return lock{}, false
}

// below gives the tokens of the locks at and below the name, and of those below dst if it is not empty.
func (t *lockTable) below(key, dst string) (tokens []string) {
	for _, l := range t.list(func(l *lock) bool {
		return key != "" && within(l.key, key) || dst != "" && l.key != dst && within(l.key, dst)
	}) {
		tokens = append(tokens, l.token)
	}
	return tokens
}

func (t *lockTable) list(which func(l *lock) bool) (list []lock) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.each(func(l *lock) {
		if which(l) {
			list = append(list, *l)
		}
	})
	slices.SortFunc(list, func(a, b lock) int { return cmp.Compare(a.token, b.token) })
	return list
}

// count gives the number of locks.
func (t *lockTable) count() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.each(func(*lock) { n++ })
	return n
}

// holds says whether token is a lock on the name.
func (t *lockTable) holds(token, key string) bool {
	_, ok := t.get(token, key)
	return ok
}

// get gives the lock on the name that has the token.
func (t *lockTable) get(token, key string) (lock, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.locks[token]
	if l == nil || !l.covers(key) || !time.Now().Before(l.until) {
		return lock{}, false
	}
	return *l, true
}

// A lockView is what is known of the locks on a name and its members at one moment, arranged so that a directory of ten
// thousand members under ten thousand locks can be answered.
type lockView struct {
	above []lock            // those that cover the name and all below it
	roots map[string][]lock // the others, by the key of their roots
}

func (t *lockTable) view(key string) lockView {
	v := lockView{roots: map[string][]lock{}}
	for _, l := range t.list(func(l *lock) bool { return l.covers(key) || within(l.key, key) }) {
		if l.covers(key) && !l.flat {
			v.above = append(v.above, l)
		} else {
			v.roots[l.key] = append(v.roots[l.key], l)
		}
	}
	return v
}

// on gives the locks on the name of the view, or on a member.
func (v lockView) on(key string) []lock { return slices.Concat(v.above, v.roots[key]) }

// A touch is what a request does to a name, as far as locks care (RFC 4918 sections 7.4 and 7.5).
type touch struct {
	key    string
	member bool // it appears or disappears, which changes its parent
	deep   bool // all below it is touched too
}

func (c touch) concerns(l *lock) bool {
	return l.covers(c.key) || c.deep && within(l.key, c.key) ||
		c.member && c.key != "/" && l.key == path.Dir(c.key)
}

// inTheWay gives the locks that forbid the touches to a client that has these tokens, as far as they are its own. A shared
// lock is open to the holder of another one on the same.
func (t *lockTable) inTheWay(touches []touch, tokens []string, mine func(lock) bool) []lock {
	ours := func(l lock) bool { return slices.Contains(tokens, l.token) && mine(l) }
	all := t.list(func(l *lock) bool {
		return slices.ContainsFunc(touches, func(c touch) bool { return c.concerns(l) })
	})
	return slices.DeleteFunc(slices.Clone(all), func(l lock) bool {
		return ours(l) || l.shared && slices.ContainsFunc(all, func(m lock) bool {
			return m.shared && ours(m) && m.overlaps(&l)
		})
	})
}

// noLocks is what the engine gets: all is decided before it runs.
type noLocks struct{ webdav.LockSystem }

func (noLocks) Create(time.Time, webdav.LockDetails) (string, error) { return "", nil }
func (noLocks) Unlock(time.Time, string) error                       { return nil }
