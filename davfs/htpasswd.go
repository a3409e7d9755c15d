package davfs

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"ocidav/davfs/reload"
)

// Htpasswd is a password file as htpasswd -B writes it, as it is now: whoever logs in looks whether it has changed. A file
// that cannot be used changes nothing but the log. A bcrypt is slow on purpose, so credentials that were good are
// remembered, by a hash under a key that nobody outside of the process has, until the file changes; and not all processors
// are busy with them. It is safe for concurrent use.
type Htpasswd struct {
	name  string
	log   *slog.Logger
	key   [32]byte
	slots chan struct{}

	mu    sync.Mutex
	files *reload.Files
	users *users
	good  map[[sha256.Size]byte]*users // credentials, by what they were compared with
}

const maxRemembered = 10_000

// users are those of one reading of the file.
type users struct {
	hashes map[string][]byte
	dummy  []byte // that no password has, of the highest cost of all
}

// OpenHtpasswd reads the file.
func OpenHtpasswd(name string, log *slog.Logger) (*Htpasswd, error) {
	h := &Htpasswd{name: name, log: log, files: reload.Watch(name),
		slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	rand.Read(h.key[:])
	var err error
	h.users, err = h.load()
	return h, err
}

func (h *Htpasswd) load() (*users, error) {
	file, err := os.Open(h.name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parseHtpasswd(h.name, file)
}

// Reload reads the file even if it seems to be the same, and forgets who has logged in.
func (h *Htpasswd) Reload() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reloadLocked()
}

func (h *Htpasswd) reloadLocked() {
	u, err := h.load()
	if err != nil {
		h.log.Warn("the password file is not read anew, the former one goes on", "err", err)
		return
	}
	h.users, h.good = u, nil
	h.log.Info("password file read anew", "file", h.name, "users", len(u.hashes))
}

// Has says whether there is a user of that name.
func (h *Htpasswd) Has(name string) bool {
	_, ok := h.now().hashes[name]
	return ok
}

func (h *Htpasswd) now() *users {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files.Changed() {
		h.reloadLocked()
	}
	return h.users
}

// remembers says whether the credentials are known to be good.
func (h *Htpasswd) remembers(name, password string) bool {
	u, sum := h.now(), h.sum(name, password)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.good[sum] == u
}

func (h *Htpasswd) sum(name, password string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, h.key[:])
	fmt.Fprintf(mac, "%d:%s%s", len(name), name, password)
	mac.Sum(sum[:0])
	return sum
}

// verify compares the password. The error is that of ctx.
func (h *Htpasswd) verify(ctx context.Context, name, password string) (bool, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if h.remembers(name, password) { // another request of the same client was here before
		return true, nil
	}
	u := h.now()
	hash, known := u.hashes[name]
	if !known {
		hash = u.dummy
	}
	err := bcrypt.CompareHashAndPassword(hash, []byte(password[:min(len(password), maxPasswordSize)]))
	if err != nil || !known || len(password) > maxPasswordSize {
		return false, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users == u {
		if h.good == nil || len(h.good) >= maxRemembered {
			h.good = map[[sha256.Size]byte]*users{}
		}
		h.good[h.sum(name, password)] = u
	}
	return true, nil
}

// maxBcryptCost bounds the time of a log-in: some 4 seconds on a processor of today.
const maxBcryptCost = 16

var bcryptForm = regexp.MustCompile(`^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$`)

// parseHtpasswd reads lines NAME:HASH, with empty ones and those that begin with # between. Errors name the file and line.
func parseHtpasswd(name string, r io.Reader) (*users, error) {
	u := &users{hashes: map[string][]byte{}}
	highest := bcrypt.MinCost
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), " \t\r")
		if line == "" || line[0] == '#' {
			continue
		}
		user, hash, ok := strings.Cut(line, ":")
		if !ok || user == "" {
			return nil, fmt.Errorf("%s:%d: want NAME:HASH, as htpasswd -B writes it", name, n)
		}
		if !bcryptForm.MatchString(hash) {
			return nil, fmt.Errorf("%s:%d: the password of %q is not hashed by bcrypt: set it anew with htpasswd -B", name, n, user)
		}
		cost, err := bcrypt.Cost([]byte(hash))
		if err != nil || cost > maxBcryptCost || cost < bcrypt.MinCost {
			return nil, fmt.Errorf("%s:%d: the hash of %q has a cost that is not between %d and %d", name, n, user, bcrypt.MinCost, maxBcryptCost)
		}
		if u.hashes[user] != nil {
			return nil, fmt.Errorf("%s:%d: the user %q is there twice", name, n, user)
		}
		u.hashes[user] = []byte(hash)
		highest = max(highest, cost)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(u.hashes) == 0 {
		return nil, fmt.Errorf("%s: there is no user in it", name)
	}
	u.dummy = fmt.Appendf(nil, "$2a$%02d$%s", highest, bytes.Repeat([]byte("."), 53))
	return u, nil
}
