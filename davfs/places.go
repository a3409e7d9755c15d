package davfs

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// places bounds how many requests of one client run at the same time, so that one alone cannot have all of the server. It
// is asked before anything of the request is done and before its body is read: one that comes in is never ended for the
// sake of another. Who finds no place waits a little, in the order of arrival, since a burst is soon over; then, or where
// as many wait already as may run, it is asked to come back. The zero value lets everybody in.
type places struct {
	max int // zero: no bound

	mu      sync.Mutex
	clients map[string]*client // those that have a request running
}

type client struct {
	running int
	waiting []chan struct{} // closed when the place is theirs
}

const (
	placeWait  = 5 * time.Second
	placeRetry = 5 * time.Second
)

var errCrowded = &refusal{http.StatusTooManyRequests, "There are too many requests of this client at the same time.", placeRetry}

// client is who a request is counted for.
func (rq *request) client() string {
	if rq.trace.User != "" {
		return "user " + rq.trace.User
	}
	return addressKey(rq.trace.Remote)
}

// enter takes a place for the client of that key, which leave gives back.
func (p *places) enter(ctx context.Context, key string) (leave func(), err error) {
	if p.max <= 0 {
		return func() {}, nil
	}
	turn := p.ask(key)
	switch {
	case turn == nil:
		return nil, errCrowded
	case isClosed(turn): // no timer where there is a place
		return func() { p.leave(key) }, nil
	}
	timer := time.NewTimer(placeWait)
	defer timer.Stop()
	select {
	case <-turn:
		return func() { p.leave(key) }, nil
	case <-timer.C:
		err = errCrowded
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.giveUp(key, turn)
	return nil, err
}

var entered = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// ask gives what is closed when there is a place, now maybe; nil where too many wait.
func (p *places) ask(key string) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.clients[key]
	if c == nil {
		if p.clients == nil {
			p.clients = map[string]*client{}
		}
		c = &client{}
		p.clients[key] = c
	}
	if c.running < p.max {
		c.running++
		return entered
	}
	if len(c.waiting) >= p.max {
		return nil
	}
	turn := make(chan struct{})
	c.waiting = append(c.waiting, turn)
	return turn
}

// leave hands the place on to who waits longest.
func (p *places) leave(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.clients[key]
	if len(c.waiting) > 0 {
		close(c.waiting[0])
		c.waiting = c.waiting[1:]
		return
	}
	if c.running--; c.running == 0 {
		delete(p.clients, key)
	}
}

// giveUp is for who does not wait any longer; the place may have come meanwhile.
func (p *places) giveUp(key string, turn chan struct{}) {
	p.mu.Lock()
	c := p.clients[key]
	for i := range c.waiting {
		if c.waiting[i] == turn {
			c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
			p.mu.Unlock()
			return
		}
	}
	p.mu.Unlock()
	p.leave(key)
}
