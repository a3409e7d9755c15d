package probe

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"time"
)

// ranges asks for a part of a blob, how far the registry is, and whether it says digests.
func (p *probe) ranges(ctx context.Context) error {
	a, err := p.do(ctx, request{method: "GET", path: "/v2/" + p.repo + "/blobs/" + p.blob.digest.String(), repo: p.repo,
		header: map[string][]string{"Range": {"bytes=100-199"}}})
	if err != nil {
		return err
	}
	const question = "reading: ranges"
	elsewhere := ""
	if host := p.registry.Reference.Host(); a.url.Host != host {
		elsewhere = "from " + a.url.Host
	}
	switch {
	case a.status == http.StatusPartialContent && bytes.Equal(a.body, p.blob.data[100:200]):
		p.found(question, Good, "%s", elsewhere)
	case a.status == http.StatusOK && bytes.Equal(a.body, p.blob.data):
		p.found(question, Worse, "whole blobs only: the start of a range in a large file takes long; %s", elsewhere)
	default:
		p.found(question, Broken, "wrong bytes: %s %s", a, elsewhere)
	}

	path := "/v2/" + p.repo + "/manifests/probe-" + p.mark
	var took []time.Duration
	for range 5 {
		start := time.Now()
		if a, err = p.do(ctx, request{method: "HEAD", path: path, repo: p.repo, header: manifests}); err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	if a.status == http.StatusOK && a.header.Get("Docker-Content-Digest") != "" {
		p.found("reading: HEAD tells the digest", Good, "")
	} else {
		p.found("reading: HEAD tells the digest", Worse, "manifests are fetched again to see whether they have changed: %s", a)
	}
	p.found("time of one question", Told, "%s", slices.Min(took).Round(10*time.Microsecond))
	return nil
}
