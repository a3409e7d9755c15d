package ocifs

import (
	"fmt"
	"slices"
	"testing"
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
