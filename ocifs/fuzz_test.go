package ocifs_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// FuzzReference: what is taken as a reference has a host that is none of the rest, and a prefix that is the name of a
// repository.
func FuzzReference(f *testing.F) {
	for _, s := range []string{"localhost:5000", "http://a/b/c", "https://[::1]:5000/x", "a@b/c", "a:/b", "//", "ftp://a", "a/../b", "a:99999", "A/B", "a//b/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		host, prefix, plain, err := ocifs.ParseReference(ref)
		if err != nil {
			return
		}
		if host == "" || strings.ContainsAny(host, "/@ ") || strings.HasPrefix(prefix, "/") || strings.HasSuffix(prefix, "/") || strings.Contains(prefix, "..") {
			t.Errorf("%q is host %q and prefix %q", ref, host, prefix)
		}
		scheme := map[bool]string{true: "http://", false: "https://"}[plain]
		again := strings.TrimSuffix(scheme+host+"/"+prefix, "/")
		if h, p, plainly, err := ocifs.ParseReference(again); err != nil || h != host || p != prefix || plainly != plain {
			t.Errorf("%q, written %q, is %q %q %t, %v", ref, again, h, p, plainly, err)
		}
	})
}

// TestTagListNonsense: whatever a registry answers to the question for its tags, the listing is an error or has names that a
// name of the tree can be, each once. The JSON is oras-go's to read, and FuzzNameOf has the tags: a fuzzing of the wire would
// minimise for ever, since what runs at once covers other code each time.
func TestTagListNonsense(t *testing.T) {
	hard := []struct{ body, link string }{{`{"tags":["a"]}`, `</v2/x.root/tags/list?last=a>; rel="next"`}, {`{"tags":["a"]}`, `<>; rel=next`},
		{`{"tags":["a"]}`, `<http://169.254.169.254/>; rel="next"`}, {`{"tags":["a"]}`, `<%>; rel="next"`}}
	for _, s := range []string{`{"name":"x","tags":["a","b"]}`, `{"tags":null}`, `{}`, ``, `[]`, `{"tags":["a","a","_d.a","_.a","_.a_2fb","_.","_x.y","_h.z",".","..","a/b"]}`,
		`{"tags":["_.x_00","_._2e_2e"," ","\u0000"]}`, `{"tags":[1]}`, `{"tags":["a"]}{"tags":["b"]}`, `{"errors":[{"code":"NAME_UNKNOWN"}]}`,
		`{"tags":["` + strings.Repeat("a", 300) + `"]}`, `{"tags":["\ud800"]}`, `{"tags":{}}`, strings.Repeat("[", 100_000)} {
		hard = append(hard, struct{ body, link string }{s, ""})
	}
	for _, c := range hard {
		f := newFake(t, registrytest.Defects{}, nil)
		pages := 0
		f.Fail(registrytest.Match{Path: "/tags/list"}, func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			if pages++; c.link != "" && pages < 3 {
				w.Header().Set("Link", c.link)
			}
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(c.body))
		}, 0)
		list, err := f.tree().ReadDir(t.Context(), "/")
		if err != nil && list != nil {
			t.Errorf("%.80q: %d members with %v", c.body, len(list), err)
		}
		seen := map[string]bool{}
		for _, fi := range list {
			if name := fi.Name(); name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || len(name) > 255 || seen[name] {
				t.Errorf("%.80q: there is %q", c.body, name)
			}
			seen[fi.Name()] = true
		}
	}
}

// TestHugeProperties: properties that are said to be larger than ours can be are not fetched into memory, and are none.
func TestHugeProperties(t *testing.T) {
	for _, size := range []string{"10737418240", "65537", "-1"} {
		f := newFake(t, registrytest.Defects{}, nil)
		if err := put(t.Context(), f.tree(), "/f", "content"); err != nil {
			t.Fatal(err)
		}
		blob := f.PutBlob("x.root", []byte(`[{"space":"urn:x","local":"p"}]`))
		config := regexp.MustCompile(`"config":\{[^}]*\}`)
		m := config.ReplaceAll(f.Manifest("x.root", "f"), []byte(`"config":{"mediaType":"application/vnd.ocidav.properties.v1+json","digest":"`+blob.String()+`","size":`+size+`}`))
		f.PutManifest("x.root", "f", "", m)
		rule := f.Fail(registrytest.Match{Path: "/blobs/" + blob.String()}, registrytest.Status(http.StatusInternalServerError), 0)
		tree := f.tree()
		fi, err := tree.Stat(t.Context(), "/f")
		if err != nil {
			t.Fatal(err)
		}
		if props, err := tree.Props(t.Context(), "/f", fi); err != nil || len(props) > 0 || rule.Hits() > 0 {
			t.Errorf("of %s bytes: %v, %v, asked for %d times", size, props, err, rule.Hits())
		}
	}
}
