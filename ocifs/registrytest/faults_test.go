package registrytest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"ocidav/ocifs/registrytest"
)

func TestDefects(t *testing.T) {
	const manifests, uploads = "/v2/r/manifests/", "/v2/r/blobs/uploads/"
	var unknown = manifestOf("application/vnd.example", "", digest.FromString("{}"))
	for name, c := range map[string]struct {
		defects registrytest.Defects
		test    func(c *client)
	}{
		"NoTagDelete": {registrytest.Defects{NoTagDelete: http.StatusBadRequest}, func(c *client) {
			d := c.tag("r", "t", "")
			if a := c.do(http.StatusBadRequest, "DELETE", manifests+"t", ""); a.code != "UNSUPPORTED" {
				c.Errorf("code %q", a.code)
			}
			c.do(http.StatusAccepted, "DELETE", manifests+d.String(), "")
		}},
		"NoDelete": {registrytest.Defects{NoDelete: true}, func(c *client) {
			d := c.tag("r", "t", "")
			c.do(http.StatusMethodNotAllowed, "DELETE", manifests+"t", "")
			c.do(http.StatusMethodNotAllowed, "DELETE", manifests+d.String(), "")
			c.do(http.StatusMethodNotAllowed, "DELETE", "/v2/r/blobs/"+digest.FromString("{}").String(), "")
		}},
		"DeleteByTagRemovesManifest": {registrytest.Defects{DeleteByTagRemovesManifest: true}, func(c *client) {
			c.tag("r", "t", "")
			c.tag("r", "u", "")
			c.do(http.StatusAccepted, "DELETE", manifests+"t", "")
			c.do(http.StatusNotFound, "GET", manifests+"u", "")
		}},
		"NoRange": {registrytest.Defects{NoRange: true}, func(c *client) {
			d := c.push("r", "hello")
			if a := c.do(http.StatusOK, "GET", "/v2/r/blobs/"+d.String(), "", "Range", "bytes=1-2"); a.body != "hello" {
				c.Errorf("body %q", a.body)
			}
		}},
		"IgnorePaging": {registrytest.Defects{IgnorePaging: true}, func(c *client) {
			c.tag("r", "a", "")
			c.tag("r", "b", "")
			if a := c.do(http.StatusOK, "GET", "/v2/r/tags/list?n=1&last=a", ""); !strings.Contains(a.body, `["a","b"]`) {
				c.Errorf("list %s", a.body)
			}
		}},
		"PageSize": {registrytest.Defects{PageSize: 1}, func(c *client) {
			c.tag("r", "a", "")
			c.tag("r", "b", "")
			a := c.do(http.StatusOK, "GET", "/v2/r/tags/list?n=5", "")
			link, want := a.header.Get("Link"), `</v2/r/tags/list?last=a&n=1>; rel="next"`
			if !strings.Contains(a.body, `["a"]`) || link != want {
				c.Errorf("list %s, Link %s, want %s", a.body, link, want)
			}
		}},
		"PageRefused": {registrytest.Defects{PageRefused: 1}, func(c *client) {
			c.tag("r", "a", "")
			c.do(http.StatusOK, "GET", "/v2/r/tags/list?n=1", "")
			c.do(http.StatusBadRequest, "GET", "/v2/r/tags/list?n=2", "")
		}},
		"PageCut": {registrytest.Defects{PageCut: 2}, func(c *client) {
			for _, tag := range []string{"a", "b", "c"} {
				c.tag("r", tag, "")
			}
			a, b := c.do(http.StatusOK, "GET", "/v2/r/tags/list?n=1", ""), c.do(http.StatusOK, "GET", "/v2/r/tags/list?n=2", "")
			if a.header.Get("Link") == "" || b.header.Get("Link") != "" || !strings.Contains(b.body, `["a","b"]`) {
				c.Errorf("lists %s, %s, Links %q, %q", a.body, b.body, a.header.Get("Link"), b.header.Get("Link"))
			}
		}},
		"TagOrder folded": {registrytest.Defects{TagOrder: registrytest.OrderFolded}, func(c *client) {
			c.lists("/v2/r/tags/list", `["a","B","c"]`, "B", "a", "c")
			c.lists("/v2/r/tags/list?last=b", `["c"]`)
		}},
		"TagOrder natural": {registrytest.Defects{TagOrder: registrytest.OrderNatural}, func(c *client) {
			c.lists("/v2/r/tags/list", `["a2","a10","b1"]`, "a10", "a2", "b1")
		}},
		"TagOrder reversed": {registrytest.Defects{TagOrder: registrytest.OrderReversed}, func(c *client) {
			c.lists("/v2/r/tags/list", `["c","b","a"]`, "a", "b", "c")
			c.lists("/v2/r/tags/list?last=b", `["a"]`)
		}},
		"TagOrder any": {registrytest.Defects{TagOrder: registrytest.OrderAny}, func(c *client) {
			c.lists("/v2/r/tags/list", `["a","c","b"]`, "a", "b", "c")
		}},
		"LastUnknown ignored": {registrytest.Defects{LastUnknown: registrytest.LastIgnored}, func(c *client) {
			c.lists("/v2/r/tags/list?last=b", `["a","c"]`, "a", "c")
			c.lists("/v2/r/tags/list?last=a", `["c"]`)
		}},
		"LastUnknown refused": {registrytest.Defects{LastUnknown: registrytest.LastRefused}, func(c *client) {
			c.lists("/v2/r/tags/list?last=a", `["c"]`, "a", "c")
			c.do(http.StatusBadRequest, "GET", "/v2/r/tags/list?last=b", "")
		}},
		"LastUnknown nothing": {registrytest.Defects{LastUnknown: registrytest.LastNothing}, func(c *client) {
			c.lists("/v2/r/tags/list?last=b", `[]`, "a", "c")
			c.lists("/v2/r/tags/list?last=a", `["c"]`)
		}},
		"TagsNull": {registrytest.Defects{TagsNull: true}, func(c *client) {
			c.push("r", "x")
			if a := c.do(http.StatusOK, "GET", "/v2/r/tags/list", ""); !strings.Contains(a.body, `"tags":null`) {
				c.Errorf("list %s", a.body)
			}
		}},
		"NoCatalog": {registrytest.Defects{NoCatalog: true}, func(c *client) {
			c.do(http.StatusNotFound, "GET", "/v2/_catalog", "")
		}},
		"NoMount": {registrytest.Defects{NoMount: true}, func(c *client) {
			d := c.push("r", "x")
			a := c.do(http.StatusAccepted, "POST", "/v2/s/blobs/uploads/?from=r&mount="+d.String(), "")
			c.do(http.StatusCreated, "PUT", a.header.Get("Location")+"?digest="+d.String(), "x")
		}},
		"MountDenied": {registrytest.Defects{MountDenied: http.StatusUnauthorized}, func(c *client) {
			d := c.push("r", "x")
			c.do(http.StatusUnauthorized, "POST", "/v2/s/blobs/uploads/?from=r&mount="+d.String(), "")
		}},
		"KnownTypesOnly": {registrytest.Defects{KnownTypesOnly: true}, func(c *client) {
			c.push("r", "{}")
			a := c.do(http.StatusBadRequest, "PUT", manifests+"t", unknown, "Content-Type", imageManifest)
			if a.code != "MANIFEST_INVALID" {
				c.Errorf("code %q", a.code)
			}
			known := strings.Replace(unknown, "application/vnd.example", "", 1)
			c.do(http.StatusCreated, "PUT", manifests+"t", known, "Content-Type", imageManifest)
		}},
		"RefuseEmptyBlob": {registrytest.Defects{RefuseEmptyBlob: http.StatusBadRequest}, func(c *client) {
			at := c.do(http.StatusAccepted, "POST", uploads, "").header.Get("Location")
			c.do(http.StatusBadRequest, "PUT", at+"?digest="+digest.FromString("").String(), "")
		}},
		"AcceptMissingBlobs": {registrytest.Defects{AcceptMissingBlobs: true}, func(c *client) {
			c.do(http.StatusCreated, "PUT", manifests+"t", unknown, "Content-Type", imageManifest)
		}},
		"MissingBlobIsInvalid": {registrytest.Defects{MissingBlobIsInvalid: true}, func(c *client) {
			a := c.do(http.StatusBadRequest, "PUT", manifests+"t", unknown, "Content-Type", imageManifest)
			if a.code != "MANIFEST_INVALID" {
				c.Errorf("code %q", a.code)
			}
		}},
		"OmitDigestHeader": {registrytest.Defects{OmitDigestHeader: true}, func(c *client) {
			c.tag("r", "t", "")
			if a := c.do(http.StatusOK, "HEAD", manifests+"t", ""); a.header.Get("Docker-Content-Digest") != "" {
				c.Error("there is a digest")
			}
		}},
		"KeepTagged": {registrytest.Defects{KeepTagged: http.StatusBadRequest}, func(c *client) {
			d := c.tag("r", "t", "")
			c.do(http.StatusBadRequest, "DELETE", manifests+d.String(), "")
			c.do(http.StatusAccepted, "DELETE", manifests+"t", "")
			c.do(http.StatusAccepted, "DELETE", manifests+d.String(), "")
		}},
		"UnknownType": {registrytest.Defects{KnownTypesOnly: true, UnknownType: http.StatusUnsupportedMediaType}, func(c *client) {
			c.push("r", "{}")
			c.do(http.StatusUnsupportedMediaType, "PUT", manifests+"t", unknown, "Content-Type", imageManifest)
		}},
		"PlainNames": {registrytest.Defects{PlainNames: true}, func(c *client) {
			c.do(http.StatusBadRequest, "POST", "/v2/r/a--b/blobs/uploads/", "")
			c.do(http.StatusBadRequest, "POST", "/v2/a__b/blobs/uploads/", "")
			c.do(http.StatusAccepted, "POST", "/v2/r/a-b_c.d/blobs/uploads/", "")
		}},
		"Depth": {registrytest.Defects{Depth: 2}, func(c *client) {
			c.do(http.StatusForbidden, "POST", "/v2/a/b/c/blobs/uploads/", "")
			c.do(http.StatusAccepted, "POST", "/v2/a/b/blobs/uploads/", "")
		}},
		"NoCreate": {registrytest.Defects{NoCreate: true}, func(c *client) {
			if a := c.do(http.StatusNotFound, "POST", uploads, ""); a.code != "NAME_UNKNOWN" {
				c.Errorf("code %q", a.code)
			}
			c.Make("r")
			c.do(http.StatusAccepted, "POST", uploads, "")
			c.do(http.StatusOK, "GET", "/v2/r/tags/list", "")
		}},
		"Rate": {registrytest.Defects{Rate: 2}, func(c *client) {
			for range 2 {
				c.do(http.StatusOK, "GET", "/v2/", "")
			}
			if a := c.do(http.StatusTooManyRequests, "GET", "/v2/", ""); a.header.Get("Retry-After") != "1" {
				c.Errorf("Retry-After: %s", a.header.Get("Retry-After"))
			}
		}},
		"Latency": {registrytest.Defects{Latency: 10 * time.Millisecond}, func(c *client) {
			start := time.Now()
			c.do(http.StatusOK, "GET", "/v2/", "")
			if d := time.Since(start); d < 10*time.Millisecond {
				c.Errorf("it took %v", d)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) { c.test(newClient(t, c.defects)) })
	}
}

func TestFaults(t *testing.T) {
	const blob = "the content of a blob"
	at := "/v2/r/blobs/" + digest.FromString(blob).String()
	for name, c := range map[string]struct {
		fault registrytest.Fault
		check func(a answer, err error) bool
	}{
		"status": {registrytest.Status(500), func(a answer, err error) bool {
			return a.status == 500 && a.body == ""
		}},
		"error body": {registrytest.Status(404, "BLOB_UNKNOWN"), func(a answer, err error) bool {
			return a.code == "BLOB_UNKNOWN"
		}},
		"TooMany": {registrytest.TooMany(time.Minute), func(a answer, err error) bool {
			return a.status == 429 && a.header.Get("Retry-After") == "60"
		}},
		"Page": {registrytest.Page(200), func(a answer, err error) bool {
			return a.status == 200 && strings.Contains(a.body, "<title>")
		}},
		"ResetBefore": {registrytest.ResetBefore, func(a answer, err error) bool {
			return err != nil && a.status == 0
		}},
		"ResetAfter": {registrytest.ResetAfter, func(a answer, err error) bool {
			return err != nil && a.status == 0
		}},
		"Cut": {registrytest.Cut, func(a answer, err error) bool {
			return err != nil && a.body == blob[:len(blob)/2]
		}},
		"Garble": {registrytest.Garble, func(a answer, err error) bool {
			return err == nil && len(a.body) == len(blob) && a.body != blob
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newClient(t, registrytest.Defects{})
			cl.push("r", blob)
			rule := cl.Fail(registrytest.Match{Method: "GET", Path: "/blobs/"}, c.fault, 0)
			if a, err := cl.try("GET", at, ""); !c.check(a, err) {
				t.Errorf("answer %+v, error %v", a, err)
			}
			if rule.Hits() == 0 {
				t.Error("the request did not meet the fault")
			}
			cl.do(http.StatusOK, "HEAD", at, "")
			cl.Heal()
			if a := cl.do(http.StatusOK, "GET", at, ""); a.body != blob {
				t.Errorf("after Heal the body is %q", a.body)
			}
		})
	}
}

// TestResetsAndEffects: what is lost before has no effect, what is lost after has.
func TestResetsAndEffects(t *testing.T) {
	c := newClient(t, registrytest.Defects{})
	m := manifestOf("a/b", "", c.push("r", "{}"))
	for tag, c2 := range map[string]struct {
		fault registrytest.Fault
		there bool
	}{
		"before": {registrytest.ResetBefore, false},
		"after":  {registrytest.ResetAfter, true},
		"cut":    {registrytest.Cut, true},
	} {
		c.Fail(registrytest.Match{Path: "/manifests/" + tag}, c2.fault, 0)
		if _, err := c.try("PUT", "/v2/r/manifests/"+tag, m, "Content-Type", imageManifest); err == nil {
			t.Errorf("%s: no error", tag)
		}
		if there := c.Manifest("r", tag) != nil; there != c2.there {
			t.Errorf("%s: the manifest is there: %v", tag, there)
		}
	}
}

func TestStall(t *testing.T) {
	for name, fault := range map[string]registrytest.Fault{
		"Stall": registrytest.Stall, "StallInBody": registrytest.StallInBody,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, registrytest.Defects{})
				c.PutManifest("r", "t", "", []byte(`{"some":"manifest"}`))
				c.Fail(registrytest.Match{}, fault, 0)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://registry.localhost/v2/r/manifests/t", nil)
				resp, err := c.http.Do(req)
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v, want the end of the context", err)
				}
			})
		})
	}
}

func TestMatch(t *testing.T) {
	c := newClient(t, registrytest.Defects{})
	rule := c.Fail(registrytest.Match{Method: "GET HEAD", Path: "^/v2/$", Skip: 2, Every: 3}, registrytest.Status(500), 2)
	var got []int
	for range 10 {
		a, err := c.try("GET", "/v2/", "")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a.status)
	}
	for i, status := range got {
		if want := i == 2 || i == 5; (status == 500) != want {
			t.Errorf("request %d has status %d", i, status)
		}
	}
	if rule.Hits() != 2 {
		t.Errorf("%d hits, want 2", rule.Hits())
	}
	c.do(http.StatusMethodNotAllowed, "POST", "/v2/", "")
}

// TestParallel is for the race detector.
func TestParallel(t *testing.T) {
	c := newClient(t, registrytest.Defects{})
	c.Fail(registrytest.Match{Method: "GET", Every: 5}, registrytest.Status(503), 0)
	var wg sync.WaitGroup
	for i := range 8 {
		tag := string(rune('a' + i))
		wg.Go(func() {
			c.tag("r", tag, tag)
			_, _ = c.try("GET", "/v2/r/tags/list", "")
			c.do(http.StatusAccepted, "DELETE", "/v2/r/manifests/"+tag, "")
			c.Tags("r")
			c.Count("GET tags")
		})
	}
	wg.Wait()
	if tags := c.Tags("r"); len(tags) != 0 {
		t.Errorf("tags %q are left", tags)
	}
}
