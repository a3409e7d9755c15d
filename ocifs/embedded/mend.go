//go:build !noembed

package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
)

// Mend makes the content of the blob or manifest d what content gives, if that has the digest, whole or not at all. The API
// cannot: what is pushed under a digest that is there already is dropped unseen, so a file that the disk has damaged stays.
// Links to it, by which repositories have it, are not made.
func (r *Registry) Mend(ctx context.Context, d digest.Digest, content io.Reader) (err error) {
	if err := d.Validate(); err != nil {
		return err
	}
	if !r.begin() {
		return errClosed
	}
	defer r.end()
	defer func() {
		if err != nil {
			err = fmt.Errorf("mend blob %s: %w", d, err)
		}
	}()
	dir := r.tree.blob(d)
	p := &pending{}
	defer p.drop()
	if err := p.makeDirs(dir); err != nil {
		return err
	}
	part := filepath.Join(dir, "data."+rand.Text()+temporary)
	defer os.Remove(part) // it has another name by then if all is well
	if err := receive(ctx, part, d, content); err != nil {
		return err
	}
	if err := r.gate.enter(ctx); err != nil {
		return err
	}
	defer r.gate.leave()
	r.gate.note(d)
	if err := p.rename(part, filepath.Join(dir, "data")); err != nil {
		return err
	}
	return p.settle()
}

// receive writes content to a new file, and syncs it if it has the digest.
func receive(ctx context.Context, name string, d digest.Digest, content io.Reader) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	verifier := d.Verifier()
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	if _, err := io.Copy(io.MultiWriter(f, verifier), content); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !verifier.Verified() {
		return errors.New("the content does not have the digest")
	}
	return syncFile(name, f)
}
