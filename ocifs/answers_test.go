package ocifs

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnswersAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnswers[int](time.Minute, 100)
		ref := reference{"r", "t"}
		if _, known, fresh := a.get(ref); known || fresh {
			t.Error("something is known in the beginning")
		}
		a.learn(ref, 1, a.ask(), 1)
		time.Sleep(time.Minute - 1)
		if v, known, fresh := a.get(ref); v != 1 || !known || !fresh {
			t.Errorf("before its time: %d, known %v, fresh %v", v, known, fresh)
		}
		time.Sleep(time.Nanosecond)
		if v, known, fresh := a.get(ref); v != 1 || !known || fresh {
			t.Errorf("after its time: %d, known %v, fresh %v", v, known, fresh)
		}
		a.forget(ref)
		if _, known, fresh := a.get(ref); known || fresh {
			t.Error("it is known after forget")
		}
		a.set(ref, 2, 1)
		a.forgetAll()
		if _, known, _ := a.get(ref); known {
			t.Error("it is known after forgetAll")
		}
	})
}

// TestAnswersInOrder: an answer to a question from before a change does not bury the change.
func TestAnswersInOrder(t *testing.T) {
	ref, other := reference{"r", "t"}, reference{"r", "other"}
	for name, c := range map[string]struct {
		change func(a *answers[int])
		kept   bool
	}{
		"nothing":                        {func(a *answers[int]) {}, true},
		"set":                            {func(a *answers[int]) { a.set(ref, 9, 1) }, false},
		"forget":                         {func(a *answers[int]) { a.forget(ref) }, false},
		"forgetAll":                      {func(a *answers[int]) { a.forgetAll() }, false},
		"doubt":                          {func(a *answers[int]) { a.doubt("r") }, false},
		"doubt about another repository": {func(a *answers[int]) { a.doubt("r/2") }, true},
		"set another":                    {func(a *answers[int]) { a.set(other, 9, 1) }, true},
		"set and pushed out": {func(a *answers[int]) {
			a.set(ref, 9, 1)
			for i := range 10 {
				a.set(reference{"r", fmt.Sprint(i)}, i, 1)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAnswers[int](time.Hour, 3)
			stamp := a.ask()
			c.change(a)
			a.learn(ref, 1, stamp, 1)
			if v, known, _ := a.get(ref); (known && v == 1) != c.kept {
				t.Errorf("the answer is %d, known %v; want the old one: %v", v, known, c.kept)
			}
			a.learn(ref, 2, a.ask(), 1)
			if v, known, fresh := a.get(ref); v != 2 || !known || !fresh {
				t.Errorf("the answer to a question of now is %d, known %v, fresh %v", v, known, fresh)
			}
		})
	}
}

// TestDoubt: what is in doubt is known and not fresh until it is asked for again.
func TestDoubt(t *testing.T) {
	a := newAnswers[int](time.Hour, 3)
	began := time.Now()
	refs := []reference{{"r", "1"}, {"r", "2"}, {"r", "3"}, {"r", "4"}, {"other", "1"}} // of two generations
	for i, ref := range refs {
		a.learn(ref, i, a.ask(), 1)
	}
	a.doubt("r")
	for i, ref := range refs {
		_, young := a.since(ref, began)
		if v, known, fresh := a.get(ref); v != i || !known || fresh != (ref.repo != "r") || young != fresh {
			t.Errorf("%v: %d, known %v, fresh %v, since the beginning %v", ref, v, known, fresh, young)
		}
	}
	a.learn(refs[0], 9, a.ask(), 1)
	if v, _, fresh := a.get(refs[0]); v != 9 || !fresh {
		t.Errorf("asked again it is %d, fresh %v", v, fresh)
	}
}

// TestRecallIsNeverFresh: the time in an answer from before this process is another clock's, which may go ahead, or anybody's
// who can write to the registry. So it answers no question that asks for a fresh answer, or for one of this request.
func TestRecallIsNeverFresh(t *testing.T) {
	ref := reference{"r", "t"}
	began := time.Now()
	for name, at := range map[string]time.Time{"just now": began, "in a century": began.AddDate(100, 0, 0)} {
		a := newAnswers[int](time.Hour, 100)
		if !a.recall(ref, 1, at) {
			t.Errorf("%s: not kept", name)
		}
		if v, known, fresh := a.get(ref); v != 1 || !known || fresh {
			t.Errorf("%s: %d, known %v, fresh %v", name, v, known, fresh)
		}
		if _, ok := a.since(ref, began); ok {
			t.Errorf("%s: it is taken for an answer of this request", name)
		}
		if v, _, known := a.last(ref); v != 1 || !known {
			t.Errorf("%s: a listing does not have it: %d, known %v", name, v, known)
		}
		a.learn(ref, 2, a.ask(), 1)
		if v, known, fresh := a.get(ref); v != 2 || !known || !fresh {
			t.Errorf("%s: asked again it is %d, known %v, fresh %v", name, v, known, fresh)
		}
	}
}

func TestRecent(t *testing.T) {
	r := newRecent[int, string](10)
	for i := range 10 {
		if r.put(i, fmt.Sprint(i), 1) {
			t.Errorf("something had to go for %d of 10", i)
		}
	}
	for i := 10; i < 1000; i++ {
		r.put(i, fmt.Sprint(i), 1)
		for j := i - 9; j <= i; j++ { // the last of the limit's weight are always there
			if v, ok := r.get(j); !ok || v != fmt.Sprint(j) {
				t.Fatalf("after %d the value of %d is %q, %v", i, j, v, ok)
			}
		}
		if n := len(r.young) + len(r.old); n > 20 {
			t.Fatalf("%d values are kept, want 20 at most", n)
		}
	}
	r.drop(999)
	if _, ok := r.get(999); ok {
		t.Error("a dropped value is there")
	}
	r.put(1, "heavy", 11)
	if _, ok := r.get(1); ok {
		t.Error("what weighs more than the limit is kept")
	}
	r.put(2, "old", 1)
	r.put(2, "new", 9)
	if v, _ := r.get(2); v != "new" {
		t.Errorf("the value is %q, want the last", v)
	}
}

// TestForgetIsOfTheTree: what is told of repositories that are not of the tree, or of names that are none, is not kept.
func TestForgetIsOfTheTree(t *testing.T) {
	long := strings.Repeat("x", maxRepositoryBytes+1)
	for prefix, told := range map[string]map[string]bool{
		"":    {"x.root": true, "a/b": true, "": false, long: false},
		"a/b": {"a/b": true, "a/b/c": true, "a": false, "a/bc": false, "x.root": false, "": false},
	} {
		f := &FS{layout: pathLayout{prefix: prefix}, tags: newAnswers[tagged](time.Hour, 100), lists: newAnswers[tagList](time.Hour, 100)}
		for repo, want := range told {
			asked := f.tags.ask()
			f.Forget(repo, "tag")
			if got := f.tags.changedSince(reference{repo, "tag"}, asked); got != want {
				t.Errorf("of %q under %q: %v, want %v", repo, prefix, got, want)
			}
			tag := strings.Repeat("t", maxTagBytes+1)
			if f.Forget(repo, tag); f.tags.changedSince(reference{repo, tag}, asked) {
				t.Error("of a tag that is none")
			}
		}
	}
}

// TestTagList: what may have come stands in its place, once.
func TestTagList(t *testing.T) {
	l := tagList{listed: []string{"b", "d"}}
	before := l
	for _, tag := range []string{"e", "c", "a", "c", "d"} {
		var ok bool
		if l, ok = l.with(tag); !ok {
			t.Errorf("%s is too many", tag)
		}
	}
	if got := fmt.Sprint(l.all(), before.all(), l.weight()); got != "[a b c d e] [b d] 5" {
		t.Error(got)
	}
}
