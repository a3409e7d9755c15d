package integration

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// blocks is content that is made while it is read, and tells when it has come to a place.
type blocks struct {
	block []byte
	at    int64
	size  int64
	stop  int64 // here it calls reached, once
	reach func()
	sum   hash.Hash // of what has been read; nil: not wanted
}

func newBlocks(size int64) *blocks {
	return &blocks{block: random(1 << 20), size: size, stop: -1, sum: sha256.New()}
}

func (b *blocks) Read(p []byte) (int, error) {
	if b.at == b.stop && b.reach != nil {
		b.reach()
		b.reach = nil
	}
	if b.at == b.size {
		return 0, io.EOF
	}
	in := b.at % int64(len(b.block))
	if in == 0 {
		copy(b.block, fmt.Sprintf("%016x", b.at))
	}
	end := min(b.size-b.at, int64(len(b.block))-in)
	if b.stop > b.at {
		end = min(end, b.stop-b.at)
	}
	n := copy(p[:min(int64(len(p)), end)], b.block[in:])
	if b.sum != nil {
		b.sum.Write(p[:n])
	}
	b.at += int64(n)
	return n, nil
}

// TestKillInLargeUpload kills the server in the middle of a large PUT over a file, and when it has just got all of it, in each
// way to upload: then there is the old content, or the whole new one if it was so quick; the space of the spool is free; and
// the repeated PUT succeeds.
func TestKillInLargeUpload(t *testing.T) {
	size := int64(256 << 20)
	if testing.Short() {
		size = 16 << 20
	}
	for name, args := range map[string][]string{"embedded": nil, "stream": {"--upload", "stream"}, "monolithic": {"--upload", "monolithic"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := backend{name: onEmbedded}
			if args != nil {
				b = backend{name: onDeleting, registry: startRegistry(t, true)}
			}
			d := b.start(t, append(args, "--cache-size", "0")...)
			old := random(3000)
			d.put("/f", old)
			for what, at := range map[string]int64{"the middle": size / 2, "the end": size} {
				content := newBlocks(size)
				content.stop, content.reach = at, func() {
					if at == size { // what is on its way arrives, more or less of it
						time.Sleep(rand.N(200 * time.Millisecond))
					}
					d.kill()
				}
				a := putBlocks(d, "/f", content)
				d.inspect()
				d.wantNoSpool()
				if used := treeSize(t, d.cache); used > 1<<20 {
					t.Errorf("killed at %s it leaves %d bytes beside the cache", what, used)
				}
				d.start()
				whole := fmt.Sprintf("sha256:%x", content.sum.Sum(nil))
				switch got := sumOf(d, "/f"); {
				case at == size && got == whole:
				case got != digestOf(old) || a.status/100 == 2:
					t.Errorf("killed at %s, which answered %v, there is %s", what, a, got)
				}
				d.put("/f", old)
			}
			content := newBlocks(size)
			if a := putBlocks(d, "/f", content); a.status != http.StatusNoContent {
				t.Fatalf("the repeated PUT: %v", a)
			}
			if got, want := sumOf(d, "/f"), fmt.Sprintf("sha256:%x", content.sum.Sum(nil)); got != want {
				t.Errorf("after the repeated PUT there is %s, want %s", got, want)
			}
			d.stop()
			if !b.embedded() {
				return // it forgets uploads that nobody goes on with by itself, in its own time
			}
			if code, out, errs := runOcidav(t, d.program, nil, "gc", "--data", d.data); code != 0 {
				t.Fatalf("gc: exit %d: %s%s", code, out, errs)
			}
			if used := treeSize(t, d.data); used > size+1<<20 {
				t.Errorf("after a collection %d bytes are left in the data directory", used)
			}
		})
	}
}

func putBlocks(d *drive, name string, content *blocks) answer {
	req, err := http.NewRequest(http.MethodPut, d.href(name), content)
	if err != nil {
		return answer{err: err}
	}
	req.ContentLength = content.size
	resp, err := client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: body, err: err}
}

// sumOf is the digest of what a GET gives, or what went wrong.
func sumOf(d *drive, name string) string {
	resp, err := client.Get(d.href(name))
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Sprintf("%s, %v", resp.Status, err)
	}
	return fmt.Sprintf("sha256:%x", sum.Sum(nil))
}

// treeSize is how much the files in dir take.
func treeSize(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		fi, err := e.Info()
		if err == nil {
			n += fi.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
