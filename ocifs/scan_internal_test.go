package ocifs

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestListOrder: the order of a registry's lists is known by what ascends in them, and one step down is enough to know that
// it is another.
func TestListOrder(t *testing.T) {
	keyed := func(n int) (tags []string) {
		for i := range n {
			d, _ := flatIn.directory(fmt.Sprint("/", i))
			tags = append(tags, d.file("a"), d.file("b"))
		}
		slices.Sort(tags)
		return tags
	}
	swapped := keyed(100)
	swapped[150], swapped[151] = swapped[151], swapped[150]
	for name, c := range map[string]struct {
		tags []string
		want listOrder
	}{
		"nothing":          {nil, orderUnknown},
		"the root only":    {[]string{"A", "Z", "_b.x", "_l.flat", "a", "z"}, orderUnknown},
		"few directories":  {keyed(provenKeys - 1), orderUnknown},
		"many directories": {keyed(provenKeys), orderBytes},
		"a name twice":     {append(keyed(provenKeys), "z", "z"), orderBytes},
		"ignoring case":    {append(keyed(provenKeys), "a", "B"), orderOther},
		"one step down":    {swapped, orderOther},
		"two down":         {[]string{"b", "a"}, orderOther},
	} {
		for _, size := range []int{1, 7, 1000} {
			var l pages
			for page := range slices.Chunk(c.tags, size) {
				l.see(page)
			}
			if got := l.order(); got != c.want {
				t.Errorf("%s, in pages of %d: %v, want %v", name, size, got, c.want)
			}
		}
	}
	// What has once been seen is not forgotten.
	var s scans
	for _, c := range []struct {
		tags []string
		want listOrder
	}{
		{[]string{"a"}, orderUnknown}, {keyed(20), orderBytes}, {[]string{"a"}, orderBytes}, {[]string{"b", "a"}, orderOther}, {keyed(20), orderOther},
	} {
		var l pages
		l.see(c.tags)
		if s.learn(l, false); s.order != c.want {
			t.Errorf("after %d tags: %v, want %v", len(c.tags), s.order, c.want)
		}
	}
	// Nor is that a part was empty behind which there was something.
	s = scans{order: orderBytes, doubt: "b"}
	l := pages{}
	l.see([]string{"a", "b"})
	if s.learn(l, false); s.order != orderBytes {
		t.Error("nothing behind it is taken for a lie")
	}
	s.doubt = "b"
	l.see([]string{"c"})
	if s.learn(l, false); s.order != orderOther {
		t.Error("a lie is believed")
	}
}

// TestScanned: a whole list says of every directory what it holds, also to who has looked for that a moment before it came.
func TestScanned(t *testing.T) {
	f := &FS{lists: newAnswers[tagList](time.Hour, 1000), tags: newAnswers[tagged](time.Hour, 1000), listed: newRecent[directory, listed](1000)}
	in := func(name string) directory {
		d, err := flatIn.directory(name)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	full, gone, empty, changed := in("/full"), in("/gone"), in("/empty"), in("/changed")
	f.keepList(gone, []string{gone.file("old")}, f.lists.ask(), f.tags.ask())
	asked, tagsAsked := f.lists.ask(), f.tags.ask()
	f.keepList(full, []string{full.file("a"), full.file("b")}, asked, tagsAsked)
	f.scans.whole, f.scans.wholeTags = asked, tagsAsked
	f.lists.forget(changed.list())
	for _, c := range []struct {
		d    directory
		want []string
		ok   bool
	}{
		{full, []string{full.file("a"), full.file("b")}, true}, {gone, []string{}, true}, {empty, []string{}, true}, {changed, nil, false},
	} {
		if got, ok := f.scanned(c.d); !slices.Equal(got, c.want) || ok != c.ok {
			t.Errorf("%v holds %q, %v, want %q, %v", c.d, got, ok, c.want, c.ok)
		}
	}
}
