package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocidav/cache"
	"ocidav/ocifs/registrytest"
)

// TestCacheCommands on the cache of a drive: refused while it runs, and then told, verified and pruned.
func TestCacheCommands(t *testing.T) {
	server := httptest.NewServer(registrytest.New(registrytest.Defects{}))
	defer server.Close()
	dir := filepath.Join(t.TempDir(), "cache")
	do := func(code int, says string, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if got := run(t.Context(), append(append([]string{"ocidav", "cache"}, args...), "--cache-dir", dir), &out, &out); got != code || !strings.Contains(out.String(), says) {
			t.Errorf("cache %q: exit %d, want %d and %q:\n%s", args, got, code, says, out.String())
		}
		return out.String()
	}
	do(1, "there is no cache in "+dir, "stat")
	if _, err := os.Stat(dir); err == nil {
		t.Error("cache stat has made the directory")
	}

	p := start(t, "--registry", server.URL+"/team", "--cache-dir", dir)
	content := strings.Repeat("0123456789abcdef", 1<<14)
	url := p.url(t)
	request(t, http.MethodPut, url+"a.txt", content)
	request(t, http.MethodGet, url+"a.txt", "")
	if got := do(1, "another process uses the directory", "prune", "--size", "0"); strings.Count(got, "\n") != 1 {
		t.Errorf("more than one line: %s", got)
	}
	p.end()

	var s cache.Usage
	if err := json.Unmarshal([]byte(do(0, "", "stat", "--json")), &s); err != nil || s.Blobs.Files == 0 || s.Bytes < int64(len(content)) || s.Oldest.IsZero() {
		t.Errorf("stat: %+v, %v", s, err)
	}
	do(0, "blobs ", "stat")
	do(0, "damaged and removed 0\n", "verify")
	var v cache.Verified
	if err := json.Unmarshal([]byte(do(0, `"damaged":[]`, "verify", "--json")), &v); err != nil || v.Good.Files != s.Blobs.Files+s.Manifests.Files {
		t.Errorf("verify: %+v, %v", v, err)
	}
	do(0, "removed 0, 0 bytes", "prune", "--older", "1h")
	do(0, "removed 0, 0 bytes", "prune", "--size", "1GiB")
	do(0, "removed ", "prune", "--size", "0")
	do(0, "bytes 0\n", "stat")

	do(2, "--size", "prune")
	do(2, "--older", "prune", "--older", "-1h")
	do(2, "lots", "prune", "--size", "lots")
	do(2, "extra", "stat", "extra")
	do(2, "sweep", "sweep")
}

// TestCacheOfAFile: the commands find the directory where the drive's file has it.
func TestCacheOfAFile(t *testing.T) {
	file := write(t, "cache-dir: /nowhere\njunk: reject\n")
	var out bytes.Buffer
	if code := run(t.Context(), []string{"ocidav", "cache", "stat", "--config", file}, &out, &out); code != 1 || !strings.Contains(out.String(), "there is no cache in /nowhere") {
		t.Errorf("exit %d\n%s", code, out.String())
	}
}
