//go:build !noembed

package embedded

import (
	"path"
	"strings"
	"sync"
)

// mostHashStates is how many uploads can be gone on with without hashing anew what they have.
const mostHashStates = 1024

// hashStates remembers how far the hash of each upload is. What is not remembered is computed again.
type hashStates struct {
	mu sync.Mutex
	of map[string]hashState // by the directory of the upload
}

type hashState struct {
	path  string // its last component is the length
	state []byte
}

// hashStateOf tells paths of the form .../_uploads/ID/hashstates/ALGORITHM[/LENGTH] and gives the upload's directory. A
// repository may be called hashstates.
func hashStateOf(sub string) (upload string, ok bool) {
	i := strings.LastIndex(sub, "/hashstates/")
	if i < 0 {
		return "", false
	}
	return sub[:i], path.Base(path.Dir(sub[:i])) == "_uploads"
}

// put remembers a state in the place of the one before. That of nothing is not worth it: it comes from whoever only asks
// how far an upload is.
func (h *hashStates) put(upload, name string, state []byte) {
	if path.Base(name) == "0" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of == nil {
		h.of = map[string]hashState{}
	}
	if _, known := h.of[upload]; !known && len(h.of) >= mostHashStates {
		for other := range h.of {
			delete(h.of, other)
			break
		}
	}
	h.of[upload] = hashState{name, state}
}

func (h *hashStates) get(upload, path string) ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.of[upload]
	return s.state, s.path == path
}

func (h *hashStates) list(upload string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s, ok := h.of[upload]; ok {
		return []string{s.path}
	}
	return nil
}

// drop forgets an upload whose directory or content goes.
func (h *hashStates) drop(sub string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.of, sub)
	if dir, base := path.Split(sub); base == "data" {
		delete(h.of, strings.TrimSuffix(dir, "/"))
	}
}
