package integration

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// sign pushes what cosign pushes for a digest: cosign itself takes minutes to build, so these are the manifests that
// cosign 3.1.3 has been seen to push, by oras and with other signatures. It is the bundle that refers to its subject, which
// oras as cosign puts into the index under the tag sha256-HEX where the registry has no API of referrers, and the signature
// under the tag sha256-HEX.sig as of cosign 2. What it gives are their references.
func (x ociTools) sign(repository string, subject descriptor) (bundle, signature string) {
	x.t.Helper()
	blob := func(mediaType string, content string) descriptor {
		x.write("blob", []byte(content))
		x.oras("blob push", "--media-type", mediaType, repository, "blob")
		return descriptor{MediaType: mediaType, Digest: digestOf([]byte(content)), Size: int64(len(content))}
	}
	push := func(ref string, m map[string]any) string {
		m["schemaVersion"], m["mediaType"] = 2, manifestType
		b, err := json.Marshal(m)
		if err != nil {
			x.t.Fatal(err)
		}
		x.write("manifest.json", b)
		if ref == "" {
			ref = repository + "@" + digestOf(b)
		}
		x.oras("manifest push", ref, "manifest.json")
		return ref
	}
	bundle = push("", map[string]any{
		"artifactType": bundleType, "config": blob(emptyType, "{}"), "subject": subject,
		"layers": []descriptor{blob(bundleType, `{"mediaType":"`+bundleType+`","dsseEnvelope":{}}`)},
		"annotations": map[string]string{"dev.sigstore.bundle.content": "dsse-envelope", createdKey: "2026-01-02T03:04:05Z",
			"dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1"},
	})
	layer := blob("application/vnd.dev.cosign.simplesigning.v1+json", `{"critical":{"image":{"docker-manifest-digest":"`+subject.Digest+`"}}}`)
	layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": "MEUCIQ=="}
	signature = push(repository+":"+digestTag(subject.Digest)+".sig", map[string]any{
		"config": blob(imageConfigType, `{"architecture":"","os":"","rootfs":{"type":"layers","diff_ids":[]},"config":{}}`),
		"layers": []descriptor{layer},
	})
	return bundle, signature
}

// TestSigned signs a file by its digest. Nothing of that shows in the drive or is in its way, the signed version stays what was
// signed, and signatures go along to another registry.
func TestSigned(t *testing.T) {
	eachRegistry(t, func(t *testing.T, b backend) {
		x := newOCITools(t, "oras", "docker-registry")
		d := b.startShown(t)
		host, repository := b.host(t, d)
		d.furnish()
		before := d.appearance("/")
		docs := host + "/" + repository("docs")
		content := d.do(http.MethodGet, "/docs/report.pdf", nil, okay).body
		var subject descriptor
		if err := json.Unmarshal([]byte(x.oras("manifest fetch", "--descriptor", docs+":report.pdf")), &subject); err != nil {
			t.Fatal(err)
		}
		bundle, signature := x.sign(docs, subject)
		referrers := digestTag(subject.Digest)
		c, _ := b.oci(t, d)
		signed := func() {
			t.Helper()
			index := c.do(http.MethodGet, "/v2/"+repository("docs")+"/manifests/"+referrers, nil, 200, "Accept", indexType).body
			_, digest, _ := strings.Cut(bundle, "@")
			if !bytes.Contains(index, []byte(digest)) {
				t.Errorf("the index of referrers is %s", index)
			}
			if got := x.oras("discover", "--format", "json", docs+"@"+subject.Digest); !strings.Contains(got, bundleType) {
				t.Errorf("oras discovers %s", got)
			}
			x.oras("manifest fetch", signature)
			if got := x.pull(docs + "@" + subject.Digest); !bytes.Equal(got["report.pdf"], content) {
				t.Errorf("the signed version is %.60q", got)
			}
		}
		signed()
		wantSame(t, d.appearance("/"), before)
		d.wantAbsent("/docs/"+referrers, "/docs/"+referrers+".sig")

		// Files of those names are others, and the drive's own.
		for _, name := range []string{referrers, referrers + ".sig"} {
			d.put("/docs/"+name, []byte("a file"))
			d.want("/docs/"+name, []byte("a file"))
			d.do(http.MethodDelete, "/docs/"+name, nil, made)
			d.wantAbsent("/docs/" + name)
		}
		signed()

		// They go along with a copy, and are as hidden there.
		other := backend{registry: startRegistry(t, true)}
		there := other.registry.address + "/" + testPrefix
		x.oras("cp", "--recursive", docs+":report.pdf", there+":report.pdf")
		oci, _ := other.oci(t, nil)
		if got := oci.tags(testPrefix); !slices.Equal(got, []string{"report.pdf", referrers}) {
			t.Errorf("copied are %q", got)
		}
		o := other.startShown(t)
		if got := o.names("/"); len(got) != 1 {
			t.Errorf("the drive on the copies shows %q", got)
		}
		o.want("/report.pdf", content)

		// A new version is not signed, and the old one stays; neither file nor directory is held at its place.
		d.put("/docs/report.pdf", []byte("a new version"))
		d.do("MOVE", "/docs", nil, made, "Destination", d.href("/moved"))
		d.want("/moved/report.pdf", []byte("a new version"))
		d.wantAbsent("/docs")
		signed()
		d.mkcol("/docs")
		if got := d.names("/docs/"); len(got) != 0 {
			t.Errorf("in a new directory at that place is %q", got)
		}
		signed()
	})
}
