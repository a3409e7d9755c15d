package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// These are the format, from its documentation and not from the code.
const (
	manifestType  = "application/vnd.oci.image.manifest.v1+json"
	fileType      = "application/vnd.ocidav.file.v1"
	directoryType = "application/vnd.ocidav.directory.v1"
	propsType     = "application/vnd.ocidav.properties.v1+json"
	emptyType     = "application/vnd.oci.empty.v1+json"
	contentType   = "application/octet-stream"
	titleKey      = "org.opencontainers.image.title"
	createdKey    = "org.opencontainers.image.created"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations"`
}

func digestOf(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

var emptyObject = descriptor{MediaType: emptyType, Digest: digestOf([]byte("{}")), Size: 2}

// hashed is the lower-case base32 of a name's SHA-256.
func hashed(name string) string {
	sum := sha256.Sum256([]byte(name))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

// ociClient is what any client of the distribution API does, against the registry at url.
type ociClient struct {
	t   testing.TB
	url string
}

func (c ociClient) do(method, path string, body []byte, want int, header ...string) answer {
	c.t.Helper()
	url := path
	if !strings.Contains(path, "://") {
		url = c.url + path
	}
	a := send(client, method, url, bytes.NewReader(body), header...)
	if a.err != nil || a.status != want {
		c.t.Fatalf("%s %s: %v, want %d", method, url, a, want)
	}
	return a
}

func (c ociClient) manifest(repository, tag string) manifest {
	c.t.Helper()
	a := c.do(http.MethodGet, "/v2/"+repository+"/manifests/"+tag, nil, 200, "Accept", manifestType)
	if got := a.header.Get("Content-Type"); got != manifestType {
		c.t.Errorf("%s:%s has the media type %q", repository, tag, got)
	}
	if got := a.header.Get("Docker-Content-Digest"); got != digestOf(a.body) {
		c.t.Errorf("%s:%s has the digest %s, and is said to have %s", repository, tag, digestOf(a.body), got)
	}
	var m manifest
	if err := json.Unmarshal(a.body, &m); err != nil {
		c.t.Fatal(err)
	}
	if m.SchemaVersion != 2 || m.MediaType != manifestType {
		c.t.Errorf("%s:%s is no image manifest: %s", repository, tag, a.body)
	}
	return m
}

func (c ociClient) blob(repository, digest string) []byte {
	c.t.Helper()
	return c.do(http.MethodGet, "/v2/"+repository+"/blobs/"+digest, nil, 200).body
}

func (c ociClient) pushBlob(repository string, content []byte) string {
	c.t.Helper()
	location := c.do(http.MethodPost, "/v2/"+repository+"/blobs/uploads/", nil, 202).header.Get("Location")
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	digest := digestOf(content)
	c.do(http.MethodPut, location+separator+"digest="+digest, content, 201, "Content-Type", contentType)
	return digest
}

func (c ociClient) pushManifest(repository, tag string, m manifest) {
	c.t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	c.do(http.MethodPut, "/v2/"+repository+"/manifests/"+tag, b, 201, "Content-Type", manifestType)
}

func (c ociClient) tags(repository string) []string {
	c.t.Helper()
	var list struct{ Tags []string }
	body := c.do(http.MethodGet, "/v2/"+repository+"/tags/list", nil, 200).body
	if err := json.Unmarshal(body, &list); err != nil {
		c.t.Fatal(err)
	}
	slices.Sort(list.Tags)
	return list.Tags
}

// oci gives a client of the registry under the drive, and the repository of the drive's root.
func (b backend) oci(t testing.TB, d *drive) (c ociClient, root string) {
	if b.embedded() {
		return ociClient{t, d.registryURL}, ""
	}
	return ociClient{t, "http://" + b.registry.address}, testPrefix + "/"
}

// startShown starts a drive whose registry others can reach.
func (b backend) startShown(t testing.TB, args ...string) *drive {
	if b.embedded() {
		return b.start(t, append(args, "--registry-listen", "127.0.0.1:0")...)
	}
	return b.start(t, append(args, "--freshness", "100ms")...)
}

// TestFormat looks at what the drive has written with the eyes of another client.
func TestFormat(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.startShown(t)
		c, root := b.oci(t, d)
		begin := time.Now().Add(-time.Second)
		content := []byte("the content of a report\n")
		d.mkcol("/a")
		d.mkcol("/a/My Docs")
		d.do(http.MethodPut, "/a/report.txt", content, made, "Content-Type", "text/x-report")
		d.put("/a/empty", nil)
		d.put("/a/My Docs/März 1.txt", content)
		longName := strings.Repeat("long name ", 20)
		d.put("/a/"+longName, content)
		d.put("/root.txt", content)
		d.do("PROPPATCH", "/a/report.txt", []byte(propertyBody), []int{207})

		// A directory is a repository, a file a tag.
		rootRepository, docs := strings.TrimSuffix(root, "/"), root+"a/x.my-docs."+hashed("My Docs")[:10]
		if b.embedded() {
			rootRepository = "x.root"
		}
		for repository, want := range map[string][]string{
			rootRepository: {"_d.a", "_l.path", "root.txt"},
			root + "a":     {"_d.My_20Docs", "_h." + hashed(longName), "empty", "report.txt"},
			docs:           {"_.M_c3_a4rz_201.txt"},
		} {
			if got := c.tags(repository); !slices.Equal(got, want) {
				t.Errorf("tags of %s: %q, want %q", repository, got, want)
			}
		}

		for _, f := range []struct{ repository, tag, name string }{
			{rootRepository, "root.txt", "root.txt"},
			{root + "a", "report.txt", "report.txt"},
			{root + "a", "_h." + hashed(longName), longName},
			{docs, "_.M_c3_a4rz_201.txt", "März 1.txt"},
		} {
			m := c.manifest(f.repository, f.tag)
			if m.ArtifactType != fileType || len(m.Layers) != 1 {
				t.Fatalf("%s:%s: %+v", f.repository, f.tag, m)
			}
			l := m.Layers[0]
			if l.MediaType != contentType || l.Digest != digestOf(content) || l.Size != int64(len(content)) ||
				!maps.Equal(l.Annotations, map[string]string{titleKey: f.name}) {
				t.Errorf("%s:%s has the layer %+v", f.repository, f.tag, l)
			}
			if got := c.blob(f.repository, l.Digest); !bytes.Equal(got, content) {
				t.Errorf("%s:%s has the content %q", f.repository, f.tag, got)
			}
			created, err := time.Parse(time.RFC3339Nano, m.Annotations[createdKey])
			if err != nil || created.Before(begin) || created.After(time.Now().Add(time.Second)) {
				t.Errorf("%s:%s was created at %q (%v)", f.repository, f.tag, m.Annotations[createdKey], err)
			}
			if m.Annotations["vnd.ocidav.name"] != f.name || len(m.Annotations["vnd.ocidav.write-id"]) < 16 ||
				m.Annotations["vnd.ocidav.birthtime"] == "" {
				t.Errorf("%s:%s has the annotations %v", f.repository, f.tag, m.Annotations)
			}
			if f.tag == "report.txt" {
				if m.Annotations["vnd.ocidav.content-type"] != "text/x-report" {
					t.Errorf("the content type is kept as %q", m.Annotations["vnd.ocidav.content-type"])
				}
				props := c.blob(f.repository, m.Config.Digest)
				if m.Config.MediaType != propsType || !bytes.Contains(props, []byte("urn:x")) {
					t.Errorf("dead properties are in the config %+v: %s", m.Config, props)
				}
			} else if m.Config.MediaType != emptyType || m.Config.Digest != emptyObject.Digest {
				t.Errorf("%s:%s has the config %+v", f.repository, f.tag, m.Config)
			}
		}

		m := c.manifest(root+"a", "empty")
		if m.ArtifactType != fileType || len(m.Layers) != 1 || m.Layers[0].Digest != emptyObject.Digest ||
			m.Layers[0].MediaType != emptyType || m.Layers[0].Annotations[titleKey] != "" ||
			m.Annotations["vnd.ocidav.size"] != "0" {
			t.Errorf("an empty file is %+v", m)
		}
		m = c.manifest(root+"a", "_d.My_20Docs")
		if m.ArtifactType != directoryType || m.Annotations["vnd.ocidav.name"] != "My Docs" {
			t.Errorf("the marker of a directory is %+v", m)
		}

		// The same content twice is one blob, and two manifests.
		one, two := c.manifest(root+"a", "report.txt"), c.manifest(root+"a", "_h."+hashed(longName))
		if one.Layers[0].Digest != two.Layers[0].Digest ||
			one.Annotations["vnd.ocidav.write-id"] == two.Annotations["vnd.ocidav.write-id"] {
			t.Errorf("two files of one content: %+v and %+v", one, two)
		}
	})
}

// TestPushedByOthers pushes what another client would: a file of the documented form, and a plain artifact of one
// layer.
func TestPushedByOthers(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.startShown(t)
		c, root := b.oci(t, d)
		d.mkcol("/a")
		d.put("/a/here", []byte("first"))
		repository := root + "a"
		c.pushBlob(repository, []byte("{}"))
		for tag, m := range map[string]manifest{
			"pushed.bin": {ArtifactType: fileType, Annotations: map[string]string{
				createdKey: "2026-02-03T04:05:06Z", "vnd.ocidav.name": "pushed.bin", "vnd.ocidav.write-id": "another-client",
			}},
			"oras.bin": {ArtifactType: "application/vnd.unknown.artifact.v1"},
			"here":     {ArtifactType: fileType, Annotations: map[string]string{"vnd.ocidav.name": "here"}},
		} {
			content := random(70_000)
			m.SchemaVersion, m.MediaType, m.Config = 2, manifestType, emptyObject
			digest := c.pushBlob(repository, content)
			m.Layers = []descriptor{{contentType, digest, int64(len(content)), map[string]string{titleKey: tag}}}
			c.pushManifest(repository, tag, m)
			if !b.embedded() { // which shows what was pushed at once
				eventually(t, 10*time.Second, tag+" is not what was pushed", func() bool {
					return bytes.Equal(d.try(http.MethodGet, "/a/"+tag, nil).body, content)
				})
			}
			d.want("/a/"+tag, content)
			// The answers about a name and about its directory grow old each by itself.
			eventually(t, 10*time.Second, tag+" is not listed as it is", func() bool {
				return d.list("/a/")[tag].size == int64(len(content))
			})
		}
		a := d.do(http.MethodHead, "/a/pushed.bin", nil, okay)
		if got := a.header.Get("Last-Modified"); got != "Tue, 03 Feb 2026 04:05:06 GMT" {
			t.Errorf("pushed.bin was modified at %q", got)
		}
	})
}
