package ocifs_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

func TestPresets(t *testing.T) {
	for host, want := range map[string]string{
		"ghcr.io": "ghcr", "GHCR.IO:443": "ghcr", "notghcr.io": "", "ghcr.io.example.com": "",
		"docker.io": "docker-hub", "registry-1.docker.io": "docker-hub",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com":      "ecr",
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn":  "ecr",
		"123456789012.dkr.ecr-fips.us-east-1.amazonaws.com": "ecr",
		"123456789012.dkr-ecr.eu-west-1.on.aws":             "ecr",
		"s3.amazonaws.com":                                  "", "public.ecr.aws": "ecr-public", "team.azurecr.io": "acr",
		"europe-docker.pkg.dev": "google", "gcr.io": "google", "eu.gcr.io": "google",
		"registry.gitlab.com": "gitlab", "gitlab.com": "", "quay.io": "quay", "codeberg.org": "gitea",
		"localhost:5000": "", "127.0.0.1:5000": "", "[::1]:5000": "", "registry.example.com": "",
	} {
		if got := ocifs.PresetOf(host).Name; got != want {
			t.Errorf("%s has the profile %q, want %q", host, got, want)
		}
	}
}

// TestStreamsNowhere: no host is streamed to that loses streams or counts failed uploads.
func TestStreamsNowhere(t *testing.T) {
	for _, host := range []string{"ghcr.io", "docker.io", "registry-1.docker.io", "1.dkr.ecr.x.amazonaws.com", "public.ecr.aws",
		"x.azurecr.io", "x.pkg.dev", "gcr.io", "eu.gcr.io"} {
		if got := ocifs.PresetOf(host).Upload; got != ocifs.UploadMonolithic {
			t.Errorf("%s: %q", host, got)
		}
	}
}

func TestParseProfile(t *testing.T) {
	for _, c := range []struct{ text, host, want, err string }{
		{"", "localhost", "", ""},
		{"", "ghcr.io", "delete=tombstone,upload=monolithic", ""},
		{"gitlab", "localhost", "delete=tag,manifest=compatible", ""},
		{"none", "ghcr.io", "", ""},
		{"gitlab,delete=digest", "localhost", "delete=digest,manifest=compatible", ""},
		{"delete=tag", "ghcr.io", "delete=tag,upload=monolithic", ""},
		{" gitlab , page=50 ", "", "delete=tag,manifest=compatible,page=50", ""},
		{"delete=tombstone,manifest=compatible,upload=monolithic", "", "delete=tombstone,manifest=compatible,upload=monolithic", ""},
		{"gitlob", "", "", `no profile "gitlob"`},
		{"colour=red", "", "", `"colour=red" is no capability: want delete=value, manifest=value, page=value, upload=value`},
		{"delete=tag,gitlab", "", "", `"gitlab" is no capability`},
		{"gitlab,quay", "", "", `"quay" is no capability`},
		{"delete=never", "", "", "delete=never: want tag or digest or tombstone"},
		{"delete", "", "", `no profile "delete"`},
		{"page=0", "", "", "page=0"},
		{"page=many", "", "", "page=many"},
		{"gitlab,", "", "", "is no capability"},
	} {
		p, err := ocifs.ParseProfile(c.text, c.host)
		switch {
		case c.err == "" && (err != nil || p.String() != c.want):
			t.Errorf("%q at %s is %q, %v; want %q", c.text, c.host, p, err, c.want)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%q: error %v, want %q", c.text, err, c.err)
		}
	}
	for _, name := range ocifs.Presets() { // what a preset says can be said by hand
		p, err := ocifs.ParseProfile(name, "")
		if err != nil {
			t.Fatal(err)
		}
		if said, err := ocifs.ParseProfile(p.String(), ""); err != nil || said.String() != p.String() {
			t.Errorf("%s: %q is read as %q, %v", name, p, said, err)
		}
	}
	for _, c := range []struct{ known, found, want string }{
		{"none", "delete=tag,manifest=artifact,upload=stream", ""},
		{"none", "delete=digest,manifest=artifact,upload=stream", "delete=digest"},
		{"gitlab", "delete=digest,manifest=artifact,upload=stream", "delete=digest,manifest=artifact"},
		{"gitlab", "delete=tag,manifest=compatible", ""},
	} {
		known, _ := ocifs.ParseProfile(c.known, "")
		found, _ := ocifs.ParseProfile(c.found, "")
		if got := known.Unlike(found); got != c.want {
			t.Errorf("%s differs from %s in %q, want %q", c.known, c.found, got, c.want)
		}
	}
}

// TestProfileIsUsed: a tree begins with what it is told, and asks no question whose answer it knows.
func TestProfileIsUsed(t *testing.T) {
	all := registrytest.Defects{NoDelete: true, KnownTypesOnly: true, PatchRefused: 405}
	for text, want := range map[string]map[string]int{
		"none": {"DELETE manifest": 2, "PUT manifest": 6, "PATCH upload": 1}, // learned, once each
		"delete=tombstone,manifest=compatible,upload=monolithic": {"DELETE manifest": 0, "PUT manifest": 4, "PATCH upload": 0},
		"delete=digest": {"DELETE manifest": 1, "PUT manifest": 6, "PATCH upload": 1},
		"gitlab":        {"DELETE manifest": 2, "PUT manifest": 4, "PATCH upload": 1},
	} {
		inBubble(t, all, func(f *fake) {
			f.change = func(o *ocifs.Options) { o.Profile, _ = ocifs.ParseProfile(text, "") }
			tree := f.tree()
			f.must(put(f.Context(), tree, "/a", "a"))
			f.must(put(f.Context(), tree, "/b", large))
			for _, name := range []string{"/a", "/b"} {
				f.must(tree.RemoveAll(f.Context(), name, nil))
				synctest.Wait() // what it learns behind the answer
			}
			for kind, n := range want {
				if got := f.Count(kind); got != n {
					f.Errorf("%s: %d %s, want %d", text, got, kind, n)
				}
			}
			if left := f.tagsOf("x.root"); len(left) > 0 {
				f.Errorf("%s: %q are left", text, left)
			}
		})
	}
	inBubble(t, registrytest.Defects{}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.Profile.Page = 2 }
		f.world()
		tree := f.tree()
		f.ResetCounts()
		f.names(tree, "/")
		if first, n := f.Requests()[0], f.Count("GET tags"); !strings.HasSuffix(first, "/tags/list?n=2") || n < 2 {
			f.Errorf("pages of two: %d, and the first request is %s", n, first)
		}
	})
}

// TestRepositoryHasToExist: a registry that makes no repositories is told of by the name of what has to be made, and by
// how, and nothing is taken for absent that was there.
func TestRepositoryHasToExist(t *testing.T) {
	inBubble(t, registrytest.Defects{NoCreate: true}, func(f *fake) {
		f.change = func(o *ocifs.Options) {
			o.Prefix, o.Profile = "team/files", ocifs.PresetOf("1.dkr.ecr.eu-west-1.amazonaws.com")
			o.Profile.Upload = "" // so that a stream is refused too, and the content is not asked for any more
		}
		tree := f.tree()
		refused := func(what, repo string, err error) {
			f.Helper()
			var e *ocifs.Error
			if !errors.As(err, &e) || e.Class != davfs.ClassDenied ||
				!strings.Contains(err.Error(), "no repository "+repo+" ") || !strings.Contains(err.Error(), "create-repository") {
				f.Errorf("%s: %v, want one that names %s", what, err, repo)
			}
			f.saysNothing(what, err)
		}
		for what, content := range map[string]string{"/small": "x", "/large": large} {
			f.ResetCounts()
			refused("Put "+what, "team/files", put(f.Context(), tree, what, content))
			if n := f.Count("POST upload"); n != 1 {
				f.Errorf("Put %s: it is asked for %d times", what, n)
			}
		}
		refused("Mkdir", "team/files", tree.Mkdir(f.Context(), "/d", nil))
		if _, err := tree.Stat(f.Context(), "/f"); !errors.Is(err, fs.ErrNotExist) {
			f.Errorf("Stat: %v", err)
		}
		f.Make("team/files")
		f.must(put(f.Context(), tree, "/f", "content"))
		f.must(tree.Mkdir(f.Context(), "/d", nil))
		refused("Put", "team/files/d", put(f.Context(), tree, "/d/f", "x"))
		refused("Copy", "team/files/d", copyTo(f.Context(), tree, "/f", "/d/f"))
		refused("Rename", "team/files/d", tree.Rename(f.Context(), "/f", "/d/f", nil))
		if got, err := read(f.Context(), f.tree(), "/f"); err != nil || got != "content" {
			f.Errorf("the source is then %q, %v", got, err)
		}
		f.Make("team/files/d")
		f.must(tree.Rename(f.Context(), "/f", "/d/f", nil))
		if got, err := read(f.Context(), f.tree(), "/d/f"); err != nil || got != "content" {
			f.Errorf("%q, %v", got, err)
		}
	})
}

// TestDepth: where a registry takes no deeper names a directory is there and cannot be written into, which is a refusal
// and no absence.
func TestDepth(t *testing.T) {
	inBubble(t, registrytest.Defects{Depth: 2}, func(f *fake) {
		f.change = func(o *ocifs.Options) { o.Prefix = "team/files" }
		tree := f.tree()
		f.must(put(f.Context(), tree, "/f", "content"))
		f.must(tree.Mkdir(f.Context(), "/d", nil))
		for what, err := range map[string]error{
			"Put": put(f.Context(), tree, "/d/f", "x"), "Rename": tree.Rename(f.Context(), "/f", "/d/f", nil),
		} {
			f.saysNothing(what, err)
			if classOf(err) != davfs.ClassDenied {
				f.Errorf("%s: %v", what, err)
			}
		}
		if got := f.names(f.tree(), "/d"); len(got) > 0 {
			f.Errorf("%q", got)
		}
		if got, err := read(f.Context(), f.tree(), "/f"); err != nil || got != "content" {
			f.Errorf("%q, %v", got, err)
		}
	})
}
