package ocifs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

const (
	maxManifestBytes = 4 << 20   // distribution-spec, "Pushing Manifests"
	maxMetadataBytes = 128 << 20 // of one page; distribution 2.8 sends every list in one
)

// repository is one repository at the wire: what oras-go does, and the requests that it does not make.
type repository struct {
	*remote.Repository
}

// repository gives the client of the repository name. They are kept, since each carries what it has learnt.
func (f *FS) repository(name string) (repository, error) {
	if r, ok := f.repositories.get(name); ok {
		return r, nil
	}
	r, err := f.openRepository(name)
	if err != nil {
		return repository{}, err
	}
	f.repositories.put(name, r, 1)
	return r, nil
}

func (f *FS) openRepository(name string) (repository, error) {
	opened, err := f.registry.Repository(context.Background(), name)
	if err != nil {
		return repository{}, fmt.Errorf("open repository %s: %w", name, err)
	}
	r := repository{opened.(*remote.Repository)}
	if f.local == nil { // the registry on this machine reads all names for each page, and gives all to who asks for none
		r.TagListPageSize = cmp.Or(f.profile.Page, tagPageSize)
	}
	r.MaxMetadataBytes = maxMetadataBytes
	if err := r.SetReferrersCapability(true); err != nil { // we have no subjects, so there is no index to update
		return repository{}, fmt.Errorf("open repository %s: %w", name, err)
	}
	return r, nil
}

// do sends a request for which oras-go has no call. The caller closes the body. Tokens are asked for all actions at
// once, which saves one for each kind of request.
func (r repository) do(ctx context.Context, method, kind, reference string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(r.scope(ctx), method, r.url(kind+"/"+reference), nil)
	if err != nil {
		return nil, err
	}
	for key, values := range header {
		req.Header[key] = values
	}
	return r.Client.Do(req)
}

// url gives the URL of something in the repository.
func (r repository) url(path string) string {
	scheme := "https"
	if r.PlainHTTP {
		scheme = "http"
	}
	return fmt.Sprintf("%s://%s/v2/%s/%s", scheme, r.Reference.Host(), r.Reference.Repository, path)
}

// scope asks that one token serve for everything that is done in this repository.
func (r repository) scope(ctx context.Context) context.Context {
	return auth.AppendRepositoryScope(ctx, r.Reference, auth.ActionPull, auth.ActionPush, auth.ActionDelete)
}

// errAbsent is the registry's answer that there is no such tag, manifest or repository: an answer in the registry's
// own words, not just any 404 on the way to it (invariant 1).
var errAbsent = errors.New("unknown to the registry")

// absence is errAbsent with what the registry said.
type absence struct{ said *errcode.ErrorResponse }

func (absence) Error() string        { return errAbsent.Error() }
func (absence) Is(target error) bool { return target == errAbsent }

// errNoManifest: what came is none, whatever the status.
var errNoManifest = errors.New("the registry's answer is no manifest")

// otherManifest is a manifest that is not the one that was asked for.
type otherManifest struct{ is, want digest.Digest }

func (o *otherManifest) Error() string {
	return fmt.Sprintf("the manifest has digest %s, not %s", o.is, o.want)
}

var manifestTypes = http.Header{"Accept": {strings.Join([]string{
	ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
	"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
}, ", ")}}

// fetchManifest gets the manifest under reference, a tag or a digest, and verifies it. errAbsent: there is none.
func (r repository) fetchManifest(ctx context.Context, reference string) (digest.Digest, []byte, error) {
	resp, err := r.do(ctx, http.MethodGet, "manifests", reference, manifestTypes)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", nil, absentOr(responseError(resp))
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxManifestBytes+1))
	switch {
	case err != nil:
		return "", nil, err
	case len(data) > maxManifestBytes:
		return "", nil, fmt.Errorf("%w: it has more than %d bytes", errNoManifest, maxManifestBytes)
	}
	sum := sumOf(data)
	want, err := parseDigest(resp.Header.Get("Docker-Content-Digest"))
	if named, e := parseDigest(reference); e == nil {
		want, err = named, nil
	}
	switch {
	case err == nil && want == sum:
		return sum, data, nil
	case !json.Valid(data): // an error page with status 200
		return "", nil, errNoManifest
	case err == nil && want.Algorithm() == digest.Canonical:
		return "", nil, &otherManifest{sum, want}
	}
	return sum, data, nil
}

// headManifest asks for the manifest under a tag; zero if the registry does not say, or says that there is none: a
// HEAD has no words, so an absence must be asked for by fetchManifest.
func (r repository) headManifest(ctx context.Context, tag string) (tagged, error) {
	resp, err := r.do(ctx, http.MethodHead, "manifests", tag, manifestTypes)
	if err != nil {
		return tagged{}, err
	}
	resp.Body.Close()
	d, err := parseDigest(resp.Header.Get("Docker-Content-Digest"))
	if err != nil || resp.StatusCode != http.StatusOK || resp.ContentLength <= 0 {
		return tagged{}, nil
	}
	return tagged{d, resp.ContentLength}, nil
}

// pushManifest pushes the manifest to tag, in one request that is not repeated here.
func (r repository) pushManifest(ctx context.Context, desc ocispec.Descriptor, data []byte, tag string) error {
	req, err := http.NewRequestWithContext(once(r.scope(ctx)), http.MethodPut, r.url("manifests/"+tag), bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", desc.MediaType)
	resp, err := r.Client.Do(req)
	if err != nil {
		return err
	}
	defer finish(resp)
	if resp.StatusCode != http.StatusCreated {
		return lastWord(responseError(resp))
	}
	if d, err := parseDigest(resp.Header.Get("Docker-Content-Digest")); err == nil && d.Algorithm() == digest.Canonical && d != desc.Digest {
		return fmt.Errorf("PUT %s: the registry has the manifest as %s, not %s", req.URL.Path, d, desc.Digest)
	}
	return nil
}

// deleteManifest asks to delete a tag or a digest. errAbsent: there was none.
func (r repository) deleteManifest(ctx context.Context, reference string) error {
	resp, err := r.do(ctx, http.MethodDelete, "manifests", reference, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	page := strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") // of something in front of the registry
	switch code := resp.StatusCode; {
	case code == http.StatusAccepted, (code == http.StatusOK || code == http.StatusNoContent) && !page:
		return nil
	}
	return absentOr(responseError(resp))
}

// fetchBlob opens the bytes [from, to) of a blob. The body begins at start: at 0 if the registry has no ranges. What comes
// is not verified here.
func (r repository) fetchBlob(ctx context.Context, desc ocispec.Descriptor, from, to int64) (body io.ReadCloser, start int64, err error) {
	var header http.Header
	if from > 0 || to < desc.Size {
		header = http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", from, to-1)}}
	}
	resp, err := r.do(ctx, http.MethodGet, "blobs", desc.Digest.String(), header)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case resp.StatusCode == http.StatusPartialContent && header != nil:
		if got := resp.Header.Get("Content-Range"); !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", from)) {
			resp.Body.Close()
			return nil, 0, fmt.Errorf("asked for bytes from %d, the registry sends %q", from, got)
		}
		return resp.Body, from, nil
	case resp.StatusCode == http.StatusOK: // all of it: some registries have no ranges
		return resp.Body, 0, nil
	}
	defer resp.Body.Close()
	return nil, 0, responseError(resp)
}

// responseError makes of an unexpected answer the error that oras-go makes of its own.
func responseError(resp *http.Response) error {
	e := &errcode.ErrorResponse{Method: resp.Request.Method, URL: resp.Request.URL, StatusCode: resp.StatusCode}
	var body struct {
		Errors errcode.Errors `json:"errors"`
	}
	var network net.Error
	if err := json.NewDecoder(io.LimitReader(resp.Body, 8<<10)).Decode(&body); err == nil {
		e.Errors = body.Errors
	} else if errors.As(err, &network) && network.Timeout() { // it has stopped in the middle of its words
		return err
	}
	if after := retryAfter(resp); after > 0 {
		return later{e, after}
	}
	return e
}

// absentOr turns a 404 in the registry's own words into errAbsent: MANIFEST_UNKNOWN, NAME_UNKNOWN or BLOB_UNKNOWN by the
// specification, NOT_FOUND by Harbor. Anything else with that status may come from what stands in front of it.
func absentOr(err error) error {
	var resp *errcode.ErrorResponse
	if errors.As(err, &resp) && resp.StatusCode == http.StatusNotFound {
		for _, e := range resp.Errors {
			if strings.HasSuffix(e.Code, "_UNKNOWN") || e.Code == "NOT_FOUND" {
				return absence{resp}
			}
		}
	}
	return err
}
