package davfs

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestThrottle: the first failures cost nothing, then the turns of an address lie further and further apart, and all is
// forgiven in the end.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s throttle
		wait := func(what, remote string, want time.Duration, refused bool) {
			t.Helper()
			begin := time.Now()
			err := s.wait(t.Context(), remote)
			if took := time.Since(begin); took != want || (err == errTooOften) != refused {
				t.Errorf("%s: %s, %v, want %s", what, took, err, want)
			}
		}
		for range freeFailures {
			wait("free", "192.0.2.1", 0, false)
			s.failed("192.0.2.1")
		}
		wait("the first penalty", "192.0.2.1", time.Second, false)
		wait("another", "192.0.2.2", 0, false)
		s.failed("192.0.2.1")
		wait("twice as long", "192.0.2.1", 2*time.Second, false)
		for range 10 {
			s.failed("192.0.2.1")
		}
		wait("too long", "192.0.2.1", 0, true)
		time.Sleep(longestPenalty)
		wait("later", "192.0.2.1", 0, false)
		time.Sleep(forgivenAfter)
		wait("forgiven", "192.0.2.1", 0, false)
		s.failed("192.0.2.1")
		wait("and free again", "192.0.2.1", 0, false)

		for range freeFailures {
			s.failed("2001:db8:1:2::1")
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if err := s.wait(ctx, "2001:db8:1:2:ffff::9"); err != context.Canceled {
			t.Errorf("the rest of a network: %v", err)
		}
		wait("another network", "2001:db8:1:3::1", 0, false)

		for range freeFailures {
			s.failed("last") // those who came at the same time
		}
		var done atomic.Int64
		begin := time.Now()
		for range 4 {
			go func() {
				if s.wait(t.Context(), "last") == nil {
					done.Add(1)
				}
			}()
		}
		time.Sleep(2500 * time.Millisecond)
		if done.Load() != 2 {
			t.Errorf("%d tries at once within %s, want 2", done.Load(), time.Since(begin))
		}
		time.Sleep(time.Minute)

		for i := range 2 * maxSlowed {
			s.failed(fmt.Sprint(i))
			if i%1000 == 0 {
				time.Sleep(time.Second)
			}
		}
		if n := len(s.addresses); n > maxSlowed {
			t.Errorf("%d addresses", n)
		}
		if s.addresses[fmt.Sprint(2*maxSlowed-1)] == nil || s.addresses["0"] != nil {
			t.Error("it is not the oldest that are forgotten")
		}
	})
}
