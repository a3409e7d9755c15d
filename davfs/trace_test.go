package davfs_test

import (
	"context"
	"io/fs"
	"net/http/httptest"
	"strings"
	"testing"

	"ocidav/davfs"
)

// callingTree asks its storage once for each Stat.
type callingTree struct{ davfs.Tree }

func (t callingTree) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	davfs.TraceOf(ctx).Called()
	return t.Tree.Stat(ctx, name)
}

// TestTrace: whoever stands in front hears what a request has come to, and whoever works for it below is counted.
func TestTrace(t *testing.T) {
	d := newDrive(t)
	d.Tree = callingTree{d.tree}
	for _, c := range []struct {
		method, target string
		status         int
		bytes, calls   int64
	}{{"GET", "/top", 200, 3, 1}, {"HEAD", "/top", 200, 0, 1}, {"GET", "/absent", 404, -1, 1}, {"INVENTED", "/top", 405, -1, 0}} {
		trace := new(davfs.Trace)
		r := httptest.NewRequest(c.method, c.target, strings.NewReader(""))
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r.WithContext(trace.Context(r.Context())))
		if c.bytes < 0 {
			c.bytes = int64(w.Body.Len())
		}
		if trace.Status != c.status || trace.Bytes != c.bytes || trace.Calls() != c.calls {
			t.Errorf("%s %s: status %d, %d bytes, %d calls, want %d, %d, %d", c.method, c.target,
				trace.Status, trace.Bytes, trace.Calls(), c.status, c.bytes, c.calls)
		}
	}
	davfs.TraceOf(t.Context()).Called() // for nobody
}

func TestLockCount(t *testing.T) {
	d := newDrive(t)
	if n := d.Locks(); n != 0 {
		t.Errorf("%d locks", n)
	}
	lock := `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`
	token := d.want(200, "LOCK", "/top", lock).Header().Get("Lock-Token")
	if n := d.Locks(); n != 1 {
		t.Errorf("%d locks after LOCK", n)
	}
	d.want(204, "UNLOCK", "/top", "", "Lock-Token", token)
	if n := d.Locks(); n != 0 {
		t.Errorf("%d locks after UNLOCK", n)
	}
}
