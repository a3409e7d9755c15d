package ocifs_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/embedded"
)

// within is an embedded registry whose files a test damages.
type within struct {
	*fake // of its helpers only those that ask no registry
	dir   string
}

// open gives a tree on the directory, and ends with the function that it gives.
func (w *within) open() (*ocifs.FS, *embedded.Registry, func()) {
	w.Helper()
	var tree *ocifs.FS
	reg, err := embedded.Open(w.dir, embedded.Options{Changed: func(repo, ref string) { tree.Changed(repo, ref) }})
	w.must(err)
	client, err := ocifs.Dial(reg.Host(), true, reg.Transport(), nil)
	w.must(err)
	o := ocifs.Options{Registry: client, Blobs: noBlobs{}, Freshness: ocifs.Told, Discover: true, SpoolDir: w.TempDir(), Local: reg.OpenBlob, LocalTag: reg.Tagged}
	w.change(&o)
	tree, err = ocifs.New(o)
	w.must(err)
	return tree, reg, func() {
		w.must(tree.Close(context.Background()))
		reg.Close()
	}
}

func (w *within) check(o ocifs.CheckOptions) ocifs.CheckReport {
	w.Helper()
	tree, reg, end := w.open()
	defer end()
	w.must(tree.Settle(w.Context(), false))
	o.Mend = reg.Mend
	r, err := tree.Check(w.Context(), o)
	w.must(err)
	return r
}

// blob is where the content of a blob lies.
func (w *within) blob(d digest.Digest) string {
	return filepath.Join(w.dir, "docker/registry/v2/blobs/sha256", d.Encoded()[:2], d.Encoded(), "data")
}

// glob gives the one file that is meant.
func (w *within) glob(pattern string) string {
	w.Helper()
	all, err := filepath.Glob(filepath.Join(w.dir, "docker/registry/v2/repositories", pattern))
	w.must(err)
	if len(all) != 1 {
		w.Fatalf("%s is %q", pattern, all)
	}
	return all[0]
}

// tagged gives the digest under the tag of /d/b, and its directory.
func (w *within) tagged() (digest.Digest, string) {
	w.Helper()
	repo, tag := w.tagOf("/d", "b")
	link := w.glob(repo + "/_manifests/tags/" + tag + "/current/link")
	content, err := os.ReadFile(link)
	w.must(err)
	return digest.Digest(content), link
}

func (w *within) flip(file string) {
	w.Helper()
	content, err := os.ReadFile(file)
	w.must(err)
	content[len(content)/2] ^= 1
	w.must(os.WriteFile(file, content, 0o600))
}

// TestCheckEmbedded: what can go wrong on the disk is found, and repaired where the content is somewhere.
func TestCheckEmbedded(t *testing.T) {
	const content = "content of /d/b"
	for name, c := range map[string]struct {
		do       func(w *within)
		want     string
		hand     bool // repaired by what is at hand
		repaired bool // repaired without
	}{
		"well":       {do: func(*within) {}},
		"bit":        {func(w *within) { w.flip(w.blob(digestOf(content))) }, "blob-damaged /d/b", true, false},
		"truncated":  {func(w *within) { w.must(os.Truncate(w.blob(digestOf(content)), 3)) }, "blob-damaged /d/b", true, false},
		"empty":      {func(w *within) { w.must(os.Truncate(w.blob(digestOf(content)), 0)) }, "blob-damaged /d/b", true, false},
		"gone":       {func(w *within) { w.must(os.Remove(w.blob(digestOf(content)))) }, "blob-missing /d/b", true, false},
		"link":       {func(w *within) { w.must(os.Remove(w.link("_layers", digestOf(content)))) }, "blob-missing /d/b", true, true},
		"revision":   {func(w *within) { d, _ := w.tagged(); w.must(os.Remove(w.link("_manifests/revisions", d))) }, "manifest-missing /d/b", true, true},
		"manifest":   {func(w *within) { d, _ := w.tagged(); w.must(os.Remove(w.blob(d))) }, "manifest-missing /d/b", true, false},
		"garbage":    {func(w *within) { d, _ := w.tagged(); w.must(os.Truncate(w.blob(d), 10)) }, "tag-unreadable /d/b", true, false},
		"letter":     {func(w *within) { d, _ := w.tagged(); w.flipLetter(w.blob(d)) }, "manifest-damaged /d/b", true, false},
		"tag's link": {func(w *within) { _, link := w.tagged(); w.must(os.Truncate(link, 20)) }, "tag-unreadable /d/b", false, false},
		"empty link": {func(w *within) { _, link := w.tagged(); w.must(os.Truncate(link, 0)) }, "tag-unreadable /d/b", false, false},
		"no link":    {func(w *within) { _, link := w.tagged(); w.must(os.Remove(link)) }, "tag-empty /d/b", false, false},
	} {
		for _, layout := range []string{ocifs.LayoutPath, ocifs.LayoutFlat} {
			t.Run(strings.ReplaceAll(name, " ", "")+"/"+layout, func(t *testing.T) {
				t.Parallel()
				w := &within{&fake{T: t, change: func(o *ocifs.Options) { o.Layout = layout }}, t.TempDir()}
				tree, reg, end := w.open()
				ctx := t.Context()
				w.must(tree.Settle(ctx, true))
				w.must(tree.Mkdir(ctx, "/d", nil))
				for _, name := range []string{"/d/a", "/d/b", "/f"} {
					w.must(put(ctx, tree, name, "content of "+name))
				}
				repo, tag := w.tagOf("/d", "b")
				file, err := reg.OpenBlob(reg.Tagged(repo, tag))
				w.must(err)
				data, err := io.ReadAll(file)
				w.must(err)
				file.Close()
				end()
				w.wantWell(w.check(ocifs.CheckOptions{}))
				c.do(w)
				want := func(repair string) []string {
					if c.want == "" {
						return nil
					}
					return []string{strings.TrimSpace(c.want + " " + repair)}
				}
				is := map[bool]string{true: ocifs.RepairPossible}
				w.wantFindings(w.check(ocifs.CheckOptions{}), want(is[c.repaired])...)
				hand := w.atHand(content, string(data))
				w.wantFindings(w.check(ocifs.CheckOptions{AtHand: hand}), want(is[c.hand])...)
				if !c.repaired && !c.hand {
					r := w.check(ocifs.CheckOptions{AtHand: hand, Repair: true})
					w.wantFindings(r, want("")...)
					return
				}
				o := ocifs.CheckOptions{Repair: true}
				if !c.repaired {
					o.AtHand = hand
				}
				if r := w.check(o); r.Damage != 0 || r.Repaired != 1 || !r.Complete {
					t.Errorf("report of the repair: %+v", r)
				}
				w.wantWell(w.check(ocifs.CheckOptions{}))
				tree, _, end = w.open()
				defer end()
				w.must(tree.Settle(ctx, false))
				if got, err := read(ctx, tree, "/d/b"); err != nil || got != content {
					t.Errorf("it is %q, %v", got, err)
				}
				if left, _ := filepath.Glob(filepath.Join(filepath.Dir(w.blob(digestOf(content))), "*")); !slices.Equal(left, []string{w.blob(digestOf(content))}) {
					t.Errorf("beside the blob lie %q", left)
				}
			})
		}
	}
}

// link is where a repository's link of a blob or manifest is.
func (w *within) link(kind string, d digest.Digest) string {
	repo, _ := w.tagOf("/d", "b")
	return w.glob(repo + "/" + kind + "/sha256/" + d.Encoded() + "/link")
}

// flipLetter changes a manifest to another that can be read.
func (w *within) flipLetter(file string) {
	w.Helper()
	content, err := os.ReadFile(file)
	w.must(err)
	w.must(os.WriteFile(file, []byte(strings.Replace(string(content), "write-id", "write-ix", 1)), 0o600))
}

// TestCheckEmbeddedOrphans: what a crash in the middle of a removal leaves goes, for nobody else can write.
func TestCheckEmbeddedOrphans(t *testing.T) {
	w := &within{&fake{T: t, change: func(*ocifs.Options) {}}, t.TempDir()}
	tree, _, end := w.open()
	ctx := t.Context()
	w.must(tree.Settle(ctx, true))
	for _, dir := range []string{"/d", "/d/sub", "/e"} {
		w.must(tree.Mkdir(ctx, dir, nil))
		w.must(put(ctx, tree, dir+"/f", dir))
	}
	end()
	w.must(os.RemoveAll(w.glob("x.root/_manifests/tags/_d.d")))
	w.wantFindings(w.check(ocifs.CheckOptions{}), "orphan /d possible", "orphan /d/sub possible")
	w.wantFindings(w.check(ocifs.CheckOptions{Repair: true}), "orphan /d done", "orphan /d/sub done")
	w.wantWell(w.check(ocifs.CheckOptions{}))
	if r := w.check(ocifs.CheckOptions{}); r.Files != 1 || r.Directories != 2 {
		t.Errorf("report %+v", r)
	}
}

// zeros gives so many bytes, not all the same.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	z.left -= n
	clear(p[:n])
	p[0] = byte(z.left)
	return int(n), nil
}

// TestCheckMemory: memory does not grow with content.
func TestCheckMemory(t *testing.T) {
	w := &within{&fake{T: t, change: func(o *ocifs.Options) { o.Upload = ocifs.UploadDirect }}, t.TempDir()}
	tree, _, end := w.open()
	defer end()
	const size = 256 << 20
	if _, err := tree.Put(t.Context(), "/f", &zeros{size}, davfs.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := tree.Check(t.Context(), ocifs.CheckOptions{})
	runtime.ReadMemStats(&after)
	if err != nil || r.Bytes < size {
		t.Fatalf("%+v, %v", r, err)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 64<<20 {
		t.Errorf("%d MiB are allocated for a file of %d MiB", allocated>>20, size>>20)
	}
}

// TestCheckEnds with its context, whatever it waits for.
func TestCheckEnds(t *testing.T) {
	w := &within{&fake{T: t, change: func(o *ocifs.Options) { o.Upload = ocifs.UploadDirect }}, t.TempDir()}
	tree, _, end := w.open()
	defer end()
	if _, err := tree.Put(t.Context(), "/f", &zeros{64 << 20}, davfs.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	r, err := tree.Check(ctx, ocifs.CheckOptions{})
	if err == nil || r.Complete || r.Damage > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestCheckLooksAgain: what a manifest names that has come back is looked at too.
func TestCheckLooksAgain(t *testing.T) {
	w := &within{&fake{T: t, change: func(*ocifs.Options) {}}, t.TempDir()}
	tree, _, end := w.open()
	ctx := t.Context()
	w.must(tree.Settle(ctx, true))
	w.must(tree.Mkdir(ctx, "/d", nil))
	w.must(put(ctx, tree, "/d/b", "content"))
	end()
	d, _ := w.tagged()
	w.must(os.Remove(w.link("_manifests/revisions", d)))
	w.flip(w.blob(digestOf("content")))
	r := w.check(ocifs.CheckOptions{Repair: true})
	w.wantFindings(r, "blob-damaged /d/b", "manifest-missing /d/b done")
	if r.Damage != 1 || r.Repaired != 1 || r.Files != 1 {
		t.Errorf("report %+v", r)
	}
}
