package ocifs_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
	"ocidav/ocifs"
	"ocidav/ocifs/embedded"
)

// noBlobs keeps nothing: what a tree reads comes from the registry each time.
type noBlobs struct{}

func (noBlobs) Hold(ocispec.Descriptor, []byte) {}

type readBlob struct{ *bytes.Reader }

func (readBlob) Close() error { return nil }

func (noBlobs) Open(ctx context.Context, desc ocispec.Descriptor, src ocifs.Source) (ocifs.Blob, error) {
	rc, _, err := src.Fetch(ctx, 0, desc.Size)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if err != nil {
		return nil, err
	}
	return readBlob{bytes.NewReader(b)}, nil
}

func (noBlobs) Add(context.Context, ocispec.Descriptor, io.Reader) error { return nil }

// newEmbedded gives a tree on an embedded registry of its own.
func newEmbedded(t *testing.T, change func(*ocifs.Options)) *ocifs.FS {
	t.Helper()
	var tree *ocifs.FS
	reg, err := embedded.Open(t.TempDir(), embedded.Options{Changed: func(repo, ref string) { tree.Changed(repo, ref) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reg.Close() })
	client, err := ocifs.Dial(reg.Host(), true, reg.Transport(), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := ocifs.Options{Registry: client, Blobs: noBlobs{}, Freshness: time.Hour, Discover: true, SpoolDir: t.TempDir(), Local: reg.OpenBlob, LocalTag: reg.Tagged}
	if change != nil {
		change(&o)
	}
	if tree, err = ocifs.New(o); err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTreeOnEmbedded(t *testing.T) {
	treetest.Run(t, func(t *testing.T) davfs.Tree { return newEmbedded(t, nil) }, treetest.Options{Short: true})
}

func TestFlatTreeOnEmbedded(t *testing.T) {
	treetest.Run(t, func(t *testing.T) davfs.Tree {
		return newEmbedded(t, func(o *ocifs.Options) { o.Layout = ocifs.LayoutFlat })
	}, treetest.Options{Short: true})
}

func TestTreeInParts(t *testing.T) {
	treetest.Run(t, func(t *testing.T) davfs.Tree {
		return newEmbedded(t, func(o *ocifs.Options) { o.PartSize, o.Prefix, o.Freshness = 300_000, "team/files", 0 })
	}, treetest.Options{Short: true})
}
