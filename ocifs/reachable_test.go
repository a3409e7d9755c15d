package ocifs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// into are the operations that bring something to /p/d/new.
var into = []operation{
	{"Put", putting("/p/d/new", "new")},
	{"Put large", putting("/p/d/new", large)},
	{"Put as davfs", func(ctx context.Context, t *ocifs.FS) error {
		_, err := t.Put(ctx, "/p/d/new", strings.NewReader("new"), davfs.PutOptions{Recent: true, Check: func(fs.FileInfo) error { return nil }})
		return err
	}},
	{"Mkdir", making("/p/d/new")},
	{"Copy", copying("/f", "/p/d/new")},
	{"Copy directory", copying("/s", "/p/d/new")},
	{"Rename", moving("/f", "/p/d/new")},
	{"Rename directory", moving("/s", "/p/d/new")},
}

// TestRemovedByAnother: what is brought into a directory that another server has removed, or has put something else in the
// place of, is refused, however fresh the answer is that it is there: nobody would see it again. A source stays.
func TestRemovedByAnother(t *testing.T) {
	for how, remove := range map[string]func(context.Context, *ocifs.FS) error{
		"removed": removing("/p/d"), "above removed": removing("/p"), "replaced by a file": copying("/f", "/p/d"), "moved": moving("/p/d", "/elsewhere"),
	} {
		for _, upload := range []string{ocifs.UploadStream, ocifs.UploadMonolithic} {
			for _, op := range into {
				inBubble(t, registrytest.Defects{}, func(f *fake) {
					f.change = func(o *ocifs.Options) { o.Freshness, o.Upload = 2*time.Second, upload }
					ctx, a, b := f.Context(), f.tree(), f.tree()
					for _, dir := range []string{"/p", "/p/d", "/s"} {
						f.must(b.Mkdir(ctx, dir, nil))
					}
					f.must(put(ctx, b, "/p/d/old", "old"))
					f.must(put(ctx, b, "/f", "f"))
					f.must(put(ctx, b, "/s/a", "a"))
					f.must(remove(ctx, a))
					before := f.snapshot(f.tree(), "/")
					time.Sleep(time.Millisecond)
					if err := op.do(ctx, b); !errors.Is(err, fs.ErrNotExist) {
						f.Errorf("%s into what is %s: %v", op.name, how, err)
					}
					f.settle()
					if after := f.snapshot(f.tree(), "/"); fmt.Sprint(after) != fmt.Sprint(before) {
						f.Errorf("%s into what is %s makes %v of %v", op.name, how, after, before)
					}
				})
			}
		}
	}
}

// TestRemovedMeanwhile: a directory that takes long to move is not removed when the place that it has come to is gone.
func TestRemovedMeanwhile(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.Freshness = 2 * time.Second }
		ctx, a, b := f.Context(), f.tree(), f.tree()
		for _, dir := range []string{"/d", "/s"} {
			f.must(b.Mkdir(ctx, dir, nil))
		}
		f.must(put(ctx, b, "/s/a", "a"))
		f.Fail(registrytest.Match{Method: "PUT", Path: "/d/manifests/_d.new$"}, func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			time.Sleep(2 * time.Second)
			f.must(a.RemoveAll(ctx, "/d", nil))
			serve(w, r)
		}, 1)
		if err := b.Rename(ctx, "/s", "/d/new", nil); !errors.Is(err, fs.ErrNotExist) {
			f.Errorf("error %v", err)
		}
		if got, err := read(ctx, f.tree(), "/s/a"); err != nil || got != "a" {
			f.Errorf("what was to be moved is %q, %v", got, err)
		}
	})
}

// TestMkdirAsksAnew: the absence that another server has ended since is none, with a condition and without one. The file
// that it has made would be hidden.
func TestMkdirAsksAnew(t *testing.T) {
	for made, do := range map[string]func(context.Context, *ocifs.FS) error{"file": putting("/x", "x"), "directory": making("/x")} {
		for _, listed := range []bool{false, true} {
			inBubble(t, registrytest.Defects{}, func(f *fake) {
				f.change = func(o *ocifs.Options) { o.Freshness = 2 * time.Second }
				ctx, a, b := f.Context(), f.tree(), f.tree()
				if _, err := b.Stat(ctx, "/x"); !errors.Is(err, fs.ErrNotExist) {
					f.Fatal(err)
				}
				if listed {
					f.names(b, "/")
				}
				f.must(do(ctx, a))
				time.Sleep(time.Millisecond)
				state := fmt.Sprint(f.state())
				if err := b.Mkdir(ctx, "/x", nil); !errors.Is(err, fs.ErrExist) {
					f.Errorf("Mkdir over a %s: %v", made, err)
				}
				if now := fmt.Sprint(f.state()); now != state {
					f.Errorf("Mkdir over a %s makes %s of %s", made, now, state)
				}
			})
		}
	}
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, a, b := f.Context(), f.tree(), f.tree()
		_, _ = b.Stat(ctx, "/x")
		state, refused := f.state(), errors.New("refused")
		last := 0
		err := b.Mkdir(ctx, "/x", func(old fs.FileInfo) error {
			if last++; last == 1 {
				f.must(put(ctx, a, "/x", "x"))
				f.must(a.RemoveAll(ctx, "/x", nil))
				time.Sleep(time.Millisecond)
				return nil
			}
			return refused
		})
		if !errors.Is(err, refused) || len(f.state()) != len(state) {
			f.Errorf("the last look of a condition decides: %v", err)
		}
	})
}

// TestQuestionsAreShared: many writers into one directory ask for it once in a round trip, and a writer that leaves takes
// nobody along.
func TestQuestionsAreShared(t *testing.T) {
	inBubble(t, registrytest.Defects{Latency: 10 * time.Millisecond}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.Freshness = time.Hour }
		ctx, tree := f.Context(), f.tree()
		f.must(tree.Mkdir(ctx, "/d", nil))
		f.must(put(ctx, tree, "/d/first", "first"))
		for range 3 {
			time.Sleep(time.Minute)
			f.ResetCounts()
			gone, leave := context.WithCancel(ctx)
			var wg sync.WaitGroup
			wg.Go(func() { _ = put(gone, tree, "/d/gone", noiseOf(100)) })
			synctest.Wait() // it is the first to ask
			for i := range 50 {
				wg.Go(func() {
					time.Sleep(time.Duration(i%2) * time.Microsecond)
					_, err := tree.Put(ctx, fmt.Sprint("/d/", i), strings.NewReader(noiseOf(1000+i)), davfs.PutOptions{Recent: true})
					if err != nil {
						f.Error(err)
					}
				})
			}
			time.Sleep(5 * time.Millisecond)
			leave()
			wg.Wait()
			asked := 0
			for _, r := range f.Requests() {
				if strings.HasSuffix(r, "/x.root/manifests/_d.d") {
					asked++
				}
			}
			if asked < 1 || asked > 4 {
				f.Errorf("50 writers ask %d times for their directory", asked)
			}
		}

		// One after the other it is one more request each, beside the others.
		time.Sleep(time.Minute)
		start := time.Now()
		f.ResetCounts()
		_, err := tree.Put(ctx, "/d/1", strings.NewReader("other"), davfs.PutOptions{Recent: true})
		f.must(err)
		f.budget("Put over: the content, the directory, the manifest", 2+1+1)
		if took := time.Since(start); took > 30*time.Millisecond {
			f.Errorf("it takes %v, want three round trips", took)
		}
	})
}

// TestQuestionFails: who cannot learn whether its directory is there does not write, and waits no longer than for its own
// question.
func TestQuestionFails(t *testing.T) {
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		ctx, tree := f.Context(), f.tree()
		f.must(tree.Mkdir(ctx, "/d", nil))
		f.must(put(ctx, tree, "/d/first", "first"))
		state := fmt.Sprint(f.state())
		time.Sleep(time.Minute)
		f.Fail(registrytest.Match{Path: "/manifests/_d.d$"}, registrytest.Stall, 0)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				_, err := tree.Put(ctx, fmt.Sprint("/d/", i), io.LimitReader(endless{}, 10), davfs.PutOptions{})
				if classOf(err) != davfs.ClassTimeout {
					f.Errorf("error %v", err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took > 2*time.Minute {
			f.Errorf("they wait for each other, %v", took)
		}
		if now := fmt.Sprint(f.state()); now != state {
			f.Errorf("something has changed")
		}
	})
}

// TestAskedLate: a writer asks whether its directory is there still when its upload is open, so that others who began
// before share the answer, and beside the content, so that it costs no round trip.
func TestAskedLate(t *testing.T) {
	inRow(t, func(f *fake, tree *ocifs.FS, puts func(from, to int) []int) {
		got := fmt.Sprint(puts(0, 1), " round trips:")
		for _, r := range f.Requests() {
			got += " " + strings.Fields(r)[0]
		}
		if got != "[3] round trips: POST HEAD PUT PUT" && got != "[3] round trips: POST PUT HEAD PUT" {
			t.Error(got)
		}

		// Of two of which one begins half a round trip after the other, one asks.
		f.ResetCounts()
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() { puts(10+i, 11+i) })
			time.Sleep(spareRound / 2)
		}
		wg.Wait()
		if n := f.Count("HEAD manifest"); n != 1 {
			t.Errorf("two that overlap ask %d times", n)
		}
	})
}
