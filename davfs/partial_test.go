package davfs_test

import (
	"encoding/xml"
	"errors"
	"io/fs"
	"net/http"
	"testing"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// partial is what a Tree says that has changed something and not all.
type partial struct{ failed map[string]error }

func (partial) Error() string               { return "registry.internal has done a part" }
func (p partial) Members() map[string]error { return p.failed }
func (partial) FailureClass() string        { return davfs.ClassDenied }

// RFC 4918 sections 9.8.5 and 9.9.4: members that failed are told in a multistatus, each with its own status, and nothing
// of the others.
func TestPartialFailure(t *testing.T) {
	for method, call := range map[string]string{"COPY": "Copy", "MOVE": "Rename"} {
		d := newDrive(t)
		d.Prefix = "/dav"
		failed := map[string]error{
			"/e/a&b c": &treetest.Failure{Class: davfs.ClassDenied}, "/e/full": &treetest.Failure{Class: davfs.ClassQuota},
			"/e/down": errors.New("registry.internal is down"), "/e/image": fs.ErrPermission,
		}
		d.tree.Fail(call, partial{failed})
		w := d.want(http.StatusMultiStatus, method, "/dav/d", "", "Destination", "/dav/e")
		var got struct {
			Responses []struct {
				Href   string `xml:"DAV: href"`
				Status string `xml:"DAV: status"`
			} `xml:"DAV: response"`
		}
		if err := xml.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		want := map[string]string{
			"/dav/e/a&b%20c": "HTTP/1.1 403 Forbidden", "/dav/e/full": "HTTP/1.1 507 Insufficient Storage",
			"/dav/e/down": "HTTP/1.1 503 Service Unavailable", "/dav/e/image": "HTTP/1.1 403 Forbidden",
		}
		if len(got.Responses) != len(want) || has(w, "registry.internal") {
			t.Errorf("%s: the answer is %s", method, w.Body)
		}
		for _, r := range got.Responses {
			if want[r.Href] != r.Status {
				t.Errorf("%s: %s has status %q, want %q", method, r.Href, r.Status, want[r.Href])
			}
		}
		// Without a member that failed it is a failure like any other.
		d.tree.Fail(call, partial{})
		d.want(http.StatusForbidden, method, "/dav/d", "", "Destination", "/dav/e")
	}
}
