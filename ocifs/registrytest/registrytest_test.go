package registrytest_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocidav/ocifs/registrytest"
)

func TestBlobs(t *testing.T) {
	c := newClient(t, registrytest.Defects{})
	c.do(http.StatusOK, "GET", "/v2/", "")
	d := c.push("a/b", "hello")
	if !c.HasBlob("a/b", d) || c.HasBlob("a/c", d) {
		t.Error("the blob is not in its repository only")
	}
	at := "/v2/a/b/blobs/" + d.String()
	a := c.do(http.StatusOK, "GET", at, "")
	if a.body != "hello" || a.header.Get("Docker-Content-Digest") != d.String() ||
		a.header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("GET answers %q, %v", a.body, a.header)
	}
	if a := c.do(http.StatusOK, "HEAD", at, ""); a.header.Get("Content-Length") != "5" {
		t.Errorf("HEAD answers %v", a.header)
	}
	for span, want := range map[string]string{"bytes=1-3": "ell", "bytes=3-": "lo", "bytes=-2": "lo"} {
		if a := c.do(http.StatusPartialContent, "GET", at, "", "Range", span); a.body != want {
			t.Errorf("Range %s gives %q, want %q", span, a.body, want)
		}
	}
	c.do(http.StatusRequestedRangeNotSatisfiable, "GET", at, "", "Range", "bytes=9-")
	if a := c.do(http.StatusNotFound, "GET", "/v2/other/blobs/"+d.String(), ""); a.code != "BLOB_UNKNOWN" {
		t.Errorf("an absent blob has the code %q", a.code)
	}
	c.do(http.StatusAccepted, "DELETE", at, "")
	c.do(http.StatusNotFound, "DELETE", at, "")
}

func TestUploads(t *testing.T) {
	c := newClient(t, registrytest.Defects{})
	start := func() string {
		return c.do(http.StatusAccepted, "POST", "/v2/r/blobs/uploads/", "").header.Get("Location")
	}
	d := digest.FromString("hello")
	at := start()
	c.do(http.StatusAccepted, "PATCH", at, "hel", "Content-Range", "0-2")
	c.do(http.StatusRequestedRangeNotSatisfiable, "PATCH", at, "lo", "Content-Range", "7-8")
	if a := c.do(http.StatusNoContent, "GET", at, ""); a.header.Get("Range") != "0-2" {
		t.Errorf("the session is at %q", a.header.Get("Range"))
	}
	c.do(http.StatusCreated, "PUT", at+"?digest="+d.String(), "lo")
	if !c.HasBlob("r", d) {
		t.Error("a blob in pieces is not there")
	}
	if a := c.do(http.StatusNotFound, "PUT", at+"?digest="+d.String(), "hello"); a.code != "BLOB_UPLOAD_UNKNOWN" {
		t.Errorf("a session that is over has the code %q", a.code)
	}
	if a := c.do(http.StatusBadRequest, "PUT", start()+"?digest="+d.String(), "other"); a.code != "DIGEST_INVALID" {
		t.Errorf("other bytes have the code %q", a.code)
	}
	at = start()
	c.do(http.StatusNoContent, "DELETE", at, "")
	c.do(http.StatusNotFound, "GET", at, "")

	c.do(http.StatusCreated, "POST", "/v2/s/blobs/uploads/?from=r&mount="+d.String(), "")
	if !c.HasBlob("s", d) {
		t.Error("a mounted blob is not there")
	}
	absent := digest.FromString("absent").String()
	c.do(http.StatusAccepted, "POST", "/v2/s/blobs/uploads/?from=r&mount="+absent, "")
}

func TestManifests(t *testing.T) {
	c := newClient(t, registrytest.Defects{})
	one := c.tag("r", "one", "same")
	if two := c.tag("r", "two", "same"); one != two {
		t.Fatal("one manifest has two digests")
	}
	for _, ref := range []string{"one", "two", one.String()} {
		a := c.do(http.StatusOK, "GET", "/v2/r/manifests/"+ref, "")
		if digest.FromString(a.body) != one || a.header.Get("Docker-Content-Digest") != one.String() ||
			a.header.Get("Content-Type") != imageManifest {
			t.Errorf("GET %s answers %v", ref, a.header)
		}
		a = c.do(http.StatusOK, "HEAD", "/v2/r/manifests/"+ref, "")
		if a.body != "" || a.header.Get("Content-Length") == "" {
			t.Errorf("HEAD %s answers %v", ref, a.header)
		}
	}
	c.do(http.StatusAccepted, "DELETE", "/v2/r/manifests/one", "")
	c.do(http.StatusNotFound, "DELETE", "/v2/r/manifests/one", "")
	if a := c.do(http.StatusNotFound, "GET", "/v2/r/manifests/one", ""); a.code != "MANIFEST_UNKNOWN" {
		t.Errorf("an absent manifest has the code %q", a.code)
	}
	c.do(http.StatusOK, "GET", "/v2/r/manifests/two", "") // a tag is a tag, not its manifest
	c.tag("r", "three", "other")
	c.do(http.StatusAccepted, "DELETE", "/v2/r/manifests/"+one.String(), "")
	if got := c.Tags("r"); !slices.Equal(got, []string{"three"}) {
		t.Errorf("after DELETE of a digest the tags are %q", got)
	}

	config := c.push("r", "{}")
	plain, absent := manifestOf("a/b", "", config), manifestOf("a/b", "", config, digest.FromString("absent"))
	for name, p := range map[string]struct{ path, body, ctype, code string }{
		"absent layer":     {"r/manifests/x", absent, imageManifest, "MANIFEST_BLOB_UNKNOWN"},
		"no JSON":          {"r/manifests/x", "nothing", imageManifest, "MANIFEST_INVALID"},
		"other type":       {"r/manifests/x", plain, "application/json", "MANIFEST_INVALID"},
		"other digest":     {"r/manifests/" + one.String(), plain, imageManifest, "DIGEST_INVALID"},
		"bad tag":          {"r/manifests/-x", plain, imageManifest, "TAG_INVALID"},
		"upper-case name":  {"R/manifests/x", plain, imageManifest, "NAME_INVALID"},
		"double separator": {"r..s/manifests/x", plain, imageManifest, "NAME_INVALID"},
	} {
		if a := c.do(http.StatusBadRequest, "PUT", "/v2/"+p.path, p.body, "Content-Type", p.ctype); a.code != p.code {
			t.Errorf("%s: code %q, want %q", name, a.code, p.code)
		}
	}
	large := strings.Repeat(" ", 4<<20) + plain
	c.do(http.StatusRequestEntityTooLarge, "PUT", "/v2/r/manifests/x", large, "Content-Type", imageManifest)
	c.do(http.StatusMethodNotAllowed, "POST", "/v2/r/manifests/x", "")
}

func TestSubject(t *testing.T) {
	c := newClient(t, registrytest.Defects{})
	subject := c.tag("r", "subject", "")
	m := manifestOf("application/vnd.example.signature", "", c.push("r", "{}"))
	m = strings.Replace(m, `"annotations"`, `"subject":{"mediaType":"`+imageManifest+`","digest":"`+subject.String()+
		`","size":1},"annotations"`, 1)
	d := digest.FromString(m)
	a := c.do(http.StatusCreated, "PUT", "/v2/r/manifests/"+d.String(), m, "Content-Type", imageManifest)
	if a.header.Get("OCI-Subject") != subject.String() {
		t.Errorf("OCI-Subject is %q", a.header.Get("OCI-Subject"))
	}
	if a := c.do(http.StatusOK, "GET", "/v2/r/referrers/"+subject.String(), ""); !strings.Contains(a.body, d.String()) {
		t.Errorf("the referrers are %s", a.body)
	}
	if a := c.do(http.StatusOK, "GET", "/v2/r/referrers/"+d.String(), ""); !strings.Contains(a.body, `"manifests":[]`) {
		t.Errorf("no referrers are %s", a.body)
	}
}

func TestTagList(t *testing.T) {
	c := newClient(t, registrytest.Defects{})
	if a := c.do(http.StatusNotFound, "GET", "/v2/r/tags/list", ""); a.code != "NAME_UNKNOWN" {
		t.Errorf("an absent repository has the code %q", a.code)
	}
	for _, tag := range []string{"b", "A", "c", "a"} {
		c.tag("r", tag, tag)
	}
	for query, want := range map[string]string{
		"": `["A","a","b","c"]`, "?n=0": `[]`, "?n=2": `["A","a"]`, "?n=2&last=a": `["b","c"]`, "?last=aa": `["b","c"]`,
		"?n=9&last=z": `[]`,
	} {
		a := c.do(http.StatusOK, "GET", "/v2/r/tags/list"+query, "")
		if !strings.Contains(a.body, want) {
			t.Errorf("tags/list%s is %s, want %s", query, a.body, want)
		}
		if link, want := a.header.Get("Link"), query == "?n=2"; (link != "") != want {
			t.Errorf("tags/list%s has the Link %q", query, link)
		}
	}
	c.do(http.StatusBadRequest, "GET", "/v2/r/tags/list?n=x", "")
	if a := c.do(http.StatusOK, "GET", "/v2/_catalog", ""); !strings.Contains(a.body, `["r"]`) {
		t.Errorf("the catalog is %s", a.body)
	}
}

// TestRoutes: the words of the routes are names of repositories too.
func TestRoutes(t *testing.T) {
	c := newClient(t, registrytest.Defects{})
	for _, repo := range []string{"manifests/blobs", "a/tags/list", "blobs/uploads/x", "a/manifests"} {
		c.tag(repo, "manifests", "x")
		c.do(http.StatusOK, "GET", "/v2/"+repo+"/manifests/manifests", "")
		c.do(http.StatusOK, "GET", "/v2/"+repo+"/tags/list", "")
	}
	c.do(http.StatusNotFound, "GET", "/", "")
	c.do(http.StatusNotFound, "GET", "/v2/nothing", "")
}

func TestBackDoors(t *testing.T) {
	c := newClient(t, registrytest.Defects{})
	d := c.PutBlob("r", []byte("blob"))
	m := c.PutManifest("r", "t", "", []byte(`{}`))
	if a := c.do(http.StatusOK, "GET", "/v2/r/blobs/"+d.String(), ""); a.body != "blob" {
		t.Errorf("PutBlob is read as %q", a.body)
	}
	if a := c.do(http.StatusOK, "GET", "/v2/r/manifests/t", ""); a.body != "{}" {
		t.Errorf("PutManifest is read as %q", a.body)
	}
	if !bytes.Equal(c.Manifest("r", "t"), c.Manifest("r", m.String())) || c.Manifest("r", "absent") != nil {
		t.Error("Manifest gives another one")
	}
	c.DropBlob("r", d)
	c.do(http.StatusNotFound, "GET", "/v2/r/blobs/"+d.String(), "")
	c.Phantom("r", "t")
	c.do(http.StatusNotFound, "GET", "/v2/r/manifests/t", "")
	if a := c.do(http.StatusOK, "GET", "/v2/r/tags/list", ""); !strings.Contains(a.body, `["t"]`) {
		t.Errorf("the list with a phantom is %s", a.body)
	}
	other := c.Clone(registrytest.Defects{})
	other.PutManifest("r", "u", "", []byte(`{}`))
	other.PutBlob("r", []byte("other"))
	if len(c.Tags("r")) != 0 || c.HasBlob("r", digest.FromString("other")) || other.Manifest("r", m.String()) == nil {
		t.Error("a clone is not another registry with the same content")
	}
	if got := c.Repositories(); !slices.Equal(got, []string{"r"}) {
		t.Errorf("the repositories are %q", got)
	}
}

func TestCounts(t *testing.T) {
	c := newClient(t, registrytest.Defects{})
	c.tag("r", "t", "")
	want := []string{
		"POST /v2/r/blobs/uploads/", "PUT /v2/r/blobs/uploads/session-1?digest=" + digest.FromString("{}").String(),
		"POST /v2/r/blobs/uploads/", "PUT /v2/r/blobs/uploads/session-2?digest=" + digest.FromString("layer").String(),
		"PUT /v2/r/manifests/t",
	}
	if got := c.Requests(); !slices.Equal(got, want) {
		t.Errorf("the requests are %q", got)
	}
	if c.Count("POST upload") != 2 || c.Count("PUT upload", "PUT manifest") != 3 || c.Count("GET blob") != 0 {
		t.Error("the requests are counted otherwise than they are listed")
	}
	c.ResetCounts()
	if n := len(c.Requests()); n != 0 || c.Count("PUT manifest") != 0 {
		t.Errorf("%d requests after ResetCounts", n)
	}
}
