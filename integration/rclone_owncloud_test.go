package integration

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// rcloneFile is what rclone lsjson tells of a file.
type rcloneFile struct {
	Path    string
	Size    int64
	ModTime time.Time
	IsDir   bool
	Hashes  map[string]string
}

// rcloneList lists what is below a path of a remote, with checksums where it has them.
func rcloneList(t *testing.T, d *drive, path string) map[string]rcloneFile {
	t.Helper()
	var files []rcloneFile
	if err := json.Unmarshal([]byte(rclone(t, d, "lsjson", "-R", "--hash", path)), &files); err != nil {
		t.Fatal(err)
	}
	all := map[string]rcloneFile{}
	for _, f := range files {
		all[f.Path] = f
	}
	return all
}

// TestRcloneOwncloud uses rclone's vendor owncloud, which sends times and checksums with an upload and wants them back.
func TestRcloneOwncloud(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		need(t, "rclone")
		d := b.start(t)
		src := t.TempDir()
		n := copyTree(t, src, "net/url", "net/http/httputil")
		if err := writeFile(filepath.Join(src, "empty"), nil); err != nil {
			t.Fatal(err)
		}
		n++
		long := time.Date(1999, 12, 31, 23, 59, 58, 0, time.UTC)
		if err := os.Chtimes(filepath.Join(src, "net", "url", "url.go"), long, long); err != nil {
			t.Fatal(err)
		}
		rclone(t, d, "copy", src, "oc:src")
		// Without --download it compares what the server keeps.
		check := func(from, to string) {
			t.Helper()
			out := rclone(t, d, "check", from, to, "-v")
			contains(t, out, "Using md5 for hash comparisons", " 0 differences found", fmt.Sprintf(" %d matching files", n))
			if strings.Contains(out, "could not be checked") {
				t.Errorf("rclone check: %s", tail(out, 10))
			}
		}
		check(src, "oc:src")
		compare := func(path string) {
			t.Helper()
			files := rcloneList(t, d, path)
			for name, local := range rcloneList(t, d, src) {
				f := files[name]
				switch {
				case local.IsDir:
				case f.Size != local.Size || f.Hashes["sha1"] != local.Hashes["sha1"] || f.Hashes["md5"] != local.Hashes["md5"]:
					t.Errorf("%s of %s is %+v, want %+v", name, path, f, local)
				case f.ModTime.Unix() != local.ModTime.Unix():
					t.Errorf("%s of %s has the time %s, want %s", name, path, f.ModTime, local.ModTime)
				}
			}
		}
		compare("oc:src")
		if out := rclone(t, d, "copy", src, "oc:src", "-v"); strings.Contains(out, "Copied") {
			t.Errorf("rclone copies again: %s", tail(out, 10))
		}
		d.stop() // they are in the registry, not here
		if err := os.RemoveAll(d.cache); err != nil {
			t.Fatal(err)
		}
		d.start()
		compare("oc:src")
		rclone(t, d, "copyto", "oc:src", "oc:copy")
		rclone(t, d, "moveto", "oc:src", "oc:moved")
		compare("oc:copy")
		compare("oc:moved")

		// Same length, another content: sizes do not tell.
		name := filepath.Join(src, "net", "url", "url.go")
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		content[100] ^= 1
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := runRclone(t.Context(), need(t, "rclone"), d, "check", src, "oc:copy"); err == nil {
			t.Error("rclone check does not see another content")
		}
		if err := os.Chtimes(name, long, long); err != nil {
			t.Fatal(err)
		}
		out := rclone(t, d, "sync", src, "oc:copy", "--checksum", "-v")
		if strings.Count(out, "Copied") != 1 || !strings.Contains(out, "url.go: Copied (replaced existing)") {
			t.Errorf("rclone sync --checksum: %s", tail(out, 10))
		}
		check(src, "oc:copy")

		// What comes by another way has no old checksums.
		d.put("/copy/net/url/url.go", []byte("other"))
		sum := fmt.Sprintf("%x", md5.Sum([]byte("other")))
		if f := rcloneList(t, d, "oc:copy/net/url")["url.go"]; f.Hashes["md5"] != "" && f.Hashes["md5"] != sum {
			t.Errorf("after a PUT without checksums: %+v", f)
		}

		rclone(t, d, "touch", "oc:touched", "--timestamp", "2001-02-03T04:05:06")
		touched := func(want string) {
			t.Helper()
			if got := rcloneList(t, d, "oc:")["touched"].ModTime.UTC().Format(time.RFC3339); got != want {
				t.Errorf("the time is %s, want %s", got, want)
			}
		}
		touched("2001-02-03T04:05:06Z")
		// So does a newer rclone with a file that is there; Debian's cannot.
		d.do("PROPPATCH", "/touched", []byte(`<?xml version="1.0"?><D:propertyupdate xmlns:D="DAV:"><D:set><D:prop>`+
			`<lastmodified xmlns="DAV:">1234567890</lastmodified></D:prop></D:set></D:propertyupdate>`),
			[]int{http.StatusMultiStatus})
		touched("2009-02-13T23:31:30Z")

		// A wrong checksum is an upload that went wrong.
		a := d.try(http.MethodPut, "/wrong", []byte("content"), "OC-Checksum", "SHA1:"+strings.Repeat("0", 40))
		if a.status/100 != 4 {
			t.Errorf("PUT with a wrong checksum: %v", a)
		}
		d.wantAbsent("/wrong")
	})
}

// TestRcloneCommands runs what rclone has beside copying, with both vendors.
func TestRcloneCommands(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		program := need(t, "rclone")
		d := b.start(t)
		for _, remote := range []string{"dav:", "oc:"} {
			dir := remote + strings.TrimSuffix(remote, ":")
			rclone(t, d, "mkdir", dir+"/empty")
			content := "0123456789 März\n"
			rcat := func(name, content string) {
				t.Helper()
				if _, err := runRcloneInput(t.Context(), program, d, content, "rcat", name); err != nil {
					t.Fatal(err)
				}
			}
			rcat(dir+"/small", content)
			large := string(random(1 << 20)) // it does not fit rclone's buffer, and goes without a length
			rcat(dir+"/large", large)
			rcat(dir+"/none", "")
			for _, c := range []struct {
				want string
				args []string
			}{
				{content, nil}, {content[3:8], []string{"--offset", "3", "--count", "5"}}, {content[:4], []string{"--head", "4"}},
				{content[len(content)-4:], []string{"--tail", "4"}}, {content[9:], []string{"--offset", "9"}},
			} {
				if got := rclone(t, d, append([]string{"cat", dir + "/small"}, c.args...)...); got != c.want {
					t.Errorf("rclone cat %v: %q, want %q", c.args, got, c.want)
				}
			}
			if got := rclone(t, d, "cat", dir+"/large"); got != large {
				t.Errorf("rclone cat: %d bytes, want the %d that rcat has sent", len(got), len(large))
			}
			rclone(t, d, "copyto", dir+"/small", dir+"/deep/er/copy")
			rclone(t, d, "moveto", dir+"/deep/er/copy", dir+"/moved")
			rclone(t, d, "rmdirs", dir, "--leave-root")
			if got := rclone(t, d, "lsf", "-R", dir); got != "large\nmoved\nnone\nsmall\n" {
				t.Errorf("rclone lsf: %q", got)
			}
			contains(t, rclone(t, d, "size", dir), "Total objects: 4", "Total size: ")
			if about := rclone(t, d, "about", remote); b.embedded() { // the disk's; of another registry nobody knows it
				contains(t, about, "Used:", "Free:")
			}

			// sync makes both sides equal, also by deleting.
			src := t.TempDir()
			for _, name := range []string{"keep", "dir/one", "dir/two"} {
				if err := writeFile(filepath.Join(src, name), []byte(name)); err != nil {
					t.Fatal(err)
				}
			}
			rclone(t, d, "sync", src, dir, "--create-empty-src-dirs")
			if err := os.RemoveAll(filepath.Join(src, "dir", "one")); err != nil {
				t.Fatal(err)
			}
			for _, when := range []string{"--delete-before", "--delete-after"} {
				d.put("/"+strings.TrimSuffix(remote, ":")+"/too much", []byte("x"))
				rclone(t, d, "sync", src, dir, when)
				if got := rclone(t, d, "lsf", "-R", "--files-only", dir); got != "keep\ndir/two\n" {
					t.Errorf("after sync %s: %q", when, got)
				}
			}
			rclone(t, d, "purge", dir)
		}
		if got := d.names("/"); len(got) != 0 {
			t.Errorf("/ has %q", got)
		}
	})
}

// TestRcloneBisync changes both sides and wants both changes on both. It goes by times, so it takes the vendor that has
// them.
func TestRcloneBisync(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		need(t, "rclone")
		d := b.start(t)
		dir, work := t.TempDir(), t.TempDir()
		local := func(name, content string) {
			t.Helper()
			if err := writeFile(filepath.Join(dir, name), []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		bisync := func(args ...string) string {
			t.Helper()
			return rclone(t, d, append([]string{"bisync", dir, "oc:both", "--workdir", work, "-v"}, args...)...)
		}
		for i := range 6 {
			name := fmt.Sprintf("d%d/file", i)
			local(name, fmt.Sprintf("file %d", i))
			// Debian's bisync sees a change by its time alone, and times are in whole seconds.
			earlier := time.Now().Add(-time.Hour)
			if err := os.Chtimes(filepath.Join(dir, name), earlier, earlier); err != nil {
				t.Fatal(err)
			}
		}
		d.mkcol("/both")
		d.put("/both/here only", []byte("remote"))
		contains(t, bisync("--resync"), "Bisync successful")
		contains(t, bisync(), "No changes found", "Bisync successful")

		local("d0/file", "changed on the local side")
		local("new", "local")
		d.put("/both/d1/file", []byte("changed on the remote side"))
		d.put("/both/d1/new", []byte("remote"))
		if err := os.Remove(filepath.Join(dir, "d2", "file")); err != nil {
			t.Fatal(err)
		}
		d.do(http.MethodDelete, "/both/d3/file", nil, made)
		contains(t, bisync(), "Bisync successful")
		contains(t, bisync(), "No changes found", "Bisync successful")
		for name, want := range map[string]string{
			"d0/file": "changed on the local side", "d1/file": "changed on the remote side", "d1/new": "remote",
			"d4/file": "file 4", "here only": "remote", "new": "local",
		} {
			d.want("/both/"+name, []byte(want))
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
				t.Errorf("%s is %q here, want %q (%v)", name, got, want, err)
			}
		}
		d.wantAbsent("/both/d2/file", "/both/d3/file")
		rclone(t, d, "check", dir, "oc:both")
	})
}

// TestRcloneMount works in a drive that rclone has mounted.
func TestRcloneMount(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		program := need(t, "rclone")
		mayMount(t)
		fusermount := need(t, "fusermount3")
		d := b.start(t)
		d.put("/there", []byte("before\n"))
		dir := t.TempDir()
		p := startProcess(t, d.home, rcloneEnvironment(d), program, "mount", "oc:", dir, "--vfs-cache-mode", "writes",
			"--cache-dir", t.TempDir(), "--dir-cache-time", "1s", "--vfs-write-back", "100ms", "-v")
		t.Cleanup(func() {
			command(fusermount, "-u", "-z", dir) // in vain if all went well
			p.kill()
		})
		e := editor{t, dir}
		eventually(t, 20*time.Second, "the drive is not mounted", func() bool {
			_, err := os.Stat(e.path("there"))
			return err == nil
		})
		// rclone uploads after a while, by the name that the file then has. A rename or removal at this moment makes
		// Debian's rclone lose what it uploads, on any server.
		uploads := map[string]int{}
		write := func(name string, flags int, content string) {
			t.Helper()
			e.write(name, flags, []byte(content))
			uploads[name]++
			eventually(t, 20*time.Second, name+" is not uploaded", func() bool {
				return strings.Count(p.log.String(), ": "+name+": Copied") >= uploads[name]
			})
		}
		e.check(os.MkdirAll(e.path("a/b"), 0o755))
		large := random(3 << 20)
		write("a/b/large", os.O_CREATE|os.O_EXCL, string(large))
		write("a/f", os.O_CREATE|os.O_EXCL, "first\n")
		write("a/f", os.O_APPEND, "second\n")
		e.rename("a/f", "a/g")
		write(".goutputstream-1", os.O_CREATE|os.O_EXCL, "after\n")
		e.rename(".goutputstream-1", "there")
		write("there", os.O_APPEND, "and more\n")
		e.rename("a/b", "moved")
		write("gone", os.O_CREATE, "x")
		e.remove("gone")
		if got := e.read("moved/large"); !bytes.Equal(got, large) {
			t.Errorf("read back %d bytes, want %d", len(got), len(large))
		}
		if out, err := command(fusermount, "-u", dir); err != nil {
			t.Fatalf("fusermount3 -u: %v: %s", err, out)
		}
		select { // it ends when all is uploaded
		case <-p.done:
		case <-time.After(time.Minute):
			t.Errorf("rclone mount does not end:\n%s", tail(p.log.String(), 20))
		}
		if log := p.log.String(); strings.Contains(log, "ERROR") {
			t.Errorf("rclone mount: %s", tail(log, 20))
		}
		d.want("/moved/large", large)
		d.want("/a/g", []byte("first\nsecond\n"))
		d.want("/there", []byte("after\nand more\n"))
		if got := d.names("/"); !slices.Equal(got, []string{"a", "moved", "there"}) {
			t.Errorf("/ has %q", got)
		}
	})
}

// TestRcloneInfo lets rclone find out which names can be written, and expects what README.md promises: all but control
// characters and invalid UTF-8, up to 255 bytes, and one file by both Unicode forms of its name. Most of its minute is
// rclone's waiting after a refusal.
func TestRcloneInfo(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	t.Parallel()
	program := need(t, "rclone")
	d := startDrive(t)
	want := map[string][]string{
		"length": {"maxFileLength = 255 // for 1 byte", "maxFileLength = 127 // for 2 byte",
			"maxFileLength = 85 // for 3 byte", "maxFileLength = 63 // for 4 byte"},
		"control":       {"stringNeedsEscaping = []rune{"},
		"normalization": {"canWriteUnnormalized = true", "canReadUnnormalized   = true", "canReadRenormalized   = true"},
		"streaming":     {"canStream = true"},
	}
	var wg sync.WaitGroup
	for check, want := range want {
		wg.Go(func() {
			out, err := runRclone(t.Context(), program, d, "test", "info", "oc:"+check, "--check-"+check)
			if err != nil {
				t.Error(err)
				return
			}
			contains(t, out, want...)
			if check != "control" {
				return
			}
			_, refused, _ := strings.Cut(out, want[0])
			refused, _, _ = strings.Cut(refused, "}")
			for c := range strings.FieldsSeq(strings.ReplaceAll(refused, ",", " ")) { // a comma would be a finding too
				r, err := strconv.Unquote(c)
				// What is no UTF-8 comes as its one byte.
				if err != nil || r != "/" && r[0] >= ' ' && r[0] < 0x7f || len(r) > 1 {
					t.Errorf("a name cannot have %s (%v)", c, err)
				}
			}
			for _, c := range []string{`'\x00'`, `'\n'`, `'\x1f'`, `'\x7f'`, `'\xbf'`} {
				if !strings.Contains(refused, c) {
					t.Errorf("a name can have %s", c)
				}
			}
		})
	}
	wg.Wait()
}
