package integration

import (
	"fmt"
	"net/http"
	"testing"
)

// TestMoveChecksFirst asks for moves and copies that cannot be: each is refused before anything is touched.
func TestMoveChecksFirst(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		for _, dir := range []string{"/s", "/s/t", "/full", "/full/sub"} {
			d.mkcol(dir)
		}
		for _, name := range []string{"/a", "/b", "/s/t/inner", "/s/beside", "/full/sub/deep", "/full/x"} {
			d.put(name, []byte("content of "+name))
		}
		before := d.tree("/")
		for _, c := range []struct {
			src, dst, overwrite string
			want                int
		}{
			{"/missing", "/b", "T", 404},
			{"/missing", "/full", "T", 404},
			{"/missing", "/new", "", 404},
			{"/a", "/b", "F", 412},
			{"/a", "/full", "F", 412},
			{"/s", "/full", "F", 412},
			{"/a", "/no/parent", "T", 409},
			{"/s", "/no/parent", "T", 409},
			{"/a", "/b/c", "T", 409}, // a file is no parent
			{"/s/t", "/s", "T", 403},
			{"/s/t/inner", "/s", "T", 403},
			{"/s", "/s/t/new", "T", 403},
			{"/s", "/s/t", "T", 403},
			{"/s", "/s", "T", 403},
			{"/a", "/a", "T", 403},
			{"/s/", "/s", "T", 403},
		} {
			for _, method := range []string{"MOVE", "COPY"} {
				header := []string{"Destination", d.href(c.dst)}
				if c.overwrite != "" {
					header = append(header, "Overwrite", c.overwrite)
				}
				if a := d.try(method, c.src, nil, header...); a.status != c.want {
					t.Errorf("%s %s to %s, Overwrite %q: %v, want %d", method, c.src, c.dst, c.overwrite, a, c.want)
				}
			}
		}
		for what, a := range map[string]answer{
			"another host":   d.try("MOVE", "/a", nil, "Destination", "http://elsewhere.example/b"),
			"no destination": d.try("MOVE", "/a", nil),
		} {
			if a.status < 400 || a.status >= 600 {
				t.Errorf("MOVE with %s: %v", what, a)
			}
		}
		d.wantTree("/", before)
	})
}

// TestMoveReplaces moves and copies over what is there: the target becomes the source, whole.
func TestMoveReplaces(t *testing.T) {
	eachLayout(t, func(t *testing.T, b backend) {
		d := b.start(t)
		for round, method := range []string{"COPY", "MOVE"} {
			base := fmt.Sprintf("/%d", round)
			d.mkcol(base)
			content := map[string][]byte{"small": random(100), "large": random(3 << 20), "empty": {}}
			fill := func(dir string) {
				d.mkcol(base + dir)
				for name, c := range content {
					d.put(base+dir+"/"+name, c)
				}
			}
			fill("/src")
			fill("/src/sub")
			fill("/old")
			d.put(base+"/old/gone", []byte("not in the source"))
			d.put(base+"/file", []byte("old"))
			want := d.tree(base + "/src")

			// A file over a file, a directory over a directory, and each over the other.
			to := func(dst string) []string { return []string{"Destination", d.href(base + dst)} }
			d.do("COPY", base+"/src/large", nil, []int{http.StatusNoContent}, to("/file")...)
			d.want(base+"/file", content["large"])
			d.do(method, base+"/src", nil, []int{http.StatusNoContent}, to("/old")...)
			for name, sum := range want {
				moved := base + "/old" + name[len(base+"/src"):]
				if got := d.tree(base + "/old")[moved]; got != sum {
					t.Errorf("%s: %s is %q, want %q", method, moved, got, sum)
				}
			}
			d.wantAbsent(base + "/old/gone")
			d.do(method, base+"/file", nil, []int{http.StatusNoContent}, to("/old/sub")...)
			d.want(base+"/old/sub", content["large"])
			d.do(method, base+"/old", nil, []int{http.StatusCreated}, to("/new")...)
			d.want(base+"/new/sub", content["large"])
			d.want(base+"/new/small", content["small"])
			if method == "MOVE" {
				d.wantAbsent(base+"/src", base+"/src/sub/large", base+"/file", base+"/old", base+"/old/small")
			} else {
				d.wantTree(base+"/src", want)
			}
			d.put(base+"/target", []byte("a file"))
			d.do(method, base+"/new", nil, []int{http.StatusNoContent}, to("/target")...)
			d.want(base+"/target/small", content["small"])
		}
		before := d.tree("/")
		d.stop()
		d.start()
		d.wantTree("/", before)
	})
}
