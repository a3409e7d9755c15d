package integration

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is clients that change a drive in all ways, each in a directory of its own, and remember what they were told.
type load struct {
	t       testing.TB
	d       *drive
	writers []*writer
	late    bool // the registry may still be at a request when the server that sent it has been killed
	wg      sync.WaitGroup
	done    atomic.Bool
}

// loads gives each its directories.
var loads atomic.Int64

func startLoad(t testing.TB, d *drive, clients int) *load {
	t.Helper()
	l := &load{t: t, d: d}
	for range clients {
		w := &writer{dir: fmt.Sprintf("/l%d", loads.Add(1)), known: map[string]string{}, maybe: map[string][]string{}}
		d.mkcol(w.dir)
		l.writers = append(l.writers, w)
	}
	l.resume()
	return l
}

// resume lets the clients go on, on the drive as it has been started again.
func (l *load) resume() {
	l.done.Store(false)
	for _, w := range l.writers {
		l.wg.Go(func() {
			for !l.done.Load() && w.change(l) {
			}
		})
	}
}

// stop ends the load, in good order or after the drive was killed.
func (l *load) stop() {
	l.done.Store(true)
	l.wg.Wait()
}

func (l *load) acknowledged() (n int) {
	for _, w := range l.writers {
		n += w.acknowledged
	}
	return n
}

func (l *load) refused() (n int) {
	for _, w := range l.writers {
		n += w.refused
	}
	return n
}

// writer is one client and its diary.
type writer struct {
	dir   string
	steps int
	known map[string]string   // what was acknowledged: a digest, "directory:" and a property; nothing for an absence
	maybe map[string][]string // what the name may have become since, because a request failed
	late  map[string][]string // what it may still become, see load.late; until somebody is told of a change

	acknowledged, refused int
}

const absent = ""

// change is one request. False: the server is gone.
func (w *writer) change(l *load) bool {
	w.steps++
	i := rand.IntN(6)
	name, other := fmt.Sprintf("%s/%d", w.dir, i), fmt.Sprintf("%s/%d", w.dir, (i+1)%6)
	dir := fmt.Sprintf("%s/d%d", w.dir, i%2)
	unknown := len(w.maybe[name]) > 0
	switch w.steps % 8 {
	case 0, 1, 2, 3:
		size := rand.IntN(8000)
		if w.steps%8 == 3 {
			size = 1<<20 + rand.IntN(1<<19) // more than waits in memory
		}
		content := random(size)
		sum := fmt.Sprintf("%x", sha256.Sum256(content))
		return w.send(l, map[string]string{name: sum}, http.MethodPut, name, content)
	case 4, 5:
		if unknown || w.known[name] == absent || len(w.maybe[other]) > 0 {
			return true
		}
		if w.steps%8 == 4 {
			return w.send(l, map[string]string{other: w.known[name]}, "COPY", name, nil, "Destination", l.d.href(other))
		}
		return w.send(l, map[string]string{other: w.known[name], name: absent}, "MOVE", name, nil, "Destination", l.d.href(other))
	case 6:
		if !unknown && w.known[name] == absent {
			return true
		}
		return w.send(l, map[string]string{name: absent}, http.MethodDelete, name, nil)
	}
	if len(w.maybe[dir]) > 0 {
		return true
	}
	if w.known[dir] == absent {
		return w.send(l, map[string]string{dir: "directory"}, "MKCOL", dir, nil)
	}
	if w.steps%16 == 15 {
		return w.send(l, map[string]string{dir: "directory"}, "PROPPATCH", dir, []byte(propertyBody))
	}
	return w.send(l, map[string]string{dir: absent}, http.MethodDelete, dir, nil)
}

// send makes a request and writes down what became of the names.
func (w *writer) send(l *load, becomes map[string]string, method, name string, content []byte, header ...string) bool {
	for n, is := range becomes {
		w.maybe[n] = append(w.maybe[n], is)
	}
	start := time.Now()
	a := l.d.try(method, name, content, header...)
	if took := time.Since(start); took > 80*time.Second {
		l.t.Errorf("%s %s took %s", method, name, took)
	}
	switch {
	case a.err != nil:
		return false
	case a.status/100 == 2 && a.status != http.StatusMultiStatus || a.status == http.StatusMultiStatus && method == "PROPPATCH":
		w.acknowledged++
		for n, is := range becomes {
			w.known[n] = is
			delete(w.maybe, n)
			delete(w.late, n)
		}
	case a.status >= 500 || a.status == http.StatusMultiStatus:
		w.refused++
		if !slices.Contains([]int{207, 502, 503, 504}, a.status) {
			l.t.Errorf("%s %s: %v", method, name, a)
		}
	case a.status == http.StatusNotFound && len(w.maybe[name]) > 1:
		w.known[name] = absent // an earlier DELETE had come through
		delete(w.maybe, name)
	default:
		l.t.Errorf("%s %s: %v", method, name, a)
	}
	return true
}

// settle compares what is there with what the clients know, by name and by listing, and takes it for known.
func (l *load) settle() {
	l.t.Helper()
	for _, w := range l.writers {
		there := l.d.tree(w.dir)
		names := maps.Clone(there)
		for n := range w.known {
			names[n] = ""
		}
		for n := range w.maybe {
			names[n] = ""
		}
		for n := range names {
			is := there[n]
			if strings.HasPrefix(path.Base(n), "d") != (is == "directory") && is != absent {
				l.t.Errorf("%s is %q", n, is)
			}
			if is != w.known[n] && !slices.Contains(w.maybe[n], is) && !slices.Contains(w.late[n], is) {
				l.t.Errorf("%s is %q, acknowledged was %q, tried was %q", n, is, w.known[n], w.maybe[n])
			}
			if a := l.d.try(http.MethodHead, n, nil); (a.status == http.StatusNotFound) != (is == absent) {
				l.t.Errorf("%s is listed as %q, and HEAD says %v", n, is, a)
			}
			w.known[n] = is
		}
		w.late = nil
		if l.late {
			w.late = maps.Clone(w.maybe)
		}
		clear(w.maybe)
	}
}
