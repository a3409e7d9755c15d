package foreign

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits of names: what every file system can hold, and how deep titles go.
const (
	maxNameBytes = 255
	maxSegments  = 32
	maxExtension = 16
	maxNumber    = 8 // of "-2"
)

// segments makes a path of a title: relative, without "." and "..", each segment a name. None: nothing is left of it.
func segments(title string) []string {
	var all []string
	for s := range strings.SplitSeq(title, "/") {
		if s != "" && s != "." {
			all = append(all, s)
		}
	}
	if len(all) > maxSegments {
		all = append(all[:maxSegments-1], strings.Join(all[maxSegments-1:], "_"))
	}
	for i, s := range all {
		all[i] = safeName(s)
	}
	return all
}

// safeName makes a name of s that the drive would take for a file of its own, in NFC, and that no client takes for
// something else: no control characters, separators of any system, or marks that turn the direction of the text round.
func safeName(s string) string {
	s = norm.NFC.String(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == '/', r == '\\', unicode.Is(unicode.Bidi_Control, r),
			r == '\u2028', r == '\u2029', r == '\ufffe', r == '\uffff': // the last two cannot be said in XML
			return '_'
		}
		return r
	}, strings.ToValidUTF8(s, "_")))
	if s == "." || s == ".." {
		return strings.Repeat("_", len(s))
	}
	if len(s) <= maxNameBytes {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	base, ext := splitName(s)
	mark := "~" + hex.EncodeToString(sum[:4])
	return cut(base, maxNameBytes-len(mark)-len(ext)) + mark + ext
}

// cut gives the first n bytes of s at most, in whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// splitName splits off what says the type of a file, as .pdf or .tar.gz.
func splitName(name string) (base, ext string) {
	ext = path.Ext(name)
	if before := path.Ext(strings.TrimSuffix(name, ext)); strings.EqualFold(before, ".tar") {
		ext = before + ext
	}
	if len(ext) > maxExtension || len(ext) == len(name) {
		ext = ""
	}
	return strings.TrimSuffix(name, ext), ext
}

// placed is an item and where it would like to be.
type placed struct {
	segments []string
	item     item
}

// place makes a folder of what has its name for sure, and of what would like one. Where two want the same, directories
// that titles go through come before files, then the first; the others get a number that nobody has. So a title that is
// alone keeps its name whatever the others are, and a manifest always gives the same names. like is what those directories
// look like.
func place(sure []item, wanted []placed, like item) *folder {
	root := &branch{}
	for _, w := range wanted {
		root.add(w)
	}
	return root.folder(sure, like)
}

// A branch is a directory that titles go through.
type branch struct {
	files []placed // by the last segment
	dirs  map[string]*branch
	order []string // of dirs
}

func (b *branch) add(w placed) {
	for _, s := range w.segments[:len(w.segments)-1] {
		next := b.dirs[s]
		if next == nil {
			next = &branch{}
			if b.dirs == nil {
				b.dirs = map[string]*branch{}
			}
			b.dirs[s], b.order = next, append(b.order, s)
		}
		b = next
	}
	b.files = append(b.files, w)
}

func (b *branch) folder(sure []item, like item) *folder {
	names := newNames(len(sure) + len(b.order) + len(b.files))
	for _, i := range sure {
		names.take(i.Name)
	}
	wanted := make([]string, 0, len(b.order)+len(b.files))
	wanted = append(wanted, b.order...)
	for _, w := range b.files {
		wanted = append(wanted, w.segments[len(w.segments)-1])
	}
	got := names.give(wanted)

	items := slices.Grow(slices.Clone(sure), len(got))
	for n, dir := range b.order {
		i := like
		i.Name, i.Dir = got[n], true
		sub := b.dirs[dir].folder(nil, like)
		i.enter = func(context.Context) (*folder, error) { return sub, nil }
		items = append(items, i)
	}
	for n, w := range b.files {
		w.item.Name = got[len(b.order)+n]
		items = append(items, w.item)
	}
	return newFolder(items)
}

// names are those of one folder that are taken, and from which number on each is free.
type names struct {
	taken map[string]bool
	next  map[string]int
}

func newNames(n int) *names { return &names{make(map[string]bool, n), map[string]int{}} }

func (n *names) take(name string) bool {
	if n.taken[name] {
		return false
	}
	n.taken[name] = true
	return true
}

// give gives each its name if that is free, and then the others one with a number. Long names that would be cut to the
// same beginning count together, so that no set of titles takes more than linear time.
func (n *names) give(wanted []string) []string {
	got := make([]string, len(wanted))
	for i, name := range wanted {
		if n.take(name) {
			got[i] = name
		}
	}
	for i, name := range wanted {
		if got[i] != "" {
			continue
		}
		base, ext := splitName(name)
		base = cut(base, maxNameBytes-len(ext)-maxNumber)
		for number := max(2, n.next[base+"/"+ext]); got[i] == ""; number++ {
			if other := base + "-" + strconv.Itoa(number) + ext; n.take(other) {
				got[i], n.next[base+"/"+ext] = other, number+1
			}
		}
	}
	return got
}
