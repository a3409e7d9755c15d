package integration

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestRegistryOutage takes the registry away for some seconds while eight clients write, once by SIGTERM and once by
// kill -9, and brings it back on the same port and directory. No acknowledged write is lost, what came meanwhile succeeds
// or is answered 503 or 502, nobody hangs, and then all is as ever.
func TestRegistryOutage(t *testing.T) {
	t.Parallel()
	outages := map[string]func(*registry){
		"SIGTERM": func(r *registry) { r.terminate(t) },
		"kill":    func(r *registry) { r.kill() },
	}
	for how, end := range outages {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r := startRegistry(t, true)
			d := backend{name: onDeleting, registry: r}.start(t)
			load := startLoad(t, d, 8)
			time.Sleep(time.Second)
			end(r)
			time.Sleep(6 * time.Second)
			r.restart(t)
			time.Sleep(3 * time.Second)
			load.stop()
			for range 60 { // on a slow machine
				if load.refused() > 0 || load.acknowledged() >= 100 {
					break
				}
				load.resume()
				time.Sleep(time.Second)
				load.stop()
			}
			load.settle()
			t.Logf("%s: %d changes acknowledged, %d refused", how, load.acknowledged(), load.refused())
			if load.refused() == 0 && load.acknowledged() < 100 {
				t.Error("there was hardly any load")
			}
			d.put("/afterwards", []byte("works"))
			d.want("/afterwards", []byte("works"))
			d.wantNoSpool()
		})
	}
}

// TestTwoWriters has two drives on one root change the same and different names at once: all names end as one of the
// writers said, whole, and names that have one writer as that one was told.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	b := backend{name: onDeleting, registry: startRegistry(t, true)}
	const freshness = 300 * time.Millisecond
	one, two := b.start(t, "--freshness", freshness.String()), b.start(t, "--freshness", freshness.String())

	// Names of their own.
	own := []*load{startLoad(t, one, 3), startLoad(t, two, 3)}
	// Names that both want.
	one.mkcol("/both")
	var mu sync.Mutex
	written := map[string]bool{}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i, d := range []*drive{one, two} {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("/both/%d", n%3)
				content := random(2000 + n)
				mu.Lock()
				written[digestOf(content)] = true
				mu.Unlock()
				var a answer
				switch (n + i) % 5 {
				case 0, 1:
					a = d.try(http.MethodPut, name, content)
				case 2:
					a = d.try("MKCOL", "/both/dir", nil)
				case 3:
					a = d.try("MOVE", name, nil, "Destination", d.href(fmt.Sprintf("/both/%d", (n+1)%3)))
				case 4:
					a = d.try(http.MethodDelete, [2]string{name, "/both/dir"}[n%2], nil)
				}
				if a.err != nil || a.status >= 500 {
					t.Errorf("beside another server: %v", a)
					return
				}
			}
		})
	}
	time.Sleep(4 * time.Second)
	close(stop)
	wg.Wait()
	for _, l := range own {
		l.stop()
	}
	time.Sleep(freshness + 200*time.Millisecond)
	for _, d := range []*drive{one, two} {
		for name := range d.list("/both/") {
			if name == "dir" {
				continue
			}
			if a := d.do(http.MethodGet, "/both/"+name, nil, okay); !written[digestOf(a.body)] {
				t.Errorf("/both/%s holds what nobody wrote: %s", name, summary(a))
			}
		}
	}
	for _, l := range own { // each as the other drive sees it
		l.d = map[*drive]*drive{one: two, two: one}[l.d]
		l.settle()
	}

	// A condition is looked at when the other's write is there.
	etag := one.do(http.MethodPut, "/cond", []byte("a"), made).header.Get("ETag")
	two.put("/cond", []byte("b"))
	if a := one.try(http.MethodPut, "/cond", []byte("c"), "If-Match", etag); a.status != http.StatusPreconditionFailed {
		t.Errorf("PUT If-Match over another server's write: %v, want 412", a)
	}
	two.want("/cond", []byte("b"))
}
