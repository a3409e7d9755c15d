//go:build unix && !noembed

package ocifs_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/embedded"
)

// TestLargeFileComesBack: content that the registry has collected is pushed again, though we remember that it was there. A
// large one has no spool here, so it must not be given up for what is only remembered.
func TestLargeFileComesBack(t *testing.T) {
	r, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	client, err := ocifs.Dial(r.Host(), true, r.Transport(), nil)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := ocifs.New(ocifs.Options{Registry: client, Blobs: noBlobs{}, SpoolDir: t.TempDir(), Local: r.OpenBlob, Upload: ocifs.UploadDirect})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{})
	for _, size := range []int{1000, 3 << 20} {
		content := make([]byte, size)
		random.Read(content)
		for range 2 {
			if _, err := tree.Put(t.Context(), "/f", bytes.NewReader(content), davfs.PutOptions{}); err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if err := tree.RemoveAll(t.Context(), "/f", nil); err != nil {
				t.Fatal(err)
			}
			if done, err := r.Collect(t.Context(), embedded.Rules{Grace: -time.Hour, Uploads: time.Hour}); err != nil || done.Blobs == 0 {
				t.Fatal(done, err)
			}
		}
	}
}
