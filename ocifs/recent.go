package ocifs

import "sync"

// recent is a map bounded by weight that keeps what was used lately: two generations, of which the older is dropped
// whole when the younger is full. So it holds at least the last limit of weight and at most twice that, and neither
// call allocates a list element. Safe for concurrent use.
type recent[K comparable, V any] struct {
	mu         sync.Mutex
	limit      int // weight of a generation
	weight     int // of the younger
	young, old map[K]V
}

func newRecent[K comparable, V any](limit int) *recent[K, V] {
	return &recent[K, V]{limit: limit, young: map[K]V{}}
}

func (r *recent[K, V]) get(key K) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.young[key]
	if !ok {
		v, ok = r.old[key]
	}
	return v, ok
}

// put keeps v, whose weight is at least 1, and says whether something else had to go. What weighs more than a
// generation is not kept.
func (r *recent[K, V]) put(key K, v V, weight int) (dropped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.old, key)
	delete(r.young, key)
	if weight > r.limit {
		return true
	}
	if r.weight+weight > r.limit {
		dropped = len(r.old) > 0
		r.old, r.young, r.weight = r.young, map[K]V{}, 0
	}
	r.young[key] = v
	r.weight += weight
	return dropped
}

func (r *recent[K, V]) drop(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.young, key)
	delete(r.old, key)
}

// size is the number of values.
func (r *recent[K, V]) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.young) + len(r.old)
}

func (r *recent[K, V]) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.young, r.old, r.weight = map[K]V{}, nil, 0
}

// change calls to for all values, and keeps what that gives in their place if it says so. It takes its time.
func (r *recent[K, V]) change(to func(K, V) (V, bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, generation := range []map[K]V{r.young, r.old} {
		for key, v := range generation {
			if v, ok := to(key, v); ok {
				generation[key] = v
			}
		}
	}
}
