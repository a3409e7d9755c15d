package probe_test

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocidav/ocifs/probe"
	"ocidav/ocifs/registrytest"
)

// dial gives a client of g, and the repositories that it sees are looked at afterwards.
func dial(t *testing.T, h http.Handler) *remote.Registry {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	reg, err := remote.NewRegistry(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	// Not the default client: whichever server of httptest is closed first takes its connections from the others' tests.
	reg.PlainHTTP, reg.Client = true, &auth.Client{Client: server.Client()}
	return reg
}

// verdicts of a registry that has all of the specification.
var whole = map[string]probe.Verdict{
	"answers as a registry":             probe.Good,
	"uploads: POST, PUT":                probe.Good,
	"manifests: artifactType":           probe.Good,
	"manifests: a tag is replaced":      probe.Good,
	"uploads: streamed (PATCH)":         probe.Good,
	"uploads: one POST":                 probe.Told,
	"uploads: blobs of no bytes":        probe.Told,
	"reading: ranges":                   probe.Good,
	"reading: HEAD tells the digest":    probe.Good,
	"time of one question":              probe.Told,
	"copies: mount":                     probe.Good,
	"names: tags/list":                  probe.Good,
	"names: case of letters":            probe.Good,
	"names: 128 characters":             probe.Good,
	"names: directories in directories": probe.Good,
	"names: _catalog":                   probe.Told,
	"removal: by tag":                   probe.Good,
	"removal: by digest":                probe.Good,
}

// fault is a request that goes wrong.
type fault struct {
	match registrytest.Match
	fault registrytest.Fault
}

// TestVerdicts has each way in which registries differ come out in the finding that it belongs to, and in no other.
func TestVerdicts(t *testing.T) {
	refused := registrytest.Status
	for name, c := range map[string]struct {
		defects registrytest.Defects
		faults  []fault
		front   func(http.Handler) http.Handler
		differs map[string]probe.Verdict
		left    bool   // tags stay behind
		facts   string // but for manifest=artifact,upload=stream,delete=tag
	}{
		"Whole":          {},
		"NoRange":        {defects: registrytest.Defects{NoRange: true}, differs: map[string]probe.Verdict{"reading: ranges": probe.Worse}},
		"NoMount":        {defects: registrytest.Defects{NoMount: true}, differs: map[string]probe.Verdict{"copies: mount": probe.Worse}},
		"MountDenied":    {defects: registrytest.Defects{MountDenied: 403}, differs: map[string]probe.Verdict{"copies: mount": probe.Worse}},
		"KnownTypesOnly": {facts: "manifest=compatible,upload=stream,delete=tag", defects: registrytest.Defects{KnownTypesOnly: true}, differs: map[string]probe.Verdict{"manifests: artifactType": probe.Worse}},
		"IgnorePaging":   {defects: registrytest.Defects{IgnorePaging: true}, differs: map[string]probe.Verdict{"names: tags/list": probe.Worse}},
		"NoTagDelete":    {facts: "manifest=artifact,upload=stream,delete=digest", defects: registrytest.Defects{NoTagDelete: 400}, differs: map[string]probe.Verdict{"removal: by tag": probe.Worse}},
		"TagDeleteUnknown": {facts: "manifest=artifact,upload=stream,delete=digest", defects: registrytest.Defects{TagDeleteUnknown: true},
			differs: map[string]probe.Verdict{"removal: by tag": probe.Worse}},
		"DeleteByTagRemovesManifest": {defects: registrytest.Defects{DeleteByTagRemovesManifest: true},
			differs: map[string]probe.Verdict{"removal: by tag": probe.Worse}},
		"KeepTagged": {defects: registrytest.Defects{KeepTagged: 400}, differs: map[string]probe.Verdict{"removal: by digest": probe.Told}},
		"KeepTaggedAndNoTagDelete": {facts: "manifest=artifact,upload=stream,delete=tombstone",
			defects: registrytest.Defects{KeepTagged: 403, NoTagDelete: 405}, left: true, differs: map[string]probe.Verdict{
				"removal: by tag": probe.Worse, "removal: by digest": probe.Worse, "left behind": probe.Worse}},
		"NoDelete": {facts: "manifest=artifact,upload=stream,delete=tombstone", defects: registrytest.Defects{NoDelete: true}, left: true, differs: map[string]probe.Verdict{
			"removal: by tag": probe.Worse, "removal: by digest": probe.Worse, "left behind": probe.Worse}},
		"OmitDigestHeader": {defects: registrytest.Defects{OmitDigestHeader: true},
			differs: map[string]probe.Verdict{"reading: HEAD tells the digest": probe.Worse}},
		"RefuseEmptyBlob": {defects: registrytest.Defects{RefuseEmptyBlob: 400}},
		"NoCatalog":       {defects: registrytest.Defects{NoCatalog: true}},
		"NoPatch": {facts: "manifest=artifact,upload=monolithic,delete=tag", faults: []fault{{registrytest.Match{Method: "PATCH"}, refused(405, "UNSUPPORTED")}},
			differs: map[string]probe.Verdict{"uploads: streamed (PATCH)": probe.Worse}},
		"PatchLosesBytes": {facts: "manifest=artifact,upload=monolithic,delete=tag", faults: []fault{{registrytest.Match{Method: "PATCH"}, losing}},
			differs: map[string]probe.Verdict{"uploads: streamed (PATCH)": probe.Worse}},
		"Immutable": {faults: []fault{{registrytest.Match{Method: "PUT", Path: "/manifests/probe-[0-9a-f]+$", Skip: 1}, refused(412, "DENIED")}},
			differs: map[string]probe.Verdict{"manifests: a tag is replaced": probe.Broken}},
		"Shallow": {faults: []fault{{registrytest.Match{Method: "POST", Path: "/x.probe/d2/d3"}, refused(403, "DENIED")}},
			differs: map[string]probe.Verdict{"names: directories in directories": probe.Worse}},
		"ShortTags": {faults: []fault{{registrytest.Match{Method: "PUT", Path: "/manifests/.{100}"}, refused(400, "TAG_INVALID")}},
			differs: map[string]probe.Verdict{"names: 128 characters": probe.Worse}},
		"IgnoresCase": {front: caseless, differs: map[string]probe.Verdict{"names: case of letters": probe.Broken}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := registrytest.New(c.defects)
			for _, f := range c.faults {
				g.Fail(f.match, f.fault, 0)
			}
			front := http.Handler(g)
			if c.front != nil {
				front = c.front(g)
			}
			findings, err := probe.Run(t.Context(), dial(t, front), "team/files")
			if err != nil {
				t.Fatal(err)
			}
			got, want := map[string]probe.Verdict{}, maps.Clone(whole)
			maps.Copy(want, c.differs)
			for _, f := range findings {
				if _, twice := got[f.Question]; twice {
					t.Errorf("%q is answered twice", f.Question)
				}
				if got[f.Question] = f.Verdict; f.Verdict != want[f.Question] {
					t.Errorf("%s: %s %s", f.Question, f.Verdict, f.Answer)
				}
			}
			for question := range want {
				if _, ok := got[question]; !ok {
					t.Errorf("%q has no answer", question)
				}
			}
			if got, want := probe.Facts(findings), cmp.Or(c.facts, "manifest=artifact,upload=stream,delete=tag"); got != want {
				t.Errorf("the facts are %s, want %s", got, want)
			}
			if tags := g.Tags("team/files/x.probe"); len(tags) > 0 && !c.left {
				t.Errorf("left behind: %q", tags)
			}
		})
	}
}

// losing takes a PATCH and drops half of it.
func losing(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	data, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(data[:len(data)/2]))
	serve(w, r)
}

// caseless takes names that differ in case for one.
func caseless(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i := strings.LastIndex(r.URL.Path, "/manifests/PROBE"); i >= 0 {
			r.URL.Path = r.URL.Path[:i] + strings.ToLower(r.URL.Path[i:])
		}
		next.ServeHTTP(w, r)
	})
}

// TestNoDrive: what a registry cannot do without is an error, and says why.
func TestNoDrive(t *testing.T) {
	elsewhere := func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Location", "http://other.example/v2/session")
		w.WriteHeader(http.StatusAccepted)
	}
	for name, c := range map[string]struct {
		fault fault
		says  string
	}{
		"Page":      {fault{registrytest.Match{}, registrytest.Page(404)}, "404"},
		"Denied":    {fault{registrytest.Match{Method: "POST"}, registrytest.Status(403, "DENIED")}, "DENIED"},
		"Unknown":   {fault{registrytest.Match{Method: "POST"}, registrytest.Status(404, "NAME_UNKNOWN")}, "NAME_UNKNOWN"},
		"Elsewhere": {fault{registrytest.Match{Method: "POST"}, elsewhere}, "elsewhere"},
		"NoManifest": {fault{registrytest.Match{Method: "PUT", Path: "/manifests/"},
			registrytest.Status(400, "MANIFEST_INVALID")}, "MANIFEST_INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := registrytest.New(registrytest.Defects{})
			g.Fail(c.fault.match, c.fault.fault, 0)
			findings, err := probe.Run(t.Context(), dial(t, g), "")
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q in a line", err, c.says)
			}
			if !slices.ContainsFunc(findings, func(f probe.Finding) bool { return f.Verdict == probe.Broken }) {
				t.Errorf("no finding says so: %v", findings)
			}
		})
	}
}

// TestSilence: a registry that does not answer ends the probe with the context.
func TestSilence(t *testing.T) {
	g := registrytest.New(registrytest.Defects{})
	g.Fail(registrytest.Match{Method: "PATCH"}, registrytest.Stall, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := probe.Run(ctx, dial(t, g), "x"); err == nil {
		t.Error("no error")
	}
	if tags := g.Tags("x/x.probe"); len(tags) > 0 {
		t.Errorf("left behind: %q", tags)
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	err := probe.Table(&out, []probe.Finding{{"a", probe.Good, "", ""}, {"longer", probe.Broken, "why", "delete=tag"}})
	if want := "a       ok  \nlonger  NO  why\n"; err != nil || out.String() != want {
		t.Errorf("%q, %v; want %q", out.String(), err, want)
	}
}
