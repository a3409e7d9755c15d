package ocifs_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// outages are what a registry that is down, slow, denied or lying answers to everything, and what that is to be called.
var outages = map[string]struct {
	fault   registrytest.Fault
	class   string
	effects bool // what was asked for may have happened
}{
	"500":           {registrytest.Status(500), davfs.ClassUnavailable, false},
	"500 told":      {registrytest.Status(500, "UNKNOWN"), davfs.ClassUnavailable, false},
	"501":           {registrytest.Status(501), davfs.ClassUnavailable, false},
	"502 page":      {registrytest.Page(502), davfs.ClassUnavailable, false},
	"503":           {registrytest.Status(503), davfs.ClassUnavailable, false},
	"504":           {registrytest.Status(504), davfs.ClassTimeout, false},
	"507":           {registrytest.Status(507), davfs.ClassQuota, false},
	"401":           {registrytest.Status(401, "UNAUTHORIZED"), davfs.ClassUnauthorized, false},
	"403":           {registrytest.Status(403, "DENIED"), davfs.ClassDenied, false},
	"403 page":      {registrytest.Page(403), davfs.ClassDenied, false},
	"429":           {registrytest.TooMany(time.Hour), davfs.ClassRateLimited, false},
	"404 silent":    {registrytest.Status(404), davfs.ClassUnavailable, false},
	"404 page":      {registrytest.Page(404), davfs.ClassUnavailable, false},
	"404 other":     {registrytest.Status(404, "UNKNOWN"), davfs.ClassUnavailable, false},
	"200 page":      {registrytest.Page(200), davfs.ClassUnavailable, false},
	"reset":         {registrytest.ResetBefore, davfs.ClassUnavailable, false},
	"stall":         {registrytest.Stall, davfs.ClassTimeout, false},
	"reset after":   {registrytest.ResetAfter, davfs.ClassUnavailable, true},
	"cut":           {registrytest.Cut, davfs.ClassUnavailable, true},
	"stall in body": {registrytest.StallInBody, davfs.ClassTimeout, true},
}

// TestFailureIsNoAbsence: whatever the registry does instead of answering, every operation fails, says so by a class
// and not by an answer about the name, leaves nothing in halves, and what was there is there again when it is healed.
func TestFailureIsNoAbsence(t *testing.T) {
	for outage, c := range outages {
		t.Run(strings.ReplaceAll(outage, " ", ""), func(t *testing.T) {
			t.Parallel()
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				f.world()
				before, state := f.snapshot(f.tree(), "/"), f.state()
				root, members := f.names(f.tree(), "/"), f.names(f.tree(), "/d")
				for i, op := range slices.Concat(questions, changes) {
					if c.effects && i >= len(questions) {
						break // TestLostAnswers
					}
					f.change = nil
					cold := f.tree()
					f.change = func(o *ocifs.Options) { o.Freshness = 0 }
					warm := f.tree()
					f.names(warm, "/")
					f.names(warm, "/d")
					for knows, tree := range map[string]*ocifs.FS{"nothing": cold, "what it was": warm} {
						what := fmt.Sprintf("%s by a tree that knows %s", op.name, knows)
						f.Fail(registrytest.Match{}, c.fault, 0)
						// One ends before the transport does by itself, the other after.
						limit := map[string]time.Duration{"nothing": time.Minute, "what it was": 10 * time.Minute}[knows]
						ctx, cancel := context.WithTimeout(f.Context(), limit)
						err := op.do(ctx, tree)
						cancel()
						f.Heal()
						if outage == "429" {
							time.Sleep(time.Hour) // before that nothing is asked, healed or not
						}
						if err == nil {
							f.Errorf("%s succeeds", what)
							continue
						}
						f.saysNothing(what, err)
						if got := classOf(err); got != c.class {
							f.Errorf("%s: class %q, want %q: %v", what, got, c.class, err)
						}
						if !maps.Equal(f.state(), state) {
							f.Errorf("%s has changed something", what)
						}
						if r, m := f.names(tree, "/"), f.names(tree, "/d"); !slices.Equal(r, root) || !slices.Equal(m, members) {
							f.Errorf("%s: the same tree then shows %q and %q, was %q and %q", what, r, m, root, members)
						}
					}
				}
				if after := f.snapshot(f.tree(), "/"); !maps.Equal(before, after) {
					f.Errorf("after all that there is %v, was %v", after, before)
				}
			})
		})
	}
}

// TestRetryAfterIsHandedOn: a registry that wants more time than a client waits is not asked again, and its words reach
// the client.
func TestRetryAfterIsHandedOn(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.Fail(registrytest.Match{}, registrytest.TooMany(time.Hour), 0)
		start := time.Now()
		_, err := f.tree().Stat(f.Context(), "/f")
		var failure interface{ RetryAfter() time.Duration }
		if !errors.As(err, &failure) || failure.RetryAfter() != time.Hour {
			f.Errorf("error %v does not say when to come back", err)
		}
		if d := time.Since(start); d > 0 {
			f.Errorf("it has waited %v", d)
		}
		if n := len(f.Requests()); n > 2 {
			f.Errorf("%d requests, want one for each of the two tags", n)
		}
	})
}

// TestWritesRefused: a registry that can be read and not written to says what it says, and nothing changes.
func TestWritesRefused(t *testing.T) {
	for refusal, c := range map[string]struct {
		fault registrytest.Fault
		class string
	}{
		"403":      {registrytest.Status(403, "DENIED"), davfs.ClassDenied},
		"405":      {registrytest.Status(405, "UNSUPPORTED"), davfs.ClassDenied},
		"401":      {registrytest.Status(401, "UNAUTHORIZED"), davfs.ClassUnauthorized},
		"413":      {registrytest.Status(413), davfs.ClassTooLarge},
		"507":      {registrytest.Status(507), davfs.ClassQuota},
		"500":      {registrytest.Status(500), davfs.ClassUnavailable},
		"404 page": {registrytest.Page(404), davfs.ClassUnavailable},
		"200 page": {registrytest.Page(200), davfs.ClassUnavailable},
	} {
		t.Run(strings.ReplaceAll(refusal, " ", ""), func(t *testing.T) {
			t.Parallel()
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				f.world()
				before := f.state()
				for _, op := range changes {
					f.Fail(registrytest.Writes, c.fault, 0)
					err := op.do(f.Context(), f.tree())
					f.Heal()
					if err == nil {
						f.Errorf("%s succeeds", op.name)
					}
					f.saysNothing(op.name, err)
					if got := classOf(err); got != c.class {
						f.Errorf("%s: class %q, want %q: %v", op.name, got, c.class, err)
					}
					if !maps.Equal(f.state(), before) {
						f.Fatalf("%s has changed something", op.name)
					}
				}
			})
		})
	}
}

// TestListingIsAllOrError: one member that cannot be read makes the listing fail.
func TestListingIsAllOrError(t *testing.T) {
	for outage, c := range outages {
		t.Run(strings.ReplaceAll(outage, " ", ""), func(t *testing.T) {
			t.Parallel()
			inBubble(t, registrytest.Defects{PageSize: 3}, func(f *fake) {
				tree := f.tree()
				f.must(tree.Mkdir(f.Context(), "/d", nil))
				for i := range 10 {
					f.must(put(f.Context(), tree, fmt.Sprintf("/d/%d", i), "x"))
				}
				for what, match := range map[string]registrytest.Match{
					"a member":   {Path: "/d/manifests/7$"},
					"third page": {Path: "/d/tags/list$", Skip: 2},
				} {
					rule := f.Fail(match, c.fault, 0)
					ctx, cancel := context.WithTimeout(f.Context(), 10*time.Minute)
					list, err := f.tree().ReadDir(ctx, "/d")
					cancel()
					f.Heal()
					if err == nil || len(list) > 0 {
						f.Errorf("%s: %d of 10 members are listed, error %v", what, len(list), err)
					}
					f.saysNothing(what, err)
					if got := classOf(err); got != c.class {
						f.Errorf("%s: class %q, want %q: %v", what, got, c.class, err)
					}
					if rule.Hits() == 0 {
						f.Errorf("%s: nothing has met the fault", what)
					}
				}
			})
		})
	}
}

// TestWaiterLeaves: who waits for a blob that another is pushing leaves with its own context.
func TestWaiterLeaves(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		tree, first := f.tree(), make(chan error)
		f.Fail(registrytest.Match{Method: "PUT", Path: "/blobs/"}, registrytest.Stall, 1)
		go func() { first <- put(f.Context(), tree, "/a", "the same") }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(f.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := put(ctx, tree, "/b", "the same")
		if took := time.Since(start); classOf(err) != davfs.ClassTimeout || took > time.Second {
			f.Errorf("error %v after %v, want a time-out after a second", err, took)
		}
		if err := <-first; classOf(err) != davfs.ClassTimeout {
			f.Errorf("the first one: error %v, want a time-out", err)
		}
	})
}

// TestSpoolDirectoryGone: what the local disk lacks says nothing about the name.
func TestSpoolDirectoryGone(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.SpoolDir = filepath.Join(o.SpoolDir, "absent") }
		err := put(f.Context(), f.tree(), "/f", large)
		f.saysNothing("Put", err)
		if got := classOf(err); got != davfs.ClassUnavailable {
			f.Errorf("class %q, want %q: %v", got, davfs.ClassUnavailable, err)
		}
	})
}

// TestPhantoms: a tag that is listed and has no manifest is nothing: distribution leaves such after a crash.
func TestPhantoms(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		tree := f.tree()
		f.must(tree.Mkdir(f.Context(), "/d", nil))
		f.must(put(f.Context(), tree, "/d/a", "a"))
		f.Phantom("d", "b")
		f.Phantom("d", "_d.sub")
		if got := f.names(f.tree(), "/d"); !slices.Equal(got, []string{"a"}) {
			f.Errorf("listed are %q", got)
		}
		f.must(f.tree().Mkdir(f.Context(), "/d/sub", nil))
		f.must(put(f.Context(), f.tree(), "/d/b", "b"))
		if got := f.names(f.tree(), "/d"); !slices.Equal(got, []string{"a", "b", "sub"}) {
			f.Errorf("listed are %q", got)
		}
		f.Phantom("d", "a") // it was there a moment ago
		for what, tree := range map[string]*ocifs.FS{"warm": tree, "cold": f.tree()} {
			for _, tag := range []string{"a", "b", "_d.sub"} {
				tree.Changed("d", tag)
			}
			if got := f.names(tree, "/d"); !slices.Equal(got, []string{"b", "sub"}) {
				f.Errorf("%s: listed are %q", what, got)
			}
		}
		f.must(f.tree().RemoveAll(f.Context(), "/d", nil))
	})
}

// TestCancelled: an operation whose client has left ends at once with the context's error, which is no failure of the
// storage.
func TestCancelled(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.world()
		f.Fail(registrytest.Match{}, registrytest.Stall, 0)
		for _, op := range slices.Concat(questions, changes) {
			ctx, cancel := context.WithCancel(f.Context())
			time.AfterFunc(time.Second, cancel)
			start := time.Now()
			err := op.do(ctx, f.tree())
			if err == nil || time.Since(start) > 2*time.Second {
				f.Errorf("%s: error %v after %v", op.name, err, time.Since(start))
			}
			f.saysNothing(op.name, err)
			cancel()
		}
	})
}
