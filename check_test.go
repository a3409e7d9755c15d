package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocidav/cache"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// checks runs the command and looks at its end.
func checks(t *testing.T, code int, says string, args ...string) (stdout string) {
	t.Helper()
	var out, errs bytes.Buffer
	got := run(t.Context(), append([]string{"ocidav", "check"}, args...), &out, &errs)
	if got != code || !strings.Contains(out.String()+errs.String(), says) {
		t.Errorf("check %q: exit %d, want %d and %q:\n%s%s", args, got, code, says, out.String(), errs.String())
	}
	if code != 0 && strings.Count(errs.String(), "\n") != 1 {
		t.Errorf("check %q: the reason is not one line: %s", args, errs.String())
	}
	return out.String()
}

// TestCheckCommand on a registry: well, damaged, repaired from the drive's cache, and not there any more.
func TestCheckCommand(t *testing.T) {
	registry := registrytest.New(registrytest.Defects{})
	server := httptest.NewServer(registry)
	defer server.Close()
	dir := filepath.Join(t.TempDir(), "cache")
	ref := server.URL + "/team"
	p := start(t, "--registry", ref, "--cache-dir", dir)
	content := strings.Repeat("0123456789abcdef", 1<<13)
	url := p.url(t)
	request(t, "MKCOL", url+"d", "")
	request(t, http.MethodPut, url+"d/a.txt", content)
	request(t, http.MethodPut, url+"d/b.txt", "b")
	flags := []string{"--registry", ref, "--cache-dir", dir}
	with := func(more ...string) []string { return append(flags[:len(flags):len(flags)], more...) }

	checks(t, 0, "2 directories, 2 files", flags...)
	d := digest.FromString(content)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) { // it comes to the cache behind the answer
		kept, err := cache.OpenWhole(dir, d)
		if err == nil && kept != nil {
			kept.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("what was written is not in the cache: %v", err)
		}
	}
	registry.DropBlob("team/d", d)
	out := checks(t, 1, "damage was found, once", flags...) // the cache is in use, and can be read
	for _, want := range []string{"damage blob-missing: /d/a.txt (team/d:a.txt)\n", "the blob " + d.String() + " is not there\n", "can be repaired: push it again"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	checks(t, 1, "", with("--cache-dir", t.TempDir(), "--repair")...)

	file := filepath.Join(t.TempDir(), "report.json")
	var report ocifs.CheckReport
	checks(t, 1, "damage was found, once", with("--json", file)...)
	text, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(text, &report) != nil || report.Damage != 1 || !report.Complete || report.Findings[0].Kind != ocifs.BlobMissing {
		t.Errorf("report %s, %v", text, err)
	}
	if out := checks(t, 1, "", with("--json", "-", "--quick")...); json.Unmarshal([]byte(out), &report) != nil || !report.Quick || report.Damage != 1 {
		t.Errorf("report %s", out)
	}
	checks(t, 0, "repaired: push it again", with("--repair")...)
	checks(t, 0, "", with("/d/a.txt")...)
	checks(t, 1, "/nowhere", with("/nowhere")...)
	config := write(t, "registry: "+ref+"\nlisten: :1\nfreshness: 1s\n")
	checks(t, 0, "2 files", "--config", config)

	rule := registry.Fail(registrytest.Match{Path: "/blobs/"}, registrytest.Status(404), 0)
	if out := checks(t, 1, "not complete", flags...); rule.Hits() == 0 || strings.Contains(out, "damage ") {
		t.Errorf("a registry that fails: %s", out)
	}
	server.Close()
	checks(t, 1, "registry", flags...)
}

func TestCheckUsage(t *testing.T) {
	data := t.TempDir()
	for _, args := range [][]string{
		{"--layout", "round"}, {"--parallel", "0"}, {"--alone"}, {"--registry", "://"}, {"--registry-username", "u"}, {"--registry-rps", "1"},
		{"--nonsense"}, {"--registry", "localhost:1", "--registry-username", "u"}, {"/d", "--repair"}, {"--repair", "--alone"},
	} {
		checks(t, 2, "", append([]string{"--data", data}, args...)...)
	}
	checks(t, 1, "there is no registry in the data directory", "--data", data)
	if left, _ := os.ReadDir(data); len(left) > 0 {
		t.Errorf("check has made %v", left)
	}
}

// TestCheckData: the embedded registry, refused while its drive runs; a bit that has flipped on the disk is found.
func TestCheckData(t *testing.T) {
	dir := t.TempDir()
	data, kept := filepath.Join(dir, "data"), filepath.Join(dir, "cache")
	p := start(t, "--data", data, "--cache-dir", kept)
	request(t, http.MethodPut, p.url(t)+"a.txt", "hello")
	checks(t, 1, "a running drive is checked by --registry", "--data", data)
	p.end()
	checks(t, 0, "1 directories, 1 files", "--data", data)
	hex := digest.FromString("hello").Encoded()
	blob := filepath.Join(data, "docker/registry/v2/blobs/sha256", hex[:2], hex, "data")
	if err := os.WriteFile(blob, []byte("hullo"), 0o600); err != nil {
		t.Fatal(err)
	}
	checks(t, 1, "damage blob-damaged: /a.txt", "--data", data, "--repair", "--cache-dir", kept)
	file := filepath.Join(kept, "blobs/sha256", hex[:2], hex)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	checks(t, 1, "can be repaired", "--data", data, "--cache-dir", kept)
	checks(t, 0, "repaired: ", "--data", data, "--repair", "--cache-dir", kept)
	checks(t, 0, "", "--data", data, "--cache-dir", t.TempDir())
}

// TestBar: what it tells, where it can be drawn and where not.
func TestBar(t *testing.T) {
	var out bytes.Buffer
	b := newBar(&out)
	now := time.Now()
	b.now = func() time.Time { return now }
	b.show(ocifs.CheckProgress{Files: 1})
	b.end()
	if out.Len() > 0 {
		t.Errorf("too early, or where there is no terminal: %q", out.String())
	}
	now = now.Add(barEvery)
	b.samples = []sample{{now.Add(-barRate / 2), 0}}
	b.show(ocifs.CheckProgress{Files: 12, Bytes: 10 << 20, FoundBytes: 40 << 20, Damage: 2})
	if got := out.String(); got != "checked 12 files, 10.0 MiB of 40.0 MiB and more, 2.0 MiB/s, 2 damaged\n" {
		t.Errorf("line %q", got)
	}
	b.terminal = true
	out.Reset()
	b.show(ocifs.CheckProgress{Files: 12, Bytes: 20 << 20, FoundBytes: 40 << 20, Walked: true, Failure: 1})
	b.end()
	if got := out.String(); !strings.HasPrefix(got, "\r[##########..........] 12 files, 20.0 MiB of 40.0 MiB, 4.0 MiB/s, 5s left, 1 no") || !strings.HasSuffix(got, "\x1b[K\r\x1b[K") {
		t.Errorf("bar %q", got)
	}
	if isTerminal(io.Discard) {
		t.Error("it is no terminal")
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if isTerminal(file) {
		t.Error("a file is no terminal")
	}
}
