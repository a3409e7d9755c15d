package integration

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// cadaver runs a script in which all must succeed. Its exit status says nothing, so its words must.
func cadaver(t *testing.T, d *drive, dir, script string) string {
	t.Helper()
	out := runCadaver(t, d, dir, script)
	for _, bad := range []string{"failed", "Could not", "error", "Unrecognised"} {
		if strings.Contains(out, bad) {
			t.Fatalf("cadaver:\n%s", out)
		}
	}
	return out
}

func runCadaver(t *testing.T, d *drive, dir, script string) string {
	t.Helper()
	program := need(t, "cadaver")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-t", d.url+"/")
	cmd.Dir, cmd.Env, cmd.Stdin = dir, environment(d.home), strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("cadaver: %v\n%s", err, out)
	}
	return string(out)
}

func TestCadaver(t *testing.T) {
	eachLayout(t, func(t *testing.T, b backend) {
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

// contains checks that a text has each of the others, in this order.
func contains(t *testing.T, text string, others ...string) {
	t.Helper()
	rest := text
	for _, want := range others {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Errorf("%q is missing, or not in its place, in:\n%s", want, text)
			return
		}
		rest = after
	}
}

// TestCadaverLocks locks, shows, takes over and gives up locks, as one user and as another; cadaver knows only the
// locks that it made in the same run, and gives none up when it ends.
func TestCadaverLocks(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte("content\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out := cadaver(t, d, dir, `mkcol box
put f
set lockowner "mailto:one@localhost"
lock f
discover f
showlocks
put f
propset f colour blue
lock box
discover box
put f box/inside
unlock box
discover box
quit
`)
		token := regexp.MustCompile(`Lock token <(urn:uuid:[0-9a-f-]{36})>:`)
		tokens := token.FindAllStringSubmatch(out, -1)
		if len(tokens) != 3 || tokens[0][1] != tokens[1][1] || tokens[0][1] == tokens[2][1] {
			t.Fatalf("the tokens are %q, want that of f by discover and showlocks, and that of box, in:\n%s", tokens, out)
		}
		depth, scope := "Depth 0 on `"+d.href("/f")+"'", "Scope: exclusive  Type: write  Timeout: "
		contains(t, out, depth, scope, "showlocks", depth, scope, "discover box", "Depth infinity on `"+d.href("/box")+"/'",
			"unlock box", "discover box", "no locks found", "quit")
		// cadaver sends the owner as an href and does not show what is in one; of several locks it shows the last.
		locks := func() string {
			t.Helper()
			body := `<D:propfind xmlns:D="DAV:"><D:prop><D:lockdiscovery/></D:prop></D:propfind>`
			return string(d.do("PROPFIND", "/f", []byte(body), []int{http.StatusMultiStatus}, "Depth", "0").body)
		}
		contains(t, locks(), "owner", "href>mailto:one@localhost</", "owner>", tokens[0][1])

		// Another user may look, and no more.
		refused := []string{"put f", "delete f", "move f g", "copy box/inside f", "lock f", "propset f colour red",
			"propdel f colour"}
		out = runCadaver(t, d, dir, strings.Join(refused, "\n")+"\nget f seen\npropget f colour\nquit\n")
		for _, command := range refused {
			contains(t, out, "> "+command, "failed", "423 Locked")
		}
		if n := strings.Count(out, "423 Locked"); n != len(refused) {
			t.Errorf("%d commands are answered by 423, want %d:\n%s", n, len(refused), out)
		}
		contains(t, out, "Downloading `/f' to seen", "succeeded", "Value of colour is: blue")
		// It asks for the token of a lock that it does not know.
		out = runCadaver(t, d, dir, "unlock f\nurn:uuid:00000000-0000-4000-8000-000000000000\nput f\nquit\n")
		contains(t, out, "Enter locktoken", "failed", "409 Conflict", "put f", "423 Locked")

		out = cadaver(t, d, dir, "showlocks\nsteal f\nshowlocks\nput f\nunlock f\ndiscover f\nput f\nquit\n")
		contains(t, out, "No owned locks", "steal f", "Lock token <"+tokens[0][1]+">", "unlock f", "no locks found", "quit")

		// Two users share a lock, each with its own token; a third may not write.
		share := "set lockscope shared\nset lockdepth 0\nlock f\nput f\n"
		cadaver(t, d, dir, share+"quit\n")
		first := locks()
		cadaver(t, d, dir, share+"showlocks\nunlock f\nlock f\nput f\nquit\n")
		if one, two := strings.Count(first, "activelock>"), strings.Count(locks(), "activelock>"); one != 2 || two != 4 {
			t.Errorf("after one and two shared locks there are %d and %d tags of them, want 2 and 4: %s", one, two, locks())
		}
		contains(t, runCadaver(t, d, dir, "put f\nset lockscope exclusive\nlock f\nquit\n"),
			"put f", "423 Locked", "lock f", "423 Locked")
		held := regexp.MustCompile(`urn:uuid:[0-9a-f-]{36}`).FindAllString(locks(), -1)
		for _, token := range held {
			contains(t, cadaver(t, d, dir, "unlock f\n"+token+"\nquit\n"), "Enter locktoken", "succeeded")
		}
		cadaver(t, d, dir, "put f\nquit\n")

		// A lock of a directory holds for what is in it.
		cadaver(t, d, dir, "lock box\nquit\n")
		out = runCadaver(t, d, dir, "put f box/new\ndelete box/inside\nmkcol box/dir\nmove f box/f\nrmcol box\nquit\n")
		if n := strings.Count(out, "423 Locked"); n != 5 {
			t.Errorf("%d commands in a locked directory are answered by 423, want 5:\n%s", n, out)
		}
		if got := d.names("/box/"); !slices.Equal(got, []string{"inside"}) {
			t.Errorf("/box has %q", got)
		}
		d.want("/f", []byte("content\n"))
	})
}

// TestCadaverProperties sets, lists and removes properties (their values are XML: cadaver escapes nothing), and edits a
// file in a program that it starts.
func TestCadaverProperties(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		dir := t.TempDir()
		// cadaver uploads what has another time than before, in whole seconds.
		editor := "#!/bin/sh\nsleep 1.1\necho edited >>\"$1\"\n"
		if err := os.WriteFile(filepath.Join(dir, "editor"), []byte(editor), 0o700); err != nil {
			t.Fatal(err)
		}
		d.mkcol("/box")
		d.put("/f", []byte("content\n"))
		custom := "http://webdav.org/cadaver/custom-properties/ "
		for _, name := range []string{"f", "box"} {
			out := cadaver(t, d, dir, strings.ReplaceAll(`propset NAME colour blue
propset NAME size "big &amp; wide"
propget NAME colour
propget NAME size
propget NAME
propnames NAME
propset NAME colour red
propdel NAME size
propget NAME
quit
`, "NAME", name))
			contains(t, out, "Value of colour is: blue", "Value of size is: big & wide",
				custom+"colour = blue", "propnames "+name, "DAV: resourcetype", custom+"colour", custom+"size",
				"propdel", "propget", custom+"colour = red", "quit")
			if n := strings.Count(out, custom+"size ="); n != 1 {
				t.Errorf("size is shown %d times, want once before it was removed:\n%s", n, out)
			}
			contains(t, runCadaver(t, d, dir, "propget "+name+" size\nquit\n"), "404 Not Found")
		}
		// They go with a copy and a move, and stay when the content changes.
		contains(t, cadaver(t, d, dir, "copy f g\nmove g h\npropget h colour\nset editor ./editor\nedit f\ncat f\n"+
			"propget f colour\ndiscover f\nquit\n"), "Value of colour is: red", "content\nedited\n",
			"Value of colour is: red", "no locks found")
		d.want("/f", []byte("content\nedited\n"))
		d.want("/h", []byte("content\n"))
		contains(t, cadaver(t, d, dir, "chexec + f\nls\nchexec - f\nls\nquit\n"), "isexecutable `f': succeeded", "*f ",
			"isexecutable `f': succeeded")
	})
}
