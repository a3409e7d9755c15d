package probe

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
)

// streamBytes of one PATCH: GHCR takes 4 MiB and no more.
const streamBytes = 5 << 20

func itoa(n int) string { return strconv.Itoa(n) }

// upload pushes the blob that all else is made of, as a drive does.
func (p *probe) upload(ctx context.Context) error {
	p.blob = unique(4096)
	a, err := p.pushBlob(ctx, p.repo, p.blob)
	if err != nil {
		return fmt.Errorf("push a blob to %s: %w", p.repo, err)
	}
	switch {
	case a.status == http.StatusAccepted:
		p.found("uploads: POST, PUT", Broken, "goes on at another host or nowhere: %q; is a proxy's X-Forwarded-Proto or -Host missing?", a.header.Get("Location"))
		return fmt.Errorf("push a blob to %s: the upload goes on elsewhere", p.repo)
	case a.status == http.StatusNotFound:
		p.found("uploads: POST, PUT", Broken, "%s", a)
		return fmt.Errorf("push a blob to %s: %s: %w", p.repo, a, ErrNoRepository)
	case a.status != http.StatusCreated:
		p.found("uploads: POST, PUT", Broken, "%s", a)
		return fmt.Errorf("push a blob to %s: %s", p.repo, a)
	}
	p.found("uploads: POST, PUT", Good, "")
	if a, err := p.pushBlob(ctx, p.repo, emptyConfig); err != nil || a.status != http.StatusCreated {
		return fmt.Errorf("push the empty config to %s: %s", p.repo, reason(a, err))
	}
	return nil
}

// push puts a manifest on a tag, of the form that the specification has or of the one that older registries take.
func (p *probe) push(ctx context.Context) error {
	p.types = true
	first, err := p.pushManifest(ctx, p.repo, "probe-"+p.mark, p.manifest("first"))
	if err != nil {
		return fmt.Errorf("push a manifest to %s: %w", p.repo, err)
	}
	if first.status == http.StatusCreated {
		p.found("manifests: artifactType", Good, "")
		p.shows("manifest=artifact")
		return nil
	}
	p.types = false
	second, err := p.pushManifest(ctx, p.repo, "probe-"+p.mark, p.manifest("first"))
	if err != nil || second.status != http.StatusCreated {
		p.found("manifests: artifactType", Broken, "%s", first)
		return fmt.Errorf("push a manifest to %s: %s; without artifactType: %s", p.repo, first, reason(second, err))
	}
	p.found("manifests: artifactType", Worse, "refused, the compatible form is taken: %s", first)
	p.shows("manifest=compatible")
	return nil
}

// overwrite asks whether a tag can be pushed again: a drive whose files cannot be overwritten is none.
func (p *probe) overwrite(ctx context.Context) error {
	const question = "manifests: a tag is replaced"
	tag, m := "probe-"+p.mark, p.manifest("second")
	a, err := p.pushManifest(ctx, p.repo, tag, m)
	if err != nil {
		return err
	}
	got, _, err := p.digestAt(ctx, p.repo, tag)
	switch {
	case err != nil:
		return err
	case a.status != http.StatusCreated:
		p.found(question, Broken, "files can be made and not overwritten: %s", a)
	case got != m.digest:
		p.found(question, Broken, "the answer is %s and the tag still has another digest", a)
	default:
		p.found(question, Good, "")
	}
	return nil
}

// stream uploads by POST, one PATCH and PUT, as content goes that arrives while it is sent.
func (p *probe) stream(ctx context.Context) error {
	const question = "uploads: streamed (PATCH)"
	b := unique(streamBytes)
	a, err := p.do(ctx, request{method: "POST", path: "/v2/" + p.repo + "/blobs/uploads/", repo: p.repo})
	if err != nil {
		return err
	}
	to := p.location(a, "")
	if a, err = p.do(ctx, request{method: "PATCH", path: to, repo: p.repo, body: b.data}); err != nil || a.status != http.StatusAccepted {
		p.found(question, Worse, "content is sent when all of it is there: %s", reason(a, err))
		p.shows("upload=monolithic")
		return nil
	}
	to = p.location(a, "digest="+b.digest.String())
	if a, err = p.do(ctx, request{method: "PUT", path: to, repo: p.repo}); err != nil || a.status != http.StatusCreated {
		p.found(question, Worse, "PATCH is taken and then refused: %s", reason(a, err))
		p.shows("upload=monolithic")
		return nil
	}
	whole, err := p.holds(ctx, p.repo, b)
	switch {
	case err != nil:
		return err
	case !whole:
		p.found(question, Broken, "taken, and bytes were lost")
		p.shows("upload=monolithic")
	default:
		p.found(question, Good, "")
		p.shows("upload=stream")
	}
	return nil
}

func reason(a answer, err error) string {
	if err != nil {
		return oneLine(err.Error())
	}
	return a.String()
}

// single uploads by one POST. Ocidav does not do it, others do.
func (p *probe) single(ctx context.Context) error {
	b := unique(512)
	a, err := p.do(ctx, request{method: "POST", path: "/v2/" + p.repo + "/blobs/uploads/?digest=" + b.digest.String(), repo: p.repo, body: b.data})
	if err != nil {
		return err
	}
	p.tell("uploads: one POST", a)
	return nil
}

// empty uploads a blob of no bytes. Ocidav needs none, for not all registries have them.
func (p *probe) empty(ctx context.Context) error {
	a, err := p.pushBlob(ctx, p.repo, newBlob(nil))
	if err != nil {
		return err
	}
	p.tell("uploads: blobs of no bytes", a)
	return nil
}

// tell says whether an upload was taken that a drive does not need.
func (p *probe) tell(question string, a answer) {
	if a.status == http.StatusCreated {
		p.found(question, Told, "yes")
	} else {
		p.found(question, Told, "no: %s", a)
	}
}

// mount makes a blob known in another repository: COPY and MOVE without bytes.
func (p *probe) mount(ctx context.Context) error {
	const question = "copies: mount"
	to := p.repo + "/mount"
	a, err := p.do(ctx, request{method: "POST", repo: to, from: p.repo,
		path: "/v2/" + to + "/blobs/uploads/?mount=" + p.blob.digest.String() + "&from=" + p.repo})
	if err != nil {
		return err
	}
	switch a.status {
	case http.StatusCreated:
		p.found(question, Good, "")
	case http.StatusAccepted:
		p.found(question, Worse, "not taken, COPY and MOVE to another directory send the bytes")
	default:
		p.found(question, Worse, "COPY and MOVE to another directory send the bytes: %s", a)
	}
	return nil
}
