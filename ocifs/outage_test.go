package ocifs_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"ocidav/ocifs/registrytest"
)

// TestOutage has the registry away for a minute under eight writers, in faked time: no acknowledged write is lost, no write
// that failed is there in part, none waits for much longer than a client does, and afterwards all is as ever.
func TestOutage(t *testing.T) {
	for how, fault := range map[string]registrytest.Fault{
		"reset": registrytest.ResetBefore, "503": registrytest.Status(503), "429": registrytest.TooMany(5 * time.Second),
		"lost": registrytest.ResetAfter, "page": registrytest.Page(502),
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			inBubble(t, registrytest.Defects{Latency: 20 * time.Millisecond}, func(f *fake) {
				tree, ctx := f.tree(), f.Context()
				f.must(tree.Mkdir(ctx, "/d", nil))
				var mu sync.Mutex
				written, failed := map[string]string{}, map[string]string{}
				end := time.Now().Add(3 * time.Minute)
				var wg sync.WaitGroup
				for i := range 8 {
					wg.Go(func() {
						for n := 0; time.Now().Before(end); n++ {
							name, content := fmt.Sprintf("/d/%d-%d", i, n), fmt.Sprint(i, n)
							if n%16 == i {
								content = large[n:]
							}
							start := time.Now()
							err := put(ctx, tree, name, content)
							if took := time.Since(start); took > 100*time.Second {
								f.Errorf("%s took %v", name, took)
							}
							mu.Lock()
							if err == nil {
								written[name] = content
							} else {
								failed[name] = content
								f.saysNothing("Put", err)
								if classOf(err) == "" {
									f.Errorf("the failure has no class: %v", err)
								}
							}
							mu.Unlock()
							time.Sleep(2 * time.Second)
						}
					})
				}
				time.Sleep(30 * time.Second)
				rule := f.Fail(registrytest.Match{}, registrytest.Brief(time.Minute, fault), 0)
				wg.Wait()
				if rule.Hits() == 0 {
					f.Error("nothing has met the outage")
				}
				other := f.tree()
				there := f.names(other, "/d")
				for _, base := range there {
					name := "/d/" + base
					want, ok := written[name]
					if !ok {
						want = failed[name]
					}
					if got, err := read(ctx, other, name); err != nil || got != want {
						f.Errorf("%s has %d bytes, want %d: %v", name, len(got), len(want), err)
					}
					delete(written, name)
				}
				for name := range written {
					f.Errorf("%s was acknowledged and is not there", name)
				}
				t.Logf("%d files, %d writes failed", len(there), len(failed))
			})
		})
	}
}
