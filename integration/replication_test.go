package integration

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// repositories are those of the registry, as its catalog has them.
func (c ociClient) repositories() []string {
	c.t.Helper()
	var list struct{ Repositories []string }
	if err := json.Unmarshal(c.do(http.MethodGet, "/v2/_catalog?n=1000", nil, 200).body, &list); err != nil {
		c.t.Fatal(err)
	}
	return list.Repositories
}

// replicators are the ways in which tools copy a repository to another registry, all tags of it as Harbor's replication does.
var replicators = map[string]func(x ociTools, from, to string, tags []string){
	"oras": func(x ociTools, from, to string, tags []string) {
		for _, tag := range tags {
			x.oras("cp", "--recursive", from+":"+tag, to+":"+tag)
		}
	},
	"crane": func(x ociTools, from, to string, _ []string) { x.crane("copy", "--all-tags", from, to) },
	"skopeo": func(x ociTools, from, to string, tags []string) {
		for _, tag := range tags {
			x.skopeoCopy("docker://"+from+":"+tag, "docker://"+to+":"+tag)
		}
	},
}

// TestReplication copies a registry repository by repository to one of another kind: what is served from there is the same
// drive.
func TestReplication(t *testing.T) {
	for tool, replicate := range replicators {
		t.Run(tool+"-from-"+onEmbedded, func(t *testing.T) {
			t.Parallel()
			testReplication(t, tool, replicate, backend{}, backend{registry: startRegistry(t, true)})
		})
		t.Run(tool+"-from-"+onKeeping, func(t *testing.T) { // what is removed there is a tombstone
			t.Parallel()
			testReplication(t, tool, replicate, backend{registry: startRegistry(t, false)}, backend{})
		})
	}
	t.Run("crane-from-"+onKeeping+"-flat", func(t *testing.T) {
		t.Parallel()
		source := backend{registry: startRegistry(t, false), flags: []string{"--layout", "flat"}}
		testReplication(t, "crane", replicators["crane"], source, backend{})
	})
}

func testReplication(t *testing.T, tool string, replicate func(x ociTools, from, to string, tags []string), source, target backend) {
	x := newOCITools(t, tool)
	d := source.startShown(t, "--part-size", "1MiB")
	d.furnish()
	before := d.appearance("/")
	for _, has := range []string{"urn:x", "text/x-1", "Sun, 02 Jan 2000 00:00:00 GMT", "MD5:"} { // or nothing is compared
		if !strings.Contains(before["/docs/"], has) {
			t.Fatalf("%q is missing in %s", has, before["/docs/"])
		}
	}
	d.stop() // so that the registry holds what removals leave, too
	d.start()

	// The embedded registry is there when its drive is; the other's drive starts on what has come.
	var other *drive
	if target.embedded() {
		other = target.startShown(t, source.flags...)
	}
	from, root := source.oci(t, d)
	to, otherRoot := target.oci(t, other)
	for _, repository := range from.repositories() {
		there := otherRoot + strings.TrimPrefix(repository, root)
		switch repository {
		case "x.root":
			there = strings.TrimSuffix(otherRoot, "/")
		case testPrefix:
			there = "x.root"
		}
		tags := from.tags(repository)
		if len(tags) == 0 {
			continue
		}
		replicate(x, hostOf(from)+"/"+repository, hostOf(to)+"/"+there, tags)
		if got := to.tags(there); !slices.Equal(got, tags) {
			t.Errorf("%s has the tags %q, want %q", there, got, tags)
		}
	}
	if other == nil {
		other = target.startShown(t) // the layout is recorded in what has come
	}
	wantSame(t, other.appearance("/"), before)

	// It is no copy to look at only.
	other.do("MOVE", "/docs", nil, made, "Destination", other.href("/moved"))
	other.put("/moved/report.pdf", []byte("changed"))
	if got := slices.Sorted(maps.Keys(other.tree("/"))); len(got) != len(d.tree("/")) {
		t.Errorf("after a move there is %q", got)
	}
	wantSame(t, d.appearance("/"), before)
	if len(source.flags) > 0 { // the layout flat has no repository of a directory
		return
	}

	// One directory alone is restored into one that is there.
	other.mkcol("/restored")
	replicate(x, hostOf(from)+"/"+root+"docs/2026", hostOf(to)+"/"+otherRoot+"restored", from.tags(root+"docs/2026"))
	eventually(t, 10*time.Second, "the directory is not restored", func() bool {
		return slices.Equal(other.names("/restored/"), d.names("/docs/2026/"))
	})
	for name, m := range d.list("/docs/2026/") {
		if got := other.list("/restored/")[name]; got != m {
			t.Errorf("%s is restored as %+v, is %+v", name, got, m)
		}
	}
}
