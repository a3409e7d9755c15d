package main

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestModes: what the drive keeps on the disk is its owner's alone, whatever umask it was started with, and also where the
// directories were there and are open to all.
func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := t.TempDir()
	data, cache := filepath.Join(dir, "data"), filepath.Join(dir, "cache")
	for _, d := range []string{data, cache} {
		if err := os.Mkdir(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, "--data", data, "--cache-dir", cache)
	url := p.url(t)
	for _, step := range [][2]string{{"MKCOL", "d"}, {"PUT", "d/small"}, {"PUT", "d/large"}, {"GET", "d/large"}, {"LOCK", "d/small"}, {"PUT", "d/._junk"}} {
		body := "content"
		switch {
		case step[0] == "MKCOL", step[0] == "GET":
			body = ""
		case step[0] == "LOCK":
			body = `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`
		case step[1] == "d/large":
			body = strings.Repeat("0123456789abcdef", 1<<18)
		}
		if code, got := request(t, step[0], url+step[1], body); code >= http.StatusMultipleChoices {
			t.Fatalf("%v: %d %s", step, code, got)
		}
	}
	for range 2 { // while it runs, and when it has ended
		seen := 0
		for _, d := range []string{data, cache} {
			filepath.WalkDir(d, func(name string, e fs.DirEntry, err error) error {
				if err != nil || name == d { // those are the administrator's
					return nil
				}
				fi, err := e.Info()
				if err == nil && fi.Mode()&0o077 != 0 {
					t.Errorf("%s is %s", name, fi.Mode())
				}
				seen++
				return nil
			})
		}
		if seen < 20 {
			t.Errorf("only %d files and directories were looked at", seen)
		}
		if p.code != nil {
			p.end()
		}
	}
}
