package registrytest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocidav/ocifs/registrytest"
)

// client asks a registry over real HTTP.
type client struct {
	*testing.T
	*registrytest.Registry
	http *http.Client
}

func newClient(t *testing.T, d registrytest.Defects) *client {
	t.Helper()
	g := registrytest.New(d)
	server := registrytest.Listen(g)
	transport := &http.Transport{DialContext: server.DialContext}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return &client{t, g, &http.Client{Transport: transport}}
}

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   string
	code   string // of the error body
}

// try sends a request. header is a list of names and values.
func (c *client) try(method, path, body string, header ...string) (answer, error) {
	c.Helper()
	req, err := http.NewRequestWithContext(c.Context(), method, "http://registry.localhost"+path, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(data)}
	var e struct{ Errors []struct{ Code string } }
	if json.Unmarshal(data, &e) == nil && len(e.Errors) > 0 {
		a.code = e.Errors[0].Code
	}
	return a, err
}

// do sends a request and checks the status of the answer.
func (c *client) do(want int, method, path, body string, header ...string) answer {
	c.Helper()
	a, err := c.try(method, path, body, header...)
	if err != nil {
		c.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != want {
		c.Errorf("%s %s: status %d (%s), want %d", method, path, a.status, strings.TrimSpace(a.body), want)
	}
	return a
}

// push uploads a blob in two requests.
func (c *client) push(repo, content string) digest.Digest {
	c.Helper()
	d := digest.FromString(content)
	at := c.do(http.StatusAccepted, "POST", "/v2/"+repo+"/blobs/uploads/", "").header.Get("Location")
	c.do(http.StatusCreated, "PUT", at+"?digest="+d.String(), content)
	return d
}

const imageManifest = "application/vnd.oci.image.manifest.v1+json"

// manifestOf gives a manifest that names the blobs, the first as its config.
func manifestOf(artifactType, note string, config digest.Digest, layers ...digest.Digest) string {
	var list []string
	for _, d := range append([]digest.Digest{config}, layers...) {
		list = append(list, fmt.Sprintf(`{"mediaType":"application/vnd.oci.empty.v1+json","digest":"%s","size":1}`, d))
	}
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":"%s","artifactType":"%s","config":%s,"layers":[%s],`+
		`"annotations":{"x":"%s"}}`,
		imageManifest, artifactType, list[0], strings.Join(list[1:], ","), note)
}

// tag pushes a manifest with one layer to tag.
func (c *client) tag(repo, tag, note string) digest.Digest {
	c.Helper()
	m := manifestOf("application/vnd.example", note, c.push(repo, "{}"), c.push(repo, "layer"))
	c.do(http.StatusCreated, "PUT", "/v2/"+repo+"/manifests/"+tag, m, "Content-Type", imageManifest)
	return digest.FromString(m)
}

// lists pushes tags to the repository r and checks what a list of them says.
func (c *client) lists(path, want string, tags ...string) {
	c.Helper()
	for _, tag := range tags {
		c.tag("r", tag, "")
	}
	if a := c.do(http.StatusOK, "GET", path, ""); !strings.Contains(a.body, `"tags":`+want) {
		c.Errorf("GET %s: %s, want %s", path, strings.TrimSpace(a.body), want)
	}
}
