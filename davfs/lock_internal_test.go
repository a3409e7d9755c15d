package davfs

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A LOCK that has no room is refused, and makes no file.
func TestTooManyLocks(t *testing.T) {
	h := &Handler{Tree: tooMany{}}
	h.locks.locks = map[string]*lock{}
	for i := range maxLocks {
		h.locks.locks[fmt.Sprint(i)] = &lock{key: "/x", flat: true, until: time.Now().Add(time.Hour)}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("LOCK", "/new", strings.NewReader(`<D:lockinfo xmlns:D="DAV:"><D:lockscope>`+
		`<D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`)))
	if w.Code != http.StatusInsufficientStorage || w.Header().Get("Lock-Token") != "" {
		t.Errorf("status %d, Lock-Token %q, want 507 and none", w.Code, w.Header().Get("Lock-Token"))
	}
}

// tooMany is an empty tree in which nothing may be put.
type tooMany struct{ Tree }

func (tooMany) Key(name string) string { return name }

func (tooMany) Stat(context.Context, string) (fs.FileInfo, error) { return nil, fs.ErrNotExist }

// A lock ends with its timeout, and the room for locks has an end.
func TestLockTable(t *testing.T) {
	var table lockTable
	add := func(name string, timeout time.Duration) (conflict bool, ok bool) {
		held, ok := table.add(lock{token: newToken(), root: name, key: name, timeout: timeout})
		return held != nil, ok
	}
	if _, ok := add("/f", time.Nanosecond); !ok {
		t.Fatal("the first lock is refused")
	}
	time.Sleep(time.Millisecond)
	if held := table.inTheWay([]touch{{key: "/f"}}, nil, nil); len(held) > 0 {
		t.Error("a lock outlives its timeout")
	}
	if _, ok := add("/f", time.Hour); !ok {
		t.Error("a lock that has ended forbids another")
	}
	if conflict, _ := add("/", time.Hour); !conflict {
		t.Error("the lock of a member does not forbid one of its directory")
	}
	for i := 1; i < maxLocks; i++ {
		table.locks[fmt.Sprint(i)] = &lock{key: "/x", flat: true, until: time.Now().Add(time.Hour)}
	}
	if conflict, ok := add("/g", time.Hour); ok || conflict {
		t.Error("there is no end of locks")
	}
}

// TestLocksOfOne: one user does not take the room of all.
func TestLocksOfOne(t *testing.T) {
	table := lockTable{locks: map[string]*lock{}}
	for i := range maxOfOne {
		table.locks[fmt.Sprint(i)] = &lock{key: "/x", flat: true, user: "alice", until: time.Now().Add(time.Hour)}
	}
	for user, want := range map[string]bool{"alice": false, "bob": true, "": true} {
		if _, ok := table.add(lock{token: newToken(), key: "/of" + user, user: user, timeout: time.Hour}); ok != want {
			t.Errorf("a lock of %q: %v", user, ok)
		}
	}
}
