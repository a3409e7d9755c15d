package ocifs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// arrivals records when requests arrive that no rule before it has taken.
type arrivals struct {
	mu sync.Mutex
	at []time.Time
}

func (f *fake) arrivals() *arrivals {
	a := &arrivals{}
	f.Fail(registrytest.Match{}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
		a.mu.Lock()
		a.at = append(a.at, time.Now())
		a.mu.Unlock()
		serve(w, r)
	}, 0)
	return a
}

func (a *arrivals) times() []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.at)
}

// TestStormPasses: a registry that answers 429 to everything for less than the time that a write has costs time and
// nothing else, whatever is asked.
func TestStormPasses(t *testing.T) {
	const lasts = 40 * time.Second
	for name, fault := range map[string]registrytest.Fault{
		"Retry-After": registrytest.TooMany(5 * time.Second), "no time": registrytest.TooMany(0),
	} {
		for _, op := range slices.Concat(questions, changes) {
			t.Run(strings.ReplaceAll(name+" "+op.name, " ", ""), func(t *testing.T) {
				inBubble(t, registrytest.Defects{}, func(f *fake) {
					f.world()
					tree := f.tree()
					f.ResetCounts()
					f.Fail(registrytest.Match{}, registrytest.Brief(lasts, fault), 0)
					start := time.Now()
					err := op.do(f.Context(), tree)
					if op.name == "Stat absent" {
						err = errorUnless(isAbsent(err), err)
					}
					if took := time.Since(start); err != nil || took < lasts || took > lasts+15*time.Second {
						f.Errorf("%s: %v after %v", op.name, err, took)
					}
				})
			})
		}
	}
}

func isAbsent(err error) bool { return err != nil && classOf(err) == "" }

func errorUnless(ok bool, err error) error {
	if ok {
		return nil
	}
	return fmt.Errorf("not as it should be: %w", err)
}

// TestStormLasts: a storm that is longer than that is told of as what it is, with when to come back, and is no answer
// about a name.
func TestStormLasts(t *testing.T) {
	for _, op := range slices.Concat(questions, changes) {
		t.Run(strings.ReplaceAll(op.name, " ", ""), func(t *testing.T) {
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				f.world()
				tree, state := f.tree(), f.state()
				f.Fail(registrytest.Match{}, registrytest.TooMany(7*time.Second), 0)
				start := time.Now()
				err := op.do(f.Context(), tree)
				took := time.Since(start)
				f.saysNothing(op.name, err)
				var e *ocifs.Error
				if !errors.As(err, &e) || e.Class != davfs.ClassRateLimited || e.After <= 0 || e.After > 7*time.Second {
					f.Errorf("%s: %v", op.name, err)
				}
				if took < 50*time.Second || took > 2*time.Minute {
					f.Errorf("%s: it took %v, a write has a minute", op.name, took)
				}
				if !sameState(f.state(), state) {
					f.Errorf("%s has changed something", op.name)
				}
			})
		})
	}
}

func sameState(a, b map[string]string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// TestOneAsksForAll: of many that want something from a registry that answers 429, one asks each time whether it is
// over; the others follow when it is.
func TestOneAsksForAll(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		const many, lasts, each = 50, 30 * time.Second, 5 * time.Second
		for i := range many {
			f.must(put(f.Context(), f.trees0(), fmt.Sprintf("/%02d", i), "x"))
		}
		tree := f.tree()
		f.ResetCounts()
		f.Fail(registrytest.Match{}, registrytest.Brief(lasts, registrytest.TooMany(each)), 0)
		var storm int
		time.AfterFunc(lasts, func() { storm = len(f.Requests()) })
		var wg sync.WaitGroup
		for i := range many {
			wg.Go(func() {
				if _, err := tree.Stat(f.Context(), fmt.Sprintf("/%02d", i)); err != nil {
					f.Error(err)
				}
			})
		}
		wg.Wait()
		// All of the first second may be on their way before the first answer: a file and a marker are asked for each.
		if limit := 2*many + int(lasts/each) + 1; storm > limit {
			f.Errorf("%d requests in the storm, want %d at most", storm, limit)
		}
		if n := len(f.Requests()); n > storm+2*many+1 {
			f.Errorf("%d requests after it for %d names", n-storm, many)
		}
	})
}

// trees0 is a tree that has been asked for before, if there is one.
func (f *fake) trees0() *ocifs.FS {
	if len(f.trees) > 0 {
		return f.trees[0]
	}
	return f.tree()
}

// TestPauseIsShared: when one request has met a 429, no other goes to the host before Retry-After is over: not of the same
// upload, and not of anybody else.
func TestPauseIsShared(t *testing.T) {
	const pause = 12 * time.Second
	for _, method := range []string{"POST", "PATCH", "PUT", "GET", "HEAD"} {
		t.Run(method, func(t *testing.T) {
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				f.change = func(o *ocifs.Options) { o.PartSize, o.Freshness = 400_000, 0 }
				tree := f.tree()
				f.must(put(f.Context(), tree, "/other", "content"))
				var refused time.Time
				rule := f.Fail(registrytest.Match{Method: method, Skip: 1}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
					refused = time.Now()
					registrytest.TooMany(pause)(w, r, serve)
				}, 1)
				seen := f.arrivals()
				ctx, stop := context.WithCancel(f.Context())
				var wg sync.WaitGroup
				wg.Go(func() { // somebody else
					for ctx.Err() == nil {
						if got, err := read(f.Context(), tree, "/other"); err != nil || got != "content" {
							f.Errorf("meanwhile: %q, %v", got, err)
						}
						time.Sleep(100 * time.Millisecond)
					}
				})
				f.must(put(f.Context(), tree, "/f", large))
				_, err := tree.Stat(f.Context(), "/f")
				f.must(err)
				time.Sleep(2 * pause)
				stop()
				wg.Wait()
				if rule.Hits() != 1 {
					f.Fatalf("the fault was met %d times", rule.Hits())
				}
				after := 0
				for _, at := range seen.times() {
					if at.After(refused) && at.Before(refused.Add(pause)) {
						f.Errorf("a request %v after the 429", at.Sub(refused))
					}
					if !at.Before(refused.Add(pause)) {
						after++
					}
				}
				if after < 3 {
					f.Errorf("%d requests after the pause", after)
				}
			})
		})
	}
}

// TestRPS: no more requests a second than that on average, with those of one second at once, and no error for waiting.
func TestRPS(t *testing.T) {
	for _, rps := range []float64{20, 0.5} {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			f.pace.RPS = rps
			tree, seen := f.tree(), f.arrivals()
			start := time.Now()
			for i := range 5 {
				f.must(put(f.Context(), tree, fmt.Sprintf("/%d", i), "x"+fmt.Sprint(i)))
			}
			times := seen.times()
			if len(times) < 15 {
				f.Fatalf("%d requests, too few for a test", len(times))
			}
			for i, at := range times {
				if most := int(rps*at.Sub(start).Seconds()+1e-6) + max(1, int(rps)); i+1 > most {
					f.Fatalf("%d requests after %v, want %d at most", i+1, at.Sub(start), most)
				}
			}
			last, want := times[len(times)-1].Sub(start), (float64(len(times))-max(1, rps))/rps
			if last.Seconds() > want+1/rps+0.1 {
				f.Errorf("%d requests took %v, want %.1fs", len(times), last, want)
			}
			if rps < 1 {
				ctx, cancel := context.WithTimeout(f.Context(), time.Second)
				defer cancel()
				start := time.Now()
				if _, err := f.tree().ReadDir(ctx, "/"); err == nil || time.Since(start) > time.Second {
					f.Errorf("the wait does not end with its context: %v after %v", err, time.Since(start))
				}
			}
		})
	}
}

// TestDeadline: whoever has less time than the registry wants hears at once what the registry has said.
func TestDeadline(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.Fail(registrytest.Match{}, registrytest.TooMany(20*time.Second), 0)
		ctx, cancel := context.WithTimeout(f.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		_, err := f.tree().ReadDir(ctx, "/")
		if took := time.Since(start); classOf(err) != davfs.ClassRateLimited || took > time.Second {
			f.Errorf("after %v: %v", took, err)
		}
	})
}
