package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"ocidav/ocifs/registrytest"
)

func TestProfileFlags(t *testing.T) {
	const at = "localhost:1"
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"serve", "--registry", at, "--registry-profile", "gitlob"}, `--registry-profile: there is no profile "gitlob": want ghcr,`},
		{[]string{"serve", "--registry", at, "--registry-profile", "gitlab,colour=red"}, `"colour=red" is no capability`},
		{[]string{"serve", "--registry", at, "--registry-profile", "delete=never"}, "delete=never: want tag or digest or tombstone"},
		{[]string{"serve", "--registry", at, "--registry-rps", "-1"}, "--registry-rps -1"},
		{[]string{"serve", "--registry", at, "--registry-rps", "NaN"}, "--registry-rps NaN"},
		{[]string{"serve", "--registry", at, "--registry-rps", "many"}, "many"},
		{[]string{"serve", "--registry-profile", "gitlab"}, "--registry-profile goes with --registry"},
		{[]string{"serve", "--registry-rps", "5"}, "--registry-rps goes with --registry"},
		{[]string{"serve", "--sole-writer"}, "--sole-writer goes with --registry"},
		{[]string{"probe", "--registry-profile", "gitlob", at}, `there is no profile "gitlob"`},
		{[]string{"probe", "--registry-rps", "-1", at}, "--registry-rps -1"},
	} {
		var out bytes.Buffer
		code := run(t.Context(), append([]string{"ocidav"}, c.args...), &out, &out)
		if code != 2 || !strings.Contains(out.String(), c.says) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%q: exit %d, want 2 and a line with %q:\n%s", c.args, code, c.says, out.String())
		}
	}
	t.Setenv("OCIDAV_REGISTRY_PROFILE", "gitlob")
	var out bytes.Buffer
	if code := run(t.Context(), []string{"ocidav", "serve", "--registry", at}, &out, &out); code != 2 || !strings.Contains(out.String(), "gitlob") {
		t.Errorf("by the variable: exit %d:\n%s", code, out.String())
	}
}

// TestProbeTellsProfile: what a drive would know, what it would have to learn, and the flag that says it beforehand.
func TestProbeTellsProfile(t *testing.T) {
	refused := registrytest.Defects{NoTagDelete: http.StatusMethodNotAllowed, KnownTypesOnly: true}
	for _, c := range []struct {
		name    string
		defects registrytest.Defects
		args    []string
		want    string
	}{
		{"whole", registrytest.Defects{}, nil, "\nprofile none: all is learned\n"},
		{"refused", refused, nil, "\nprofile none: all is learned\n" +
			"found otherwise: delete=digest,manifest=compatible; to say so: --registry-profile delete=digest,manifest=compatible\n"},
		{"known", refused, []string{"--registry-profile", "delete=digest,manifest=compatible"}, "\nprofile none: delete=digest,manifest=compatible\n"},
		{"partly", refused, []string{"--registry-profile", "gitlab", "--registry-rps", "500"},
			"\nprofile gitlab: delete=tag,manifest=compatible; at most 500 requests a second\n" +
				"found otherwise: delete=digest; to say so: --registry-profile gitlab,delete=digest,manifest=compatible\n"},
	} {
		server := httptest.NewServer(registrytest.New(c.defects))
		var out bytes.Buffer
		args := append(append([]string{"ocidav", "probe"}, c.args...), strings.TrimPrefix(server.URL, "http://")+"/team")
		if code := run(t.Context(), args, &out, &out); code != 0 || !strings.HasSuffix(out.String(), c.want) {
			t.Errorf("%s: exit %d, want the end\n%s\n%s", c.name, code, c.want, out.String())
		}
		server.Close()
	}
	server := httptest.NewServer(registrytest.New(registrytest.Defects{NoCreate: true}))
	defer server.Close()
	var out bytes.Buffer
	code := run(t.Context(), []string{"ocidav", "probe", "--registry-profile", "ecr", strings.TrimPrefix(server.URL, "http://")}, &out, &out)
	if code != 1 || !strings.Contains(out.String(), "x.probe") || !strings.Contains(out.String(), "create-repository") {
		t.Errorf("without a repository: exit %d\n%s", code, out.String())
	}
}

// TestSoleWriterFreshness: what a sole writer has been told is good for longer, if nobody says otherwise and no rights hang on it.
func TestSoleWriterFreshness(t *testing.T) {
	for _, c := range []struct {
		args []string
		want time.Duration
	}{
		{nil, 2 * time.Second},
		{[]string{"--sole-writer"}, 10 * time.Minute},
		{[]string{"--sole-writer", "--freshness", "0s"}, 0},
		{[]string{"--sole-writer", "--auth", "registry"}, 2 * time.Second},
	} {
		err := parse(t, func(ctx *cli.Context) error {
			cfg, err := newConfig(ctx)
			if cfg.freshness != c.want || cfg.soleWriter != (c.args != nil) {
				t.Errorf("%q: freshness %s, sole writer %t", c.args, cfg.freshness, cfg.soleWriter)
			}
			return err
		}, append([]string{"--registry", "registry.example.com/team"}, c.args...)...)
		if err != nil {
			t.Error(err)
		}
	}
}
