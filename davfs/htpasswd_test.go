package davfs

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// hashed is that of a password, of the lowest cost.
func hashed(t testing.TB, password string) string {
	t.Helper()
	b, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParseHtpasswd(t *testing.T) {
	const good = "$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC"
	for text, says := range map[string]string{
		"alice:" + good + "\n": "",
		"# users\r\n\r\nalice:" + good + "\r\nbob:" + strings.Replace(good, "2y", "2b", 1): "",
		"":                       "no user in it",
		"# nobody\n":             "no user in it",
		"alice\n":                "f:1: want NAME:HASH",
		"\n:" + good:             "f:2: want NAME:HASH",
		"alice:$apr1$x$y\n":      `f:1: the password of "alice" is not hashed by bcrypt: set it anew with htpasswd -B`,
		"alice:{SHA}x=\n":        "htpasswd -B",
		"alice:secret\n":         "htpasswd -B",
		"alice:" + good + "x\n":  "htpasswd -B",
		"alice:" + good[:59]:     "htpasswd -B",
		"alice:" + good + ":x\n": "htpasswd -B",
		"alice:" + strings.Replace(good, "$05$", "$31$", 1):   "cost",
		"alice:" + strings.Replace(good, "$05$", "$03$", 1):   "cost",
		"alice:" + good + "\nbob:" + good + "\nalice:" + good: `f:3: the user "alice" is there twice`,
		strings.Repeat("x", 100_000):                          "f: ",
	} {
		u, err := parseHtpasswd("f", strings.NewReader(text))
		if says == "" && (err != nil || string(u.hashes["alice"]) != good) || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%.60q: %v, want %q", text, err, says)
		}
	}
}

// FuzzHtpasswd: what is taken can be compared with, and so can what stands in for those who are not known.
func FuzzHtpasswd(f *testing.F) {
	f.Add("alice:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n#\nbob:x")
	f.Add("alice:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := parseHtpasswd("f", strings.NewReader(text))
		if err != nil {
			if u != nil || !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("%v with the error %v", u, err)
			}
			return
		}
		for name, hash := range u.hashes {
			if cost, err := bcrypt.Cost(hash); name == "" || strings.ContainsAny(name, ":\n") || err != nil || cost > maxBcryptCost {
				t.Errorf("%q: %q with the cost %d, %v", name, hash, cost, err)
			}
		}
	})
}

// TestDummy: who is not known is compared with a hash of the highest cost, that no password has.
func TestDummy(t *testing.T) {
	costly, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost+2)
	if err != nil {
		t.Fatal(err)
	}
	u, err := parseHtpasswd("f", strings.NewReader("a:"+hashed(t, "x")+"\nb:"+string(costly)))
	if err != nil {
		t.Fatal(err)
	}
	if cost, err := bcrypt.Cost(u.dummy); err != nil || cost != bcrypt.MinCost+2 {
		t.Errorf("the cost is %d, %v", cost, err)
	}
	if err := bcrypt.CompareHashAndPassword(u.dummy, nil); err != bcrypt.ErrMismatchedHashAndPassword {
		t.Errorf("compared: %v", err) // any other error comes at once
	}
}

// TestHtpasswd: what was good is remembered until the file changes, and only that.
func TestHtpasswd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwords")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("alice:" + hashed(t, "right") + "\nlong:" + hashed(t, strings.Repeat("x", 72)) + "\n")
	var log bytes.Buffer
	h, err := OpenHtpasswd(file, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	want := func(name, password string, before, ok bool) {
		t.Helper()
		if got := h.remembers(name, password); got != before {
			t.Errorf("%s:%s is remembered: %t", name, password, got)
		}
		got, err := h.verify(t.Context(), name, password)
		if err != nil || got != ok {
			t.Errorf("%s:%s: %t, %v, want %t", name, password, got, err, ok)
		}
		if got := h.remembers(name, password); got != ok {
			t.Errorf("%s:%s is remembered afterwards: %t", name, password, got)
		}
	}
	want("alice", "wrong", false, false)
	want("alice", "right", false, true)
	want("alice", "right", true, true)
	want("alice", "wrong", false, false)
	want("alic", "eright", false, false)
	want("mallory", "", false, false)
	want("", "", false, false)
	want("long", strings.Repeat("x", maxPasswordSize+1), false, false)
	want("long", strings.Repeat("x", 72), false, true)

	write("alice:nonsense\n")
	h.Reload()
	want("alice", "right", true, true)
	if !strings.Contains(log.String(), file+":1: ") {
		t.Errorf("the log says\n%s", log.String())
	}
	write("alice:" + hashed(t, "new") + "\n")
	time.Sleep(1100 * time.Millisecond) // until the next look
	want("alice", "right", false, false)
	want("alice", "new", false, true)
	write("alice:" + hashed(t, "new") + "\n") // of another salt
	h.Reload()
	want("alice", "new", false, true)

	for i := len(h.good); i < maxRemembered; i++ {
		h.good[h.sum("x", string(rune(i)))] = h.users
	}
	h.good[h.sum("x", "last")] = h.users
	h.forget(t, "alice", "new")
	want("alice", "new", false, true)
	if n := len(h.good); n > maxRemembered {
		t.Errorf("%d are remembered", n)
	}
}

func (h *Htpasswd) forget(t *testing.T, name, password string) {
	t.Helper()
	delete(h.good, h.sum(name, password))
}
