package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLayout: the layout of a drive is chosen once, found again without the flag, and another one is refused in one line.
func TestLayout(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := start(t, "--data", data, "--layout", "flat")
	url := p.url(t)
	if code, _ := request(t, "MKCOL", url+"d", ""); code != http.StatusCreated {
		t.Errorf("MKCOL: %d", code)
	}
	if code, _ := request(t, http.MethodPut, url+"d/a.txt", "hello"); code != http.StatusCreated {
		t.Errorf("PUT: %d", code)
	}
	if code := p.end(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if repositories, _ := os.ReadDir(filepath.Join(data, "docker/registry/v2/repositories")); len(repositories) != 1 {
		t.Errorf("there are %v, want one repository", repositories)
	}

	p = start(t, "--data", data)
	p.line(t, `^registry embedded, in (\S+), layout flat$`)
	if code, got := request(t, http.MethodGet, p.url(t)+"d/a.txt", ""); code != http.StatusOK || got != "hello" {
		t.Errorf("GET without the flag: %d, %q", code, got)
	}
	p.end()

	p = start(t, "--data", data, "--layout", "path")
	if code := <-p.code; code != 1 {
		t.Errorf("another layout: exit %d, want 1", code)
	}
	p.code = nil
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	if last := lines[len(lines)-1]; last != "ocidav: the drive in x.root has the layout flat, not path: say --layout flat, or leave --layout out" {
		t.Errorf("it says %q", last)
	}
}

// TestLayoutOnlyRead: who only reads records nothing.
func TestLayoutOnlyRead(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := start(t, "--data", data, "--layout", "flat", "--read-only")
	p.url(t)
	p.end()
	if repositories, _ := os.ReadDir(filepath.Join(data, "docker/registry/v2/repositories")); len(repositories) > 0 {
		t.Errorf("there are %v", repositories)
	}
	p = start(t, "--data", data)
	p.line(t, `^registry embedded, in (\S+), layout path$`)
}
