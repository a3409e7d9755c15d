package registrytest

import (
	"slices"
	"sync"
)

// counts remembers the requests that arrived, those that met a fault too.
type counts struct {
	mu       sync.Mutex
	kinds    map[string]int
	requests []string
}

func (c *counts) add(q request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kinds == nil {
		c.kinds = map[string]int{}
	}
	c.kinds[q.Method+" "+q.kind]++
	c.requests = append(c.requests, q.Method+" "+q.URL.RequestURI())
}

// Requests gives a line for every request since the last ResetCounts, in order of arrival: the method and the URL
// without its host.
func (g *Registry) Requests() []string {
	g.counts.mu.Lock()
	defer g.counts.mu.Unlock()
	return slices.Clone(g.counts.requests)
}

// Count gives the number of requests of these kinds since the last ResetCounts. A kind is a method and one of base,
// catalog, tags, manifest, blob, upload, mount, referrers and other: "PUT manifest".
func (g *Registry) Count(kinds ...string) int {
	g.counts.mu.Lock()
	defer g.counts.mu.Unlock()
	n := 0
	for _, k := range kinds {
		n += g.counts.kinds[k]
	}
	return n
}

// ResetCounts begins a new count.
func (g *Registry) ResetCounts() {
	g.counts.mu.Lock()
	defer g.counts.mu.Unlock()
	g.counts.kinds, g.counts.requests = nil, nil
}
