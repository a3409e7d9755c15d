package integration

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestOrasPull pulls files as people do: what comes is a file of that name with that content.
func TestOrasPull(t *testing.T) {
	eachRegistry(t, func(t *testing.T, b backend) {
		x := newOCITools(t, "oras")
		d := b.startShown(t, "--part-size", "1MiB")
		host, repository := b.host(t, d)
		long := strings.Repeat("long name ", 20)
		content := map[string][]byte{
			"report.pdf": random(3000), "two words.txt": random(30), "März.txt": random(31), "日本語": random(32), "a%b&c+d=e": random(33),
			long: random(34), "_d.x": random(35), signatureTag(nil): random(36), "object.json": []byte("{}"), "A\u0308": random(37),
		}
		tags := map[string]string{
			"report.pdf": "report.pdf", "object.json": "object.json", "two words.txt": "_.two_20words.txt", "März.txt": "_.M_c3_a4rz.txt",
			"日本語": "_._e6_97_a5_e6_9c_ac_e8_aa_9e", "a%b&c+d=e": "_.a_25b_26c_2bd_3de", long: "_h." + hashed(long), "_d.x": "_._5fd.x",
			signatureTag(nil): "_." + signatureTag(nil), "A\u0308": "_._c3_84",
		}
		d.mkcol("/docs")
		for name, c := range content {
			d.put("/docs/"+name, c)
			ref := host + "/" + repository("docs") + ":" + tags[name]
			files := x.pull(ref)
			if got, ok := files[name]; !ok || len(files) != 1 || !bytes.Equal(got, c) {
				t.Errorf("%q was pulled as %d files, %q", name, len(files), files)
			}
			raw := ociClient{t, "http://" + host}.do(http.MethodGet, "/v2/"+repository("docs")+"/manifests/"+tags[name], nil, 200,
				"Accept", manifestType).body
			if got := x.oras("manifest fetch", ref); got != string(raw) {
				t.Errorf("the manifest of %q is fetched as %s, is %s", name, got, raw)
			}
			if files := x.pull(host + "/" + repository("docs") + "@" + digestOf(raw)); !bytes.Equal(files[name], c) {
				t.Errorf("%q was pulled by its digest as %q", name, files)
			}
		}

		// The parts of a large file, two of which are the same blob, are together what it is.
		zeros := make([]byte, 5<<19)
		large := random(5 << 19)
		for name, c := range map[string][]byte{"zeros": zeros, "large file.bin": large} {
			d.put("/docs/"+name, c)
			tag := map[string]string{"zeros": "zeros", "large file.bin": "_.large_20file.bin"}[name]
			files := x.pull(host + "/" + repository("docs") + ":" + tag)
			together := slices.Concat(files[name+".part0001"], files[name+".part0002"], files[name+".part0003"])
			if len(files) != 3 || !bytes.Equal(together, c) {
				t.Errorf("%s was pulled as %d files of %d bytes together, want 3 of %d", name, len(files), len(together), len(c))
			}
		}

		// An empty file is an artifact with nothing to pull, since there are registries that refuse blobs of no bytes.
		d.put("/docs/empty", nil)
		if files := x.pull(host + "/" + repository("docs") + ":empty"); len(files) != 0 {
			t.Errorf("an empty file was pulled as %q", files)
		}
	})
}
