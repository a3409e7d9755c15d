package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// forbidden is the import table of the house: prefixes of what a package never imports.
var forbidden = map[string][]string{
	"ocidav/davfs":              {"oras.land/", "github.com/opencontainers/", "ocidav/ocifs", "ocidav/cache", "github.com/urfave/", "github.com/hashicorp/", "github.com/distribution/"},
	"ocidav/davfs/admin":        {"oras.land/", "github.com/opencontainers/", "ocidav/ocifs", "ocidav/cache", "github.com/urfave/", "github.com/hashicorp/", "github.com/distribution/", "golang.org/x/net"},
	"ocidav/davfs/reload":       {"ocidav/", "oras.land/", "github.com/", "golang.org/x/net"},
	"ocidav/davfs/front":        {"ocidav/ocifs", "ocidav/cache", "ocidav/davfs/admin", "oras.land/", "github.com/", "golang.org/x/net"},
	"ocidav/davfs/treetest":     {"oras.land/", "github.com/opencontainers/", "ocidav/ocifs", "ocidav/cache", "github.com/urfave/"},
	"ocidav/ocifs":              {"golang.org/x/net", "ocidav/davfs", "ocidav/cache", "ocidav/ocifs/embedded", "ocidav/ocifs/probe", "ocidav/ocifs/registrytest", "github.com/urfave/", "github.com/hashicorp/", "github.com/distribution/"},
	"ocidav/ocifs/embedded":     {"ocidav/", "github.com/urfave/", "github.com/hashicorp/", "golang.org/x/net"},
	"ocidav/ocifs/foreign":      {"ocidav/", "oras.land/", "golang.org/x/net", "github.com/urfave/", "github.com/hashicorp/", "github.com/distribution/"},
	"ocidav/ocifs/probe":        {"ocidav/", "golang.org/x/net", "github.com/urfave/", "github.com/hashicorp/", "github.com/distribution/"},
	"ocidav/ocifs/registrytest": {"ocidav/", "oras.land/", "github.com/urfave/", "github.com/distribution/"},
	"ocidav/cache":              {"ocidav/", "golang.org/x/net", "oras.land/", "github.com/urfave/", "github.com/distribution/"},
	"ocidav/integration":        {"ocidav/", "oras.land/", "github.com/"},
	"ocidav/integration/bench":  {"ocidav/", "oras.land/", "github.com/"},
	"ocidav/integration/tree":   {"ocidav/", "oras.land/", "github.com/"}, // but for its tests
}

// TestImports holds the packages to the table, by their own imports; and each has one package documentation.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Doc", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath, Doc string
			Imports         []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen[p.ImportPath] = true
		if p.Doc == "" {
			t.Errorf("%s has no package documentation", p.ImportPath)
		}
		table, ok := forbidden[p.ImportPath]
		if !ok && p.ImportPath != "ocidav" {
			t.Errorf("%s is not in the import table", p.ImportPath)
		}
		for _, imported := range p.Imports {
			for _, never := range table {
				if strings.HasPrefix(imported, never) {
					t.Errorf("%s imports %s", p.ImportPath, imported)
				}
			}
		}
	}
	for p := range forbidden {
		if !seen[p] {
			t.Errorf("%s of the import table does not exist", p)
		}
	}
}
