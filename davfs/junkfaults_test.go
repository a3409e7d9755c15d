package davfs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

var largeJunk = strings.Repeat("x", 1<<20+1)

var patchLarge = strings.Replace(patchBody, ">v<", ">"+strings.Repeat("v", 65_000)+"<", 1)

type junkRequest struct {
	method, target, body string
	headers              []string
}

// junkAttempts are every method on junk of every kind: in memory, in the tree, and in memory over one in the tree.
var junkAttempts = []junkRequest{
	{"GET", "/d/._memory", "", nil},
	{"HEAD", "/d/._memory", "", nil},
	{"GET", "/d/._tree", "", nil},
	{"GET", "/.metadata_never_index", "", nil},
	{"PROPFIND", "/d/._memory", "", []string{"Depth", "0"}},
	{"PROPFIND", "/d", "", []string{"Depth", "1"}},
	{"PUT", "/d/._new", "x", nil},
	{"PUT", "/d/._memory", "x", nil},
	{"PUT", "/d/._shadow", "x", nil},
	{"PUT", "/d/._tree", "x", nil},
	{"PUT", "/d/._new", largeJunk, nil},
	{"PUT", "/d/._memory", largeJunk, nil},
	{"PUT", "/d/._shadow", largeJunk, nil},
	{"PUT", "/d/._tree", largeJunk, nil},
	{"LOCK", "/d/._new", lockBody, nil},
	{"MKCOL", "/d/._new", "", nil},
	{"DELETE", "/d/._memory", "", nil},
	{"DELETE", "/d/._shadow", "", nil},
	{"DELETE", "/d/._tree", "", nil},
	{"DELETE", "/d", "", nil},
	{"COPY", "/d/._memory", "", []string{"Destination", "/d/._new"}},
	{"COPY", "/d/._memory", "", []string{"Destination", "/d/._tree"}},
	{"COPY", "/d/._memory", "", []string{"Destination", "/d/new"}},
	{"COPY", "/d/._shadow", "", []string{"Destination", "/d/f"}},
	{"COPY", "/d/._memory", "", []string{"Destination", "/e"}},
	{"COPY", "/d/f", "", []string{"Destination", "/d/._memory"}},
	{"COPY", "/d/._tree", "", []string{"Destination", "/d/._shadow"}},
	{"COPY", "/d", "", []string{"Destination", "/e"}},
	{"MOVE", "/d/._memory", "", []string{"Destination", "/d/._new"}},
	{"MOVE", "/d/._shadow", "", []string{"Destination", "/d/._tree"}},
	{"MOVE", "/d/._memory", "", []string{"Destination", "/d/._shadow"}},
	{"MOVE", "/d/._memory", "", []string{"Destination", "/d/new"}},
	{"MOVE", "/d/._shadow", "", []string{"Destination", "/d/f"}},
	{"MOVE", "/d/._shadow", "", []string{"Destination", "/e"}},
	{"MOVE", "/d/f", "", []string{"Destination", "/d/._memory"}},
	{"MOVE", "/d/._tree", "", []string{"Destination", "/d/._shadow"}},
	{"MOVE", "/d", "", []string{"Destination", "/e"}},
	{"MOVE", "/e", "", []string{"Destination", "/d"}},
	{"PROPPATCH", "/d/._memory", patchBody, nil},
	{"PROPPATCH", "/d/._tree", patchBody, nil},
	{"PROPPATCH", "/d/._memory", patchLarge, nil},
	{"PROPPATCH", "/d/._shadow", patchLarge, nil},
}

// newFaultDrive has junk of each kind, and what the tree has under it differs in all.
func newFaultDrive(t *testing.T) *drive {
	d := newJunkDrive(t, davfs.JunkMemory)
	full(t, d.tree, "/d/._tree", "in the tree")
	full(t, d.tree, "/d/._shadow", "in the shadow")
	full(t, d.Tree, "/d/._memory", "in memory")
	full(t, d.Tree, "/d/._shadow", "over it")
	full(t, d.Tree, "/e/._e", "also in memory")
	return d
}

// isUntouched checks that all of newFaultDrive is there as it was.
func (d *drive) isUntouched() {
	d.Helper()
	d.tree.Before(nil)
	d.tree.Heal()
	d.hasFull("/d/._tree", "in the tree")
	d.hasFull("/d/._memory", "in memory")
	d.hasFull("/d/._shadow", "over it")
	d.hasFull("/e/._e", "also in memory")
	d.shows("/d/f", "content of f")
	if n, _ := davfs.JunkFiles(d.Tree); n != 3 {
		d.Errorf("%d files are in memory, want 3", n)
	}
	got := d.lists("/") + "|" + d.lists("/d") + "|" + d.lists("/e")
	if got != "d/ e/ top|._memory ._shadow ._tree f g|._e" {
		d.Errorf("members are now %s", got)
	}
}

// Whichever call of the tree fails, alone or with all after it, and whatever it says: the answer says so, and nothing
// is lost or torn.
func TestJunkFailures(t *testing.T) {
	for _, f := range failures {
		switch f.err.(type) {
		case *treetest.Failure:
			if f.code != http.StatusServiceUnavailable && f.code != http.StatusTooManyRequests {
				continue // the others go the same way
			}
		case liar:
		default:
			continue
		}
		for _, a := range junkAttempts {
			for _, once := range []bool{false, true} {
				n := 0 // calls that succeed before
				for junkAttempt(t, a, n, once, f.err, f.code) {
					if n++; n == 20 {
						t.Fatalf("%s %s %q does not end", a.method, a.target, a.headers)
					}
				}
			}
		}
	}
}

// junkAttempt says whether the attempt came as far as to the call that fails.
func junkAttempt(t *testing.T, a junkRequest, n int, once bool, failure error, code int) bool {
	t.Helper()
	d := newFaultDrive(t)
	var calls atomic.Int32
	if n == 0 {
		d.tree.Fail("", failure)
	}
	d.tree.Before(func(string, string) {
		switch c := int(calls.Add(1)); {
		case c == n:
			d.tree.Fail("", failure)
		case c == n+1 && once:
			d.tree.Heal()
		}
	})
	w := d.do(a.method, a.target, a.body, a.headers...)
	if w.Code < 400 && int(calls.Load()) <= n {
		return false
	}
	if a.method == "DELETE" && once && w.Code == http.StatusNoContent {
		return true // only the question has failed, and the tree has removed all the same
	}
	if a.method == "PROPFIND" && (once || n >= 2) && w.Code == http.StatusMultiStatus {
		return true // it asks for properties at the same time: the failure may be over, or all may have begun, before one meets it
	}
	if (a.method == "COPY" || a.method == "MOVE") && once && n < 4 && w.Code < 300 {
		return true // so are its questions before the change
	}
	if w.Code != code {
		t.Errorf("status %d, want %d: %s", w.Code, code, w.Body)
	}
	d.isUntouched()
	if t.Failed() {
		t.Fatalf("%s %s %q with %q after %d calls, once: %v", a.method, a.target, a.headers, failure, n, once)
	}
	return true
}

// A Check is asked once, about what is shown, and its error comes back as it is and has changed nothing.
func TestJunkCheck(t *testing.T) {
	no := errors.New("no")
	put := func(tree davfs.Tree, name, content string, c davfs.Check) error {
		_, err := tree.Put(context.Background(), name, strings.NewReader(content), davfs.PutOptions{Check: c})
		return err
	}
	place := func(tree davfs.Tree, src, dst string, c davfs.Check) (errs [2]error) {
		_, errs[0] = tree.Copy(context.Background(), src, dst, c)
		errs[1] = tree.Rename(context.Background(), src, dst, c)
		return errs
	}
	patch := func(tree davfs.Tree, name, value string, c davfs.Check) error {
		return tree.PatchProps(context.Background(), name, davfs.PropPatch{
			Set: []davfs.Property{property("p", value)}, Check: c})
	}
	etag := func(fi fs.FileInfo) string {
		tag, _ := fi.(interface {
			ETag(context.Context) (string, error)
		}).ETag(context.Background())
		return tag
	}
	for _, name := range []string{"._memory", "._shadow", "._tree", "._new"} {
		for what, change := range map[string]func(tree davfs.Tree, c davfs.Check) []error{
			"Put":        func(tree davfs.Tree, c davfs.Check) []error { return []error{put(tree, "/d/"+name, "x", c)} },
			"Put large":  func(tree davfs.Tree, c davfs.Check) []error { return []error{put(tree, "/d/"+name, largeJunk, c)} },
			"PatchProps": func(tree davfs.Tree, c davfs.Check) []error { return []error{patch(tree, "/d/"+name, "x", c)} },
			"PatchProps large": func(tree davfs.Tree, c davfs.Check) []error {
				return []error{patch(tree, "/d/"+name, largeJunk, c)}
			},
			"RemoveAll": func(tree davfs.Tree, c davfs.Check) []error {
				return []error{tree.RemoveAll(context.Background(), "/d/"+name, c)}
			},
			"place": func(tree davfs.Tree, c davfs.Check) (all []error) {
				for _, src := range []string{"/d/f", "/e/._e", "/e"} {
					errs := place(tree, src, "/d/"+name, c)
					all = append(all, errs[:]...)
				}
				return all
			},
		} {
			d := newFaultDrive(t)
			var shown, old fs.FileInfo
			if name != "._new" {
				shown = d.stat("/d/" + name)
			}
			calls := 0
			errs := change(d.Tree, func(fi fs.FileInfo) error { calls++; old = fi; return no })
			if name == "._new" && (strings.HasPrefix(what, "PatchProps") || what == "RemoveAll") {
				if calls > 0 || !errors.Is(errs[0], fs.ErrNotExist) {
					t.Errorf("%s of nothing: %v, the Check was asked %d times", what, errs, calls)
				}
				continue
			}
			for _, err := range errs {
				if err != no {
					t.Errorf("%s %s: error %v, want the Check's", what, name, err)
				}
			}
			if calls != len(errs) {
				t.Errorf("%s %s: the Check was asked %d times in %d changes", what, name, calls, len(errs))
			}
			if name == "._new" {
				if old != nil {
					t.Errorf("%s %s: the Check was asked about %v", what, name, old)
				}
			} else if old == nil || etag(old) != etag(shown) {
				t.Errorf("%s %s: the Check was asked about %v, want what is shown", what, name, old)
			}
			d.isUntouched()
		}
	}
	// And what it agrees to is asked once too; and from memory to the tree.
	for _, dst := range []string{"/d/f", "/d/._tree", "/d/._shadow"} {
		d := newFaultDrive(t)
		calls, shown := 0, etag(d.stat(dst))
		tag := ""
		refuse := func(fi fs.FileInfo) error { calls++; tag = etag(fi); return no }
		for _, err := range place(d.Tree, "/d/._memory", dst, refuse) {
			if err != no {
				t.Errorf("to %s: error %v", dst, err)
			}
		}
		if calls != 2 || tag != shown {
			t.Errorf("to %s: the Check was asked %d times, about %s", dst, calls, tag)
		}
		d.isUntouched()
		calls = 0
		yes := func(fs.FileInfo) error { calls++; return nil }
		if err := d.Tree.Rename(t.Context(), "/d/._memory", dst, yes); err != nil || calls != 1 {
			t.Errorf("to %s: %v, the Check was asked %d times", dst, err, calls)
		}
		if err := d.Tree.RemoveAll(t.Context(), dst, yes); err != nil || calls != 2 {
			t.Errorf("RemoveAll %s: %v, the Check was asked %d times", dst, err, calls-1)
		}
	}
}

// A file of the tree under one in memory that goes by itself in the last moment is nothing to remove.
func TestShadowVanishes(t *testing.T) {
	for _, dst := range []string{"", "/d/._new"} {
		d := newFaultDrive(t)
		d.tree.Before(func(method, name string) {
			if method == "RemoveAll" {
				d.tree.Before(nil)
				d.tree.RemoveAll(context.Background(), name, nil)
			}
		})
		calls := 0
		check := func(fs.FileInfo) error { calls++; return nil }
		err := error(nil)
		if dst == "" {
			err = d.Tree.RemoveAll(t.Context(), "/d/._shadow", check)
		} else {
			err = d.Tree.Rename(t.Context(), "/d/._shadow", dst, check)
		}
		if err != nil || calls != 1 {
			t.Errorf("%v, the Check was asked %d times", err, calls)
		}
		d.shows("/d/._shadow", "")
	}
}

// A torn content has changed nothing, however much of it came.
func TestTornJunk(t *testing.T) {
	torn := errors.New("the cable is out")
	for _, n := range []int{0, 1, 1 << 20, 1<<20 + 1, 2 << 20} {
		for _, name := range []string{"/d/._memory", "/d/._shadow", "/d/._tree", "/d/._new"} {
			d := newFaultDrive(t)
			r := io.MultiReader(strings.NewReader(strings.Repeat("x", n)), &brokenReader{torn})
			if _, err := d.Tree.Put(t.Context(), name, r, davfs.PutOptions{}); !errors.Is(err, torn) {
				t.Errorf("Put of %s, torn after %d bytes: %v", name, n, err)
			}
			d.isUntouched()
		}
	}
	d := newFaultDrive(t)
	addr := d.listen()
	for _, name := range []string{"/d/._memory", "/d/._new"} {
		for _, n := range []int{1, 1<<20 + 1} {
			a := d.torn(addr, fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", name, n+1,
				strings.Repeat("x", n)))
			if !strings.HasPrefix(a, "HTTP/1.1 400 ") {
				t.Errorf("a torn PUT of %s: %.60q", name, a)
			}
			d.isUntouched()
		}
	}
}

type brokenReader struct{ err error }

func (r *brokenReader) Read([]byte) (int, error) { return 0, r.err }

// held makes the tree wait in a method until it is let go.
func (d *drive) held(method string) (begun <-chan bool, letGo func()) {
	b, g := make(chan bool), make(chan bool)
	var once sync.Once
	d.tree.Before(func(m, _ string) {
		if m == method {
			once.Do(func() { close(b); <-g })
		}
	})
	return b, sync.OnceFunc(func() { close(g) })
}

// A change that takes long in the tree keeps nobody waiting but those who change the same names, and these not longer
// than they like to.
func TestJunkWaits(t *testing.T) {
	for method, change := range map[string]func(tree davfs.Tree) error{
		"Rename": func(tree davfs.Tree) error { return tree.Rename(context.Background(), "/d", "/m", nil) },
		"Copy": func(tree davfs.Tree) error {
			_, err := tree.Copy(context.Background(), "/d", "/m", nil)
			return err
		},
		"RemoveAll": func(tree davfs.Tree) error { return tree.RemoveAll(context.Background(), "/d", nil) },
	} {
		d := newFaultDrive(t)
		begun, letGo := d.held(method)
		done := make(chan error)
		go func() { done <- change(d.Tree) }()
		<-begun
		// Elsewhere, and reading, is as ever.
		d.shows("/d/._memory", "in memory")
		d.lists("/d")
		d.want(http.StatusCreated, "PUT", "/e/._new", "x")
		d.want(http.StatusCreated, "PUT", "/d/plain", "x")
		d.want(http.StatusNoContent, "DELETE", "/e/._new", "")

		for what, other := range map[string]func(ctx context.Context) error{
			"Put": func(ctx context.Context) error {
				_, err := d.Tree.Put(ctx, "/d/._new", strings.NewReader("x"), davfs.PutOptions{})
				return err
			},
			"PatchProps": func(ctx context.Context) error {
				return d.Tree.PatchProps(ctx, "/d/._memory", davfs.PropPatch{})
			},
			"RemoveAll":       func(ctx context.Context) error { return d.Tree.RemoveAll(ctx, "/d/._memory", nil) },
			"Mkdir":           func(ctx context.Context) error { return d.Tree.Mkdir(ctx, "/d/new", nil) },
			"Rename":          func(ctx context.Context) error { return d.Tree.Rename(ctx, "/d/._memory", "/e/._m", nil) },
			"Rename to it":    func(ctx context.Context) error { return d.Tree.Rename(ctx, "/e/._e", "/d/._e", nil) },
			"Mkdir of target": func(ctx context.Context) error { return d.Tree.Mkdir(ctx, "/m", nil) },
		} {
			if what == "Mkdir of target" && method == "RemoveAll" {
				continue
			}
			short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			if err := other(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s during %s of the directory: %v", what, method, err)
			}
			cancel()
		}
		later := make(chan error)
		go func() {
			_, err := d.Tree.Put(context.Background(), "/d/._later", strings.NewReader("x"), davfs.PutOptions{})
			later <- err
		}()
		select {
		case err := <-later:
			letGo()
			t.Fatalf("Put during %s of the directory does not wait: %v", method, err)
		case <-time.After(20 * time.Millisecond):
		}
		letGo()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", method, err)
		}
		if err := <-later; (err == nil) != (method == "Copy") || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Put after %s: %v", method, err)
		}
		if method != "RemoveAll" {
			d.shows("/m/._memory", "in memory")
			d.shows("/m/._later", "")
		}
		// Who gave up waiting is in nobody's way.
		long, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := d.Tree.RemoveAll(long, "/d", nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("RemoveAll after all: %v", err)
		}
		cancel()
	}
}

// A client that sends slowly does not keep a directory from being moved, whatever it sends.
func TestSlowClient(t *testing.T) {
	for _, n := range []int{1, 1<<20 + 1} {
		d := newFaultDrive(t)
		r, w := io.Pipe()
		begun := make(chan bool)
		puts := 0
		d.tree.Before(func(method, _ string) {
			if method == "Put" {
				if puts++; puts == 2 { // the first is the one from memory
					close(begun)
				}
			}
		})
		done := make(chan error)
		go func() {
			_, err := d.Tree.Put(context.Background(), "/d/._memory", r, davfs.PutOptions{})
			done <- err
		}()
		w.Write([]byte(strings.Repeat("x", n)))
		if n > 1 {
			<-begun
		}
		d.want(http.StatusCreated, "MOVE", "/d", "", "Destination", "/m")
		d.shows("/m/._memory", "in memory")
		w.Close()
		if err := <-done; !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Put into a directory that is gone: %v", err)
		}
		d.shows("/m/._memory", "in memory")
		d.shows("/d/._memory", "")
	}
}

// A large file is shown when it is put, also over what has come to its place while it was sent.
func TestLargeJunkOverMoved(t *testing.T) {
	d := newJunkDrive(t, davfs.JunkMemory)
	d.want(http.StatusCreated, "PUT", "/e/._f", "small")
	begun, letGo := d.held("Put")
	done := make(chan error)
	go func() {
		_, err := d.Tree.Put(context.Background(), "/d/._f", strings.NewReader(largeJunk), davfs.PutOptions{})
		done <- err
	}()
	<-begun
	d.want(http.StatusNoContent, "MOVE", "/e", "", "Destination", "/d")
	d.shows("/d/._f", "small")
	letGo()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	d.shows("/d/._f", largeJunk)
}

// One of many writers wins, the small with the large.
func TestOneOfManyJunkWriters(t *testing.T) {
	lost := errors.New("another was first")
	for _, start := range []string{"", "small", largeJunk} {
		d := newJunkDrive(t, davfs.JunkMemory)
		size := int64(-1)
		if start != "" {
			size = int64(len(start))
			d.want(http.StatusCreated, "PUT", "/e/._f", start)
		}
		var won atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		for i := range 16 {
			content := fmt.Sprintf("writer %d", i)
			if i%2 == 1 {
				content += largeJunk
			}
			wg.Go(func() {
				_, err := d.Tree.Put(context.Background(), "/e/._f", strings.NewReader(content), davfs.PutOptions{
					Check: func(old fs.FileInfo) error {
						if old == nil && size >= 0 || old != nil && old.Size() != size {
							return lost
						}
						return nil
					}})
				switch {
				case err == nil:
					won.Add(1)
					winner.Store(content)
				case err != lost:
					t.Errorf("Put: %v", err)
				}
			})
		}
		wg.Wait()
		if n := won.Load(); n != 1 {
			t.Fatalf("%d of 16 writers have won over %d bytes, want 1", n, size)
		}
		d.shows("/e/._f", winner.Load().(string))
	}
}

// Junk that is put while its directory moves to and fro goes along: what was put is there in the end, whole.
func TestJunkMovesAlong(t *testing.T) {
	d := newJunkDrive(t, davfs.JunkMemory)
	var wg, mover sync.WaitGroup
	stop := make(chan bool)
	at := "/d"
	mover.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			to := map[string]string{"/d": "/m", "/m": "/d"}[at]
			if err := d.Tree.Rename(context.Background(), at, to, nil); err != nil {
				t.Errorf("Rename %s: %v", at, err)
				return
			}
			at = to
		}
	})
	want := make(map[string]string)
	var mu sync.Mutex
	for i := range 8 {
		wg.Go(func() {
			for j := range 30 {
				name, content := fmt.Sprintf("/._%d-%d", i, j%5), fmt.Sprint("content ", i, " ", j)
				if j%10 == 3 {
					content += largeJunk
				}
				for k := 0; ; k++ {
					dir := []string{"/d", "/m"}[k%2]
					_, err := d.Tree.Put(context.Background(), dir+name, strings.NewReader(content), davfs.PutOptions{})
					if err == nil {
						break
					}
					if !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("Put: %v", err)
						return
					}
				}
				mu.Lock()
				want[name] = content
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	close(stop)
	mover.Wait()
	for name, content := range want {
		d.shows(at+name, content)
	}
	if n := len(strings.Fields(d.lists(at))); n != len(want)+2 {
		t.Errorf("%d members, want %d", n, len(want)+2)
	}
	if n := len(want); n != 40 {
		t.Errorf("%d files were put", n)
	}
}

// Everything at once, for the race detector, and memory is bounded and empty in the end.
func TestJunkAtOnce(t *testing.T) {
	m := new(treetest.Mem)
	tree := davfs.NewJunkMemory(m, davfs.IsJunk, 1000, 64<<10, 20_000, 20)
	ctx := t.Context()
	for i := range 3 {
		tree.Mkdir(ctx, fmt.Sprintf("/%d", i), nil)
	}
	unexpected := func(err error) {
		for _, ok := range []error{nil, fs.ErrNotExist, fs.ErrExist, fs.ErrInvalid} {
			if errors.Is(err, ok) {
				return
			}
		}
		t.Error(err)
	}
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			for j := range 150 {
				name := fmt.Sprintf("/%d/._%d", (i+j)%3, j%4)
				other := fmt.Sprintf("/%d/%s", j%3, []string{"._0", "._1", "plain"}[(i*j)%3])
				switch (i*7 + j) % 8 {
				case 0, 1:
					_, err := tree.Put(ctx, name, strings.NewReader(strings.Repeat("x", (i*j)%1200)), davfs.PutOptions{})
					unexpected(err)
				case 2:
					unexpected(tree.RemoveAll(ctx, name, nil))
				case 3:
					unexpected(tree.Rename(ctx, name, other, nil))
				case 4:
					_, err := tree.Copy(ctx, name, other, nil)
					unexpected(err)
				case 5:
					unexpected(tree.PatchProps(ctx, name, davfs.PropPatch{Set: []davfs.Property{property("p", name)}}))
				case 6:
					_, err := tree.ReadDir(ctx, fmt.Sprintf("/%d", j%3))
					unexpected(err)
				case 7:
					unexpected(tree.Rename(ctx, fmt.Sprintf("/%d", j%3), fmt.Sprintf("/%d", i%3), nil))
					unexpected(tree.Mkdir(ctx, fmt.Sprintf("/%d", j%3), nil))
				}
				if n, weight := davfs.JunkFiles(tree); n > 20 || weight > 20_000 {
					t.Errorf("%d files weigh %d", n, weight)
				}
			}
		})
	}
	wg.Wait()
	for i := range 3 {
		unexpected(tree.RemoveAll(ctx, fmt.Sprintf("/%d", i), nil))
	}
	if n, weight := davfs.JunkFiles(tree); n != 0 || weight != 0 {
		t.Errorf("an empty memory has %d files that weigh %d", n, weight)
	}
}

// A listed tree is one whose ReadDir is slower with its answer than another client with what it does then.
type listed struct {
	*treetest.Mem
	then func()
}

func (l listed) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	all, err := l.Mem.ReadDir(ctx, name)
	l.then()
	return all, err
}

// A file that goes from memory to the tree while a directory is listed is in the listing by one name at least.
func TestListingDuringMove(t *testing.T) {
	m := new(treetest.Mem)
	var tree davfs.Tree
	tree = davfs.WithJunk(listed{m, func() {
		if err := tree.Rename(t.Context(), "/._f", "/f", nil); err != nil {
			t.Error(err)
		}
	}}, davfs.JunkMemory)
	full(t, tree, "/._f", "content")
	if l, err := tree.ReadDir(t.Context(), "/"); err != nil || len(l) != 1 {
		t.Errorf("the listing is %v, %v", l, err)
	}
}
