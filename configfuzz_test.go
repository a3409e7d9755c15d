package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// FuzzConfigFile: whatever is in the file, it is settings that serve has, or one line of complaint with the file's name.
func FuzzConfigFile(f *testing.F) {
	for _, s := range []string{"", "listen: :80\n", "listen: [a\n", "a: &a [*a]\n", "listen: !!binary aGk=\n", "trusted-proxies: [10.0.0.7, 10.0.1.0/24]\n",
		"? {a: b}\n: c\n", "---\n---\n", "listen: |\n  a\n  b\n", "listen: null\n", "<<: {listen: a}\n", "\xff\xfe", "listen: \"\\0\"\n", "- a\n", "listen: 'a'\nlisten: b\n"} {
		f.Add(s)
	}
	file := filepath.Join(f.TempDir(), "drive.yaml")
	f.Fuzz(func(t *testing.T, content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := readSettings(file)
		if err != nil {
			if !errors.As(err, new(usageError)) || !strings.Contains(err.Error(), file) {
				t.Errorf("%q: %v", content, err)
			}
			return
		}
		for name := range s.of {
			if !slices.ContainsFunc(serveFlags(), func(f cli.Flag) bool { return f.Names()[0] == name }) {
				t.Errorf("%q sets %q", content, name)
			}
		}
	})
}
