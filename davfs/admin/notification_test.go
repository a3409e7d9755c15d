package admin

import (
	"slices"
	"strings"
	"testing"
)

// sha is a digest.
const sha = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

// TestNotification reads what registries send, cut to what is read of it.
func TestNotification(t *testing.T) {
	for name, c := range map[string]struct {
		ceType, body string
		want         []change
		bad          string // of the error
	}{
		"distribution: a push": {"", `{"events":[{"id":"1","timestamp":"2026-01-02T03:04:05Z","action":"push","target":{
			"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + sha + `","size":7,"length":7,
			"repository":"team/files/a","url":"http://r/v2/team/files/a/manifests/` + sha + `","tag":"report.pdf"},
			"request":{"method":"PUT"}}]}`, []change{{"team/files/a", "report.pdf"}}, ""},
		"distribution: blobs and manifests by digest move no name": {"", `{"events":[
			{"action":"push","target":{"mediaType":"application/octet-stream","digest":"` + sha + `","repository":"a"}},
			{"action":"mount","target":{"digest":"` + sha + `","repository":"a","fromRepository":"b"}},
			{"action":"pull","target":{"digest":"` + sha + `","repository":"a","tag":"t"}}]}`, nil, ""},
		"distribution: deletions of a tag, a digest, a repository": {"", `{"events":[
			{"action":"delete","target":{"repository":"a","tag":"t"}},{"action":"delete","target":{"repository":"a","tag":"t"}},
			{"action":"delete","target":{"repository":"a","digest":"` + sha + `"}},
			{"action":"delete","target":{"repository":"b"}}]}`, []change{{"a", "t"}, {"a", sha}, {"b", ""}}, ""},
		"distribution: no events":     {"", `{"events":[]}`, nil, ""},
		"distribution: no repository": {"", `{"events":[{"action":"push","target":{"tag":"t"}}]}`, nil, ""},
		"Harbor: a push": {"", `{"type":"PUSH_ARTIFACT","occur_at":1586922308,"operator":"admin","event_data":{"resources":[
			{"digest":"` + sha + `","tag":"latest","resource_url":"h/lib/debian:latest"}],"repository":{"date_created":1,
			"name":"debian","namespace":"lib","repo_full_name":"lib/debian","repo_type":"private"}}}`,
			[]change{{"lib/debian", "latest"}}, ""},
		"Harbor: a deletion is of all tags": {"", `{"type":"DELETE_ARTIFACT","event_data":{"resources":[{"digest":"` + sha +
			`","tag":"latest"}],"repository":{"repo_full_name":"lib/debian"}}}`,
			[]change{{"lib/debian", "latest"}, {"lib/debian", sha}}, ""},
		"Harbor: other events": {"", `{"type":"SCANNING_COMPLETED","event_data":{"resources":[{"tag":"latest"}],"repository":
			{"repo_full_name":"lib/debian"}}}`, nil, ""},
		"Harbor's CloudEvent": {"", `{"specversion":"1.0","id":"x","source":"/projects/2/webhook/policies/15",
			"type":"harbor.artifact.pushed","datacontenttype":"application/json","data":{"resources":[{"digest":"` + sha + `",
			"tag":"stable"}],"repository":{"repo_full_name":"team/app"}},"operator":"robot"}`, []change{{"team/app", "stable"}}, ""},
		"Harbor's CloudEvent of a deletion": {"", `{"specversion":"1.0","type":"harbor.artifact.deleted","data":{"resources":
			[{"digest":"` + sha + `"}],"repository":{"repo_full_name":"team/app"}}}`, []change{{"team/app", sha}}, ""},
		"zot's CloudEvent in binary mode": {"zotregistry.image.updated", `{"name":"a/b","reference":"t","digest":"` + sha + `",
			"mediaType":"application/vnd.oci.image.manifest.v1+json","manifest":"{}"}`, []change{{"a/b", "t"}}, ""},
		"zot's CloudEvent": {"", `{"specversion":"1.0","type":"zotregistry.image.deleted","data":{"name":"a/b","reference":"t"}}`,
			[]change{{"a/b", "t"}}, ""},
		"a CloudEvent of somebody else": {"", `{"specversion":"1.0","type":"com.example.made","data":{"name":"a/b"}}`, nil, ""},

		"not JSON":         {"", `events`, nil, "no JSON"},
		"cut":              {"", `{"events":[{"action":"push"`, nil, "no JSON"},
		"another shape":    {"", `{"events":{"action":"push"}}`, nil, "no JSON"},
		"a list":           {"", `[]`, nil, "no JSON"},
		"nothing of ours":  {"", `{"hello":"world"}`, nil, "neither"},
		"null":             {"", `null`, nil, "neither"},
		"data of no shape": {"", `{"specversion":"1.0","type":"harbor.artifact.pushed","data":"x"}`, nil, "harbor.artifact.pushed"},
	} {
		got, err := parseNotification(c.ceType, []byte(c.body))
		if c.bad == "" && err != nil || c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad)) {
			t.Errorf("%s: error %v, want %q", name, err, c.bad)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// FuzzNotification: whatever comes, no change is without a repository, none is there twice, and none comes with an error.
func FuzzNotification(f *testing.F) {
	f.Add("", `{"events":[{"action":"push","target":{"repository":"a","tag":"t","digest":"`+sha+`"}}]}`)
	f.Add("", `{"events":[{"action":"delete","target":{"repository":"a"}},{"action":"delete","target":{"repository":"a"}}]}`)
	f.Add("", `{"type":"DELETE_ARTIFACT","event_data":{"resources":[{"tag":"t","digest":"d"}],"repository":{"repo_full_name":"a"}}}`)
	f.Add("", `{"specversion":"1.0","type":"harbor.artifact.pushed","data":{"resources":[{"tag":"t"}],"repository":{"repo_full_name":"a"}}}`)
	f.Add("zotregistry.image.deleted", `{"name":"a","reference":"t"}`)
	f.Fuzz(func(t *testing.T, ceType, body string) {
		got, err := parseNotification(ceType, []byte(body))
		if err != nil && len(got) > 0 {
			t.Errorf("%q with the error %v", got, err)
		}
		seen := map[change]bool{}
		for _, c := range got {
			if c.repository == "" || seen[c] {
				t.Errorf("%q of %q", c, got)
			}
			seen[c] = true
		}
	})
}
