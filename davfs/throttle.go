package davfs

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// throttle slows those who fail to log in. The first few failures cost nothing, for everybody mistypes. From then on each
// try of that address waits its turn, and the turns lie further and further apart; who would wait too long is refused. All
// is forgiven after a while without a failure. Credentials that are known to be good are never asked to wait, so that
// nobody locks out the others behind one address. The zero value is ready.
type throttle struct {
	mu        sync.Mutex
	addresses map[string]*slowed
	failures  int64 // of all
}

type slowed struct {
	count int
	last  time.Time
	next  time.Time // no try before
}

const (
	freeFailures    = 4
	firstPenalty    = time.Second
	longestPenalty  = 30 * time.Second
	longestWait     = 10 * time.Second
	forgivenAfter   = 15 * time.Minute
	maxSlowed       = 10_000 // addresses
	maxUserName     = 64     // bytes of it in the log
	maxPasswordSize = 1 << 10
)

// wait waits for the turn of an address.
func (t *throttle) wait(ctx context.Context, remote string) error {
	pause, err := t.turn(addressKey(remote))
	if pause <= 0 || err != nil {
		return err
	}
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *throttle) turn(key string) (time.Duration, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	f := t.addresses[key]
	if f == nil || now.Sub(f.last) > forgivenAfter || f.count < freeFailures {
		return 0, nil
	}
	pause := f.next.Sub(now)
	if pause > longestWait {
		return 0, errTooOften
	}
	f.next = now.Add(max(pause, 0) + penalty(f.count)) // others that come meanwhile stand behind
	return pause, nil
}

func penalty(count int) time.Duration {
	p := firstPenalty
	for range min(count-freeFailures, 10) {
		p *= 2
	}
	return min(p, longestPenalty)
}

// Failures is how often somebody has failed to log in.
func (a *Auth) Failures() int64 {
	a.slow.mu.Lock()
	defer a.slow.mu.Unlock()
	return a.slow.failures
}

// failed notes that an address has failed.
func (t *throttle) failed(remote string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures++
	key, now := addressKey(remote), time.Now()
	f := t.addresses[key]
	if f == nil || now.Sub(f.last) > forgivenAfter {
		if t.addresses == nil {
			t.addresses = map[string]*slowed{}
		}
		if len(t.addresses) >= maxSlowed {
			t.forget()
		}
		f = &slowed{}
		t.addresses[key] = f
	}
	f.count, f.last = f.count+1, now
	if f.count >= freeFailures {
		f.next = now.Add(penalty(f.count))
	}
}

// forget makes room: the half that was quiet for longest goes, at once, so that it costs little for each.
func (t *throttle) forget() {
	keys := slices.SortedFunc(maps.Keys(t.addresses), func(a, b string) int {
		return t.addresses[a].last.Compare(t.addresses[b].last)
	})
	for _, key := range keys[:len(keys)/2] {
		delete(t.addresses, key)
	}
}

// addressKey is the address, or its /64 of IPv6, which is what one customer has.
func addressKey(remote string) string {
	a, err := netip.ParseAddr(remote)
	if err != nil || a.Unmap().Is4() {
		return remote
	}
	p, _ := a.WithZone("").Prefix(64) // 64 bits fit
	return p.String()
}
