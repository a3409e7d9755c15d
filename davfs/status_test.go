package davfs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

// attempts are every method on everything that it can be about.
var attempts = []struct {
	method, target, body string
	headers              []string
	last                 string // the last method of Tree that it needs
}{
	{"GET", "/d/f", "", nil, "Open"},
	{"GET", "/d", "", nil, "ReadDir"},
	{"HEAD", "/d/f", "", nil, ""},
	{"HEAD", "/d", "", nil, ""},
	{"OPTIONS", "/d/f", "", nil, ""},
	{"OPTIONS", "/", "", nil, ""},
	{"PUT", "/d/new", "x", nil, "Put"},
	{"PUT", "/d/f", "x", nil, "Put"},
	{"PUT", "/d/f", "", nil, "Put"},
	{"DELETE", "/d/f", "", nil, "RemoveAll"},
	{"DELETE", "/d", "", nil, "RemoveAll"},
	{"MKCOL", "/d/new", "", nil, "Mkdir"},
	{"COPY", "/d/f", "", []string{"Destination", "/d/g"}, "Copy"},
	{"COPY", "/d/f", "", []string{"Destination", "/d/new"}, "Copy"},
	{"COPY", "/d", "", []string{"Destination", "/e"}, "Copy"},
	{"COPY", "/d", "", []string{"Destination", "/new"}, "Copy"},
	{"COPY", "/d", "", []string{"Destination", "/e", "Depth", "0"}, "Rename"},
	{"MOVE", "/d/f", "", []string{"Destination", "/d/g"}, "Rename"},
	{"MOVE", "/d", "", []string{"Destination", "/e"}, "Rename"},
	{"MOVE", "/d", "", []string{"Destination", "/new"}, "Rename"},
	{"PROPFIND", "/d/f", "", []string{"Depth", "0"}, "Props"},
	{"PROPFIND", "/d", "", []string{"Depth", "1"}, "Props"},
	{"PROPFIND", "/d", findLive, []string{"Depth", "1"}, "ReadDir"},
	{"PROPFIND", "/d", findDead, []string{"Depth", "1"}, "ReadDir"},
	{"PROPPATCH", "/d/f", patchBody, nil, "PatchProps"},
	{"PROPPATCH", "/d", patchBody, nil, "PatchProps"},
	{"LOCK", "/d/f", lockBody, nil, ""},
	{"LOCK", "/d/new", lockBody, nil, "Put"},
}

var failures = []struct {
	err  error
	code int
}{
	{&treetest.Failure{Class: davfs.ClassUnavailable}, 503},
	{&treetest.Failure{Class: davfs.ClassTimeout}, 504},
	{&treetest.Failure{Class: davfs.ClassUnauthorized}, 401},
	{&treetest.Failure{Class: davfs.ClassDenied}, 403},
	{&treetest.Failure{Class: davfs.ClassRateLimited}, 429},
	{&treetest.Failure{Class: davfs.ClassQuota}, 507},
	{&treetest.Failure{Class: davfs.ClassTooLarge}, 413},
	{&treetest.Failure{Class: "a class of the future"}, 503},
	{errors.New("registry.internal: connection refused"), 503},
	{fmt.Errorf("ask registry.internal: %w", context.DeadlineExceeded), 504},
	{fmt.Errorf("ask registry.internal: %w", os.ErrDeadlineExceeded), 504},
	{liar{}, 503},
	{&fs.PathError{Op: "stat", Path: "registry.internal", Err: errors.New("broken")}, 503},
}

// liar fails and claims absence at once.
type liar struct{}

func (liar) Error() string        { return "registry.internal is broken" }
func (liar) Is(err error) bool    { return err == fs.ErrNotExist || err == fs.ErrPermission }
func (liar) FailureClass() string { return davfs.ClassUnavailable }

// A failure is never an absence: every method, every class, whichever call of the tree fails.
func TestFailureIsNeverAbsence(t *testing.T) {
	for _, f := range failures {
		for _, a := range attempts {
			for _, broken := range []string{"", a.last} {
				d := newDrive(t)
				d.tree.Fail(broken, f.err)
				w := d.do(a.method, a.target, a.body, a.headers...)
				what := fmt.Sprintf("%s %s %q with %q in Tree.%s", a.method, a.target, a.headers, f.err, broken)
				if w.Code != f.code {
					t.Errorf("%s: status %d, want %d: %s", what, w.Code, f.code, w.Body)
				}
				if s := w.Body.String(); strings.Contains(s, "registry.internal") || strings.Contains(s, "multistatus") {
					t.Errorf("%s: body %s", what, s)
				}
				for _, k := range []string{"ETag", "Last-Modified", "Lock-Token", "Content-Range"} {
					if v := w.Header().Get(k); v != "" {
						t.Errorf("%s: %s: %s", what, k, v)
					}
				}
				// Nothing has changed.
				d.hasFile("/d/f", "content of f")
				d.hasFile("/d/g", "content of g")
				if got := d.members("/d") + "|" + d.members("/") + "|" + d.members("/e"); got != "f g|d e top|" {
					t.Errorf("%s: members are now %s", what, got)
				}
			}
		}
	}
}

func TestFailureHeaders(t *testing.T) {
	d := newDrive(t)
	for _, c := range []struct {
		failure    treetest.Failure
		key, value string
	}{
		{treetest.Failure{Class: davfs.ClassUnauthorized}, "WWW-Authenticate", `Basic realm="ocidav", charset="UTF-8"`},
		{treetest.Failure{Class: davfs.ClassUnavailable}, "Retry-After", "5"},
		{treetest.Failure{Class: davfs.ClassUnavailable, After: 61500 * time.Millisecond}, "Retry-After", "62"},
		{treetest.Failure{Class: davfs.ClassRateLimited, After: time.Minute}, "Retry-After", "60"},
		{treetest.Failure{Class: davfs.ClassQuota}, "Retry-After", ""},
	} {
		d.tree.Fail("", &c.failure)
		if got := d.do("GET", "/top", "").Header().Get(c.key); got != c.value {
			t.Errorf("%v: %s %q, want %q", c.failure, c.key, got, c.value)
		}
	}
	d.tree.Fail("", &treetest.Failure{Class: davfs.ClassUnavailable})
	if w := d.want(http.StatusServiceUnavailable, "HEAD", "/top", ""); w.Body.Len() != 0 {
		t.Errorf("HEAD has the body %q", w.Body)
	}
}

// What the tree says about a name is for the user.
func TestAnswersOfTheTree(t *testing.T) {
	say := func(err error) error { return fmt.Errorf("the name is %w", err) }
	for _, c := range []struct {
		method, target, fails string
		err                   error
		code                  int
	}{
		{"PUT", "/new", "Put", say(fs.ErrInvalid), 400},
		{"PUT", "/new", "Put", say(fs.ErrPermission), 403},
		{"PUT", "/new", "Put", say(fs.ErrNotExist), 409},
		{"PUT", "/new", "Put", say(fs.ErrExist), 405},
		{"MKCOL", "/new", "Mkdir", say(fs.ErrInvalid), 400},
		{"MKCOL", "/new", "Mkdir", say(fs.ErrPermission), 403},
		{"MKCOL", "/new", "Mkdir", say(fs.ErrNotExist), 409},
		{"MKCOL", "/new", "Mkdir", say(fs.ErrExist), 405},
		{"DELETE", "/top", "RemoveAll", say(fs.ErrPermission), 403},
		{"DELETE", "/top", "RemoveAll", say(fs.ErrNotExist), 404},
		{"MOVE", "/top", "Rename", say(fs.ErrInvalid), 403},
		{"MOVE", "/top", "Rename", say(fs.ErrNotExist), 404},
		{"COPY", "/top", "Copy", say(fs.ErrPermission), 403},
		{"PROPPATCH", "/top", "PatchProps", say(fs.ErrPermission), 403},
		{"LOCK", "/new", "Put", say(fs.ErrPermission), 403},
		{"LOCK", "/new", "Put", say(fs.ErrNotExist), 409},
		{"GET", "/top", "Stat", say(fs.ErrPermission), 403},
		{"GET", "/top", "Stat", say(fs.ErrInvalid), 400},
		{"PROPFIND", "/d", "ReadDir", say(fs.ErrPermission), 403},
		{"PROPFIND", "/d", "Stat", say(fs.ErrNotExist), 404},
	} {
		d := newDrive(t)
		d.tree.Fail(c.fails, c.err)
		body := ""
		switch c.method {
		case "LOCK":
			body = lockBody
		case "PROPPATCH":
			body = patchBody
		}
		depth := "infinity"
		if c.method == "PROPFIND" {
			depth = "1"
		}
		w := d.want(c.code, c.method, c.target, body, "Destination", "/other", "Depth", depth)
		if !errors.Is(c.err, fs.ErrNotExist) && !strings.Contains(w.Body.String(), c.err.Error()) {
			t.Errorf("%s with %v says %q", c.method, c.err, w.Body)
		}
		if w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" {
			t.Errorf("%s: 405 without Allow", c.method)
		}
	}
}

func TestConflictsWithTheTree(t *testing.T) {
	d := newDrive(t)
	d.want(http.StatusMethodNotAllowed, "PUT", "/d", "x")
	d.want(http.StatusConflict, "PUT", "/absent/x", "x")
	d.want(http.StatusConflict, "PUT", "/top/x", "x")
	d.want(http.StatusMethodNotAllowed, "MKCOL", "/d", "")
	d.want(http.StatusMethodNotAllowed, "MKCOL", "/top", "")
	d.want(http.StatusConflict, "MKCOL", "/absent/x", "")
	d.want(http.StatusConflict, "LOCK", "/absent/x", lockBody)
	d.want(http.StatusForbidden, "DELETE", "/", "")
	d.want(http.StatusNotFound, "DELETE", "/absent", "")
	d.want(http.StatusNotFound, "PROPPATCH", "/absent", patchBody)
	d.want(http.StatusNotFound, "PROPFIND", "/absent", "", "Depth", "0")
	d.want(http.StatusConflict, "COPY", "/top", "", "Destination", "/absent/x")
	d.want(http.StatusConflict, "MOVE", "/top", "", "Destination", "/d/f/x")
	d.want(http.StatusNotFound, "COPY", "/absent", "", "Destination", "/x")
	d.want(http.StatusBadRequest, "DELETE", "/d", "", "Depth", "0")
	d.hasFile("/d/f", "content of f")
}

// A request ends with its client, whatever the tree waits for, and has changed nothing.
func TestRequestEndsWithItsClient(t *testing.T) {
	for _, a := range attempts {
		if a.method == "HEAD" || a.method == "OPTIONS" {
			continue
		}
		d := newDrive(t)
		d.tree.Slow(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		r := httptest.NewRequestWithContext(ctx, a.method, a.target, strings.NewReader(a.body))
		for i := 0; i < len(a.headers); i += 2 {
			r.Header.Set(a.headers[i], a.headers[i+1])
		}
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		cancel()
		if w.Code < 500 {
			t.Errorf("%s %s: status %d", a.method, a.target, w.Code)
		}
		if got := d.members("/d") + "|" + d.members("/") + "|" + d.members("/e"); got != "f g|d e top|" {
			t.Errorf("%s %s: members are now %s", a.method, a.target, got)
		}
	}
}

// A connection is cut where a clean end would make a part look like the whole.
func TestBrokenContent(t *testing.T) {
	d := newDrive(t)
	big := strings.Repeat("0123456789", 100_000)
	d.put("/big", big)
	addr := d.listen()
	for _, c := range []struct {
		at   int64
		err  error
		code int // 0: cut
		part string
	}{
		{0, &treetest.Failure{Class: davfs.ClassUnavailable}, 503, ""},
		{0, fs.ErrNotExist, 503, ""},
		{0, &treetest.Failure{Class: davfs.ClassRateLimited}, 429, "bytes=5-"},
		{600, &treetest.Failure{Class: davfs.ClassUnavailable}, 503, ""}, // nothing was sent by then
		{40_000, &treetest.Failure{Class: davfs.ClassUnavailable}, 0, ""},
		{500_000, &treetest.Failure{Class: davfs.ClassTimeout}, 0, ""},
		{500_000, io.EOF, 0, ""},
		{500_000, &treetest.Failure{Class: davfs.ClassTimeout}, 0, "bytes=1-600000"},
		{500_000, &treetest.Failure{Class: davfs.ClassTimeout}, 0, "bytes=0-9,400000-600000"},
	} {
		d.tree.FailReads(c.at, c.err)
		req, _ := http.NewRequest("GET", "http://"+addr+"/big", nil)
		if c.part != "" {
			req.Header.Set("Range", c.part)
		}
		res, err := http.DefaultClient.Do(req)
		if c.code != 0 {
			if err != nil || res.StatusCode != c.code {
				t.Errorf("a read that fails at %d with %v gives %v, %v, want %d", c.at, c.err, res, err, c.code)
			}
		} else if err == nil {
			b := make([]byte, len(big)+1)
			n := 0
			for err == nil {
				var m int
				m, err = res.Body.Read(b[n:])
				n += m
			}
			if !strings.Contains(err.Error(), "unexpected EOF") || int64(n) > c.at {
				t.Errorf("a read that fails at %d gives %d bytes and %v", c.at, n, err)
			}
		}
		if res != nil {
			res.Body.Close()
		}
	}
	// Under HTTP/2, and behind whatever wraps the connection, nobody else counts the bytes.
	d.tree.FailReads(500_000, io.EOF)
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("a content that is shorter than it was described ends like a whole one")
			}
		}()
		d.do("GET", "/big", "")
	}()
	d.tree.FailReads(0, nil)
	res, err := http.Get("http://" + addr + "/big")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}
