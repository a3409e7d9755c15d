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
		long, reserved := strings.Repeat("long name ", 20), digestTag(digestOf(nil))
		d.mkcol("/docs")
		for name, tag := range map[string]string{
			"report.pdf": "report.pdf", "object.json": "object.json", "two words.txt": "_.two_20words.txt", "März.txt": "_.M_c3_a4rz.txt",
			"日本語": "_._e6_97_a5_e6_9c_ac_e8_aa_9e", "A\u0308": "_._c3_84", "a%b&c+d=e": "_.a_25b_26c_2bd_3de",
			long: "_h." + hashed(long), "_d.x": "_._5fd.x", reserved: "_." + reserved,
		} {
			c := random(3000)
			if name == "object.json" {
				c = []byte("{}") // the same blob as the config
			}
			d.put("/docs/"+name, c)
			ref := host + "/" + repository("docs") + ":" + tag
			if files := x.pull(ref); len(files) != 1 || !bytes.Equal(files[name], c) {
				t.Errorf("%q was pulled as %d files, %.60q", name, len(files), files)
			}
			raw := ociClient{t, "http://" + host}.do(http.MethodGet, "/v2/"+repository("docs")+"/manifests/"+tag, nil, 200,
				"Accept", manifestType).body
			if got := x.oras("manifest fetch", ref); got != string(raw) {
				t.Errorf("the manifest of %q is fetched as %s, is %s", name, got, raw)
			}
			if files := x.pull(host + "/" + repository("docs") + "@" + digestOf(raw)); !bytes.Equal(files[name], c) {
				t.Errorf("%q was pulled by its digest as %.60q", name, files)
			}
		}

		// The parts of a large file, two of which are the same blob, are together what it is.
		for name, c := range map[string][]byte{"zeros": make([]byte, 5<<19), "large.bin": random(5 << 19)} {
			d.put("/docs/"+name, c)
			files := x.pull(host + "/" + repository("docs") + ":" + name)
			together := slices.Concat(files[name+".part0001"], files[name+".part0002"], files[name+".part0003"])
			if len(files) != 3 || !bytes.Equal(together, c) {
				t.Errorf("%s was pulled as %d files of %d bytes together, want 3 of %d", name, len(files), len(together), len(c))
			}
		}

		// An empty file is an artifact with nothing to pull, since there are registries that refuse blobs of no bytes.
		d.put("/docs/empty", nil)
		if files := x.pull(host + "/" + repository("docs") + ":empty"); len(files) != 0 {
			t.Errorf("an empty file was pulled as %.60q", files)
		}
	})
}
