package davfs

import (
	"path"
	"sync"
	"time"

	"golang.org/x/net/webdav"
)

// A lockBook notes the locks that clients take, so that those of a name that is gone can be given up: RFC 4918 sections
// 9.6.1 and 7.7 end a lock with its resource, while a LockSystem has no way to be told (golang/go#42839).
type lockBook struct {
	webdav.LockSystem

	mu   sync.Mutex
	held map[string]heldLock // by token
}

type heldLock struct {
	root  string
	until time.Time
}

func (b *lockBook) Create(now time.Time, d webdav.LockDetails) (string, error) {
	token, err := b.LockSystem.Create(now, d)
	// The engine's own locks for the length of a request have no timeout; a client's always have (headers.go).
	if err == nil && d.Duration >= 0 {
		b.mu.Lock()
		defer b.mu.Unlock()
		for t, l := range b.held {
			if l.until.Before(now) {
				delete(b.held, t)
			}
		}
		b.held[token] = heldLock{path.Clean(d.Root), now.Add(d.Duration)}
	}
	return token, err
}

func (b *lockBook) Refresh(now time.Time, token string, d time.Duration) (webdav.LockDetails, error) {
	det, err := b.LockSystem.Refresh(now, token, d)
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.held[token] = heldLock{path.Clean(det.Root), now.Add(d)}
	}
	return det, err
}

func (b *lockBook) Unlock(now time.Time, token string) error {
	err := b.LockSystem.Unlock(now, token)
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.held, token)
	}
	return err
}

// below gives a function to call after DELETE or MOVE has succeeded. It ends the locks that were on name and below when
// the request began: one that was taken since belongs to what stands there now.
func (b *lockBook) below(method, name string) func() {
	if method != "DELETE" && method != "MOVE" {
		return func() {}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var tokens []string
	for t, l := range b.held {
		if within(l.root, name) {
			tokens = append(tokens, t)
		}
	}
	return func() {
		for _, t := range tokens {
			b.Unlock(time.Now(), t) // one that has ended already is no error here
		}
	}
}
