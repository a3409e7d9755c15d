package ocifs_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ocidav/davfs"
	"ocidav/ocifs"
	"ocidav/ocifs/registrytest"
)

// TestRoundTrips: how many answers of the registry a WebDAV client waits for, one after the other. Each is some 40 ms where
// the registry is far away, and then nearly all that a request takes.
func TestRoundTrips(t *testing.T) {
	const round = 100 * time.Millisecond
	defects := registrytest.Defects{NoTagDelete: http.StatusBadRequest, Latency: round}
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, defects, func(o *ocifs.Options) { o.Freshness = 2 * time.Second })
		drive := &davfs.Handler{Tree: davfs.WithJunk(f.tree(), davfs.JunkMemory)}
		send := func(method, name, content string, header ...string) int {
			r := httptest.NewRequestWithContext(f.Context(), method, "http://drive"+name, strings.NewReader(content))
			for i := 0; i+1 < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			w := httptest.NewRecorder()
			drive.ServeHTTP(w, r)
			return w.Code
		}
		for _, dir := range []string{"/d", "/e", "/new"} {
			if code := send("MKCOL", dir, ""); code != http.StatusCreated {
				f.Fatalf("MKCOL %s: %d", dir, code)
			}
		}
		send("PUT", "/d/first", "of d")
		send("PUT", "/e/first", "of e")
		send("COPY", "/d/first", "", "Destination", "/e/mounts") // they work here
		send("DELETE", "/e/mounts", "")                          // and tags are deleted by tombstones
		for _, c := range []struct {
			method, name, content string
			header                []string
			code                  int
			rounds                time.Duration
		}{
			{"PUT", "/new/first", "the first of its directory", nil, 201, 4}, // "{}" follows the first POST
			{"PUT", "/d/f", "some", nil, 201, 3},                             // POST beside what is asked for, PUT, PUT
			{"PUT", "/d/f", "other", nil, 204, 3},
			{"PUT", "/d/f", "refused", []string{"If-None-Match", "*"}, 412, 1},
			{"PUT", "/nowhere/f", "refused", nil, 409, 2}, // is it a directory that others have filled?
			{"PUT", "/new", "refused", nil, 405, 1},
			{"COPY", "/d/f", "", []string{"Destination", "/new/copy"}, 201, 2}, // mounts beside what is asked for, PUT
			{"COPY", "/d/f", "", []string{"Destination", "/d/copy"}, 201, 2},
			{"MOVE", "/d/f", "", []string{"Destination", "/e/moved"}, 201, 3}, // and the tombstone
			{"COPY", "/e/moved", "", []string{"Destination", "/nowhere/f"}, 409, 1},
			{"DELETE", "/e/moved", "", nil, 204, 2},
			{"COPY", "/d/first", "", []string{"Destination", "/e/copy"}, 201, 2},
			{"MOVE", "/d/first", "", []string{"Destination", "/new/moved"}, 201, 3},
		} {
			time.Sleep(time.Minute) // nothing is fresh
			synctest.Wait()
			if strings.HasSuffix(c.name, "first") && c.method != "PUT" {
				send("HEAD", c.name, "") // but what the client has just looked at, which is asked for again beside all else
			}
			f.ResetCounts()
			start := time.Now()
			code := send(c.method, c.name, c.content, c.header...)
			if got := time.Since(start).Round(round); code != c.code || got != c.rounds*round {
				f.Errorf("%s %s %v: %d after %d round trips, want %d after %d: %v", c.method, c.name, c.header, code, got/round, c.code, c.rounds, strings.Join(f.Requests(), "\n"))
			}
		}
		for _, repository := range f.Repositories() {
			if strings.HasSuffix(repository, "nowhere") {
				f.Errorf("what was refused has made the repository %s", repository)
			}
		}
	})
}
