package integration

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// cadaver runs a script. Its exit status says nothing, so its words must.
func cadaver(t *testing.T, d *drive, dir, script string) string {
	t.Helper()
	program := need(t, "cadaver")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-t", d.url+"/")
	cmd.Dir, cmd.Env, cmd.Stdin = dir, environment(d.home), strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	for _, bad := range []string{"failed", "Could not", "error", "Unrecognised"} {
		if err != nil || bytes.Contains(out, []byte(bad)) {
			t.Fatalf("cadaver: %v\n%s", err, out)
		}
	}
	return string(out)
}

func TestCadaver(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		dir := t.TempDir()
		content := map[string][]byte{"one.txt": []byte("one\n"), "two words.bin": random(3 << 20), "empty": {}}
		for name, c := range content {
			if err := os.WriteFile(filepath.Join(dir, name), c, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out := cadaver(t, d, dir, `mkcol box
cd box
put one.txt
put "two words.bin"
put empty
ls
get one.txt got-one
get "two words.bin" got-two
copy one.txt copy.txt
move copy.txt moved.txt
get moved.txt got-moved
mkcol inner
move moved.txt inner
propset one.txt colour blue
propget one.txt colour
delete one.txt
cd ..
copy box/inner box2
move box2 box3
ls box3
quit
`)
		for _, want := range []string{"two words.bin", "blue", "moved.txt"} {
			if !strings.Contains(out, want) {
				t.Errorf("cadaver did not say %q:\n%s", want, out)
			}
		}
		for got, name := range map[string]string{"got-one": "one.txt", "got-two": "two words.bin", "got-moved": "one.txt"} {
			if c, err := os.ReadFile(filepath.Join(dir, got)); err != nil || !bytes.Equal(c, content[name]) {
				t.Errorf("cadaver got %s with %d bytes, want the %d of %s (%v)", got, len(c), len(content[name]), name, err)
			}
		}
		for name, want := range map[string][]string{
			"/": {"box", "box3"}, "/box/": {"empty", "inner", "two words.bin"},
			"/box/inner/": {"moved.txt"}, "/box3/": {"moved.txt"},
		} {
			if got := d.names(name); !slices.Equal(got, want) {
				t.Errorf("%s has %q, want %q", name, got, want)
			}
		}
		d.want("/box3/moved.txt", content["one.txt"])
		d.want("/box/empty", nil)

		cadaver(t, d, dir, "rmcol box\nrmcol box3\nquit\n")
		if got := d.names("/"); len(got) != 0 {
			t.Errorf("after rmcol / has %q", got)
		}
	})
}
