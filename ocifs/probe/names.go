package probe

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// tags gives a page of the list of tags.
func (p *probe) tags(ctx context.Context, query string) (names []string, a answer, err error) {
	a, err = p.do(ctx, request{method: "GET", path: "/v2/" + p.repo + "/tags/list" + query, repo: p.repo})
	if err != nil {
		return nil, a, err
	}
	var list struct{ Tags []string }
	_ = json.Unmarshal(a.body, &list) // then there are none
	return list.Tags, a, nil
}

// pages asks for a page of one tag, where there are two at least.
func (p *probe) pages(ctx context.Context) error {
	second := "probe-" + p.mark + "-2"
	if _, err := p.pushManifest(ctx, p.repo, second, p.manifest("another")); err != nil {
		return err
	}
	all, a, err := p.tags(ctx, "?n=1000")
	if err != nil {
		return err
	}
	if !slices.Contains(all, second) && a.header.Get("Link") == "" {
		p.found("names: tags/list", Broken, "a tag that was just pushed is not in it: %s", a)
		return nil
	}
	one, a, err := p.tags(ctx, "?n=1")
	switch {
	case err != nil:
		return err
	case len(one) == 1 && strings.Contains(a.header.Get("Link"), "next"):
		p.found("names: tags/list", Good, "in pages")
	case len(one) > 1:
		p.found("names: tags/list", Worse, "all in one page, whatever is asked for")
	default:
		p.found("names: tags/list", Broken, "a page of one has %d tags and no link to the next", len(one))
	}
	return nil
}

// cases asks whether two tags that differ in case are two.
func (p *probe) cases(ctx context.Context) error {
	lower, upper := p.manifest("lower"), p.manifest("upper")
	base := "probe-" + p.mark + "-case"
	for tag, m := range map[string]blob{base: lower, strings.ToUpper(base): upper} {
		if a, err := p.pushManifest(ctx, p.repo, tag, m); err != nil {
			return err
		} else if a.status != http.StatusCreated {
			p.found("names: case of letters", Broken, "%s", a)
			return nil
		}
	}
	one, _, err := p.digestAt(ctx, p.repo, base)
	if err != nil {
		return err
	}
	two, _, err := p.digestAt(ctx, p.repo, strings.ToUpper(base))
	switch {
	case err != nil:
		return err
	case one == lower.digest && two == upper.digest:
		p.found("names: case of letters", Good, "")
	default:
		p.found("names: case of letters", Broken, "names that differ in case overwrite each other")
	}
	return nil
}

// longTag pushes the longest tag of the specification, with all that may be in it.
func (p *probe) longTag(ctx context.Context) error {
	tag := "_." + p.mark + "-"
	tag += strings.Repeat("_20", 42)[:128-len(tag)]
	a, err := p.pushManifest(ctx, p.repo, tag, p.manifest("long"))
	switch {
	case err != nil:
		return err
	case a.status == http.StatusCreated:
		p.found("names: 128 characters", Good, "")
	default:
		p.found("names: 128 characters", Worse, "long names and those with other letters are refused: %s", a)
	}
	return nil
}

// depth pushes into nested repositories.
func (p *probe) depth(ctx context.Context) error {
	repo, deepest := p.repo, 0
	var refused answer
	for i, name := range []string{"d2", "d3.x", "d4_x", "d5-x", "blob", "d7", "d8"} {
		repo += "/" + name
		a, err := p.pushBlob(ctx, repo, emptyConfig)
		if err != nil {
			return err
		}
		if a.status != http.StatusCreated {
			refused = a
			break
		}
		deepest = i + 1
	}
	if refused.status == 0 {
		p.found("names: directories in directories", Good, "%d deep, and more", deepest)
	} else {
		p.found("names: directories in directories", Worse, "%d deep: %s", deepest, refused)
	}
	return nil
}

// catalog asks for the list of repositories, which is no part of the specification.
func (p *probe) catalog(ctx context.Context) error {
	a, err := p.do(ctx, request{method: "GET", path: "/v2/_catalog?n=1"})
	if err != nil {
		return err
	}
	if a.status == http.StatusOK && json.Valid(a.body) {
		p.found("names: _catalog", Told, "yes")
	} else {
		p.found("names: _catalog", Told, "no, a drive needs none: %s", a)
	}
	return nil
}
