package registrytest

import (
	"cmp"
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
)

// Orders of tags/list.
const (
	OrderFolded   = "folded"   // case does not count: databases with such a collation
	OrderNatural  = "natural"  // numbers by their value
	OrderReversed = "reversed" // the greatest first
	OrderAny      = "any"      // one that names have nothing to do with, as that of creation: GHCR, ECR
)

// What is made of a last that is no tag.
const (
	LastIgnored = "ignored" // the list from its beginning
	LastRefused = "refused" // 400: Harbor
	LastNothing = "nothing" // no tags
)

func (d Defects) sortTags(tags []string) {
	slices.SortFunc(tags, d.compareTags)
}

func (d Defects) compareTags(a, b string) int {
	c := 0
	switch d.TagOrder {
	case OrderFolded:
		c = cmp.Compare(strings.ToLower(a), strings.ToLower(b))
	case OrderNatural:
		c = cmp.Compare(natural(a), natural(b))
	case OrderReversed:
		return cmp.Compare(b, a)
	case OrderAny:
		c = cmp.Compare(scattered(a), scattered(b))
	}
	return cmp.Or(c, cmp.Compare(a, b))
}

// natural pads numbers, so that they compare by their value.
func natural(tag string) string {
	var b strings.Builder
	for len(tag) > 0 {
		n := len(tag) - len(strings.TrimLeft(tag, "0123456789"))
		if n == 0 {
			b.WriteByte(tag[0])
			tag = tag[1:]
			continue
		}
		number := strings.TrimLeft(tag[:n], "0")
		b.WriteString(strings.Repeat("0", 128-len(number)) + number)
		tag = tag[n:]
	}
	return b.String()
}

func scattered(tag string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(tag))
	return h.Sum64()
}

// behindLast gives what of a sorted list comes after the last of the request; false: it has answered.
func (d Defects) behindLast(w http.ResponseWriter, tags []string, last string) ([]string, bool) {
	if last == "" {
		return tags, true
	}
	i, found := slices.BinarySearchFunc(tags, last, d.compareTags)
	switch {
	case found:
		return tags[i+1:], true
	case d.LastUnknown == LastIgnored:
		return tags, true
	case d.LastUnknown == LastRefused:
		refuse(w, http.StatusBadRequest, "BAD_REQUEST", "the last: "+last+" should be a valid tag name")
		return nil, false
	case d.LastUnknown == LastNothing:
		return nil, true
	}
	return tags[i:], true
}
