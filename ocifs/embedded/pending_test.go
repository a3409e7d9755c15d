//go:build !noembed && unix

package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What an answer names survives a power loss at the moment when the answer leaves, and a tag's link is never on the disk before
// what it names.
func TestPowerLoss(t *testing.T) {
	p := openPlatter(t, nil)
	p.want("push", p.push("a/b", "f", "one"))
	p.want("push over", p.push("a/b", "f", "two"))
	p.want("push to another directory", p.push("a/c", "f", "two"))
	p.want("push below", p.push("a/b/c/d", "f", "three"))
	for _, data := range []string{"{}", "one"} {
		resp := p.send(http.MethodPost, "/v2/m/blobs/uploads/?mount="+digest.FromString(data).String()+"&from=a/b", "", "")
		p.want("mount", resp.StatusCode)
	}
	p.want("tag what was mounted", p.tag("m", "f", "one"))
	m := manifest("f", blob([]byte("one")))
	index := `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[{"mediaType":"` +
		ocispec.MediaTypeImageManifest + `","digest":"` + digest.FromBytes(m).String() + `","size":` + fmt.Sprint(len(m)) + `}]}`
	p.want("index", p.send(http.MethodPut, "/v2/m/manifests/i", ocispec.MediaTypeImageIndex, index).StatusCode)
	d := digest.FromBytes(m).String()
	p.want("by digest", p.send(http.MethodPut, "/v2/a/b/manifests/"+d, ocispec.MediaTypeImageManifest, string(m)).StatusCode)

	for _, data := range []string{"one", "of another digest"} { // what is there already, and what is wrong
		resp := p.send(http.MethodPost, "/v2/m/blobs/uploads/", "", "")
		p.send(http.MethodPut, resp.Header.Get("Location")+"&digest="+digest.FromString("one").String(), "", data)
	}
	if p.open != 0 {
		t.Errorf("%d uploads are open", p.open)
	}
	r := p.restored()
	for _, name := range []string{"a/b", "a/c", "a/b/c/d", "m"} {
		wantWhole(t, client(t, r, name), "f")
	}
}

// So it is when many push into new directories, the same and others.
func TestPowerLossTogether(t *testing.T) {
	p := openPlatter(t, func(string, string) error {
		time.Sleep(time.Millisecond)
		return nil
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 6 {
				p.want("push", p.push(fmt.Sprintf("d%d/e%d", j, i%3), fmt.Sprint("f", i/2), fmt.Sprint("content ", (i+j)%4)))
			}
		})
	}
	wg.Wait()
	if left := p.unsynced(); len(left) > 0 {
		t.Errorf("%q are still unsynced", left)
	}
}

// What a request finds that another one has made and not yet synced, it syncs itself.
func TestPowerLossBeforeAnotherHasSynced(t *testing.T) {
	for what, c := range map[string]struct{ first, second func(p *platter) int }{
		"the same blob": {
			func(p *platter) int { return p.upload("a", "content") },
			func(p *platter) int { return p.upload("a", "content") },
		},
		"the same blob elsewhere": {
			func(p *platter) int { return p.upload("a", "content") },
			func(p *platter) int { return p.upload("b", "content") },
		},
		"another blob in the same new directories": {
			func(p *platter) int { return p.upload("a", "content") },
			func(p *platter) int { return p.upload("a", "other") },
		},
		"a blob that it names": {
			func(p *platter) int { return p.upload("a", "content") },
			func(p *platter) int { return p.tag("a", "f", "content") },
		},
		"the same manifest": {
			func(p *platter) int { return p.tag("a", "f", "content") },
			func(p *platter) int { return p.tag("a", "g", "content") },
		},
		"the same new repository": {
			func(p *platter) int { return p.upload("new/b", "content") },
			func(p *platter) int { return p.upload("new/b", "other") },
		},
		"a repository below": {
			func(p *platter) int { return p.upload("new/b", "content") },
			func(p *platter) int { return p.upload("new/b/c", "content") },
		},
	} {
		t.Run(what, func(t *testing.T) {
			var held atomic.Bool
			var once sync.Once
			reached, release := make(chan struct{}), make(chan struct{})
			p := openPlatter(t, func(what, name string) error {
				// The second may find the file's name, but none of its directories is synced.
				if what == "directory" && held.Load() {
					once.Do(func() { close(reached) })
					<-release
				}
				return nil
			})
			p.want("{}", p.upload("a", "{}"))
			if what == "the same manifest" {
				p.want("content", p.upload("a", "content"))
			}
			held.Store(true)
			done := make(chan int)
			go func() { done <- c.first(p) }()
			<-reached
			time.Sleep(20 * time.Millisecond) // the others of that round come
			held.Store(false)
			p.want("the second", c.second(p))
			close(release)
			p.want("the first", <-done)
		})
	}
}

// Whatever fails to be synced or named, the request fails, the old tag or the new one stands with all that it names, and when the
// disk does its work again, so does the registry.
func TestSyncFails(t *testing.T) {
	p := openPlatter(t, nil)
	p.want("push", p.push("d", "f", "old"))
	p.asked = nil
	p.want("push", p.push("d", "f", "new"))
	p.want("push", p.push("e", "f", "newer"))
	for at, what := range p.asked {
		fault, want := error(syscall.EIO), http.StatusInternalServerError
		if at%2 == 1 {
			fault, want = syscall.ENOSPC, http.StatusInsufficientStorage
		}
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			var n atomic.Int64
			p := openPlatter(t, func(string, string) error {
				if n.Add(-1) == 0 {
					return fault
				}
				return nil
			})
			p.want("push", p.push("d", "f", "old"))
			n.Store(int64(at + 1))
			status := p.push("d", "f", "new")
			if status == http.StatusCreated {
				status = p.push("e", "f", "newer")
			}
			if n.Load() > 0 {
				t.Fatal("it is not reached")
			}
			if status != want {
				t.Errorf("%s fails with %v: %d, want %d", what, fault, status, want)
			}
			filepath.WalkDir(p.root, func(name string, _ fs.DirEntry, err error) error {
				if strings.HasSuffix(name, temporary) || err != nil {
					t.Errorf("%s is left, %v", name, err)
				}
				return nil
			})
			if left := p.unsynced(); len(left) > 0 && !strings.HasPrefix(what, "directory") {
				t.Errorf("%q are still unsynced", left)
			}
			wantWhole(t, client(t, p.restored(), "d"), "f")
			p.want("again", p.push("d", "f", "new"))
			p.want("again", p.push("e", "f", "newer"))
			r := p.restored()
			wantWhole(t, client(t, r, "d"), "f")
			wantWhole(t, client(t, r, "e"), "f")
		})
	}
}

// A directory that could not be synced stays one that has to be, for all who find what is in it.
func TestSyncFailsForAll(t *testing.T) {
	var broken atomic.Bool
	p := openPlatter(t, func(what, name string) error {
		if broken.Load() && what == "directory" && strings.Contains(name, "/blobs/") {
			return syscall.EIO
		}
		return nil
	})
	p.want("{}", p.upload("a", "{}"))
	broken.Store(true)
	for range 2 {
		resp := p.send(http.MethodPost, "/v2/a/blobs/uploads/", "", "")
		resp = p.send(http.MethodPut, resp.Header.Get("Location")+"&digest="+digest.FromString("content").String(), "", "content")
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusInternalServerError || !bytes.HasPrefix(body, []byte(`{"errors":[{"code":"UNKNOWN"`)) {
			t.Errorf("upload: %s, %s", resp.Status, body)
		}
		for _, key := range []string{"Location", "Docker-Content-Digest", "Content-Length"} {
			if resp.Header.Get(key) != "" {
				t.Errorf("a failure has the header %s", key)
			}
		}
		if status := p.tag("a", "f", "content"); status != http.StatusInternalServerError {
			t.Errorf("tag: %d", status)
		}
	}
	if err := p.registry.Mend(t.Context(), digest.FromString("content"), strings.NewReader("content")); err == nil {
		t.Error("what was mended is not on the disk")
	}
	if resp := p.send(http.MethodDelete, "/v2/a/blobs/"+digest.FromString("content").String(), "", ""); resp.StatusCode != http.StatusAccepted {
		t.Errorf("what needs no sync: %s", resp.Status)
	}
	broken.Store(false)
	p.want("upload", p.upload("a", "content"))
	p.want("tag", p.tag("a", "f", "content"))
	wantWhole(t, client(t, p.restored(), "a"), "f")
}

// What the handler says after the failure is not heard, and no answer is none that has succeeded.
func TestAnswerOfWhatIsNotOnTheDisk(t *testing.T) {
	for what, handle := range map[string]func(w http.ResponseWriter){
		"header": func(w http.ResponseWriter) { w.WriteHeader(http.StatusCreated) },
		"body":   func(w http.ResponseWriter) { io.WriteString(w, "all is well") },
		"both": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, "all is well")
			w.WriteHeader(http.StatusCreated)
		},
		"nothing": func(http.ResponseWriter) {},
	} {
		w := &observed{ResponseRecorder: httptest.NewRecorder()}
		headers, announced := 0, 0
		w.leaves = func(int) { headers++ }
		a := &announcer{
			ResponseWriter: w, announce: func() { announced++ }, full: func() bool { return true },
			settle: func() error { return errors.New("broken") },
		}
		handle(a)
		a.returned = true
		a.finish()
		if w.Code != http.StatusInsufficientStorage || strings.Contains(w.Body.String(), "well") || headers != 1 || announced != 1 {
			t.Errorf("%s: %d, %s, %d headers, announced %d times", what, w.Code, w.Body, headers, announced)
		}
	}
}

// One file takes five rounds of syncs, and no directory is synced twice for one request.
func TestSyncRounds(t *testing.T) {
	p := openPlatter(t, slowly)
	p.want("push", p.push("a", "f", "first"))
	for what, c := range map[string]struct {
		do     func() int
		rounds int
	}{
		"blob":     {func() int { return p.upload("a", "second") }, 2},  // contents; directories
		"manifest": {func() int { return p.tag("a", "g", "first") }, 3}, // contents; directories; the tag's
		"over":     {func() int { return p.tag("a", "f", "first") }, 3},
	} {
		p.rounds = 0
		clear(p.twice)
		p.want(what, c.do())
		if p.rounds > c.rounds {
			t.Errorf("%s: %d rounds, want %d", what, p.rounds, c.rounds)
		}
		for dir, n := range p.twice {
			if n > 1 {
				t.Errorf("%s: %s is synced %d times", what, dir, n)
			}
		}
	}
}

// Who deletes a tag while it is being pushed comes after him who pushes it.
func TestTagDeletedMeanwhile(t *testing.T) {
	for _, at := range []string{"its directories", "its name", "its last directory"} {
		t.Run(at, func(t *testing.T) {
			var p *platter
			armed := atomic.Bool{}
			p = openPlatter(t, func(what, name string) error {
				reached := map[string]bool{
					"its directories":    what == "directory",
					"its name":           what == "name" && strings.Contains(name, tagsDir),
					"its last directory": what == "directory" && strings.HasSuffix(name, "/current"),
				}[at]
				if reached && armed.CompareAndSwap(true, false) {
					if resp := p.send(http.MethodDelete, "/v2/a/manifests/f", "", ""); resp.StatusCode != http.StatusAccepted {
						t.Error("delete:", resp.Status)
					}
				}
				return nil
			})
			p.want("{}", p.upload("a", "{}"))
			p.want("content", p.upload("a", "content"))
			armed.Store(true)
			req := httptest.NewRequest(http.MethodPut, "/v2/a/manifests/f", bytes.NewReader(manifest("f", blob([]byte("content")))))
			req.Header.Set("Content-Type", ocispec.MediaTypeImageManifest)
			w := httptest.NewRecorder()
			p.registry.ServeHTTP(w, req)
			p.want("push", w.Code)
			if armed.Load() {
				t.Error("it was not deleted")
			}
			if p.registry.Tagged("a", "f") != "" {
				t.Error("it is there")
			}
			p.want("again", p.tag("a", "f", "content"))
		})
	}
}

// Without a request all is on the disk on return.
func TestSyncedAtOnce(t *testing.T) {
	p := openPlatter(t, nil)
	d := &driver{root: p.root}
	if err := d.PutContent(t.Context(), "/a/b/link", []byte("content")); err != nil {
		t.Fatal(err)
	}
	if got, err := p.lasting(p.root + "/a/b/link"); got != "content" || err != nil {
		t.Errorf("put: %q, %v", got, err)
	}
	if err := d.Move(t.Context(), "/a/b/link", "/c/d/data"); err != nil {
		t.Fatal(err)
	}
	if got, err := p.lasting(p.root + "/c/d/data"); got != "content" || err != nil {
		t.Errorf("move: %q, %v", got, err)
	}
	c := digest.FromString("mended")
	if err := p.registry.Mend(t.Context(), c, strings.NewReader("mended")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.blob(c); err != nil {
		t.Errorf("mend: %v", err)
	}
}

// A directory is unsynced until a sync has succeeded that began after its last change.
func TestUnsynced(t *testing.T) {
	synced := syncDir
	defer func() { syncDir = synced }()
	var d directories
	meanwhile := func() error { return nil }
	syncs := 0
	syncDir = func(string) error {
		syncs++
		return meanwhile()
	}
	nothing := func() error { return nil }
	is := func() bool { return len(d.above("/a/b/c")) > 0 }
	d.sync("/a")
	if syncs > 0 || is() {
		t.Error("nothing has changed")
	}
	d.change("/a", func() error {
		if !is() {
			t.Error("it is being changed")
		}
		if d.sync("/a"); !is() {
			t.Error("it is being changed still")
		}
		return nil
	})
	meanwhile = func() error { return errors.New("broken") }
	if err := d.sync("/a"); err == nil || !is() {
		t.Errorf("it could not be synced: %v", err)
	}
	meanwhile = func() error { return d.change("/a", nothing) }
	if d.sync("/a"); !is() {
		t.Error("it has changed while it was synced")
	}
	meanwhile = func() error { // another sync ends first, and there is a change after that
		meanwhile = nothing
		d.sync("/a")
		return d.change("/a", nothing)
	}
	if d.sync("/a"); !is() {
		t.Error("it has changed while it was synced twice")
	}
	if d.sync("/a"); is() {
		t.Error("it is synced")
	}
}

// No more than some run at once, and the first failure is told.
func TestTogether(t *testing.T) {
	var running, most atomic.Int64
	broken := errors.New("broken")
	together(make([]struct{}, 40), func(struct{}) error {
		now := running.Add(1)
		defer running.Add(-1)
		for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
		}
		time.Sleep(time.Millisecond)
		return nil
	})
	if most.Load() > syncsAtOnce || most.Load() < 2 {
		t.Errorf("%d at once", most.Load())
	}
	if err := together([]int{1, 2, 3}, func(n int) error {
		if n == 2 {
			return broken
		}
		return nil
	}); !errors.Is(err, broken) {
		t.Error(err)
	}
}
