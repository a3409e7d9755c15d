package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// editor works on the files of one directory as a program does; what fails ends the test.
type editor struct {
	t   *testing.T
	dir string
}

func (e editor) path(name string) string { return filepath.Join(e.dir, name) }

func (e editor) check(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// write opens a file with more flags than O_WRONLY, and writes and syncs it.
func (e editor) write(name string, flags int, content []byte) {
	e.t.Helper()
	f, err := os.OpenFile(e.path(name), os.O_WRONLY|flags, 0o644)
	e.check(err)
	_, err = f.Write(content)
	e.check(err)
	e.check(f.Sync())
	e.check(f.Close())
}

func (e editor) read(name string) []byte {
	e.t.Helper()
	content, err := os.ReadFile(e.path(name))
	e.check(err)
	return content
}

func (e editor) create(name string, content []byte) {
	e.t.Helper()
	e.write(name, os.O_CREATE|os.O_EXCL, content)
}

func (e editor) overwrite(name string, content []byte) {
	e.t.Helper()
	e.write(name, os.O_TRUNC, content)
}

func (e editor) rename(from, to string) {
	e.t.Helper()
	e.check(os.Rename(e.path(from), e.path(to)))
}

func (e editor) remove(names ...string) {
	e.t.Helper()
	for _, name := range names {
		e.check(os.Remove(e.path(name)))
	}
}

// savePatterns are the ways in which programs replace the content of the file doc.
var savePatterns = []struct {
	name  string
	save  func(e editor, content []byte)
	keeps string // the name of a backup that stays
}{
	{"plain", func(e editor, content []byte) { e.overwrite("doc", content) }, ""}, // nano, Notepad
	{"vim-copy", func(e editor, content []byte) { // backupcopy=yes
		e.create(".doc.swp", content)
		e.create("doc~", e.read("doc"))
		e.overwrite("doc", content)
		e.remove("doc~", ".doc.swp")
	}, ""},
	{"vim-rename", func(e editor, content []byte) { // backupcopy=no
		e.create(".doc.swp", content)
		e.create("4913", nil) // whether files can be made here
		e.remove("4913")
		e.rename("doc", "doc~")
		e.create("doc", content)
		e.remove("doc~", ".doc.swp")
	}, ""},
	{"emacs", func(e editor, content []byte) {
		link := e.path(".#doc")
		linked := os.Symlink("user@host.1:2", link) // its lock; WebDAV has no such thing, and emacs goes on
		e.write("#doc#", os.O_CREATE|os.O_TRUNC, content)
		if _, err := os.Stat(e.path("doc~")); err != nil { // it backs up what it has read, once
			e.rename("doc", "doc~")
		}
		e.write("doc", os.O_CREATE|os.O_TRUNC, content)
		e.remove("#doc#")
		if linked == nil {
			e.remove(".#doc")
		}
	}, "doc~"},
	{"gio", func(e editor, content []byte) { // gedit, GNOME Text Editor
		e.create(".goutputstream-8ZQK42", content)
		e.rename(".goutputstream-8ZQK42", "doc")
	}, ""},
	{"gio-backup", func(e editor, content []byte) {
		e.create(".goutputstream-8ZQK42", content)
		if err := os.Link(e.path("doc"), e.path("doc~")); err != nil { // as on most WebDAV mounts
			e.write("doc~", os.O_CREATE|os.O_TRUNC, e.read("doc"))
		}
		e.rename(".goutputstream-8ZQK42", "doc")
	}, "doc~"},
	{"qsavefile", func(e editor, content []byte) { // KDE
		e.create("doc.pXWeLc", content)
		e.check(os.Chmod(e.path("doc.pXWeLc"), 0o644))
		e.rename("doc.pXWeLc", "doc")
	}, ""},
	{"libreoffice", func(e editor, content []byte) {
		e.create(".~lock.doc#", []byte(",user,host,25.11.2026 10:00,file:///home/user;"))
		e.create("lu1234abcd.tmp", content)
		e.rename("lu1234abcd.tmp", "doc")
		e.remove(".~lock.doc#")
	}, ""},
	{"word", func(e editor, content []byte) {
		e.create("~$doc", []byte("user"))
		e.create("~WRD0001.tmp", content)
		e.rename("doc", "~WRL0002.tmp")
		e.rename("~WRD0001.tmp", "doc")
		e.remove("~WRL0002.tmp", "~$doc")
	}, ""},
	{"sed", func(e editor, content []byte) {
		line := strings.TrimSuffix(string(content), "\n")
		if out, err := command(need(e.t, "sed"), "-i", "s/.*/"+line+"/", e.path("doc")); err != nil {
			e.t.Fatalf("sed -i: %v\n%s", err, out)
		}
	}, ""},
	{"truncate", func(e editor, content []byte) { // longer first, then cut
		e.write("doc", 0, append(slices.Clone(content), random(5000)...))
		e.check(os.Truncate(e.path("doc"), int64(len(content))))
	}, ""},
	{"append", func(e editor, content []byte) { // in two halves
		e.overwrite("doc", content[:len(content)/2])
		e.write("doc", os.O_APPEND, content[len(content)/2:])
	}, ""},
	{"in-place", func(e editor, content []byte) { // a database's way: parts of one open file, from the end on
		f, err := os.OpenFile(e.path("doc"), os.O_RDWR, 0)
		e.check(err)
		e.check(f.Truncate(int64(len(content))))
		for i := len(content) - 1; i >= 0; i -= 7 {
			from := max(0, i-6)
			_, err = f.WriteAt(content[from:i+1], int64(from))
			e.check(err)
		}
		got, err := io.ReadAll(f)
		if err != nil || !bytes.Equal(got, content) {
			e.t.Errorf("read back from the open file: %q, %v", got, err)
		}
		e.check(f.Close())
	}, ""},
	{"swap", func(e editor, content []byte) {
		e.create("other", content)
		e.rename("doc", "third")
		e.rename("other", "doc")
		e.rename("third", "other")
		e.remove("other")
	}, ""},
}

// TestDavfs2Saving saves a document in a mounted drive in every pattern, again and again, and reads it by HTTP.
func TestDavfs2Saving(t *testing.T) {
	saving := func(t *testing.T, b backend, config ...string) {
		d := b.start(t)
		dir, unmount := mountDrive(t, d, config...)
		final := map[string][]byte{}
		for i, p := range savePatterns {
			e := editor{t, filepath.Join(dir, p.name)}
			e.check(os.Mkdir(e.dir, 0o755))
			e.create("doc", []byte("the beginning\n"))
			for save := range 4 {
				// Longer and shorter than before, now and then as long.
				content := []byte(fmt.Sprintf("%s saves the %dth time%s\n", p.name, save, strings.Repeat(".", save%3*1000*(i+1))))
				p.save(e, content)
				if got := e.read("doc"); !bytes.Equal(got, content) {
					t.Errorf("%s: read back %d bytes, want %d", p.name, len(got), len(content))
				}
				final[p.name] = content
			}
		}
		unmount()
		for _, p := range savePatterns {
			d.want("/"+p.name+"/doc", final[p.name])
			want := []string{"doc"}
			if p.keeps != "" {
				want = append(want, p.keeps)
			}
			if got := d.names("/" + p.name); !slices.Equal(got, want) {
				t.Errorf("%s left %q, want %q", p.name, got, want)
			}
		}
	}
	eachRegistry(t, func(t *testing.T, b backend) { saving(t, b) })
	// With davfs2's own delays most of it happens in its cache, and the rest when it is unmounted.
	t.Run("delayed", func(t *testing.T) {
		t.Parallel()
		saving(t, backend{name: onEmbedded}, "delay_upload 10", "file_refresh 1", "dir_refresh 60", "gui_optimize 1")
	})
}

// wantErrors checks that each operation fails with one of the errors.
func wantErrors(t *testing.T, wanted []error, operations map[string]error) {
	t.Helper()
	for name, err := range operations {
		if !slices.ContainsFunc(wanted, func(want error) bool { return errors.Is(err, want) }) {
			t.Errorf("%s: %v, want one of %v", name, err, wanted)
		}
	}
}

// TestDavfs2Directories makes and removes what a directory can hold.
func TestDavfs2Directories(t *testing.T) {
	eachRegistry(t, func(t *testing.T, b backend) {
		d := b.start(t)
		dir, unmount := mountDrive(t, d)
		e := editor{t, dir}
		e.check(os.MkdirAll(e.path("a/b/c/d"), 0o755))
		e.create("a/f", []byte("f"))
		wantErrors(t, []error{syscall.ENOTEMPTY}, map[string]error{"rmdir of a full directory": syscall.Rmdir(e.path("a/b"))})
		_, created := os.OpenFile(e.path("a/f"), os.O_CREATE|os.O_EXCL, 0o644)
		wantErrors(t, []error{syscall.EEXIST}, map[string]error{
			"mkdir over a directory": os.Mkdir(e.path("a"), 0o755),
			"mkdir over a file":      os.Mkdir(e.path("a/f"), 0o755),
			"exclusive creation":     created,
		})
		_, opened := os.Open(e.path("none"))
		wantErrors(t, []error{syscall.ENOENT, syscall.ENOTDIR}, map[string]error{
			"open":               opened,
			"mkdir":              os.Mkdir(e.path("none/x"), 0o755),
			"unlink":             os.Remove(e.path("none")),
			"rename":             os.Rename(e.path("none"), e.path("x")),
			"mkdir below a file": os.Mkdir(e.path("a/f/x"), 0o755),
		})
		e.remove("a/b/c/d")
		e.rename("a/b", "a/full")
		e.check(os.Mkdir(e.path("empty"), 0o755))
		e.check(syscall.Rename(e.path("a/full"), e.path("empty"))) // over an empty directory
		e.create("a/target", []byte("old"))
		e.rename("a/f", "a/target") // over a file

		// What is written to a file after its name has gone is nobody's.
		f, err := os.Create(e.path("a/unlinked"))
		e.check(err)
		e.remove("a/unlinked")
		_, err = f.WriteString("to nowhere")
		e.check(err)
		e.check(f.Close())
		// The name may be taken again while the old file is open.
		f, err = os.Create(e.path("a/again"))
		e.check(err)
		e.remove("a/again")
		e.create("a/again", []byte("new"))
		_, err = f.WriteString("old")
		e.check(err)
		e.check(f.Close())

		e.check(os.Mkdir(e.path("many"), 0o755))
		for i := range 60 {
			e.create(fmt.Sprintf("many/file%02d", i), fmt.Appendf(nil, "%d", i))
			if i >= 2 && i%3 != 0 {
				e.remove(fmt.Sprintf("many/file%02d", i))
			}
		}
		members, err := os.ReadDir(e.path("many"))
		if err != nil || len(members) != 21 {
			t.Errorf("the directory lists %d files, want 21 (%v)", len(members), err)
		}
		e.check(os.MkdirAll(e.path("tree/1/2/3"), 0o755))
		e.create("tree/1/2/f", []byte("x"))
		e.check(os.RemoveAll(e.path("tree")))
		unmount()

		for name, want := range map[string][]string{
			"/": {"a", "empty", "many"}, "/a": {"again", "target"}, "/empty": {"c"}, "/empty/c": nil,
		} {
			if got := d.names(name); !slices.Equal(got, want) {
				t.Errorf("%s has %q, want %q", name, got, want)
			}
		}
		d.want("/a/target", []byte("f"))
		d.want("/a/again", []byte("new"))
		if got := d.names("/many"); len(got) != 21 {
			t.Errorf("/many has %q", got)
		}
	})
}

// TestDavfs2Tree brings trees in and out by cp -a and rsync, over two mounts so that nothing comes from davfs2's cache.
func TestDavfs2Tree(t *testing.T) {
	eachRegistry(t, func(t *testing.T, b backend) {
		need(t, "rsync")
		d := b.start(t)
		src := t.TempDir()
		copyTree(t, src, "net/url", "net/http/httputil", "encoding/json/jsontext", "text") // 60 files
		if err := os.MkdirAll(filepath.Join(src, "empty", "März"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, "script"), []byte("#!/bin/sh\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		run := func(name string, args ...string) string {
			t.Helper()
			out, err := command(name, args...)
			if err != nil {
				t.Fatalf("%s %v: %v\n%s", name, args, err, tail(string(out), 20))
			}
			return string(out)
		}
		// WebDAV has no modification times to set that davfs2 knows, no owners and no modes: rsync -a would find them
		// different in each new mount and set them again. So -r, and what is compared is sizes or contents.
		sync := func(dir string, more ...string) string {
			t.Helper()
			return run("rsync", append(more, "-r", "--itemize-changes", src+"/", filepath.Join(dir, "rsync")+"/")...)
		}
		dir, unmount := mountDrive(t, d)
		run("cp", "-a", src, filepath.Join(dir, "copied"))
		run("rsync", "-a", src+"/", filepath.Join(dir, "rsync")+"/")
		unmount()

		dir, unmount = mountDrive(t, d)
		if out := sync(dir, "--size-only"); out != "" {
			t.Errorf("rsync by size does again:\n%s", tail(out, 20))
		}
		if out := sync(dir, "--checksum"); out != "" {
			t.Errorf("rsync by checksum does again:\n%s", tail(out, 20))
		}
		back := filepath.Join(t.TempDir(), "back")
		run("cp", "-a", filepath.Join(dir, "copied"), back)
		run("diff", "-r", src, back)
		run("diff", "-r", src, filepath.Join(dir, "rsync"))

		// One file changes in place, one is longer, one new, one and a directory gone.
		change := func(name string, change func(content []byte) []byte) {
			t.Helper()
			content, err := os.ReadFile(filepath.Join(src, name))
			if err == nil {
				err = os.WriteFile(filepath.Join(src, name), change(content), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		change("net/url/url.go", func(c []byte) []byte { c[len(c)/2] ^= 1; return c })
		change("text/template/exec.go", func(c []byte) []byte { return append(c, "// more\n"...) })
		if err := writeFile(filepath.Join(src, "new", "file"), []byte("new")); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"net/url/url_test.go", "text/tabwriter"} {
			if err := os.RemoveAll(filepath.Join(src, name)); err != nil {
				t.Fatal(err)
			}
		}
		var sent []string
		for line := range strings.Lines(sync(dir, "--checksum", "--delete")) {
			if kind, name, _ := strings.Cut(strings.TrimSpace(line), " "); kind[0] == '>' {
				sent = append(sent, name)
			}
		}
		slices.Sort(sent)
		if want := []string{"net/url/url.go", "new/file", "text/template/exec.go"}; !slices.Equal(sent, want) {
			t.Errorf("rsync sent %q, want %q", sent, want)
		}
		// A file that is there can be made executable, and davfs2 keeps that as a property of the server's.
		script := filepath.Join("copied", "script")
		run("chmod", "+x", filepath.Join(dir, script))
		unmount()

		dir, unmount = mountDrive(t, d)
		if fi, err := os.Stat(filepath.Join(dir, script)); err != nil || fi.Mode()&0o111 == 0 {
			t.Errorf("the executable script is %v, %v", fi, err)
		}
		run("diff", "-r", src, filepath.Join(dir, "rsync"))
		// Over what is there, with files written in place and not renamed into it.
		run("rsync", "-r", "--inplace", "--delete", "--checksum", filepath.Join(dir, "copied")+"/", src+"/")
		sync(dir, "--inplace", "--delete", "--checksum")
		run("diff", "-r", filepath.Join(dir, "copied"), filepath.Join(dir, "rsync"))
		run("rm", "-r", filepath.Join(dir, "copied"))
		unmount()
		d.wantAbsent("/copied")
		if got := d.names("/rsync/empty"); !slices.Equal(got, []string{"März"}) {
			t.Errorf("/rsync/empty has %q", got)
		}
	})
}

// TestDavfs2Git works in a git repository in a mounted drive: many small files, locks made by exclusive creation,
// read-only packs that are renamed into place.
func TestDavfs2Git(t *testing.T) {
	eachRegistry(t, func(t *testing.T, b backend) {
		program := need(t, "git")
		d := b.start(t)
		home := t.TempDir()
		git := func(dir string, args ...string) string {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, program, append([]string{"-C", dir}, args...)...)
			cmd.Env = environment(home, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_COUNT=3",
				"GIT_CONFIG_KEY_0=user.name", "GIT_CONFIG_VALUE_0=Test", "GIT_CONFIG_KEY_1=user.email",
				"GIT_CONFIG_VALUE_1=test@localhost", "GIT_CONFIG_KEY_2=safe.directory", "GIT_CONFIG_VALUE_2=*")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("git %v: %v\n%s", args, err, tail(string(out), 20))
			}
			return strings.TrimSpace(string(out))
		}
		commit := func(dir, message string) {
			t.Helper()
			git(dir, "add", "-A")
			git(dir, "commit", "-q", "-m", message)
		}
		origin := t.TempDir()
		git(origin, "init", "-q", "-b", "main")
		copyTree(t, origin, "net/url", "encoding/json")
		commit(origin, "first")
		for i := range 4 {
			if err := os.WriteFile(filepath.Join(origin, "file.txt"), random(3000*i), 0o600); err != nil {
				t.Fatal(err)
			}
			commit(origin, fmt.Sprintf("change %d", i))
		}

		dir, unmount := mountDrive(t, d)
		work := filepath.Join(dir, "clone")
		git(home, "clone", "-q", "--no-local", origin, work)
		git(work, "fsck", "--strict")
		if err := writeFile(filepath.Join(work, "sub", "new file"), []byte("new\n")); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(work, "net", "url", "url.go")); err != nil {
			t.Fatal(err)
		}
		git(work, "mv", "encoding/json/encode.go", "sub/renamed.go")
		git(work, "checkout", "-q", "-b", "topic")
		commit(work, "in the drive")
		git(work, "checkout", "-q", "main")
		git(work, "merge", "-q", "--no-ff", "-m", "merge", "topic")
		git(work, "gc", "-q")
		head := git(work, "rev-parse", "HEAD")
		if status := git(work, "status", "--porcelain"); status != "" {
			t.Errorf("git status in the drive: %s", status)
		}
		unmount()

		dir, unmount = mountDrive(t, d)
		work = filepath.Join(dir, "clone")
		git(work, "fsck", "--strict")
		if status := git(work, "status", "--porcelain"); status != "" {
			t.Errorf("git status, mounted again: %s", status)
		}
		out := filepath.Join(home, "out")
		git(home, "clone", "-q", "--no-local", work, out)
		if got := git(out, "rev-parse", "HEAD"); got != head {
			t.Errorf("cloned out: HEAD is %s, want %s", got, head)
		}
		git(out, "fsck", "--strict")
		git(out, "push", "-q", "origin", "HEAD:pushed")
		if got := git(work, "rev-parse", "pushed"); got != head {
			t.Errorf("pushed in: %s, want %s", got, head)
		}
		unmount()
		if content := d.do("GET", "/clone/sub/new file", nil, okay).body; string(content) != "new\n" {
			t.Errorf("the file of the commit is %q", content)
		}
	})
}

// refusals are how davfs2 tells a program that the server does not let it.
var refusals = []error{syscall.EACCES, syscall.EBUSY, syscall.EPERM, syscall.EINVAL, syscall.EIO}

// mountTwice gives the drive in two mounts, where the document is read by both.
func mountTwice(t *testing.T, d *drive, config ...string) (one, two editor, unmount func()) {
	t.Helper()
	// davfs2 takes over a lock of its own owner, which by default is the user, and that is nobody here.
	dir, unmountOne := mountDrive(t, d, append(config, "lock_owner one")...)
	one = editor{t, dir}
	one.create("doc", []byte("the beginning\n"))
	one.create("beside", []byte("free\n"))
	dir, unmountTwo := mountDrive(t, d, append(config, "lock_owner two")...)
	two = editor{t, dir}
	eventually(t, 10*time.Second, "the second mount does not see the document", func() bool {
		got, err := os.ReadFile(two.path("doc"))
		return err == nil && string(got) == "the beginning\n"
	})
	return one, two, func() {
		t.Helper()
		unmountOne()
		unmountTwo()
	}
}

// open opens the document for reading and writing.
func (e editor) open() (*os.File, error) { return os.OpenFile(e.path("doc"), os.O_RDWR, 0) }

// TestDavfs2Locked opens one document in two mounts: what is locked in one is refused in the other.
func TestDavfs2Locked(t *testing.T) {
	eachRegistry(t, func(t *testing.T, b backend) {
		d := b.start(t)
		one, two, unmount := mountTwice(t, d)
		f, err := one.open()
		one.check(err)
		_, err = f.WriteAt([]byte("THE FIRST MOUNT\n"), 0) // longer: the kernel may keep what has the old length
		one.check(err)
		_, opened := two.open()
		wantErrors(t, refusals, map[string]error{
			"open":   opened,
			"remove": os.Remove(two.path("doc")),
			"rename": os.Rename(two.path("doc"), two.path("elsewhere")),
			"over":   os.Rename(two.path("beside"), two.path("doc")),
		})
		if got := two.read("doc"); string(got) != "the beginning\n" {
			t.Errorf("the locked document reads %q in the second mount", got)
		}
		d.want("/doc", []byte("the beginning\n"))
		one.check(f.Close())
		time.Sleep(2100 * time.Millisecond) // davfs2 asks once in a second whether a file is still what it has
		f, err = two.open()
		two.check(err)
		got, err := io.ReadAll(f)
		if err != nil || string(got) != "THE FIRST MOUNT\n" {
			t.Errorf("the second mount reads %q, %v", got, err)
		}
		_, err = f.WriteString("and the second\n")
		two.check(err)
		two.check(f.Close())
		unmount()
		d.want("/doc", []byte("THE FIRST MOUNT\nand the second\n"))
		d.want("/beside", []byte("free\n"))
		d.put("/doc", []byte("no lock is left\n"))
	})
}

// TestDavfs2LostUpdate opens one document in two mounts without locks: what the first saves stays, and what the second
// saves of an older state is refused and kept beside, where davfs2 keeps such things.
func TestDavfs2LostUpdate(t *testing.T) {
	eachRegistry(t, func(t *testing.T, b backend) {
		d := b.start(t)
		one, two, unmount := mountTwice(t, d, "use_locks 0")
		for i, e := range []editor{one, two} {
			f, err := e.open()
			e.check(err)
			_, err = fmt.Fprintf(f, "%d was here\n", i)
			e.check(err)
			defer f.Close() // a second time, unless the test ends here
			if e == two {
				one.overwrite("doc", []byte("the first saves\n"))
				eventually(t, 10*time.Second, "the first mount does not upload", func() bool {
					return string(d.try("GET", "/doc", nil).body) == "the first saves\n"
				})
			}
			e.check(f.Close())
		}
		var kept []byte
		eventually(t, 20*time.Second, "what the second mount could not save is not in its lost+found", func() bool {
			files, _ := filepath.Glob(two.path("lost+found/*"))
			if len(files) == 1 {
				kept = two.read(strings.TrimPrefix(files[0], two.dir))
			}
			return len(files) == 1
		})
		if string(kept) != "1 was here\nng\n" {
			t.Errorf("the second mount kept %q", kept)
		}
		unmount()
		d.want("/doc", []byte("the first saves\n"))
	})
}
