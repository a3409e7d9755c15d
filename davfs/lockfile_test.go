package davfs_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocidav/davfs"
)

// restart is another process on the same tree and lock file.
func (d *drive) restart() *drive {
	return &drive{d.T, &davfs.Handler{Tree: d.tree, LockFile: d.LockFile}, d.tree}
}

func TestLocksSurviveARestart(t *testing.T) {
	d := newDrive(t)
	d.LockFile = filepath.Join(t.TempDir(), "locks")
	token := d.lock("/d/f", "Timeout", "Second-1000")
	flat := d.lock("/e", "Depth", "0")
	shared := d.want(http.StatusOK, "LOCK", "/d/g", sharedBody).Header().Get("Lock-Token")
	gone := d.lock("/top")
	d.want(http.StatusNoContent, "UNLOCK", "/top", "", "Lock-Token", gone)
	removed := d.lock("/new")
	d.want(http.StatusNoContent, "DELETE", "/new", "", "If", "("+removed+")")

	for range 3 {
		d = d.restart()
		d.want(http.StatusLocked, "PUT", "/d/f", "x")
		d.want(http.StatusNoContent, "PUT", "/d/f", "x", "If", "("+token+")")
		d.want(http.StatusLocked, "PUT", "/e/new", "x")
		d.want(http.StatusOK, "LOCK", "/d/g", sharedBody)
		d.want(http.StatusLocked, "LOCK", "/d/g", lockBody)
		d.want(http.StatusNoContent, "PUT", "/d/g", "x", "If", "("+shared+")")
		w := d.want(http.StatusMultiStatus, "PROPFIND", "/d/f", findLocks, "Depth", "0")
		if !has(w, ">me</D:owner>") || !has(w, "<D:timeout>Second-") || has(w, "Second-0") || !has(w, strings.Trim(token, "<>")) {
			t.Errorf("after a restart: %s", w.Body)
		}
		d.want(http.StatusCreated, "PUT", "/new", "not locked")
		d.want(http.StatusNoContent, "DELETE", "/new", "")
		d.want(http.StatusNoContent, "PUT", "/top", "not locked")
		d.want(http.StatusOK, "LOCK", "/d/f", "", "If", "("+token+")", "Timeout", "Second-2000")
	}
	d.want(http.StatusNoContent, "UNLOCK", "/d/f", "", "Lock-Token", token)
	d.want(http.StatusNoContent, "UNLOCK", "/e", "", "Lock-Token", flat)
	d.restart().want(http.StatusNoContent, "PUT", "/d/f", "x")
}

// The file does not grow with the number of changes, and it is nobody else's to read.
func TestLockFileIsSmall(t *testing.T) {
	d := newDrive(t)
	d.LockFile = filepath.Join(t.TempDir(), "locks")
	kept := d.lock("/d/f")
	for range 500 {
		token := d.lock("/top")
		d.want(http.StatusNoContent, "UNLOCK", "/top", "", "Lock-Token", token)
		d.want(http.StatusOK, "LOCK", "/d/f", "", "If", "("+kept+")")
	}
	fi, err := os.Stat(d.LockFile)
	if err != nil || fi.Size() > 40_000 || fi.Mode().Perm() != 0o600 {
		t.Errorf("the lock file: %v, %v", fi, err)
	}
	d.restart().want(http.StatusLocked, "PUT", "/d/f", "x")
}

// What a crash has torn costs at most the line that it has torn; what cannot be read or written is no reason to refuse
// a lock.
func TestDamagedLockFile(t *testing.T) {
	d := newDrive(t)
	d.LockFile = filepath.Join(t.TempDir(), "locks")
	token := d.lock("/d/f")
	b, err := os.ReadFile(d.LockFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []string{`{"token":"urn:uu`, "\n\x00\xff\n", `{"token":"x"}` + "\n", `{"token":1}` + "\n", `{"root":"/top"}` + "\n",
		strings.Repeat("x", 2<<20)} {
		for _, content := range []string{string(b) + damage, damage + "\n" + string(b)} {
			if err := os.WriteFile(d.LockFile, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			r := d.restart()
			if len(damage) > 1<<20 && strings.HasPrefix(content, damage) {
				r.want(http.StatusNoContent, "PUT", "/top", "x") // the reading ends there
				continue
			}
			r.want(http.StatusLocked, "PUT", "/d/f", "x")
			r.want(http.StatusNoContent, "PUT", "/d/f", "x", "If", "("+token+")")
			r.want(http.StatusNoContent, "PUT", "/top", "x")
		}
	}
	d = newDrive(t)
	d.LockFile = filepath.Join(t.TempDir(), "no directory", "locks")
	d.lock("/d/f")
	d.want(http.StatusLocked, "PUT", "/d/f", "x")
	d = newDrive(t)
	d.LockFile = t.TempDir() // a directory
	d.lock("/d/f")
	d.want(http.StatusLocked, "PUT", "/d/f", "x")
}

// A lock whose time ran out while the server was away could not be refreshed: it lives for a minute more, unless it had
// run out before, which the next lock on the same name shows.
func TestLocksThatExpireMeanwhile(t *testing.T) {
	d := newDrive(t)
	d.LockFile = filepath.Join(t.TempDir(), "locks")
	line := `{"token":"urn:uuid:%s","root":"%s","owner":"","timeout":600,"until":"2001-01-01T00:00:00Z"}` + "\n"
	err := os.WriteFile(d.LockFile, fmt.Appendf(nil, line+line+line, "1", "/d/f", "2", "/d", "3", "/top"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	d.want(http.StatusLocked, "PUT", "/top", "x")
	d.want(http.StatusNoContent, "PUT", "/top", "x", "If", "(<urn:uuid:3>)")
	d.want(http.StatusPreconditionFailed, "PUT", "/d/f", "x", "If", "(<urn:uuid:1>)")
	d.want(http.StatusNoContent, "PUT", "/d/f", "x", "If", "(<urn:uuid:2>)")
	d.want(http.StatusOK, "LOCK", "/top", "", "If", "(<urn:uuid:3>)")
}

// A lock on a name is one on all its spellings.
func TestLocksOfSpellings(t *testing.T) {
	const nfc, nfd = "/d/caf%C3%A9", "/d/cafe%CC%81"
	d := newDrive(t)
	token := d.want(http.StatusCreated, "LOCK", nfd, lockBody).Header().Get("Lock-Token")
	for _, m := range []string{"PUT", "DELETE", "PROPPATCH"} {
		d.want(http.StatusLocked, m, nfc, map[string]string{"PUT": "x", "PROPPATCH": patchBody}[m])
	}
	d.want(http.StatusLocked, "COPY", "/top", "", "Destination", nfc)
	d.want(http.StatusLocked, "LOCK", nfc, lockBody)
	w := d.want(http.StatusMultiStatus, "PROPFIND", nfc, findLocks, "Depth", "0")
	if !has(w, strings.Trim(token, "<>")) {
		t.Errorf("lockdiscovery by the other spelling: %s", w.Body)
	}
	d.want(http.StatusNoContent, "PUT", nfc, "x", "If", "("+token+")")
	d.want(http.StatusNoContent, "PUT", nfc, "x", "If", "<"+nfd+"> ("+token+")")
	d.want(http.StatusNoContent, "UNLOCK", nfc, "", "Lock-Token", token)
}
