package davfs_test

import (
	"errors"
	"testing"
)

// TestParentIsNotListed: who asks about one name, or changes it, never has its directory listed, which may have 100,000
// members. A listing that is asked for fails here, and so would the request.
func TestParentIsNotListed(t *testing.T) {
	d := newDrive(t)
	d.put("/d/f", "content")
	d.put("/d/g", "content")
	d.tree.Fail("ReadDir", errors.New("the directory is listed"))
	d.want(503, "PROPFIND", "/d/", "", "Depth", "1")
	d.want(207, "PROPFIND", "/d/f", "", "Depth", "0")
	d.want(207, "PROPFIND", "/d/f", "", "Depth", "1")
	d.want(207, "PROPFIND", "/d/", "", "Depth", "0")
	d.want(404, "PROPFIND", "/d/absent", "", "Depth", "0")
	d.want(200, "GET", "/d/f", "")
	d.want(206, "GET", "/d/f", "", "Range", "bytes=1-2")
	d.want(200, "HEAD", "/d/f", "")
	d.want(404, "HEAD", "/d/absent", "")
	d.want(200, "HEAD", "/d/", "")
	d.want(200, "OPTIONS", "/d/f", "")
	d.want(201, "PUT", "/d/new", "new")
	d.want(204, "PUT", "/d/f", "over")
	d.want(201, "COPY", "/d/f", "", "Destination", "/d/copy")
	d.want(204, "MOVE", "/d/copy", "", "Destination", "/d/g")
	d.want(204, "DELETE", "/d/g", "")
}
