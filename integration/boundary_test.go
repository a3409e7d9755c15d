package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// TestBoundaries writes files of every size at which something changes, and beside it, in each way to upload: content, entity
// tag and layers are right, and on docker-registry the requests are as many as they have to be. Package ocifs has more of it.
func TestBoundaries(t *testing.T) {
	const inMemory, part = 1 << 20, 5 << 18
	sizes := []int{0, 1, inMemory - 1, inMemory, inMemory + 1, part - 1, part, part + 1, 2 * part, 2*part + 1}
	for name, args := range map[string][]string{
		"embedded": nil, "embedded, stream": {"--upload", "stream"}, "embedded, monolithic": {"--upload", "monolithic"},
		onDeleting + ", auto": nil, onDeleting + ", stream": {"--upload", "stream"}, onDeleting + ", monolithic": {"--upload", "monolithic"},
	} {
		t.Run(strings.ReplaceAll(name, ", ", "-"), func(t *testing.T) {
			t.Parallel()
			args := append([]string{"--part-size", fmt.Sprint(part), "--registry-listen", "127.0.0.1:0"}, args...)
			repository := "x.root"
			var posts, patches, puts atomic.Int64
			counted := strings.HasPrefix(name, onDeleting)
			if counted {
				f := startFaulty(t, startRegistry(t, true).address)
				f.breaks(&fault{only: func(r *http.Request) bool {
					switch {
					case !isUpload(r):
					case r.Method == http.MethodPost:
						posts.Add(1)
					case r.Method == http.MethodPatch:
						patches.Add(1)
					case r.Method == http.MethodPut:
						puts.Add(1)
					}
					return false
				}})
				args[2], args[3] = "--registry", "http://"+f.address+"/"+testPrefix
				repository = testPrefix
			}
			d := startDrive(t, args...)
			oci := ociClient{t, d.registryURL}
			if counted {
				oci.url = strings.TrimSuffix(args[3], "/"+testPrefix)
			}
			d.put("/small", []byte("so that {} is there"))
			for _, size := range sizes {
				content := random(size)
				posts.Store(0)
				patches.Store(0)
				puts.Store(0)
				a := d.do(http.MethodPut, "/f", content, made)
				requests := [3]int64{posts.Load(), patches.Load(), puts.Load()}
				sum := sha256.Sum256(content)
				if got, want := a.header.Get("ETag"), `"`+base64.RawURLEncoding.EncodeToString(sum[:])+`"`; got != want {
					t.Errorf("%d bytes: ETag %s, want %s", size, got, want)
				}
				d.want("/f", content)
				var layers []int
				var parts [][]byte
				for _, l := range oci.manifest(repository, "f").Layers {
					if size > 0 {
						layers = append(layers, int(l.Size))
						parts = append(parts, oci.blob(repository, l.Digest))
					}
				}
				var want []int
				for left := size; left > 0; left -= part {
					want = append(want, min(left, part))
				}
				if !slices.Equal(layers, want) || !bytes.Equal(bytes.Join(parts, nil), content) {
					t.Errorf("%d bytes: layers of %v, want %v", size, layers, want)
				}
				n, streams := int64(len(want)), int64(0)
				if size > inMemory && !strings.HasSuffix(name, "monolithic") {
					streams = n
				}
				if wantRequests := [3]int64{n, streams, n}; counted && requests != wantRequests {
					t.Errorf("%d bytes: %v POST, PATCH and PUT, want %v", size, requests, wantRequests)
				}
			}
		})
	}
}
