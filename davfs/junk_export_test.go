package davfs

// NewJunkMemory is WithJunk(t, JunkMemory) with another idea of what junk is, and of how much memory there is.
func NewJunkMemory(t Tree, isJunk func(name string) bool, content, rest, total int64, files int) Tree {
	return newJunkMemory(t, isJunk, junkFiles{newJunkStore(junkBounds{content, rest, total, files}), t.Key})
}

// JunkFiles gives the number and the weight of the files in memory.
func JunkFiles(t Tree) (n int, weight int64) {
	s := &t.(*junkMemory).files
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.age.Len(), s.weight
}

var IsJunk = isJunk
