package integration

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// rclone runs one command against the drive and gives what it says. It knows the drive as dav:, a server of which it
// expects nothing special, and as oc:, one that keeps times and checksums as ownCloud does.
func rclone(t testing.TB, d *drive, args ...string) string {
	t.Helper()
	out, err := runRclone(t.Context(), need(t, "rclone"), d, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func rcloneEnvironment(d *drive) []string {
	return environment(d.home, "RCLONE_CONFIG=/dev/null",
		"RCLONE_CONFIG_DAV_TYPE=webdav", "RCLONE_CONFIG_DAV_URL="+d.url, "RCLONE_CONFIG_DAV_VENDOR=other",
		"RCLONE_CONFIG_OC_TYPE=webdav", "RCLONE_CONFIG_OC_URL="+d.url, "RCLONE_CONFIG_OC_VENDOR=owncloud")
}

func runRclone(ctx context.Context, program string, d *drive, args ...string) (string, error) {
	return runRcloneInput(ctx, program, d, "", args...)
}

func runRcloneInput(ctx context.Context, program string, d *drive, input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	// One try: a command that only succeeds when it is repeated is a fault of ours.
	cmd := exec.CommandContext(ctx, program, append(args, "--retries", "1", "--stats", "0")...)
	cmd.Env, cmd.Stdin = rcloneEnvironment(d), strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("rclone %s: %v\n%s", strings.Join(args, " "), err, tail(string(out), 20))
	}
	return string(out), nil
}

// rcloneParts runs a command for each part of the tree at once. Debian's rclone makes 100 requests a second at most, so
// one alone would be the slowest thing in the test.
func rcloneParts(t *testing.T, d *drive, parts []string, args func(part string) []string) {
	t.Helper()
	program := need(t, "rclone")
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Go(func() {
			if _, err := runRclone(t.Context(), program, d, args(part)...); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// copyTree copies the regular files below each of names in the Go tree to dir and gives their number.
func copyTree(t testing.TB, dir string, names ...string) int {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		from := filepath.Join(strings.TrimSpace(string(root)), "src", filepath.FromSlash(name))
		err := filepath.WalkDir(from, func(file string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			n++
			return writeFile(filepath.Join(dir, filepath.FromSlash(name), strings.TrimPrefix(file, from)), content)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func writeFile(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o600)
}

// TestRclone moves a real tree in, compares every byte, changes it and takes it away.
func TestRclone(t *testing.T) {
	eachLayout(t, func(t *testing.T, b backend) {
		need(t, "rclone")
		parts := []string{"net"}
		switch {
		case b.name == onKeeping:
			parts = []string{"net/http"} // for each file two manifests more
		case b.embedded() && b.flags == nil && !testing.Short():
			parts = []string{"net", "go", "syscall", "crypto/x509", "crypto/internal", "internal/types"} // 2,500 files
		}
		d := b.start(t)
		src := t.TempDir()
		n := copyTree(t, src, parts...)
		start := time.Now()
		rcloneParts(t, d, parts, func(part string) []string {
			return []string{"copy", filepath.Join(src, filepath.FromSlash(part)), "dav:go/src/" + part}
		})
		t.Logf("%d files copied in %s", n, time.Since(start).Round(time.Millisecond))
		start = time.Now()
		rcloneParts(t, d, parts, func(part string) []string {
			return []string{"check", filepath.Join(src, filepath.FromSlash(part)), "dav:go/src/" + part, "--download"}
		})
		t.Logf("%d files compared in %s", n, time.Since(start).Round(time.Millisecond))
		src = filepath.Join(src, "net") // one part is enough for the rest
		check := func(from, to string) {
			t.Helper()
			if out := rclone(t, d, "check", from, to, "--download"); !strings.Contains(out, " 0 differences found") {
				t.Errorf("rclone check: %s", tail(out, 5))
			}
		}

		// Changes: one file longer, one new, one away, one directory away; sync must do these and no others.
		changed := filepath.Join(src, "http", "server.go")
		before, err := os.ReadFile(changed)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(changed, append(before, "// one line more\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(filepath.Join(src, "new", "file.go"), []byte("package new\n")); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"http/client.go", "url"} {
			if err := os.RemoveAll(filepath.Join(src, filepath.FromSlash(name))); err != nil {
				t.Fatal(err)
			}
		}
		rclone(t, d, "sync", src, "dav:go/src/net", "--size-only", "--delete-during")
		check(src, "dav:go/src/net")
		d.wantAbsent("/go/src/net/http/client.go", "/go/src/net/url/url.go")

		rclone(t, d, "moveto", "dav:go/src/net/http", "dav:go/http")
		check(filepath.Join(src, "http"), "dav:go/http")
		d.wantAbsent("/go/src/net/http", "/go/src/net/http/server.go")
		rclone(t, d, "copyto", "dav:go/http/server.go", "dav:go/server.go")
		rclone(t, d, "moveto", "dav:go/http", "dav:go/src/net/http")
		d.do(http.MethodHead, "/go/server.go", nil, okay)
		check(filepath.Join(src, "http", "httptest"), "dav:go/src/net/http/httptest")

		rclone(t, d, "deletefile", "dav:go/server.go")
		rclone(t, d, "purge", "dav:go")
		d.wantAbsent("/go", "/go/src", "/go/src/net/dial.go", "/go/server.go")
		if got := d.names("/"); len(got) != 0 {
			t.Errorf("after purge / has %q", got)
		}
	})
}

// oddNames are paths that some registry, URL or XML does not take as they are.
var oddNames = []string{
	"with space.txt", "März/Übersicht 2026.txt", "日本/語.txt", "emoji 😀.txt", "a+b&c=d;e,f.txt", "100%.txt",
	"per%20cent.txt",
	"hash#question?.txt", "quote'\"quote.txt", "[brackets] {braces}.txt", "~tilde", "-dash", ".hidden/.also", "_under",
	"_.esc", "a..b/c--d/e__f",
	"_d.marker", "_x.reserved", "x.root/x", "UPPER/lower/MiXed.TXT", "upper/LOWER/mixed.txt", "blobs/manifests/tags/list",
	"ends.", "two  spaces/x", "back\\slash", "colon:at@x", "in/colon:at@x", "sha256-" + strings.Repeat("0f", 32),
	"index.json/oci-layout", "$dollar!(x)*",
	strings.Repeat("long-", 50) + "x", strings.Repeat("ü", 120), "deep/1/2/3/4/5/6/7/8/9/file",
}

// TestRcloneOddNames brings them there and back.
func TestRcloneOddNames(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		need(t, "rclone")
		d := b.start(t)
		src := t.TempDir()
		for _, name := range oddNames {
			if err := writeFile(filepath.Join(src, name), []byte("content of "+name)); err != nil {
				t.Fatal(err)
			}
		}
		rclone(t, d, "copy", src, "dav:")
		rclone(t, d, "check", src, "dav:", "--download")
		for _, name := range oddNames {
			d.want("/"+name, []byte("content of "+name))
		}
		back := t.TempDir()
		rclone(t, d, "copy", "dav:", back)
		for _, name := range oddNames {
			if c, err := os.ReadFile(filepath.Join(back, name)); err != nil || string(c) != "content of "+name {
				t.Errorf("%q came back as %q (%v)", name, c, err)
			}
		}
		rclone(t, d, "move", "dav:", "dav:moved/here", "--exclude", "/moved/**")
		rclone(t, d, "check", src, "dav:moved/here", "--download")
	})
}
