package ocifs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// damage is what a question to the registry has brought to light, as its error; any other error is that the question has
// no answer.
type damage struct {
	kind, text string
	digest     digest.Digest // of what is damaged; empty: unknown
}

func (d *damage) Error() string { return d.text }

func (d *damage) severity() string {
	switch d.kind {
	case TagEmpty, MemberMissing, IndexDamaged, HiddenFile, Orphan, LayoutRecord, Tombstones:
		return Litter
	}
	return Damage
}

// damageOf gives the damage that an error is; nil: it is none.
func damageOf(err error) *damage {
	var d *damage
	errors.As(err, &d)
	return d
}

// manifestAt asks for the manifest under a tag, or of a digest. *damage: it is not there, or not what it should be.
func (c *checker) manifestAt(ctx context.Context, repo, reference string) (digest.Digest, []byte, error) {
	r, err := c.repository(repo)
	if err != nil {
		return "", nil, err
	}
	var sum digest.Digest
	var data []byte
	for try := range checkTries {
		sum, data, err = r.fetchManifest(ctx, reference)
		if !brokeOff(err) || try == checkTries-1 || c.wait(ctx) != nil {
			break
		}
	}
	var other *otherManifest
	var gone absence
	switch {
	case err == nil:
		c.heard()
		c.well.Store(&manifestAt{repo, sum})
		return sum, data, nil
	case errors.As(err, &gone):
		err = missing(gone)
	case errors.As(err, &other):
		err = &damage{ManifestDamaged, fmt.Sprintf("the bytes of the manifest have the digest %s, not %s", other.is, other.want), other.want}
	case errors.Is(err, errNoManifest):
		err = &damage{ManifestDamaged, err.Error(), ""}
	case isLost(err), hasCode(err, "MANIFEST_INVALID", "MANIFEST_UNVERIFIED"):
		err = &damage{TagUnreadable, "the registry has the tag and cannot read what it stands for: " + err.Error(), c.linked(repo, reference)}
	default:
		return "", nil, failure(err, "fetch manifest %s in %s", reference, repo)
	}
	return "", nil, err
}

// linked gives the digest that a tag has on this machine, empty if that cannot be known.
func (c *checker) linked(repo, tag string) digest.Digest {
	if c.localTag == nil {
		return ""
	}
	return c.localTag(repo, tag)
}

// brokeOff says whether an answer has broken off, which is worth another question: of those that did not come, or came as a
// refusal, the client has made more than one already.
func brokeOff(err error) bool {
	var asked *url.Error
	var known *Error
	var network net.Error
	switch {
	case err == nil, errors.As(err, &asked), errors.As(err, &known), status(err) != 0, errors.As(err, &network) && network.Timeout():
		return false
	case damageOf(err) != nil, errors.Is(err, errAbsent), errors.Is(err, errNoManifest), errors.As(err, new(*otherManifest)):
		return false
	}
	return true
}

// wait waits between two tries.
func (c *checker) wait(ctx context.Context) error {
	select {
	case <-time.After(checkPause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// missing tells the tag whose manifest is gone, as far as the registry says of which digest, from one that never had one:
// distribution names the revision that is unknown, or the tag. Version 2 does it by fields, version 3 in words.
func missing(gone absence) *damage {
	for _, e := range gone.said.Errors {
		var revision, tag string
		switch detail := e.Detail.(type) {
		case map[string]any:
			revision, _ = detail["Revision"].(string)
			tag, _ = detail["Tag"].(string)
		case string:
			_, revision, _ = strings.Cut(detail, " revision=")
			_, tag, _ = strings.Cut(detail, "unknown tag=")
		}
		if d, err := digest.Parse(revision); err == nil {
			return &damage{ManifestMissing, fmt.Sprintf("the manifest %s, which the tag stands for, is not there", d), d}
		}
		if tag != "" && revision == "" {
			return &damage{TagEmpty, "the tag is listed and stands for nothing: a push or a deletion that did not come to its end", ""}
		}
	}
	return &damage{ManifestMissing, "the tag is listed, and its manifest is not there", ""}
}

// sure asks, and what looks damaged once more. Then it is damage if the registry still answers as it did before, and the tag
// still stands for the same; errStale: it does not.
func (c *checker) sure(ctx context.Context, at spot, ask func(ctx context.Context) error) error {
	err := ask(ctx)
	if damageOf(err) == nil {
		return err
	}
	if err = ask(ctx); damageOf(err) == nil {
		return err
	}
	if e := c.sane(ctx); e != nil {
		return e
	}
	sum, _, e := c.manifestAt(ctx, at.repo, at.tag)
	switch {
	case e != nil && damageOf(e) == nil:
		return e
	case sum != at.digest:
		return errStale
	}
	return err
}

var errStale = errors.New("replaced or removed meanwhile")

// sane asks for something that was well before, so that a registry that has gone mad, or what stands before it, is not taken at
// its word. An error: it is not well any more.
func (c *checker) sane(ctx context.Context) error {
	if m := c.well.Load(); m != nil {
		r, err := c.repository(m.repo)
		if err == nil {
			_, _, err = r.fetchManifest(ctx, m.digest.String())
		}
		if err != nil {
			return failure(err, "what the registry says is not believed, since manifest %s in %s was well a moment ago", m.digest, m.repo)
		}
	} else if err := Ping(ctx, c.registry); err != nil {
		return err
	}
	if j := c.wellOne.Load(); j != nil {
		if err := c.readBlob(ctx, j.at.repo, j.desc); err != nil {
			return failure(err, "what the registry says is not believed, since blob %s in %s was well a moment ago", j.desc.Digest, j.at.repo)
		}
	}
	return nil
}
