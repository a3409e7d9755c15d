package probe

import (
	"context"
	"net/http"
)

func (p *probe) remove(ctx context.Context, repo, reference string) (answer, error) {
	return p.do(ctx, request{method: "DELETE", path: "/v2/" + repo + "/manifests/" + reference, repo: repo})
}

// deleteTag asks whether DELETE by tag takes away the tag, and nothing but the tag.
func (p *probe) deleteTag(ctx context.Context) error {
	const question = "removal: by tag"
	tag, twin := "probe-"+p.mark+"-del", "probe-"+p.mark+"-twin"
	m := p.manifest("deleted")
	for _, t := range []string{tag, twin} {
		if _, err := p.pushManifest(ctx, p.repo, t, m); err != nil {
			return err
		}
	}
	a, err := p.remove(ctx, p.repo, tag)
	if err != nil {
		return err
	}
	at, _, err := p.digestAt(ctx, p.repo, tag)
	if err != nil {
		return err
	}
	other, _, err := p.digestAt(ctx, p.repo, twin)
	switch {
	case err != nil:
		return err
	case at != "":
		p.found(question, Worse, "%s", a)
	case other != m.digest:
		p.goes = true
		p.found(question, Worse, "takes away the other tags of the manifest too; ocidav's have no others, unless somebody gives them one")
		p.shows("delete=tag")
	default:
		p.byTag, p.goes = true, true
		p.found(question, Good, "")
		p.shows("delete=tag")
	}
	return nil
}

// deleteDigest asks whether DELETE by digest takes away a tagged manifest.
func (p *probe) deleteDigest(ctx context.Context) error {
	const question = "removal: by digest"
	tag, m := "probe-"+p.mark+"-digest", p.manifest("by digest")
	if _, err := p.pushManifest(ctx, p.repo, tag, m); err != nil {
		return err
	}
	a, err := p.remove(ctx, p.repo, m.digest.String())
	if err != nil {
		return err
	}
	at, _, err := p.digestAt(ctx, p.repo, tag)
	fact := ""
	switch {
	case err != nil:
		return err
	case at == "" && a.status == http.StatusAccepted:
		p.found(question, Good, "")
		fact = "delete=digest"
	case p.byTag:
		p.found(question, Told, "%s", a)
	default:
		p.found(question, Worse, "removed files stay as tombstones, small artifacts that are not shown: %s", a)
		fact = "delete=tombstone"
	}
	if !p.goes {
		p.shows(fact)
	}
	return nil
}

// cleanUp removes the tags of this run, as well as it can, and says what stays.
func (p *probe) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout) // for all: the registry may be gone
	defer cancel()
	for _, t := range p.pushed {
		reference := t.digest.String()
		if p.byTag {
			reference = t.tag
		}
		_, _ = p.remove(ctx, t.repo, reference) // what it says is not asked: the tag is
	}
	left := map[string]bool{}
	for _, t := range p.pushed {
		if at, a, err := p.digestAt(ctx, t.repo, t.tag); err != nil || at != "" || a.status != http.StatusNotFound {
			left[t.tag] = true
		}
	}
	if len(left) > 0 {
		p.found("left behind", Worse, "%d tags of %s", len(left), p.repo)
	}
}
