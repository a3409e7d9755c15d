package tree

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"ocidav/cache"
	"ocidav/davfs"
	"ocidav/davfs/treetest"
	"ocidav/ocifs"
)

// TestTree runs the suite over each registry, in both layouts, every test of it under a prefix of its own.
func TestTree(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) string{
		"embedded":                         embedded,
		"docker-registry":                  func(t *testing.T) string { return dockerRegistry(t, true) },
		"docker-registry-without-deletion": func(t *testing.T) string { return dockerRegistry(t, false) },
		"distribution-3":                   distribution,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := start(t)
			var trees atomic.Int32
			for _, layout := range []string{ocifs.LayoutPath, ocifs.LayoutFlat} {
				t.Run(layout, func(t *testing.T) {
					treetest.Run(t, func(t *testing.T) davfs.Tree {
						return newTree(t, host, fmt.Sprintf("team/tree-%d", trees.Add(1)), layout)
					}, treetest.Options{Short: true, Parallel: true})
				})
			}
		})
	}
}

// newTree gives a tree as main makes it for a registry that is elsewhere.
func newTree(t *testing.T, host, prefix, layout string) *ocifs.FS {
	t.Helper()
	client, err := ocifs.Dial(host, true, ocifs.NewTransport(), nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	blobs, err := cache.New(cache.Options{Dir: t.TempDir(), MaxBytes: 1 << 30, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := ocifs.New(ocifs.Options{
		Registry: client, Prefix: prefix, Layout: layout, Blobs: blobs, Freshness: 2 * time.Second, SpoolDir: t.TempDir(), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Settle(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		blobs.Close()
	})
	return tree
}
