package ocifs

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A Profile is what is known of a registry before it is asked. Each of its capabilities is where a tree begins; what the
// registry then refuses is learned as if nothing had been known, so a profile that is wrong costs requests and no file. The
// zero value knows nothing.
//
// What has no line here needs none, for it shows in each answer or is never asked: ranges and pages that are ignored, a
// mount that becomes an upload, digests that are not told, blobs of no bytes, _catalog.
type Profile struct {
	Name     string // of the preset that it is made from, empty for none
	Delete   string // tag, digest or tombstone: the rung of the removal ladder; see ladder.go
	Manifest string // artifact or compatible: the form of manifests; see artifact.go
	Upload   string // stream or monolithic: of large content, where Options.Upload is UploadAuto; see intake.go
	Page     int    // names to ask for in one page of a tag list

	RPS     float64 // requests in a second that the registry is known to bear; see Pace
	Missing string  // how somebody makes a repository that is not there; empty: the registry makes it
}

// Values of a Profile.
const (
	DeleteTag          = "tag"
	DeleteDigest       = "digest"
	DeleteTombstone    = "tombstone"
	ManifestArtifact   = "artifact"
	ManifestCompatible = "compatible"
)

// preset is a profile by the hosts that it is for (path.Match); one without hosts is for those that run it themselves.
type preset struct {
	hosts   []string
	profile Profile
}

// presets say what documentation, issues and source tell of each; only those that people run themselves were at hand.
var presets = []preset{
	{[]string{"ghcr.io"}, Profile{
		Name: "ghcr", Delete: DeleteTombstone, // 405 for both ways, and a REST interface of its own (fluxcd/pkg#328)
		Upload: UploadMonolithic, // 416 for more than 4 MiB, and several PATCHes lose data (rust-oci-client#35)
		RPS:    30,               // 2,000 requests in a minute (tuist#12321)
	}},
	{[]string{"docker.io", "*.docker.io"}, Profile{
		Name: "docker-hub", Delete: DeleteTombstone, // 405 by tag, 403 by the digest of what has a tag
		Upload: UploadMonolithic, // not known, and an upload that fails counts
	}},
	{[]string{"*.dkr.ecr.*.amazonaws.com", "*.dkr.ecr.*.amazonaws.com.cn", "*.dkr.ecr-fips.*.amazonaws.com", "*.dkr-ecr.*.on.aws"}, Profile{
		Name: "ecr", Upload: UploadMonolithic, // 201 for a PATCH, whose data is lost (aws/containers-roadmap#2831)
		Missing: "aws ecr create-repository --repository-name NAME, or a repository creation template for all under a prefix",
	}},
	{[]string{"public.ecr.aws"}, Profile{
		Name: "ecr-public", Upload: UploadMonolithic,
		Missing: "aws ecr-public create-repository --repository-name NAME",
	}},
	{[]string{"*.azurecr.io"}, Profile{
		Name: "acr", Upload: UploadMonolithic, // streams of more than some 20 MB fail
	}},
	{[]string{"*.pkg.dev", "gcr.io", "*.gcr.io"}, Profile{
		Name: "google", Delete: DeleteTag, // a digest that has a tag is not deleted
		Upload:  UploadMonolithic, // documentation; dotnet/sdk-container-builds#287
		Missing: "gcloud artifacts repositories create, for its second component",
	}},
	{[]string{"registry.gitlab.com"}, Profile{
		Name: "gitlab", Delete: DeleteTag, // since 2023
		Manifest: ManifestCompatible, // a list of types (container-registry#951)
		Missing:  "a project whose path is NAME, or NAME without its last one or two components",
	}},
	{[]string{"quay.io"}, Profile{Name: "quay", Delete: DeleteTag, Page: 100}},
	{[]string{"codeberg.org", "gitea.com"}, Profile{Name: "gitea", Delete: DeleteTag, Page: 100}},
	{nil, Profile{
		Name: "harbor", Delete: DeleteDigest, // UNSUPPORTED by tag
		Missing: "the project that is its first component, in Harbor",
	}},
	{nil, Profile{Name: "distribution-2.8", Delete: DeleteDigest}}, // 400 or 405 by tag
	{nil, Profile{Name: "none"}},
}

// Presets gives the names of the profiles that ParseProfile knows.
func Presets() []string {
	var names []string
	for _, p := range presets {
		names = append(names, p.profile.Name)
	}
	return names
}

// PresetOf gives the profile of the registry at hostport, the zero one if there is none for it.
func PresetOf(hostport string) Profile {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.ToLower(host)
	for _, p := range presets {
		for _, pattern := range p.hosts {
			if ok, _ := path.Match(pattern, host); ok {
				return p.profile
			}
		}
	}
	return Profile{}
}

// capability is a part of a profile that can be written as key=value.
type capability struct {
	values []string // first what a tree begins with where nothing is known; none: any number from one on
	text   func(*Profile) *string
	number func(*Profile) *int
}

var capabilities = map[string]capability{
	"delete":   {values: []string{DeleteTag, DeleteDigest, DeleteTombstone}, text: func(p *Profile) *string { return &p.Delete }},
	"manifest": {values: []string{ManifestArtifact, ManifestCompatible}, text: func(p *Profile) *string { return &p.Manifest }},
	"upload":   {values: []string{UploadStream, UploadMonolithic}, text: func(p *Profile) *string { return &p.Upload }},
	"page":     {number: func(p *Profile) *int { return &p.Page }},
}

func (c capability) set(p *Profile, value string) error {
	if c.number != nil {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return errors.New("want a number from 1 on")
		}
		*c.number(p) = n
		return nil
	}
	if !slices.Contains(c.values, value) {
		return fmt.Errorf("want %s", strings.Join(c.values, " or "))
	}
	*c.text(p) = value
	return nil
}

// get gives what is known, empty for nothing.
func (c capability) get(p Profile) string {
	switch {
	case c.number == nil:
		return *c.text(&p)
	case *c.number(&p) == 0:
		return ""
	}
	return strconv.Itoa(*c.number(&p))
}

// ParseProfile reads a list, with commas, of the name of a preset, if it begins with one, and of key=value, which stand
// above it. Without a name the preset is that of the host.
func ParseProfile(text, host string) (Profile, error) {
	p := PresetOf(host)
	if text == "" {
		return p, nil
	}
	for i, item := range strings.Split(text, ",") {
		key, value, stated := strings.Cut(strings.TrimSpace(item), "=")
		if !stated && i == 0 {
			at := slices.IndexFunc(presets, func(p preset) bool { return p.profile.Name == key })
			if at < 0 {
				return p, fmt.Errorf("there is no profile %q: want %s, or key=value", key, strings.Join(Presets(), ", "))
			}
			p = presets[at].profile
			continue
		}
		c, ok := capabilities[key]
		if !ok || !stated {
			return p, fmt.Errorf("%q is no capability: want %s=value", item, strings.Join(keys(), "=value, "))
		}
		if err := c.set(&p, value); err != nil {
			return p, fmt.Errorf("%s: %w", item, err)
		}
	}
	return p, nil
}

func keys() []string { return slices.Sorted(maps.Keys(capabilities)) }

// String is the list that ParseProfile reads, without the name.
func (p Profile) String() string {
	var list []string
	for _, key := range keys() {
		if value := capabilities[key].get(p); value != "" {
			list = append(list, key+"="+value)
		}
	}
	return strings.Join(list, ",")
}

// Unlike gives of found what a tree with p would have to learn, as a list that ParseProfile reads.
func (p Profile) Unlike(found Profile) string {
	var list []string
	for _, key := range keys() {
		c := capabilities[key]
		known, value := c.get(p), c.get(found)
		if known == "" && len(c.values) > 0 {
			known = c.values[0]
		}
		if value != "" && value != known {
			list = append(list, key+"="+value)
		}
	}
	return strings.Join(list, ",")
}

// begin has the tree begin with what is known.
func (f *FS) begin(p Profile) error {
	for key, c := range capabilities {
		if value := c.get(p); value != "" {
			if err := c.set(&p, value); err != nil {
				return fmt.Errorf("profile: %s=%s: %w", key, value, err)
			}
		}
	}
	f.profile = p
	f.rung.Store(map[string]int32{DeleteDigest: rungDeleteDigest, DeleteTombstone: rungTombstone}[p.Delete])
	f.compatible.Store(p.Manifest == ManifestCompatible)
	f.noStreams.Store(f.upload == UploadAuto && p.Upload == UploadMonolithic)
	return nil
}

// isUnmade says whether a push has failed since there is no such repository: NAME_UNKNOWN by the specification, NOT_FOUND
// from Harbor, of the project.
func isUnmade(err error) bool {
	return status(err) == http.StatusNotFound && hasCode(err, "NAME_UNKNOWN", "NOT_FOUND")
}

// unmade says of the failure of a push that the registry makes no repository by itself, where that is what it has said.
func (f *FS) unmade(repo string, err error) error {
	if !isUnmade(err) {
		return err
	}
	how := ""
	if f.profile.Missing != "" {
		how = " (" + f.profile.Missing + ")"
	}
	return &Error{Class: classDenied, Err: fmt.Errorf("the registry has no repository %s and makes none by itself, it has to be created there%s: %w",
		repo, how, opaque{err})}
}
