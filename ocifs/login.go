package ocifs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// LogIn asks the registry whether it takes the credentials of the tree now, whatever tokens they have been given before. An
// [Error] of the class unauthorized: it does not. All else that fails is a failure, and says nothing about them.
func (f *FS) LogIn(ctx context.Context) error {
	c, ok := f.registry.Client.(client)
	if !ok || f.registry.Reference.Registry == "" {
		return errors.New("log in: the tree has a client of another kind")
	}
	return c.logIn(ctx, f.registry.PlainHTTP, f.registry.Reference.Host())
}

// logIn is FS.LogIn at a host.
func (c client) logIn(ctx context.Context, plainHTTP bool, host string) error {
	fresh := *c.Client
	fresh.Cache = nil
	resp, err := get(ctx, fresh.Do, plainHTTP, host)
	code := status(err)
	if err == nil {
		defer finish(resp)
		if code = resp.StatusCode; code == http.StatusOK && resp.Request.Header.Get("Authorization") != "" {
			return nil
		}
		if code == http.StatusOK {
			return &Error{Class: classUnavailable, Err: fmt.Errorf("log in at %s: %w", host, errAsksNobody)}
		}
		err = responseError(resp)
	}
	err = failure(err, "log in at %s", host)
	if code == http.StatusUnauthorized || code == http.StatusForbidden {
		err = &Error{Class: classUnauthorized, Err: err}
	}
	return err
}

var errAsksNobody = errors.New("the registry has not asked for a name and a password")

// get asks for the base of the API (distribution-spec, "Determining Support").
func get(ctx context.Context, do func(*http.Request) (*http.Response, error), plainHTTP bool, host string) (*http.Response, error) {
	at := url.URL{Scheme: "https", Host: host, Path: "/v2/"}
	if plainHTTP {
		at.Scheme = "http"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	return do(req)
}

// Ping asks whether there is a registry, without credentials: that it asks for some is an answer too.
func (d *Dialer) Ping(ctx context.Context) error {
	reg, err := d.Dial(nil)
	if err != nil {
		return err
	}
	resp, err := get(ctx, d.client.Do, d.plainHTTP, reg.Reference.Host())
	if err == nil {
		defer finish(resp)
		asks := resp.StatusCode == http.StatusUnauthorized && resp.Header.Get("WWW-Authenticate") != ""
		if !asks && resp.StatusCode != http.StatusOK {
			err = responseError(resp)
		}
	}
	return failure(err, "registry %s", d.host)
}

// TellsUsersApart finds out whether the registry knows who comes, by a name and a password that are made up: it has to refuse
// them. An error says that it does not, or that it does not answer.
func (d *Dialer) TellsUsersApart(ctx context.Context) error {
	reg, err := d.Dial(func(context.Context, string) (auth.Credential, error) {
		return auth.Credential{Username: "ocidav-" + rand.Text(), Password: rand.Text()}, nil
	})
	if err != nil {
		return err
	}
	err = reg.Client.(client).logIn(ctx, d.plainHTTP, reg.Reference.Host())
	var known *Error
	switch {
	case err == nil || errors.Is(err, errAsksNobody):
		return fmt.Errorf("the registry %s lets in whoever comes, with any password or none, and cannot tell users apart", d.host)
	case errors.As(err, &known) && known.Class == classUnauthorized:
		return nil
	}
	return err
}

// MayWrite asks the registry whether it would take a push for the file name, or for a member of the directory: an [Error] of
// the class denied if it would not. It asks for a mount of what nearly every repository of ours holds, the empty config,
// from the repository itself, which changes nothing and leaves nothing; or for an upload, which is given up.
func (f *FS) MayWrite(ctx context.Context, name string, directory bool) error {
	dir := name
	if !directory {
		dir = parent(f.Key(name))
	}
	d, err := f.layout.directory(dir)
	if err != nil {
		return err
	}
	r, err := f.repository(d.repo)
	if err != nil {
		return err
	}
	query := url.Values{"mount": {emptyBlob.Digest.String()}, "from": {d.repo}}.Encode()
	u, err := r.startUploadAt(ctx, "blobs/uploads/?"+query)
	if code := status(err); code == http.StatusUnauthorized || code == http.StatusForbidden || refusesMethod(err) {
		u, err = r.startUpload(ctx) // it may have been the mount that was refused
	}
	if err != nil {
		return failure(f.unmade(d.repo, err), "ask whether %s may be written", d.repo)
	}
	if u != nil && !f.behind(func(ctx context.Context) { _ = u.cancel(ctx) }) {
		_ = u.cancel(ctx)
	}
	return nil
}
