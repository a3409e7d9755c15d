package integration

import (
	"context"
	"crypto/md5"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// ociTools runs other people's clients of registries as their users do, from a directory of its own and with a home that
// holds no credentials. Registries are "host:port", spoken to without TLS.
type ociTools struct {
	t   testing.TB
	dir string // where they run, and what they push and pull lies
}

// newOCITools ends the test if one of the tools is missing.
func newOCITools(t testing.TB, tools ...string) ociTools {
	t.Helper()
	for _, tool := range tools {
		need(t, tool)
	}
	return ociTools{t, t.TempDir()}
}

// run runs a tool that must succeed, and gives what it writes to its standard output.
func (x ociTools) run(tool string, args ...string) string {
	x.t.Helper()
	out, errs, err := x.try(tool, args...)
	if err != nil {
		x.t.Fatalf("%s %q: %v\n%s", tool, args, err, tail(out+errs, 20))
	}
	return out
}

func (x ociTools) try(tool string, args ...string) (stdout, stderr string, err error) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, need(x.t, tool), args...)
	var out, errs strings.Builder
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = x.dir, environment(x.dir), &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// oras runs one of its commands; what comes first is the command, of one word or two.
func (x ociTools) oras(command string, args ...string) string {
	x.t.Helper()
	plain := []string{"--plain-http"}
	if command == "cp" {
		plain = []string{"--from-plain-http", "--to-plain-http"}
	}
	return x.run("oras", append(append(strings.Fields(command), plain...), args...)...)
}

// crane speaks to the loopback address without TLS by itself.
func (x ociTools) crane(args ...string) string {
	x.t.Helper()
	return x.run("crane", args...)
}

// skopeoCopy copies whatever stands under a reference, an index with all that it names.
func (x ociTools) skopeoCopy(from, to string) {
	x.t.Helper()
	x.run("skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false",
		"--dest-tls-verify=false", from, to)
}

// pull has oras pull a reference into a new directory, and gives the files that it has made there by their paths.
func (x ociTools) pull(ref string) map[string][]byte {
	x.t.Helper()
	dir := x.t.TempDir()
	x.oras("pull", "--output", dir, ref)
	files := map[string][]byte{}
	err := filepath.Walk(dir, func(name string, fi os.FileInfo, err error) error {
		if err != nil || fi.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		files[strings.TrimPrefix(filepath.ToSlash(name), filepath.ToSlash(dir)+"/")] = content
		return err
	})
	if err != nil {
		x.t.Fatal(err)
	}
	return files
}

// write makes a file in the directory of the tools.
func (x ociTools) write(name string, content []byte) {
	x.t.Helper()
	if err := writeFile(filepath.Join(x.dir, name), content); err != nil {
		x.t.Fatal(err)
	}
}

// host gives the host and port of the registry under the drive, and the repository of each of its directories that is
// spelled as it is.
func (b backend) host(t testing.TB, d *drive) (host string, repository func(dir string) string) {
	c, root := b.oci(t, d)
	return hostOf(c), func(dir string) string {
		switch {
		case dir != "":
			return root + dir
		case root != "":
			return strings.TrimSuffix(root, "/")
		}
		return "x.root"
	}
}

func hostOf(c ociClient) string { return strings.TrimPrefix(c.url, "http://") }

// furnish makes a tree with all that a drive keeps: names of every kind, times, types, properties, checksums, empty
// directories and files, and a file of several parts where the drive has --part-size 1MiB.
func (d *drive) furnish() {
	d.t.Helper()
	for i, name := range []string{"/docs", "/docs/My Docs", "/docs/My Docs/ÄÖ", "/docs/empty", "/docs/2026", "/docs/gone"} {
		d.mkcol(name)
		if i%2 == 0 {
			d.do("PROPPATCH", name, []byte(propertyBody), []int{207})
		}
	}
	for i, name := range []string{"/root.txt", "/docs/report.pdf", "/docs/My Docs/my file.txt", "/docs/My Docs/März 1.txt",
		"/docs/My Docs/ÄÖ/日本語", "/docs/My Docs/ÄÖ/A\u0308", "/docs/2026/" + strings.Repeat("long name ", 20), "/docs/2026/_d.x",
		"/docs/2026/" + digestTag(digestOf([]byte("a file of this name"))) + ".sig", "/docs/gone/file", "/docs/gone.txt"} {
		content := []byte("the content of " + name)
		d.do("PUT", name, content, made, "Content-Type", fmt.Sprintf("text/x-%d", i),
			"X-OC-Mtime", fmt.Sprint(946684800+i*86400), "OC-Checksum", fmt.Sprintf("MD5:%x", md5.Sum(content)))
	}
	d.put("/docs/2026/none", nil)
	d.put("/docs/2026/parts.bin", random(5<<19))
	d.do("PROPPATCH", "/docs/report.pdf", []byte(propertyBody), []int{207})
	d.do("COPY", "/docs/report.pdf", nil, made, "Destination", d.href("/docs/2026/copy.pdf"))
	for _, name := range []string{"/docs/gone", "/docs/gone.txt"} {
		d.do("DELETE", name, nil, made)
	}
}

// appearance is all that a client can see of a drive: each listing as the server writes it, with properties and checksums,
// and each file with its content.
func (d *drive) appearance(root string) map[string]string {
	d.t.Helper()
	const all = `<D:propfind xmlns:D="DAV:" xmlns:oc="http://owncloud.org/ns"><D:allprop/><D:include><oc:checksums/></D:include></D:propfind>`
	seen := map[string]string{}
	for name, is := range d.tree(root) {
		seen[name] = is
		if is == "directory" {
			seen[name+"/"] = string(d.do("PROPFIND", name+"/", []byte(all), []int{207}, "Depth", "1").body)
			continue
		}
		h := d.do("HEAD", name, nil, okay).header
		h.Del("Date")
		h.Del("X-Request-Id")
		seen[name] += fmt.Sprint(h)
	}
	return seen
}

// wantSame compares two appearances.
func wantSame(t testing.TB, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s is now\n%s\nand was\n%s", name, got[name], want[name])
		}
	}
	for name := range got {
		if want[name] == "" {
			t.Errorf("%s was not there: %s", name, got[name])
		}
	}
}

// digestTag is the tag under which the artifacts lie that refer to a manifest, in registries that have no API for them.
func digestTag(digest string) string { return strings.Replace(digest, ":", "-", 1) }
