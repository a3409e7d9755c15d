package davfs

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

// A lockFile keeps the locks of a table over a restart, so that an upgrade of the server costs nobody the document that
// is open. It is a journal: a line for each change, and written anew when most of it is history. Nothing is synced,
// since after a crash of the machine the clients are gone too or lock again; and where it cannot be written the locks
// live on in memory alone. The nil *lockFile keeps nothing.
type lockFile struct {
	name  string
	log   *slog.Logger
	f     *os.File
	lines int
}

// lockRecord is a line: a lock, or only the token of one that has ended.
type lockRecord struct {
	Token   string    `json:"token"`
	Root    string    `json:"root,omitempty"`
	Flat    bool      `json:"flat,omitempty"`
	Shared  bool      `json:"shared,omitempty"`
	Owner   string    `json:"owner,omitempty"`
	User    string    `json:"user,omitempty"`
	Timeout int64     `json:"timeout,omitempty"` // seconds
	Until   time.Time `json:"until,omitzero"`
}

// lockGrace is what a lock has left at least when the server comes back: its client could not refresh it meanwhile.
const lockGrace = time.Minute

// openLockFile reads the locks that an earlier process left in the file. What is damaged is left out.
func openLockFile(name string, key func(string) string, log *slog.Logger) (*lockFile, map[string]*lock) {
	f := &lockFile{name: name, log: log}
	locks := map[string]*lock{}
	file, err := os.Open(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			log.Warn("the locks of an earlier run cannot be read", "file", name, "err", err)
		}
		return f, locks
	}
	defer file.Close()
	grace := time.Now().Add(lockGrace)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r lockRecord
		if json.Unmarshal(lines.Bytes(), &r) != nil || r.Token == "" {
			continue // torn by a crash
		}
		delete(locks, r.Token)
		if r.Root == "" || len(locks) >= maxLocks {
			continue
		}
		l := &lock{token: r.Token, root: r.Root, key: key(r.Root), flat: r.Flat, shared: r.Shared, owner: r.Owner, user: r.User,
			timeout: time.Duration(r.Timeout) * time.Second, until: r.Until}
		for token, earlier := range locks { // it had expired when this one was given
			if l.forbids(earlier) {
				delete(locks, token)
			}
		}
		if l.until.Before(grace) {
			l.until = grace
		}
		locks[l.token] = l
	}
	if err := lines.Err(); err != nil {
		log.Warn("some locks of an earlier run cannot be read", "file", name, "err", err)
	}
	f.rewrite(locks)
	return f, locks
}

// write adds the line of one change, after which the table holds locks.
func (f *lockFile) write(locks map[string]*lock, changed *lock) {
	if f == nil {
		return
	}
	if f.lines++; f.f == nil || f.lines > 100+4*len(locks) {
		f.rewrite(locks)
		return
	}
	if err := json.NewEncoder(f.f).Encode(recordOf(changed)); err != nil {
		f.failed(err)
	}
}

// rewrite writes a new file with what stands, beside the old one and then in its place.
func (f *lockFile) rewrite(locks map[string]*lock) {
	if f.f != nil {
		f.f.Close()
		f.f = nil
	}
	file, err := os.OpenFile(f.name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		f.failed(err)
		return
	}
	w := bufio.NewWriter(file)
	for _, l := range locks {
		if err = json.NewEncoder(w).Encode(recordOf(l)); err != nil {
			break
		}
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = os.Rename(f.name+".new", f.name)
	}
	if err != nil {
		file.Close()
		f.failed(err)
		return
	}
	f.f, f.lines = file, len(locks)
}

func (f *lockFile) failed(err error) {
	f.log.Warn("locks are not kept over a restart", "file", f.name, "err", err)
	if f.f != nil {
		f.f.Close()
		f.f = nil // the next change tries anew
	}
}

func recordOf(l *lock) lockRecord {
	return lockRecord{Token: l.token, Root: l.root, Flat: l.flat, Shared: l.shared, Owner: l.owner, User: l.user,
		Timeout: int64(l.timeout / time.Second), Until: l.until}
}
