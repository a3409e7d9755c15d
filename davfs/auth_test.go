package davfs_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"ocidav/davfs"
)

// guarded is a drive with the users alice, bob and reader, whose passwords are their names; reader may only read.
func guarded(t *testing.T, log *bytes.Buffer) *drive {
	t.Helper()
	var text strings.Builder
	for _, name := range []string{"alice", "bob", "reader"} {
		hash, err := bcrypt.GenerateFromPassword([]byte(name), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(name + ":" + string(hash) + "\n")
	}
	file := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDrive(t)
	d.Log = slog.New(slog.NewTextHandler(log, nil))
	var err error
	if d.Auth, err = davfs.OpenAuth(file, false, []string{"reader"}, d.Log); err != nil {
		t.Fatal(err)
	}
	if _, err := davfs.OpenAuth(file, false, []string{"nobody"}, d.Log); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a reader who is not there: %v", err)
	}
	return d
}

// as is the header of a log-in.
func as(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

func TestAuth(t *testing.T) {
	var log bytes.Buffer
	d := guarded(t, &log)
	writes := []string{"PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPPATCH", "LOCK", "UNLOCK", "INVENTED"}
	reads := []string{"GET", "HEAD", "OPTIONS", "PROPFIND"}
	all := append(writes, reads...)
	for _, method := range all {
		for _, authorization := range []string{"", "Basic", "Basic ", "Bearer", "Bearer x", "Basic x", "Digest username=alice"} {
			for _, target := range []string{"/top", "/absent", "/bad%00name", "*"} {
				if target == "*" && method != "OPTIONS" {
					continue
				}
				w := d.want(http.StatusUnauthorized, method, target, "", "Authorization", authorization, "Depth", "0")
				if got := w.Header().Get("WWW-Authenticate"); got != `Basic realm="ocidav", charset="UTF-8"` {
					t.Errorf("%s: WWW-Authenticate %q", method, got)
				}
			}
		}
	}
	if d.tree.Calls() != nil {
		t.Error("the tree was asked for somebody who has not logged in")
	}
	d.hasFile("/top", "top")
	log.Reset()
	d.want(http.StatusOK, "GET", "/top", "", "Authorization", as("alice", "alice"))
	d.want(http.StatusNoContent, "PUT", "/top", "new", "Authorization", as("alice", "alice"))
	if l := log.String(); strings.Count(l, " user=alice") != 2 || strings.Contains(l, as("alice", "alice")[6:]) {
		t.Errorf("the log is\n%s", l)
	}
	for _, method := range writes[:8] {
		d.want(http.StatusForbidden, method, "/top", "", "Authorization", as("reader", "reader"))
	}
	w := d.want(http.StatusOK, "OPTIONS", "/top", "", "Authorization", as("reader", "reader"))
	if dav, allow := w.Header().Get("DAV"), w.Header().Get("Allow"); dav != "1" || strings.Contains(allow, "PUT") {
		t.Errorf("a reader is told %s, %s", dav, allow)
	}
	d.want(http.StatusOK, "GET", "/top", "", "Authorization", as("reader", "reader"))

	d.Auth.AnonymousRead = true
	for _, method := range writes {
		d.want(http.StatusUnauthorized, method, "/top", "")
	}
	for _, method := range reads[:3] {
		d.want(http.StatusOK, method, "/top", "")
		d.want(http.StatusOK, method, "/top", "", "Authorization", "Bearer ")
		d.want(http.StatusUnauthorized, method, "/top", "", "Authorization", "Bearer x")
	}
	d.hasFile("/top", "new")
}

// TestAuthLog: failures are logged in one form, which nothing that a client sends can look like, and are slowed; who has
// logged in is not.
func TestAuthLog(t *testing.T) {
	var log bytes.Buffer
	d := guarded(t, &log)
	form := regexp.MustCompile(`(?m) msg="authentication failed" remote=([0-9.]+) user=`)
	d.want(http.StatusOK, "GET", "/top", "", "Authorization", as("bob", "bob"))
	forged := `x msg="authentication failed" remote=1.2.3.4 user=y` + "\n" + `level=WARN msg="authentication failed" remote=1.2.3.4 user=z`
	d.want(http.StatusOK, "GET", "/top", "", "Authorization", as("alice", "alice"), "User-Agent", forged, "X-Request-Id", forged)
	d.want(http.StatusNotFound, "GET", "/"+strings.NewReplacer(" ", "%20", `"`, "%22", "\n", "").Replace(forged), "", "Authorization", as("bob", "bob"))
	if m := form.FindAllString(log.String(), -1); m != nil {
		t.Errorf("the log has %q", m)
	}
	for _, name := range []string{"alice", forged, "mallory"} {
		log.Reset()
		d.want(http.StatusUnauthorized, "GET", "/top", "", "Authorization", as(name, "wrong"))
		m := form.FindAllStringSubmatch(log.String(), -1)
		if len(m) != 1 || m[0][1] != "192.0.2.1" || strings.Contains(log.String(), "wrong") {
			t.Errorf("%q in\n%s", m, log.String())
		}
	}
	if n := d.Auth.Failures(); n != 3 {
		t.Errorf("%d failures are counted", n)
	}
	synctest.Test(t, func(t *testing.T) {
		begin, codes := time.Now(), map[int]int{}
		for range 8 {
			codes[d.do("GET", "/top", "", "Authorization", as("alice", "wrong")).Code]++
		}
		if codes[401] < 4 || codes[429] == 0 || time.Since(begin) < 5*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), codes)
		}
	})
	d.want(http.StatusOK, "GET", "/top", "", "Authorization", as("bob", "bob"))
}

// TestLocksHaveUsers: the token of a lock is its maker's alone.
func TestLocksHaveUsers(t *testing.T) {
	var log bytes.Buffer
	d := guarded(t, &log)
	d.LockFile = filepath.Join(t.TempDir(), "locks")
	alice, bob := as("alice", "alice"), as("bob", "bob")
	info := `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`
	token := d.want(http.StatusOK, "LOCK", "/top", info, "Authorization", alice).Header().Get("Lock-Token")
	try := func(h *drive) {
		t.Helper()
		for _, given := range [][]string{{"If", "(" + token + ")"}, {"Lock-Token", token}} {
			h.want(http.StatusLocked, "PUT", "/top", "bob's", append(given, "Authorization", bob)...)
			h.want(http.StatusLocked, "DELETE", "/top", "", append(given, "Authorization", bob)...)
			h.want(http.StatusLocked, "MOVE", "/d/f", "", append(given, "Authorization", bob, "Destination", "/top")...)
		}
		h.want(http.StatusForbidden, "UNLOCK", "/top", "", "Lock-Token", token, "Authorization", bob)
		h.want(http.StatusForbidden, "LOCK", "/top", "", "If", "("+token+")", "Authorization", bob)
		h.want(http.StatusConflict, "UNLOCK", "/d/f", "", "Lock-Token", token, "Authorization", bob)
		h.want(http.StatusLocked, "LOCK", "/top", info, "Authorization", bob)
		h.hasFile("/top", "top")
	}
	try(d)
	// A restart changes nothing, and where nobody is asked who he is the token is enough.
	again := &drive{t, &davfs.Handler{Tree: d.tree, Auth: d.Auth, LockFile: d.LockFile}, d.tree}
	try(again)
	again.want(http.StatusOK, "LOCK", "/top", "", "If", "("+token+")", "Authorization", alice)
	again.want(http.StatusNoContent, "PUT", "/top", "alice's", "If", "("+token+")", "Authorization", alice)
	open := &drive{t, &davfs.Handler{Tree: d.tree, LockFile: d.LockFile}, d.tree}
	open.want(http.StatusNoContent, "PUT", "/top", "anybody's", "If", "("+token+")")
	again.want(http.StatusNoContent, "UNLOCK", "/top", "", "Lock-Token", token, "Authorization", alice)

	// One of that time is everybody's later.
	token = open.want(http.StatusOK, "LOCK", "/d/f", info).Header().Get("Lock-Token")
	last := &drive{t, &davfs.Handler{Tree: d.tree, Auth: d.Auth, LockFile: d.LockFile}, d.tree}
	last.want(http.StatusNoContent, "PUT", "/d/f", "bob's", "If", "("+token+")", "Authorization", bob)
	last.want(http.StatusNoContent, "UNLOCK", "/d/f", "", "Lock-Token", token, "Authorization", bob)
}
