package davfs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestPlaces: a client has so many places, and others theirs; who waits has one when one comes free, in order, or is
// refused in its time, or at once where too many wait.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &places{max: 2}
		enter := func(key string) (func(), error) { return p.enter(t.Context(), key) }
		leave1, err1 := enter("a")
		leave2, err2 := enter("a")
		leave3, err3 := enter("b")
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		var order []int
		leaves := make([]func(), 2)
		for i := range leaves {
			go func() {
				var err error
				if leaves[i], err = enter("a"); err != nil {
					t.Error(err)
				}
				order = append(order, i)
			}()
			synctest.Wait()
		}
		from := time.Now()
		if _, err := enter("a"); err != errCrowded || time.Since(from) != 0 {
			t.Errorf("one too many to wait: %v after %s", err, time.Since(from))
		}
		leave1()
		synctest.Wait()
		leave2()
		synctest.Wait()
		if len(order) != 2 || order[0] != 0 {
			t.Errorf("places went to %v, want 0 and 1", order)
		}
		if _, err := enter("a"); err != errCrowded || time.Since(from) != placeWait {
			t.Errorf("no place: %v after %s", err, time.Since(from))
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := p.enter(ctx, "a"); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that has gone: %v", err)
		}
		leaves[0]()
		leaves[1]()
		leave3()
		if len(p.clients) != 0 {
			t.Errorf("%v are left", p.clients)
		}
	})
}

// TestPlaceComesLate: a place that is given in the moment in which somebody gives up is not lost.
func TestPlaceComesLate(t *testing.T) {
	p := &places{max: 1}
	leave, _ := p.enter(t.Context(), "a")
	turn := p.ask("a")
	leave()
	p.giveUp("a", turn)
	if len(p.clients) != 0 {
		t.Errorf("%v are left", p.clients)
	}
}

// TestClientKey: a user is one wherever he comes from, and one network of IPv6 is one.
func TestClientKey(t *testing.T) {
	for _, c := range []struct{ user, remote, want string }{
		{"", "192.0.2.1", "192.0.2.1"}, {"", "2001:db8::1", "2001:db8::/64"}, {"u", "192.0.2.1", "user u"},
	} {
		if got := (&request{trace: &Trace{User: c.user, Remote: c.remote}}).client(); got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
}
