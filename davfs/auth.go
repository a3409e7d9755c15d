package davfs

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// Auth says who may use a drive: the users of a password file, or those of the storage itself (accounts.go), by HTTP Basic
// (RFC 7617), or those of a proxy (proxyuser.go). It is asked before anything else of a request is looked at, its body and the
// name that it is about included.
//
// A user of the file who is not known takes as long as one who is. Failures are slowed for each client address (throttle.go) and
// logged in one form, which programs like fail2ban read:
//
//	level=WARN msg="authentication failed" remote=ADDRESS user=NAME
//
// Whatever a client sends cannot look like it, since quotes in a value are escaped.
type Auth struct {
	Users         *Htpasswd
	Accounts      *Accounts // instead of Users: the storage knows them, and each has a tree of his own
	UserHeader    string    // instead of both: in which Handler.TrustedProxies say who has logged in there
	AnonymousRead bool      // who sends no credentials may read
	ReadOnlyUsers []string  // may read

	slow throttle
}

// OpenAuth is Auth with the users of the file, of whom readers may only read.
func OpenAuth(file string, anonymousRead bool, readers []string, log *slog.Logger) (*Auth, error) {
	users, err := OpenHtpasswd(file, log)
	if err != nil {
		return nil, fmt.Errorf("password file: %w", err)
	}
	for _, name := range readers {
		if !users.Has(name) {
			return nil, fmt.Errorf("there is no user %q, who shall only read, in the password file %s", name, file)
		}
	}
	return &Auth{Users: users, AnonymousRead: anonymousRead, ReadOnlyUsers: readers}, nil
}

var (
	errUnauthorized = refuse(http.StatusUnauthorized, "This drive wants a name and a password.")
	errAnonymous    = refuse(http.StatusUnauthorized, "Without a name and a password this drive can be read only.")
	errReader       = refuse(http.StatusForbidden, "You may read this drive, and not write.")
	errTooOften     = refuse(http.StatusTooManyRequests, "There were too many failures to log in from this address.")
)

// authenticate finds out who the request is from.
func (h *Handler) authenticate(r *http.Request, rq *request) error {
	a := h.Auth
	if a == nil {
		return nil
	}
	if a.UserHeader != "" {
		return h.authenticateByProxy(r, rq)
	}
	writes := !slices.Contains(readMethods, r.Method)
	name, password, given := r.BasicAuth()
	if !given {
		switch {
		case !a.AnonymousRead, otherScheme(r.Header.Get("Authorization")): // no guess, so no failure
			return errUnauthorized
		case writes:
			return errAnonymous
		}
		return a.enterNobody(rq)
	}
	if a.Accounts != nil {
		if err := a.enter(rq, name, password, h.log); err != nil {
			return err
		}
	} else if err := a.verify(r.Context(), rq.trace.Remote, name, password, h.log); err != nil {
		return err
	}
	return rq.loggedIn(name)
}

// loggedIn takes over who the request is from.
func (rq *request) loggedIn(name string) error {
	rq.trace.User = name
	rq.reader = slices.Contains(rq.h.Auth.ReadOnlyUsers, name)
	if rq.reader && !slices.Contains(readMethods, rq.method) {
		return errReader
	}
	return nil
}

// otherScheme says whether there are credentials that are not taken. An empty Bearer is what some clients send that have none.
func otherScheme(authorization string) bool {
	_, rest, _ := strings.Cut(authorization, " ")
	return strings.TrimSpace(rest) != ""
}

func (a *Auth) verify(ctx context.Context, remote, name, password string, log *slog.Logger) error {
	if a.Users.remembers(name, password) {
		return nil
	}
	if err := a.slow.wait(ctx, remote); err != nil {
		return err
	}
	ok, err := a.Users.verify(ctx, name, password)
	if err != nil || ok {
		return err
	}
	a.failed(ctx, remote, name, log)
	return errUnauthorized
}

func (a *Auth) failed(ctx context.Context, remote, name string, log *slog.Logger) {
	a.slow.failed(remote)
	log.WarnContext(ctx, "authentication failed", "remote", remote, "user", name[:min(len(name), maxUserName)])
}

// mine says whether the request may use the lock, if it knows the token: each lock is its maker's. One without a maker, from
// a time when nobody was asked who he was, is everybody's.
func (rq *request) mine(l lock) bool {
	return rq.h.Auth == nil || l.user == "" || l.user == rq.trace.User
}

// readOnly says whether the request may only read.
func (rq *request) readOnly() bool { return rq.h.ReadOnly || rq.reader }
