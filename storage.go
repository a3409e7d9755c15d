package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocidav/davfs"
	"ocidav/ocifs"
)

// storage is what serve needs of the drive's tree, or of the trees of its users: one for all, who come to the registry with
// the drive's own credentials, or with --auth registry one for each.
type storage struct {
	tree     davfs.Tree      // nil: each user has one
	accounts *davfs.Accounts // of those
	begin    func(ctx context.Context) error
	ready    func(ctx context.Context) error
	stats    func() ocifs.Stats
	forget   func(repo, tag string)
	close    func(ctx context.Context) error
	layout   func() string
}

var _ davfs.Account = (*account)(nil)

// treeForAll is the storage of one tree.
func treeForAll(tree *ocifs.FS, client *remote.Registry, cfg config) storage {
	return storage{
		tree: davfs.WithJunk(tree, cfg.junk),
		begin: func(ctx context.Context) error {
			pingCtx, cancel := context.WithTimeout(ctx, pingTimeout)
			defer cancel()
			if err := ocifs.Ping(pingCtx, client); err != nil {
				return err
			}
			return settle(ctx, tree, !cfg.readOnly)
		},
		ready:  func(ctx context.Context) error { return ocifs.Ping(ctx, client) },
		stats:  tree.Stats,
		forget: tree.Forget,
		close:  tree.Close,
		layout: tree.Layout,
	}
}

// settle finds out which layout the tree has, and writes it down where that may be done.
func settle(ctx context.Context, tree *ocifs.FS, record bool) error {
	err := tree.Settle(ctx, record)
	var other *ocifs.LayoutError
	if errors.As(err, &other) && other.Has != "" {
		err = fmt.Errorf("%w: say --layout %s, or leave --layout out", err, other.Has)
	}
	return err
}

// treesOfUsers is the storage of --auth registry. Nothing is asked without a user's credentials but whether the registry can
// tell them from made-up ones.
func treesOfUsers(dialer *ocifs.Dialer, o ocifs.Options, cfg config, log *slog.Logger) (storage, error) {
	drive, err := ocifs.NewDrive(o)
	if err != nil {
		return storage{}, err
	}
	accounts := &davfs.Accounts{Key: ocifs.Key, Junk: cfg.junk, Log: log, Open: func(name, password string) (davfs.Account, error) {
		credential := auth.Credential{Username: name, Password: password}
		if name == "" {
			credential = auth.EmptyCredential
		}
		reg, err := dialer.Dial(auth.StaticCredential(cfg.host, credential))
		if err != nil {
			return nil, err
		}
		tree, err := drive.Tree(name, reg)
		if err != nil {
			return nil, err
		}
		return &account{FS: tree, nobody: name == "", record: name != "" && !cfg.readOnly}, nil
	}}
	return storage{
		accounts: accounts,
		begin: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, pingTimeout)
			defer cancel()
			return dialer.TellsUsersApart(ctx)
		},
		ready:  dialer.Ping,
		stats:  drive.Stats,
		forget: drive.Forget,
		close:  accounts.Close,
		layout: func() string { return "as each user finds it" },
	}, nil
}

// account is the tree of a user, who finds out himself which layout it has.
type account struct {
	*ocifs.FS
	nobody  bool // has no credentials to ask about
	record  bool // may write the layout down
	settled bool
}

func (a *account) LogIn(ctx context.Context) error {
	if !a.nobody {
		if err := a.FS.LogIn(ctx); err != nil {
			return err
		}
	}
	if a.settled {
		return nil
	}
	err := a.Settle(ctx, a.record)
	a.settled = err == nil
	return err
}
