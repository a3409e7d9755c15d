package treetest_test

import (
	"testing"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

func TestMem(t *testing.T) {
	treetest.Run(t, func(*testing.T) davfs.Tree { return new(treetest.Mem) }, treetest.Options{})
}

func TestMemShort(t *testing.T) {
	treetest.Run(t, func(*testing.T) davfs.Tree { return new(treetest.Mem) },
		treetest.Options{Short: true, Parallel: true})
}
