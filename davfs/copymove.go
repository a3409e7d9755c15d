package davfs

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// prepareCopyMove settles all that the engine finds out too late, when it has removed the target, or not at all.
func (h *Handler) prepareCopyMove(r *http.Request, rq *request) error {
	dst, err := h.destination(r, rq)
	if err != nil {
		return err
	}
	r.Header.Set("Destination", escapePath(h.prefix+dst)) // as the engine wants it
	rq.dst, rq.keep = dst, r.Header.Get("Overwrite") == "F"

	// Onto itself is forbidden by RFC 4918 sections 9.8.5 and 9.9.4. Onto an ancestor would replace the source along
	// with its ancestor, into a descendant would never end; the engine does the first and tries the second.
	// Another spelling of the source is left to the tree.
	from, to := rq.key(rq.name), rq.key(dst)
	if dst == rq.name || from != to && (within(to, from) || within(from, to)) {
		return refuse(http.StatusForbidden, "The destination is the source, contains it or lies within it.")
	}
	prepareCopy(rq.ctx, rq.tree, rq.name, dst)
	if err := rq.ask(rq.name, dst, path.Dir(dst)); err != nil {
		return err
	}
	src, err := rq.stat(rq.name)
	if err != nil {
		return err
	}
	if src.IsDir() {
		rq.flat = r.Header.Get("Depth") == "0"
	} else {
		r.Header.Del("Depth") // it speaks of collections only
	}

	_, err = rq.stat(dst)
	if err == nil {
		if rq.keep {
			return errOverwrite
		}
		return nil
	}
	if !isAbsent(err) {
		return err
	}
	rq.fresh = true
	parent, err := rq.stat(path.Dir(dst))
	if isAbsent(err) || err == nil && !parent.IsDir() {
		return errNoParent
	}
	return err
}

// destination reads the Destination header (RFC 4918 section 10.3).
func (h *Handler) destination(r *http.Request, rq *request) (string, error) {
	s := r.Header.Get("Destination")
	u, err := url.Parse(s)
	if s == "" || err != nil || u.Host == "" && !strings.HasPrefix(u.Path, "/") {
		return "", refuse(http.StatusBadRequest, "The Destination header is missing, or neither a URL nor an absolute path.")
	}
	// It was meant as part of the name and not escaped; what is left of the name may be another file.
	if strings.ContainsAny(s, "?#") {
		return "", refuse(http.StatusBadRequest, "The Destination header has a query or a fragment.")
	}
	base, ok := h.baseFor(u, r, rq)
	if !ok {
		return "", refuse(http.StatusBadGateway, "The destination is on another server.")
	}
	name, err := nameUnder(base, u)
	if r, ok := err.(*refusal); ok && r.code == http.StatusNotFound {
		return "", refuse(http.StatusBadGateway, "The destination is not on this drive.")
	}
	return name, err
}

// copyDir is the COPY of a directory, whole: the engine calls it by Mkdir and then sees no members to go on with.
func (rq *request) copyDir(ctx context.Context) error {
	if rq.flat {
		return rq.copyFlat(ctx)
	}
	_, err := rq.tree.Copy(ctx, rq.name, rq.dst, rq.check)
	return err
}

// copyFlat is COPY with Depth 0: a directory with the properties of the source and no members (RFC 4918 section
// 9.8.3). The tree has no such operation. It is made beside its place if it cannot be made there in one step, so that a
// target is replaced and not removed first.
func (rq *request) copyFlat(ctx context.Context) error {
	fi, err := rq.stat(rq.name)
	if err != nil {
		return err
	}
	props, err := rq.tree.Props(ctx, rq.name, fi)
	if err != nil {
		return err
	}
	if _, err := rq.stat(rq.dst); isAbsent(err) && len(props) == 0 {
		return rq.tree.Mkdir(ctx, rq.dst, rq.check)
	}
	beside := path.Join(path.Dir(rq.dst), ".ocidav-"+rand.Text())
	if err := rq.tree.Mkdir(ctx, beside, nil); err != nil {
		return err
	}
	if len(props) > 0 {
		err = rq.tree.PatchProps(ctx, beside, PropPatch{Set: props})
	}
	if err == nil {
		err = rq.tree.Rename(ctx, beside, rq.dst, rq.check)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		rq.tree.RemoveAll(ctx, beside, nil)
	}
	return err
}
