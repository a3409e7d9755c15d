//go:build !noembed

package embedded

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestMend: a blob's file is replaced by what has its digest, and by nothing else; and no part of it is left.
func TestMend(t *testing.T) {
	r, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := digest.FromString("content")
	file := filepath.Join(r.tree.blob(d), "data")
	want := func(content string) {
		t.Helper()
		got, err := os.ReadFile(file)
		if content == "" && os.IsNotExist(err) {
			return
		}
		if string(got) != content || err != nil {
			t.Errorf("it is %q, %v, want %q", got, err, content)
		}
		if names, err := os.ReadDir(filepath.Dir(file)); err != nil || len(names) != 1 {
			t.Errorf("beside it lie %v, %v", names, err)
		}
	}
	if err := r.Mend(t.Context(), d, strings.NewReader("other")); err == nil {
		t.Error("other content is taken")
	}
	want("")
	if err := r.Mend(t.Context(), d, strings.NewReader("content")); err != nil {
		t.Error(err)
	}
	want("content")
	if err := os.WriteFile(file, []byte("kontent"), 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range map[string]error{
		"other content": r.Mend(t.Context(), d, strings.NewReader("contents")),
		"a part":        r.Mend(t.Context(), d, io.LimitReader(strings.NewReader("content"), 3)),
		"after the end": r.Mend(ended, d, strings.NewReader("content")),
		"no digest":     r.Mend(t.Context(), "sha256:..", strings.NewReader("content")),
	} {
		if err == nil {
			t.Errorf("%s is taken", what)
		}
		want("kontent")
	}
	if err := r.Mend(t.Context(), d, strings.NewReader("content")); err != nil {
		t.Error(err)
	}
	want("content")
	r.Close()
	if err := r.Mend(t.Context(), d, strings.NewReader("content")); err == nil {
		t.Error("a closed registry is mended")
	}
}
