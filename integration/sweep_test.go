package integration

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// sweepWays are what one request of an operation meets; what passes must not be noticed.
var sweepWays = []fault{
	{name: "reset", reset: true},
	{name: "lost", lost: true},
	{name: "500", status: 500, text: ociUnknown},
	{name: "503", status: 503},
	{name: "429", status: 429, header: []string{"Retry-After", "1"}, text: ociLimited},
}

// sweepOperations change the directory dir, which is prepared by prepareSweep.
var sweepOperations = map[string]func(d *drive, dir string) answer{
	"PUT":       func(d *drive, dir string) answer { return d.try(http.MethodPut, dir+"/new", []byte("new")) },
	"PUT over":  func(d *drive, dir string) answer { return d.try(http.MethodPut, dir+"/a", []byte("new")) },
	"PUT large": func(d *drive, dir string) answer { return d.try(http.MethodPut, dir+"/a", sweepLarge) },
	"MKCOL":     func(d *drive, dir string) answer { return d.try("MKCOL", dir+"/new", nil) },
	"DELETE":    func(d *drive, dir string) answer { return d.try(http.MethodDelete, dir+"/a", nil) },
	"DELETE directory": func(d *drive, dir string) answer {
		return d.try(http.MethodDelete, dir+"/sub", nil)
	},
	"COPY": func(d *drive, dir string) answer {
		return d.try("COPY", dir+"/a", nil, "Destination", d.href(dir+"/sub/new"))
	},
	"COPY directory": func(d *drive, dir string) answer {
		return d.try("COPY", dir+"/sub", nil, "Destination", d.href(dir+"/new"))
	},
	"MOVE": func(d *drive, dir string) answer {
		return d.try("MOVE", dir+"/a", nil, "Destination", d.href(dir+"/sub/c"))
	},
	"MOVE directory": func(d *drive, dir string) answer {
		return d.try("MOVE", dir+"/sub", nil, "Destination", d.href(dir+"/new"))
	},
}

var sweepLarge = bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // of 2 MiB

func prepareSweep(d *drive, dir string) {
	d.mkcol(dir)
	d.mkcol(dir + "/sub")
	for _, name := range []string{"/a", "/sub/b", "/sub/c"} {
		d.put(dir+name, []byte(name))
	}
}

// TestSweep has every request of every operation between the binary and docker-registry go wrong once, in one of a few
// ways in turn: nobody notices, and what another drive sees is the whole of it. The sweep of package ocifs has all the ways.
func TestSweep(t *testing.T) {
	t.Parallel()
	r := startRegistry(t, true)
	other := backend{name: onDeleting, registry: r}.start(t, "--freshness", "0s")
	var points atomic.Int64
	t.Cleanup(func() { t.Logf("%d fault points", points.Load()) })
	for name, op := range sweepOperations {
		t.Run(strings.ReplaceAll(name, " ", ""), func(t *testing.T) {
			t.Parallel()
			f := startFaulty(t, r.address)
			d := startDrive(t, "--registry", "http://"+f.address+"/"+testPrefix, "--freshness", "0s", "--cache-size", "0")
			tree := func(dir string) map[string]string {
				relative := map[string]string{}
				for n, is := range other.tree(dir) {
					relative[strings.TrimPrefix(n, dir)] = is
				}
				return relative
			}
			top := "/" + strings.ToLower(strings.ReplaceAll(name, " ", "-"))
			other.mkcol(top)
			prepareSweep(other, top+"/whole")
			before := tree(top + "/whole")
			if a := op(d, top+"/whole"); a.status/100 != 2 || a.status == http.StatusMultiStatus {
				t.Fatalf("without a fault: %v", a)
			}
			after := tree(top + "/whole")
			if maps.Equal(before, after) {
				t.Fatal("nothing has changed")
			}
			for point := int64(0); ; point++ {
				way := sweepWays[(int(point)+len(name))%len(sweepWays)]
				dir := fmt.Sprintf("%s/%d", top, point)
				prepareSweep(other, dir)
				var n atomic.Int64
				way.only = func(*http.Request) bool { return n.Add(1)-1 == point }
				f.breaks(&way)
				a := op(d, dir)
				met := f.broken.Load() > 0
				f.heal()
				if got := tree(dir); a.err != nil || a.status/100 != 2 || a.status == http.StatusMultiStatus || !maps.Equal(got, after) {
					t.Errorf("request %d meets %s: %v, and there is %v, want %v", point, way.name, a, got, after)
				}
				if !met {
					break
				}
				points.Add(1)
			}
		})
	}
}
