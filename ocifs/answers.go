package ocifs

import (
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// answers remembers what the registry said about names: which digest a tag has, which tags a repository has. Answers
// are good for freshness (zero: for no time), because others may write too; what is named by its digest is not kept
// here and never ages (invariant 4).
//
// An answer that was asked for before a change and comes back after it must not bury the change. So every question
// begins with a stamp, every change leaves a stamp at the key, and an answer is kept only if its question is younger. The
// stamp at a repository's key is for all its tags.
type answers[V any] struct {
	freshness time.Duration

	mu    sync.Mutex
	clock uint64 // of stamps
	floor uint64 // questions asked before it are not kept: their change stamps may be gone
	said  *recent[reference, answer[V]]
}

// reference is a tag in a repository, or with an empty tag the repository's list of tags.
type reference struct{ repo, tag string }

type answer[V any] struct {
	value   V
	known   bool      // else it is only the stamp of a change
	hearsay bool      // in doubt, or from before this process, or another's
	at      time.Time // of the question, or of the change; of hearsay what somebody's clock has said
	asked   uint64    // order of the question
	changed uint64
}

// stamp is when a question was begun.
type stamp struct {
	order uint64
	at    time.Time
}

func newAnswers[V any](freshness time.Duration, limit int) *answers[V] {
	return &answers[V]{freshness: freshness, said: newRecent[reference, answer[V]](limit)}
}

// get gives what is known, and whether that is fresh.
func (a *answers[V]) get(ref reference) (v V, known, fresh bool) {
	s, _ := a.said.get(ref)
	return s.value, s.known, s.known && !s.hearsay && time.Since(s.at) < a.freshness
}

// since gives what was asked at t or later.
func (a *answers[V]) since(ref reference, t time.Time) (v V, ok bool) {
	s, _ := a.said.get(ref)
	return s.value, s.known && !s.hearsay && !s.at.Before(t)
}

// last gives the last answer, however old.
func (a *answers[V]) last(ref reference) (v V, at time.Time, known bool) {
	s, _ := a.said.get(ref)
	return s.value, s.at, s.known
}

// recall keeps an answer from before this process, unless there is a younger one or a change. It is never fresh: how old it
// is was written by another clock, or by whoever can write to the registry.
func (a *answers[V]) recall(ref reference, v V, at time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s, _ := a.said.get(ref); s.known || s.changed > 0 {
		return false
	}
	a.putLocked(ref, answer[V]{value: v, known: true, hearsay: true, at: at}, 1)
	return true
}

// askedSince says whether what is known was asked for after the question that began with earlier.
func (a *answers[V]) askedSince(ref reference, earlier stamp) bool {
	s, _ := a.said.get(ref)
	return s.known && !s.hearsay && s.asked > earlier.order
}

// learned gives what the question that began with asked has brought, or a later one.
func (a *answers[V]) learned(ref reference, asked stamp) (v V, ok bool) {
	s, _ := a.said.get(ref)
	return s.value, s.known && !s.hearsay && s.asked >= asked.order
}

// ask begins a question.
func (a *answers[V]) ask() stamp {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock++
	return stamp{a.clock, time.Now()}
}

// learn keeps the answer to the question that began with stamp, unless something has changed since.
func (a *answers[V]) learn(ref reference, v V, asked stamp, weight int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s, _ := a.said.get(ref); !a.changedLocked(ref, asked) {
		a.putLocked(ref, answer[V]{value: v, known: true, at: asked.at, asked: asked.order, changed: s.changed}, weight)
	}
}

// changedSince says whether the answer has changed since a question that began with asked, or may have.
func (a *answers[V]) changedSince(ref reference, asked stamp) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changedLocked(ref, asked)
}

func (a *answers[V]) changedLocked(ref reference, asked stamp) bool {
	s, _ := a.said.get(ref)
	all, _ := a.said.get(reference{repo: ref.repo})
	return asked.order <= max(a.floor, s.changed, all.changed)
}

// set keeps what we have just changed ourselves.
func (a *answers[V]) set(ref reference, v V, weight int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock++
	a.putLocked(ref, answer[V]{value: v, known: true, at: time.Now(), changed: a.clock}, weight)
}

// amend changes what is known by what is known of a change; false: that is not enough, and the answer is dropped.
func (a *answers[V]) amend(ref reference, to func(V) (v V, weight int, ok bool)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock++
	s, _ := a.said.get(ref)
	if v, weight, ok := to(s.value); s.known && ok {
		s.value, s.changed = v, a.clock
		a.putLocked(ref, s, weight)
		return
	}
	a.putLocked(ref, answer[V]{changed: a.clock}, 1)
}

// forget drops the answer because it has changed, or may have.
func (a *answers[V]) forget(ref reference) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock++
	a.putLocked(ref, answer[V]{changed: a.clock}, 1)
}

// doubt makes no answer about a tag of repo fresh, because any of them may have changed.
func (a *answers[V]) doubt(repo string) {
	a.forget(reference{repo: repo}) // what is being asked for
	a.said.change(func(ref reference, s answer[V]) (answer[V], bool) {
		s.hearsay = true
		return s, ref.repo == repo
	})
}

func (a *answers[V]) putLocked(ref reference, s answer[V], weight int) {
	if dropped := a.said.put(ref, s, weight); dropped {
		a.floor = a.clock // stamps of changes have gone too
	}
}

// forgetAll drops everything.
func (a *answers[V]) forgetAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock++
	a.floor = a.clock
	a.said.clear()
}

// tagged is the answer about a tag; the zero value says that there is no such tag.
type tagged struct {
	digest digest.Digest
	size   int64 // of the manifest, in bytes
}
