package ocifs

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// CheckReport is what a check has seen. Its fields in JSON, and the words of [Finding], are for programs, and stay.
type CheckReport struct {
	Registry string `json:"registry"`
	Root     string `json:"root"` // repository
	Layout   string `json:"layout"`
	Quick    bool   `json:"quick"`

	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Complete bool      `json:"complete"` // all was looked at: what is not found is not there

	Directories int64 `json:"directories"`
	Files       int64 `json:"files"`
	Artifacts   int64 `json:"artifacts"`  // of others, that are shown as directories or not at all
	Tombstones  int64 `json:"tombstones"` // what is left of removed files where a registry deletes no tags
	Manifests   int64 `json:"manifests"`
	Blobs       int64 `json:"blobs"` // that manifests name, each time that they do
	Bytes       int64 `json:"bytes"` // that were read and hashed: each blob of a repository once, what looks damaged again

	Damage   int `json:"damage"` // findings of each severity that are not repaired
	Litter   int `json:"litter"`
	Repaired int `json:"repaired"`
	Failed   int `json:"failed"` // what the registry failed at

	Findings        []Finding      `json:"findings"`
	OmittedFindings int            `json:"omittedFindings,omitempty"` // beyond 10,000
	Failures        []CheckFailure `json:"failures"`                  // the first 100
}

// A Finding is one thing that is not as it should be.
type Finding struct {
	Kind       string        `json:"kind"`
	Severity   string        `json:"severity"`
	Path       string        `json:"path,omitempty"` // in the drive; a directory's if the tag is not shown there
	Repository string        `json:"repository"`
	Tag        string        `json:"tag,omitempty"`
	Digest     digest.Digest `json:"digest,omitempty"` // of what is damaged
	Count      int           `json:"count,omitempty"`  // of tags, where a finding is of several
	Text       string        `json:"text"`
	Repair     string        `json:"repair,omitempty"`     // RepairPossible, RepairDone or RepairFailed; empty: there is none
	RepairText string        `json:"repairText,omitempty"` // what can be done, was done or has failed
}

// CheckFailure is something that could not be looked at.
type CheckFailure struct {
	Path       string `json:"path,omitempty"`
	Repository string `json:"repository,omitempty"`
	Tag        string `json:"tag,omitempty"`
	Text       string `json:"text"`
}

// Severities of findings.
const (
	Damage = "damage" // something is not there, or not what it was, or not shown
	Litter = "litter" // of no use or of no harm
)

// Kinds of damage.
const (
	ManifestMissing = "manifest-missing" // the tag is listed, and the manifest that it stands for is not there
	ManifestDamaged = "manifest-damaged" // it has other bytes than its digest says, or is none
	TagUnreadable   = "tag-unreadable"   // the registry has the tag and cannot say of what
	MarkerDamaged   = "marker-damaged"   // under the tag of a directory stands something else
	NameMismatch    = "name-mismatch"    // the tag is not that of the name in the manifest, so that it is not shown
	BlobMissing     = "blob-missing"
	BlobDamaged     = "blob-damaged" // other bytes than its digest says, or another number of them
)

// Kinds of litter.
const (
	TagEmpty      = "tag-empty"      // the tag is listed and stands for nothing: a push that did not come to its end
	MemberMissing = "member-missing" // an index of others names a manifest that is not there, which may be meant so
	IndexDamaged  = "index-damaged"  // a directory index, which is a hint; it is asked for no more than that
	HiddenFile    = "hidden-file"    // a file under a directory of the same name
	Orphan        = "orphan"         // tags of ours in a directory that no marker leads to
	LayoutRecord  = "layout-record"  // both layouts are recorded, and the drive has one
	Tombstones    = "tombstones"     // they are left though the registry deletes tags
)

// What has become of a repair.
const (
	RepairPossible = "possible"
	RepairDone     = "done"
	RepairFailed   = "failed"
)

// problem is a finding with what can be done about it. A remedy says what, and gives the function that does it; nil if nothing
// can be.
type problem struct {
	Finding
	remedy func(ctx context.Context) (text string, do func(ctx context.Context) error)
}

// spot is where something is.
type spot struct {
	path, repo, tag string
	digest          digest.Digest // of the manifest under the tag
}

// find takes a finding into the report.
func (c *checker) find(n problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.Severity == Damage {
		c.report.Damage++
	} else {
		c.report.Litter++
	}
	if len(c.found) == checkFindings {
		c.report.OmittedFindings++
		return
	}
	c.found = append(c.found, &n)
}

// foundAt gives a finding of that damage.
func foundAt(at spot, d *damage) problem {
	return problem{Finding: Finding{
		Kind: d.kind, Severity: d.severity(), Path: at.path, Repository: at.repo, Tag: at.tag, Digest: d.digest, Text: d.text,
	}}
}

// end gives the report. whole: the check has come to its end.
func (c *checker) end(whole bool) CheckReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.report
	r.Directories, r.Files, r.Artifacts = c.directories.Load(), c.files.Load(), c.others.Load()
	r.Tombstones, r.Manifests, r.Blobs, r.Bytes = c.tombs.Load(), c.manifests.Load(), c.blobs.Load(), c.read.Load()
	r.Finished, r.Complete = time.Now().UTC(), whole && r.Failed == 0
	for _, n := range c.found {
		r.Findings = append(r.Findings, n.Finding)
	}
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Repository, b.Repository),
			cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Kind, b.Kind))
	})
	return *r
}
