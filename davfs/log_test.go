package davfs_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
)

func TestOneLogLinePerRequest(t *testing.T) {
	d := newDrive(t)
	var buf bytes.Buffer
	d.Log = slog.New(slog.NewTextHandler(&buf, nil))
	line := func() string {
		t.Helper()
		s := buf.String()
		buf.Reset()
		if strings.Count(s, "\n") != 1 {
			t.Errorf("not one line: %q", s)
		}
		return s
	}
	wants := func(l string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(l, w) {
				t.Errorf("no %q in %s", w, l)
			}
		}
	}
	d.want(http.StatusOK, "GET", "/top?secret=query", "", "Authorization", "Basic c2VjcmV0", "User-Agent", "a\nb")
	l := line()
	wants(l, "level=INFO", "method=GET", "path=/top ", "status=200", "bytes=3", "duration=", `agent="a\nb"`)
	if strings.Contains(l, "secret") || strings.Contains(l, "c2VjcmV0") {
		t.Errorf("a secret in %s", l)
	}
	wants(l, "calls=0", "remote=192.0.2.1 ")
	d.want(http.StatusNoContent, "PUT", "/top", "x")
	wants(line(), "status=204", "bytes=0", "received=1\n")
	d.want(http.StatusCreated, "COPY", "/top", "", "Destination", "/copy")
	wants(line(), "destination=/copy")
	d.want(http.StatusNotFound, "GET", "/absent", "")
	wants(line(), "level=INFO", "status=404", "err=")
	d.want(http.StatusBadRequest, "GET", "/a%0ab", "")
	wants(line(), "status=400")

	// The detail of a failure is here and not in the answer.
	d.tree.Fail("", &treetest.Failure{Class: davfs.ClassQuota})
	w := d.want(http.StatusInsufficientStorage, "PUT", "/top", "x")
	wants(line(), "level=ERROR", "status=507", "registry.internal")
	if strings.Contains(w.Body.String(), "registry.internal") {
		t.Errorf("the client is told %s", w.Body)
	}

	// A connection that is cut has its line too.
	d.tree.Heal()
	d.put("/big", strings.Repeat("x", 100_000))
	d.tree.FailReads(50_000, &treetest.Failure{Class: davfs.ClassTimeout})
	func() {
		defer func() {
			if v := recover(); v != http.ErrAbortHandler {
				t.Errorf("panic %v, want %v", v, http.ErrAbortHandler)
			}
		}()
		d.do("GET", "/big", "")
	}()
	wants(line(), "level=ERROR", "status=200", "cut=true", "timeout")
}
