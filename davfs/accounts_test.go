package davfs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// A bank is a storage that knows its users, whose passwords are their names: alice may do all, bob sees what is in /private
// nor that there is /bare, and guest is as bob and may not write. It has one tree of members in memory.
type bank struct {
	*drive
	log bytes.Buffer

	mu      sync.Mutex
	users   map[string]bool
	writers map[string]bool
	down    error
	logIns  int
	opened  []*member
	kept    int // of each
	before  func()
}

// member is the account of a user.
type member struct {
	*treetest.Mem
	bank   *bank
	user   string
	ok     bool // the password
	closed int
	trims  int
}

// newBank has the directories /private with the file secret, /bare with f, and /shared with f.
func newBank(t *testing.T, change func(a *davfs.Accounts)) *bank {
	b := &bank{drive: newDrive(t), users: map[string]bool{"": true, "alice": true, "bob": true, "guest": true},
		writers: map[string]bool{"alice": true, "bob": true}}
	for _, dir := range []string{"/private", "/bare", "/shared"} {
		b.mkdir(dir)
	}
	b.put("/private/secret", "alice's")
	b.put("/bare/f", "alice's")
	b.put("/shared/f", "all's")
	b.Log = slog.New(slog.NewTextHandler(&b.log, nil))
	a := &davfs.Accounts{Key: b.tree.Key, Junk: davfs.JunkMemory, Log: b.Log, Open: func(name, password string) (davfs.Account, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		m := &member{Mem: b.tree, bank: b, user: name, ok: name == password}
		b.opened = append(b.opened, m)
		return m, nil
	}}
	if change != nil {
		change(a)
	}
	b.Handler = &davfs.Handler{Auth: &davfs.Auth{Accounts: a, ReadOnlyUsers: []string{"reader"}}, Log: b.Log,
		LockFile: filepath.Join(t.TempDir(), "locks")}
	return b
}

func (b *bank) as(user, method, target, body string, code int, headers ...string) string {
	b.Helper()
	return b.want(code, method, target, body, append(headers, "Authorization", as(user, user))...).Body.String()
}

func (m *member) LogIn(ctx context.Context) error {
	b := m.bank
	b.mu.Lock()
	b.logIns++
	before, down, ok := b.before, b.down, m.ok && b.users[m.user]
	b.mu.Unlock()
	if before != nil {
		before()
	}
	if down != nil {
		return down
	}
	if !ok {
		return &treetest.Failure{Class: davfs.ClassUnauthorized}
	}
	return ctx.Err()
}

func (m *member) MayWrite(_ context.Context, name string, directory bool) error {
	if directory && name != "/" {
		name += "/x"
	}
	return m.may(name, true)
}

func (m *member) Kept() int { return m.bank.kept }

func (m *member) Trim() {
	m.bank.mu.Lock()
	defer m.bank.mu.Unlock()
	m.trims++
}

func (m *member) Close(context.Context) error {
	m.bank.mu.Lock()
	defer m.bank.mu.Unlock()
	m.closed++
	return nil
}

func (m *member) may(name string, write bool) error {
	m.bank.mu.Lock()
	defer m.bank.mu.Unlock()
	within := func(dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }
	switch {
	case m.bank.down != nil:
		return m.bank.down
	case !m.bank.users[m.user]:
		return &treetest.Failure{Class: davfs.ClassUnauthorized}
	case m.user == "alice":
	case within("/bare"):
		return fs.ErrNotExist
	case within("/private") && name != "/private", write && !m.bank.writers[m.user]:
		return &treetest.Failure{Class: davfs.ClassDenied}
	}
	return nil
}

func (m *member) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	if err := m.may(name, false); err != nil {
		return nil, err
	}
	return m.Mem.Stat(ctx, name)
}

func (m *member) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	if err := m.may(name+"/x", false); err != nil && name != "/" {
		return nil, err
	}
	return m.Mem.ReadDir(ctx, name)
}

func (m *member) Put(ctx context.Context, name string, r io.Reader, o davfs.PutOptions) (fs.FileInfo, error) {
	if err := m.may(name, true); err != nil {
		return nil, err
	}
	return m.Mem.Put(ctx, name, r, o)
}

func (m *member) Mkdir(ctx context.Context, name string, check davfs.Check) error {
	if err := m.may(name, true); err != nil {
		return err
	}
	return m.Mem.Mkdir(ctx, name, check)
}

func (m *member) RemoveAll(ctx context.Context, name string, check davfs.Check) error {
	if err := m.may(name, true); err != nil {
		return err
	}
	return m.Mem.RemoveAll(ctx, name, check)
}

// TestAccounts: each user has his own tree, and the storage says who he is: once in a while, and once for all who come with the
// same name and password.
func TestAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t, nil)
		for range 3 {
			b.as("alice", "GET", "/private/secret", "", 200)
			b.as("bob", "GET", "/private/secret", "", 403)
			b.as("bob", "GET", "/shared/f", "", 200)
		}
		if b.logIns != 2 || len(b.opened) != 2 {
			t.Errorf("%d log-ins of %d trees", b.logIns, len(b.opened))
		}
		time.Sleep(6 * time.Minute)
		b.as("alice", "GET", "/private/secret", "", 200)
		if b.logIns != 3 || len(b.opened) != 2 {
			t.Errorf("later %d log-ins of %d trees", b.logIns, len(b.opened))
		}

		for _, wrong := range []string{as("alice", "wrong"), as("alicea", "lice"), as("alice", "bob"), as("bob", "alice")} {
			b.want(401, "GET", "/shared/f", "", "Authorization", wrong)
		}

		// A name alone is nobody, and no password is none.
		b.logIns = 0
		for _, header := range []string{"", "Basic", "Bearer x", as("", ""), as("", "x"), as("alice", ""), as("alice", strings.Repeat("x", 20<<10))} {
			b.want(401, "GET", "/shared/f", "", "Authorization", header)
			time.Sleep(time.Hour)
		}
		if b.logIns != 0 {
			t.Errorf("the storage was asked %d times", b.logIns)
		}
		b.users["alice"] = false // within the time that she has logged in
		b.as("alice", "GET", "/shared/f", "", 401)
		b.Auth.Accounts.Close(t.Context())
	})
}

// TestAccountsTogether: many requests of one user who is not known yet are one log-in, and one failure.
func TestAccountsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t, nil)
		b.before = func() { time.Sleep(time.Second) }
		for _, user := range []string{"alice", "mallory"} {
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					w := b.do("GET", "/shared/f", "", "Authorization", as(user, user))
					if want := map[string]int{"alice": 200, "mallory": 401}[user]; w.Code != want {
						t.Errorf("%s: %d", user, w.Code)
					}
				})
			}
			wg.Wait()
		}
		if n := strings.Count(b.log.String(), `msg="authentication failed" remote=192.0.2.1 user=mallory`); b.logIns != 2 || n != 1 {
			t.Errorf("%d log-ins, %d failures in\n%s", b.logIns, n, b.log.String())
		}
		b.Auth.Accounts.Close(t.Context())
	})
}

// TestAccountsGuessed: guesses that come at the same time are slowed as those one after the other.
func TestAccountsGuessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t, nil)
		b.before = func() { time.Sleep(100 * time.Millisecond) }
		codes := make([]int, 100)
		var wg sync.WaitGroup
		for n := range codes {
			wg.Go(func() { codes[n] = b.do("GET", "/shared/f", "", "Authorization", as("alice", fmt.Sprint(n))).Code })
		}
		wg.Wait()
		refused := 0
		for _, code := range codes {
			if code == 429 {
				refused++
			} else if code != 401 {
				t.Errorf("a guess: %d", code)
			}
		}
		if b.logIns > 16 || refused < 84 {
			t.Errorf("%d of 100 guesses were looked at, and %d refused", b.logIns, refused)
		}
		time.Sleep(time.Minute)
		if b.as("alice", "GET", "/shared/f", "", 200); b.logIns > 17 {
			t.Errorf("then there are %d log-ins", b.logIns)
		}
		b.Auth.Accounts.Close(t.Context())
	})
}

// TestAccountsFail: who fails is slowed, who was known is not, and a storage that cannot say has refused nobody.
func TestAccountsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t, nil)
		b.as("alice", "GET", "/shared/f", "", 200)
		begin, codes := time.Now(), map[int]int{}
		for range 10 {
			codes[b.do("GET", "/shared/f", "", "Authorization", as("bob", "wrong")).Code]++
		}
		if codes[401] < 4 || codes[429] == 0 || time.Since(begin) < 5*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), codes)
		}
		time.Sleep(6 * time.Minute)
		codes = map[int]int{}
		for range 10 {
			codes[b.do("GET", "/shared/f", "", "Authorization", as("bob", "wrong")).Code]++
		}
		begin = time.Now()
		b.as("alice", "GET", "/shared/f", "", 200) // is asked for again, from the same address
		if time.Since(begin) > 0 || codes[429] == 0 {
			t.Errorf("alice has waited %s, %v", time.Since(begin), codes)
		}

		time.Sleep(time.Hour)
		b.log.Reset()
		b.down = &treetest.Failure{Class: davfs.ClassUnavailable}
		for range 8 {
			b.as("alice", "GET", "/shared/f", "", 503)
			b.as("mallory", "GET", "/shared/f", "", 503)
		}
		b.down = &treetest.Failure{Class: davfs.ClassTimeout}
		b.as("alice", "GET", "/shared/f", "", 504)
		b.down = nil
		if strings.Contains(b.log.String(), "authentication failed") {
			t.Error("a failure of the storage is told as one of a user")
		}
		b.as("mallory", "GET", "/shared/f", "", 401)
		b.as("alice", "GET", "/shared/f", "", 200)

		// A password that is not taken any more is asked for, and the next one too.
		b.users["alice"] = false
		b.as("alice", "GET", "/shared/f", "", 401)
		b.log.Reset()
		b.as("alice", "GET", "/shared/f", "", 401)
		if !strings.Contains(b.log.String(), `msg="authentication failed" remote=192.0.2.1 user=alice`) {
			t.Errorf("the log is\n%s", b.log.String())
		}
		b.Auth.Accounts.Close(t.Context())
	})
}

// TestAccountsAnonymous: who gives no credentials reads what nobody may read, and is asked for some for all else.
func TestAccountsAnonymous(t *testing.T) {
	b := newBank(t, nil)
	b.want(401, "GET", "/shared/f", "")
	b.Auth.AnonymousRead = true
	w := b.want(200, "GET", "/shared/f", "")
	if w.Body.String() != "all's" {
		t.Error(w.Body)
	}
	if w := b.want(401, "GET", "/private/secret", ""); w.Header().Get("WWW-Authenticate") == "" {
		t.Error("nobody is asked for credentials where he is denied")
	}
	b.want(401, "PROPFIND", "/private", "", "Depth", "1")
	b.want(404, "GET", "/bare/f", "")
	for _, method := range []string{"PUT", "DELETE", "MKCOL", "LOCK"} {
		b.want(401, method, "/shared/new", "")
	}
	b.users[""] = false
	b.want(401, "GET", "/shared/f", "")
	b.down = &treetest.Failure{Class: davfs.ClassUnavailable}
	b.want(503, "GET", "/shared/f", "")
	b.down = nil
	b.as("alice", "GET", "/private/secret", "", 200)
	b.users["reader"], b.writers["reader"] = true, true
	b.as("reader", "GET", "/shared/f", "", 200)
	b.as("reader", "PUT", "/shared/f", "x", 403)
}

const exclusive = `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`

// TestLocksOfOthers: a lock tells nobody of a name that he may not see, and who may only read does not lock.
func TestLocksOfOthers(t *testing.T) {
	b := newBank(t, nil)
	auth := as("alice", "alice")
	token := map[string]string{}
	for _, name := range []string{"/private/secret", "/private/new", "/bare/f", "/shared/f"} {
		w := b.do("LOCK", name, exclusive, "Authorization", auth)
		if w.Code/100 != 2 {
			t.Fatalf("LOCK %s: %d", name, w.Code)
		}
		token[name] = w.Header().Get("Lock-Token")
	}
	silent := func(what, body string) {
		t.Helper()
		for _, word := range []string{"secret", "new", "bare", "alice"} {
			if strings.Contains(body, word) {
				t.Errorf("%s tells of %s:\n%s", what, word, body)
			}
		}
	}
	// What is locked there and what is not are the same to bob.
	for _, method := range []string{"PUT", "DELETE", "MKCOL", "PROPPATCH", "LOCK", "COPY", "MOVE", "PROPFIND", "GET"} {
		body := map[string]string{"LOCK": exclusive, "PROPPATCH": `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="urn:x"/></D:prop></D:set></D:propertyupdate>`}[method]
		for _, pair := range [][2]string{{"/private/secret", "/private/other"}, {"/private/new", "/private/other"}, {"/bare/f", "/bare/other"}} {
			var answers [2]string
			for n, name := range pair {
				for _, headers := range [][]string{{"Destination", "/d/copy"}, {"If", "(" + token[name] + ")"}, {"Lock-Token", token[name]}} {
					if method == "COPY" || method == "MOVE" {
						headers = append(headers, "Destination", "/d/copy")
					}
					if token[name] == "" && headers[0] != "Destination" {
						continue
					}
					w := b.do(method, name, body, append(headers, "Authorization", as("bob", "bob"), "Depth", "0")...)
					if w.Code < 400 || w.Code == 423 {
						t.Errorf("%s %s %s by bob: %d %s", method, name, headers, w.Code, w.Body)
					}
					if headers[0] == "Destination" {
						answers[n] = fmt.Sprint(w.Code, w.Body)
					}
					silent(method+" "+name, w.Body.String())
				}
				w := b.do("COPY", "/d/f", "", "Authorization", as("bob", "bob"), "Destination", name)
				if w.Code < 400 || w.Code == 423 {
					t.Errorf("COPY to %s by bob: %d", name, w.Code)
				}
			}
			if answers[0] != answers[1] {
				t.Errorf("%s of %s: %s, and of %s: %s", method, pair[0], answers[0], pair[1], answers[1])
			}
		}
	}
	silent("a listing", b.as("bob", "PROPFIND", "/private", `<D:propfind xmlns:D="DAV:"><D:prop><D:lockdiscovery/></D:prop></D:propfind>`, 207, "Depth", "0"))
	silent("LOCK of what is above", b.as("bob", "LOCK", "/private", exclusive, 403))
	b.as("alice", "MKCOL", "/shared/deep", "", 201)
	for _, method := range []string{"DELETE", "MOVE"} {
		body := b.as("bob", method, "/private", "", 423, "Destination", "/elsewhere")
		silent(method+" of what is above", body)
		if !strings.Contains(body, "<D:href>/private</D:href>") {
			t.Errorf("%s", body)
		}
		if body := b.as("bob", method, "/shared", "", 423, "Destination", "/elsewhere"); !strings.Contains(body, "<D:href>/shared/f</D:href>") {
			t.Errorf("what he sees is not told of: %s", body)
		}
	}
	silent("MOVE over what is above", b.as("bob", "MOVE", "/d", "", 423, "Destination", "/private"))
	body := b.as("bob", "LOCK", "/", exclusive, 423)
	if silent("LOCK of the root", strings.ReplaceAll(body, "/shared/f", "")); !strings.Contains(body, "/shared/f") {
		t.Errorf("%s", body)
	}
	b.as("bob", "UNLOCK", "/private/secret", "", 403, "Lock-Token", token["/private/secret"])
	b.as("bob", "PUT", "/shared/f", "bob's", 423)

	// Who may not write does not keep others from it.
	b.as("guest", "LOCK", "/shared/deep", exclusive, 403)
	b.as("guest", "LOCK", "/d/f", exclusive, 403)
	b.as("guest", "LOCK", "/d/new", exclusive, 403)
	b.as("bob", "PUT", "/d/f", "bob's", 204)
	w := b.want(200, "LOCK", "/d/f", exclusive, "Authorization", as("bob", "bob"))
	own := w.Header().Get("Lock-Token")
	b.as("bob", "LOCK", "/d/f", "", 200, "If", "("+own+")")
	b.writers["bob"] = false
	b.as("bob", "LOCK", "/d/f", "", 403, "If", "("+own+")")
	b.as("bob", "UNLOCK", "/d/f", "", 204, "Lock-Token", own)
}

// TestJunkOfOthers: what a user's system keeps in memory is his, over the end of his tree.
func TestJunkOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t, nil)
		b.as("alice", "PUT", "/shared/._f", "alice's own", 201)
		b.as("alice", "PUT", "/._top", "alice's own", 201)
		none := func(user string) {
			t.Helper()
			b.as(user, "GET", "/shared/._f", "", 404)
			b.as(user, "GET", "/._top", "", 404)
			for _, dir := range []string{"/", "/shared"} {
				if l := b.as(user, "GET", dir, "", 200); strings.Contains(l, "._") {
					t.Errorf("%s sees %s", user, l)
				}
			}
		}
		none("bob")
		b.as("bob", "DELETE", "/shared/._f", "", 404)
		b.as("bob", "PUT", "/shared/._f", "bob's", 201)
		time.Sleep(time.Hour)
		if got := b.as("alice", "GET", "/shared/._f", "", 200); got != "alice's own" {
			t.Error(got)
		}
		b.as("alice", "DELETE", "/shared/._f", "", 204)
		if got := b.as("bob", "GET", "/shared/._f", "", 200); got != "bob's" {
			t.Error(got)
		}
		b.as("bob", "MOVE", "/shared", "", 201, "Destination", "/moved")
		if got := b.as("bob", "GET", "/moved/._f", "", 200); got != "bob's" {
			t.Error(got)
		}
		b.Auth.Accounts.Close(t.Context())
	})
}

// TestAccountsEnd: trees that nobody uses are closed, those with a request are not, and all are at the end.
func TestAccountsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t, nil)
		for n := range 300 {
			user := fmt.Sprint("user", n)
			b.mu.Lock()
			b.users[user] = true
			b.mu.Unlock()
			b.as(user, "GET", "/shared/f", "", 200)
			time.Sleep(time.Second)
		}
		closed := func() (n int) {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, m := range b.opened {
				if m.closed > 1 {
					t.Errorf("%s is closed %d times", m.user, m.closed)
				}
				n += m.closed
			}
			return n
		}
		synctest.Wait()
		if n := closed(); n != 300-256 || b.opened[0].closed != 1 {
			t.Errorf("%d of 300 trees are closed", n)
		}
		b.as("user299", "GET", "/shared/f", "", 200)
		if len(b.opened) != 300 {
			t.Error("the last one is opened again")
		}
		b.mu.Lock()
		b.writers["user298"] = true
		b.mu.Unlock()
		reading, written := io.Pipe()
		done := make(chan int)
		go func() {
			req := request(t, "PUT", "/shared/slow", reading, as("user298", "user298"))
			w := &statusOnly{header: http.Header{}}
			b.ServeHTTP(w, req)
			done <- w.code
		}()
		time.Sleep(time.Hour)
		if n := closed(); n != 299 {
			t.Errorf("after an hour %d of 300 trees are closed", n)
		}
		b.as("user298", "GET", "/shared/f", "", 200)
		if len(b.opened) != 300 {
			t.Error("a tree is opened again that is in use")
		}
		written.Write([]byte("x"))
		written.Close()
		if code := <-done; code != 201 {
			t.Errorf("the request that ran: %d", code)
		}
		b.Auth.Accounts.Close(t.Context())
		if n := closed(); n != 300 {
			t.Errorf("at the end %d of 300 trees are closed", n)
		}
	})
}

// TestAccountsKeep: what all trees keep is bounded: those that nobody uses are closed first, and the others forget.
func TestAccountsKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t, nil)
		b.kept = 180_000
		for _, user := range []string{"alice", "bob"} {
			b.as(user, "GET", "/shared/f", "", 200)
			time.Sleep(2 * time.Second)
		}
		reading, written := io.Pipe()
		done := make(chan bool)
		go func() {
			b.ServeHTTP(&statusOnly{header: http.Header{}}, request(t, "PUT", "/shared/slow", reading, as("alice", "alice")))
			close(done)
		}()
		time.Sleep(2 * time.Second)
		b.as("guest", "GET", "/shared/f", "", 200)
		synctest.Wait()
		alice, bob, guest := b.opened[0], b.opened[1], b.opened[2]
		if bob.closed != 1 && alice.trims == 0 || alice.closed != 0 || guest.closed != 0 || guest.trims != 0 {
			t.Errorf("alice closed %d, trimmed %d; bob %d; guest %d, %d", alice.closed, alice.trims, bob.closed, guest.closed, guest.trims)
		}
		written.Close()
		<-done
		b.Auth.Accounts.Close(t.Context())
	})
}

func request(t *testing.T, method, target string, body io.Reader, authorization string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://example.com"+target, body)
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "192.0.2.1:1234"
	r.Header.Set("Authorization", authorization)
	return r
}

// statusOnly is a ResponseWriter that keeps the status.
type statusOnly struct {
	header http.Header
	code   int
}

func (d *statusOnly) Header() http.Header         { return d.header }
func (d *statusOnly) WriteHeader(code int)        { d.code = code }
func (d *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
