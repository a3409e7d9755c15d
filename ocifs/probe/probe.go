// Package probe finds out what a registry can do, by asking it: which ways of upload, of reading and of removal it has,
// which names and manifests it takes, and where it differs from the OCI distribution specification in what a drive
// needs. [Run] pushes a few small artifacts into two repositories of its own, "x.probe" and "x.probe/mount" under the
// prefix, a name that a drive never shows, and removes what it can; what stays is said.
//
// A drive needs no probe: ocifs learns what it needs while it works, for it has to anyway (a registry may change, and so
// may what stands in front of it). A probe tells a person beforehand what to expect.
//
// Files: the questions in their order (probe.go), requests (wire.go), artifacts (artifact.go), and the questions by
// subject: uploads.go, reading.go, names.go, removal.go.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"oras.land/oras-go/v2/registry/remote"
)

// A Verdict says what an answer means for a drive.
type Verdict int

const (
	Good   Verdict = iota // as the specification has it
	Worse                 // a drive works, with more requests or less comfort
	Broken                // a drive cannot work, or not safely
	Told                  // nothing to judge
)

func (v Verdict) String() string { return [...]string{"ok", "-", "NO", ""}[v] }

// A Finding is what one question has brought to light.
type Finding struct {
	Question string // a few words
	Verdict  Verdict
	Answer   string // one line
	Fact     string // key=value of ocifs.Profile that it shows; empty for none
}

// Facts gives what of a profile the findings show, as ocifs.ParseProfile reads it.
func Facts(findings []Finding) string {
	var facts []string
	for _, f := range findings {
		if f.Fact != "" {
			facts = append(facts, f.Fact)
		}
	}
	return strings.Join(facts, ",")
}

// ErrNoRepository is the end of a probe where a repository is missing that the registry does not make.
var ErrNoRepository = errors.New("the registry makes no repositories by itself, somebody has to")

// Table writes findings for people.
func Table(w io.Writer, findings []Finding) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Question, f.Verdict, f.Answer)
	}
	return t.Flush()
}

// Run probes the registry, whose Client must be set, under prefix, "" for its root. The findings are complete as far as they go, also beside an
// error: a registry that does not answer, takes no credentials, or lets nobody write there. Two probes of one place at a
// time do not disturb each other, except that one may find the other's tags.
func Run(ctx context.Context, registry *remote.Registry, prefix string) ([]Finding, error) {
	p := &probe{registry: registry, repo: join(prefix, "x.probe"), mark: newMark()}
	err := p.ask(ctx)
	p.cleanUp(context.WithoutCancel(ctx))
	if p.limit != "" {
		p.found("rate limits", Told, "%s", p.limit)
	}
	return p.findings, err
}

// ask asks one question after the other. An error: without what was asked for, nothing more can be.
func (p *probe) ask(ctx context.Context) error {
	for _, question := range []func(context.Context) error{
		p.base, p.upload, p.push, p.overwrite, p.stream, p.single, p.empty, p.ranges, p.mount, // what a drive does all day
		p.pages, p.cases, p.longTag, p.depth, p.catalog, // names
		p.deleteTag, p.deleteDigest, // last, for they remove
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := question(ctx); err != nil {
			return err
		}
	}
	return nil
}

// probe is one run.
type probe struct {
	registry *remote.Registry
	repo     string
	mark     string // of this run, in tags and contents, so that nothing is there already
	findings []Finding

	blob   blob     // that upload has pushed
	types  bool     // artifactType is taken
	byTag  bool     // DELETE by tag works, and takes away just the tag
	goes   bool     // it works, whatever else it takes away
	pushed []pushed // what cleanUp removes
	limit  string   // what headers said about rate limits
}

func (p *probe) found(question string, v Verdict, format string, args ...any) {
	p.findings = append(p.findings, Finding{question, v, fmt.Sprintf(format, args...), ""})
}

// shows says what the last finding is worth in a profile.
func (p *probe) shows(fact string) { p.findings[len(p.findings)-1].Fact = fact }

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "/" + name
}

// base asks whether it is a registry, and which.
func (p *probe) base(ctx context.Context) error {
	a, err := p.do(ctx, request{method: "GET", path: "/v2/"})
	if err != nil {
		return fmt.Errorf("registry %s: %w", p.registry.Reference.Registry, err)
	}
	what := a.header.Get("Server")
	if version := a.header.Get("Docker-Distribution-Api-Version"); version != "" {
		what += " " + version
	}
	if a.status != 200 {
		p.found("answers as a registry", Broken, "%s", a)
		return fmt.Errorf("registry %s: GET /v2/: %s", p.registry.Reference.Registry, a)
	}
	p.found("answers as a registry", Good, "%s", what)
	return nil
}
