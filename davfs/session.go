package davfs

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
)

// What a request does by its session, the account of its user. A Handler with one tree for all has none, and nothing here
// costs it anything. The locks are of all users, so before somebody hears of one the tree that is his is asked.

// enter begins the request of a user.
func (a *Auth) enter(rq *request, name, password string, log *slog.Logger) error {
	remote := rq.trace.Remote
	failed := func() { a.failed(rq.ctx, remote, name, log) }
	slow := func() error { return a.slow.wait(context.WithoutCancel(rq.ctx), remote) }
	if name == "" || password == "" || len(name)+len(password) > maxCredentials { // they would be nobody's, to the storage
		if err := slow(); err != nil {
			return err
		}
		failed()
		return errUnauthorized
	}
	s, err := a.Accounts.enter(rq.ctx, name, password, stranger{remote, slow, failed})
	if err == nil {
		rq.session, rq.tree = s, s.tree
	}
	return err
}

// enterNobody begins the request of who gives no credentials.
func (a *Auth) enterNobody(rq *request) error {
	if a.Accounts == nil {
		return nil
	}
	s, err := a.Accounts.enter(rq.ctx, "", "", stranger{})
	if err != nil {
		return asNobody(err)
	}
	rq.session, rq.tree = s, s.tree
	return nil
}

// leave ends the request.
func (rq *request) leave() {
	if rq.session != nil {
		rq.h.Auth.Accounts.leave(rq.session)
	}
}

// refused is the answer to what the storage has refused to this user. Whose credentials it takes no more is asked for
// others, and who has none and may not do this, for some.
func (rq *request) refused(err error) error {
	if rq.session == nil || !isFailure(err) {
		return err
	}
	if rq.session.anonymous {
		return asNobody(err)
	}
	if classOf(err) == ClassUnauthorized {
		rq.h.Auth.Accounts.doubt(rq.session)
	}
	return err
}

// asNobody is what a failure is for who has no credentials.
func asNobody(err error) error {
	if class := classOf(err); isFailure(err) && (class == ClassDenied || class == ClassUnauthorized) {
		return fmt.Errorf("%w (%v)", errUnauthorized, err)
	}
	return err
}

// mayLock says whether this user may write what he locks, which keeps all others from writing it.
func (rq *request) mayLock() error {
	if rq.session == nil {
		return nil
	}
	fi, err := rq.stat(rq.name)
	if err != nil && !isAbsent(err) {
		return err
	}
	return rq.session.account.MayWrite(rq.ctx, rq.name, err == nil && fi.IsDir())
}

// mayKnow says whether this user may know what becomes of the names that the request is about: a lock would tell him.
func (rq *request) mayKnow() error {
	if rq.session == nil {
		return nil
	}
	for _, name := range rq.names() {
		_, err := rq.stat(name)
		if isAbsent(err) {
			var dir fs.FileInfo
			if dir, err = rq.stat(path.Dir(name)); err == nil && !dir.IsDir() {
				err = fs.ErrNotExist
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (rq *request) names() []string {
	if rq.dst == "" {
		return []string{rq.name}
	}
	return []string{rq.name, rq.dst}
}

// maxRootsAsked bounds what the locks of others below a name can ask of the tree.
const maxRootsAsked = 32

// roots gives the names of the locks that this user may know of: those above the names of the request, which he could not
// reach otherwise, and of those below what his tree shows him. In place of any other stands the name that it lies in.
func (rq *request) roots(held []lock, ask bool) (roots []string) {
	for n, l := range held {
		root := rq.name
		for _, name := range rq.names() {
			switch {
			case rq.session == nil, within(rq.key(name), l.key):
				root = l.root
			case within(l.key, rq.key(name)):
				root = name
				if ask && n < maxRootsAsked {
					if _, err := rq.stat(l.root); err == nil {
						root = l.root
					}
				}
			default:
				continue
			}
			break
		}
		if !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	return roots
}
