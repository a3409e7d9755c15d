package ocifs_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// laid gives a tree that wants a layout, empty for whichever there is.
func (f *fake) laid(layout string) *ocifs.FS {
	f.Helper()
	change := f.change
	defer func() { f.change = change }()
	f.change = func(o *ocifs.Options) {
		if change != nil {
			change(o)
		}
		o.Layout = layout
	}
	return f.tree()
}

// record puts the record of a layout as a server does.
func (f *fake) record(layout string) {
	f.PutManifest("x.root", "_l."+layout, "", []byte(`{"schemaVersion":2,"config":{"digest":"x"},"layers":[]}`))
}

// settles checks what becomes of a server that wants a layout; has is empty for a drive that has two.
func (f *fake) settles(what, want, has string) {
	f.Helper()
	tree := f.laid(want)
	err := tree.Settle(f.Context(), true)
	var other *ocifs.LayoutError
	switch {
	case has == "" || want != "" && want != has:
		if !errors.As(err, &other) || other.Has != has {
			f.Errorf("%s: who wants %q hears %v, want that the drive has %q", what, want, err, has)
		}
	case err != nil || tree.Layout() != has:
		f.Errorf("%s: who wants %q gets %s, %v, want %s", what, want, tree.Layout(), err, has)
	}
}

const layoutPath, layoutFlat = ocifs.LayoutPath, ocifs.LayoutFlat

// TestSettle: who may write records the layout of a new drive; whoever comes later takes it, or hears that it is another.
func TestSettle(t *testing.T) {
	for _, layout := range []string{layoutPath, layoutFlat} {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			f.must(f.laid(layout).Settle(f.Context(), false))
			if len(f.Repositories()) > 0 || len(f.Tags("x.root")) > 0 {
				f.Error("who only reads has written something")
			}
			f.settles("new", layout, layout)
			if got := f.Tags("x.root"); !slices.Equal(got, []string{"_l." + layout}) {
				f.Errorf("recorded is %q", got)
			}
			before := f.state()
			for _, want := range []string{"", layoutPath, layoutFlat} {
				f.settles("recorded", want, layout)
			}
			if got := f.state(); len(got) != 1 || got["x.root:_l."+layout] != before["x.root:_l."+layout] {
				f.Errorf("the record has become %v", got)
			}
			if got := f.names(f.laid(layout), "/"); len(got) > 0 {
				f.Errorf("shown is %q", got)
			}
		})
	}
	inBubble(t, registrytest.Defects{KnownTypesOnly: true}, func(f *fake) {
		f.settles("new", "", layoutPath)
		f.settles("recorded", layoutFlat, layoutPath)
	})
}

// TestSettleByContent: a drive without a record, as earlier versions made it or a registry's retention has left it, has the
// layout of its directories; files in the root are the same in both. So has one in which a server that refused has left
// its record.
func TestSettleByContent(t *testing.T) {
	for _, layout := range []string{layoutPath, layoutFlat} {
		for _, records := range [][]string{nil, {layoutPath, layoutFlat}} {
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				tree, ctx := f.laid(layout), f.Context()
				f.must(put(ctx, tree, "/f", "f"))
				for _, r := range records {
					f.record(r)
				}
				what := fmt.Sprintf("%s, records %q", layout, records)
				g := f.fork(registrytest.Defects{})
				for _, want := range []string{layoutPath, layoutFlat} {
					if records == nil {
						f.fork(registrytest.Defects{}).settles(what+", a file", want, want)
					} else {
						g.settles(what+", a file", want, "")
					}
				}
				f.must(tree.Mkdir(ctx, "/d", nil))
				for _, want := range []string{"", layoutPath, layoutFlat} {
					f.fork(registrytest.Defects{}).settles(what+", a directory", want, layout)
				}
			})
		}
	}
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.must(f.laid(layoutPath).Mkdir(f.Context(), "/d", nil))
		f.must(f.laid(layoutFlat).Mkdir(f.Context(), "/e", nil))
		f.settles("directories of both", "", "")
	})
}

// TestSettleDenied: who may not write is no reason not to read; a registry that does not answer is.
func TestSettleDenied(t *testing.T) {
	for _, c := range []struct {
		fault registrytest.Fault
		ok    bool
	}{
		{registrytest.Status(403, "DENIED"), true}, {registrytest.Status(401, "UNAUTHORIZED"), true}, {registrytest.Status(405, "UNSUPPORTED"), true},
		{registrytest.Status(500), false},
	} {
		inBubble(t, registrytest.Defects{}, func(f *fake) {
			f.Fail(registrytest.Match{Method: "PUT POST"}, c.fault, 0)
			if err := f.laid(layoutFlat).Settle(f.Context(), true); (err == nil) != c.ok {
				f.Errorf("%v", err)
			}
		})
	}
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.record(layoutFlat)
		f.Fail(registrytest.Match{Path: "/manifests/_l."}, registrytest.Page(404), 0)
		err := f.laid("").Settle(f.Context(), true)
		if err == nil || classOf(err) == "" {
			f.Errorf("a failure is taken for an absence: %v", err)
		}
	})
}

// TestSettleAtOnce: of servers that begin at the same time on a new drive, in whatever order their requests arrive, all
// that go on have one layout.
func TestSettleAtOnce(t *testing.T) {
	outcomes := map[string]int{}
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, registrytest.Defects{}, nil)
			order := rand.New(rand.NewPCG(seed, 0))
			var mu sync.Mutex
			var waiting []chan struct{}
			f.Fail(registrytest.Match{}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
				turn := make(chan struct{})
				mu.Lock()
				waiting = append(waiting, turn)
				mu.Unlock()
				<-turn
				serve(w, r)
			}, 0)
			wants := []string{layoutPath, layoutFlat, layoutFlat, ""}[:2+seed%3]
			results := make([]string, len(wants))
			var running sync.WaitGroup
			for i, want := range wants {
				tree := f.laid(want)
				running.Go(func() {
					if err := tree.Settle(f.Context(), true); err == nil {
						results[i] = tree.Layout()
					} else if !errors.As(err, new(*ocifs.LayoutError)) {
						f.Error(err)
					}
				})
			}
			done := make(chan struct{})
			go func() { running.Wait(); close(done) }()
			for over := false; !over; {
				synctest.Wait()
				mu.Lock()
				if i := len(waiting); i > 0 {
					i = order.IntN(i)
					close(waiting[i])
					waiting = slices.Delete(waiting, i, i+1)
				}
				mu.Unlock()
				select {
				case <-done:
					over = true
				default:
				}
			}
			said := strings.Join(results, " ")
			if strings.Contains(said, layoutPath) && strings.Contains(said, layoutFlat) {
				f.Errorf("seed %d: those who want %q get %q", seed, wants, results)
			}
			f.Heal()
			outcomes[said]++
		})
	}
	t.Logf("outcomes: %v", outcomes)
}
