package ocifs

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// locks serialises changes in this process: whoever holds a name holds everything under it too, and changes of names
// that are not one in the other do not meet. It is held from the last look at a name to the acknowledgement of its
// change, not while content is uploaded. Other processes are not kept out: the registry has no compare-and-swap.
// The zero value is ready.
type locks struct {
	mu      sync.Mutex
	held    map[string]int // names held
	under   map[string]int // number of held names below this one
	waiting []*waiter      // in order of arrival
}

type waiter struct {
	names   []string
	granted chan struct{}
}

// lock is locks.lock: the spellings of a name are one.
func (f *FS) lock(ctx context.Context, names ...string) (unlock func(), err error) {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = f.Key(name)
	}
	return f.locks.lock(ctx, keys...)
}

// lock waits until all names, clean absolute paths, are free, takes them at once, and gives the function that gives
// them back. It serves in order of arrival, so nobody starves, and ends with ctx.
func (l *locks) lock(ctx context.Context, names ...string) (unlock func(), err error) {
	w := &waiter{names: names, granted: make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, w)
	l.grantLocked()
	l.mu.Unlock()
	select {
	case <-w.granted:
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		if i := slices.Index(l.waiting, w); i >= 0 {
			l.waiting = slices.Delete(l.waiting, i, i+1)
		} else {
			l.countLocked(names, -1)
		}
		l.grantLocked()
		return nil, ctx.Err()
	}
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.countLocked(names, -1)
		l.grantLocked()
	}), nil
}

// grantLocked gives way to every waiter that meets neither a holder nor an earlier waiter.
func (l *locks) grantLocked() {
	if l.held == nil {
		l.held, l.under = map[string]int{}, map[string]int{}
	}
	still := l.waiting[:0]
	var before locks // what earlier waiters want, as if held
	before.held, before.under = map[string]int{}, map[string]int{}
	for _, w := range l.waiting {
		if l.meets(w.names) || before.meets(w.names) {
			before.countLocked(w.names, 1)
			still = append(still, w)
			continue
		}
		l.countLocked(w.names, 1)
		close(w.granted)
	}
	clear(l.waiting[len(still):])
	l.waiting = still
}

// meets says whether one of names is, is in, or holds a name that is held.
func (l *locks) meets(names []string) bool {
	for _, name := range names {
		if l.held[name] > 0 || l.under[name] > 0 {
			return true
		}
		for up := parent(name); up != ""; up = parent(up) {
			if l.held[up] > 0 {
				return true
			}
		}
	}
	return false
}

func (l *locks) countLocked(names []string, n int) {
	count := func(m map[string]int, name string) {
		if m[name] += n; m[name] == 0 {
			delete(m, name)
		}
	}
	for _, name := range names {
		count(l.held, name)
		for up := parent(name); up != ""; up = parent(up) {
			count(l.under, up)
		}
	}
}

// parent gives the directory of a clean absolute path, and "" for the root.
func parent(name string) string {
	switch i := strings.LastIndexByte(name, '/'); {
	case name == "/":
		return ""
	case i <= 0:
		return "/"
	default:
		return name[:i]
	}
}
