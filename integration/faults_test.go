package integration

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func isGet(part string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == http.MethodGet && strings.Contains(r.URL.Path, part) }
}

func isPut(part string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == http.MethodPut && strings.Contains(r.URL.Path, part) }
}

func isUpload(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/uploads/") }

func isDelete(r *http.Request) bool { return r.Method == http.MethodDelete }

func isManifestOf(tag string) func(*http.Request) bool {
	return func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/manifests/"+tag) }
}

const (
	htmlPage     = "<html><body><h1>404 Not Found</h1></body></html>"
	ociDenied    = `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`
	ociLimited   = `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`
	ociUnknown   = `{"errors":[{"code":"UNKNOWN","message":"unknown error"}]}`
	ociUnallowed = `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`
)

func firstHalf(body []byte) []byte { return body[:len(body)/2] }

func damaged(body []byte) []byte {
	if len(body) > 0 {
		body[len(body)/2] ^= 0x20
	}
	return body
}

// faults are the ways to fail. allow is what a client may hear: no fault of the registry is an absence, 404, or the
// client's mistake, 405.
var faults = []fault{
	{name: "500", status: 500, text: ociUnknown, allow: []int{502, 503}},
	{name: "502-html", status: 502, header: []string{"Content-Type", "text/html"}, text: htmlPage, allow: []int{502, 503}},
	{name: "503", status: 503, allow: []int{503}},
	{name: "503-retry-after", status: 503, header: []string{"Retry-After", "120"}, allow: []int{503}},
	{name: "504", status: 504, allow: []int{503, 504}},
	{name: "507", status: 507, allow: []int{507}},
	{name: "401", status: 401, header: []string{"WWW-Authenticate", `Basic realm="r"`}, text: ociUnallowed,
		allow: []int{401, 502, 503}},
	{name: "403", status: 403, text: ociDenied, allow: []int{403, 502, 503}},
	{name: "429", status: 429, header: []string{"Retry-After", longer}, text: ociLimited, allow: []int{429, 503}},
	{name: "404-html", status: 404, header: []string{"Content-Type", "text/html"}, text: htmlPage, allow: []int{502, 503}},
	{name: "404-empty", status: 404, allow: []int{502, 503}},
	{name: "200-html", status: 200, header: []string{"Content-Type", "text/html"}, text: htmlPage, allow: []int{502, 503}},
	{name: "204", status: 204, allow: []int{502, 503}},
	{name: "redirect", status: 307, header: []string{"Location", "/login"}, allow: []int{502, 503}},
	{name: "reset", reset: true, allow: []int{502, 503}},
	{name: "gets-reset", only: isGet("/"), reset: true, allow: []int{502, 503}},
	{name: "cut", only: isGet("/"), mangle: firstHalf, allow: []int{502, 503}},
	{name: "manifests-cut", only: isGet("/manifests/"), mangle: firstHalf, allow: []int{502, 503}},
	{name: "manifests-damaged", only: isGet("/manifests/"), mangle: damaged, allow: []int{502, 503}},
	{name: "one-manifest-500", only: isManifestOf("b.txt"), status: 500, allow: []int{502, 503}},
	{name: "one-manifest-403", only: isManifestOf("b.txt"), status: 403, text: ociDenied, allow: []int{403, 502, 503}},
	{name: "one-manifest-404-html", only: isManifestOf("b.txt"), status: 404, text: htmlPage, allow: []int{502, 503}},
	{name: "lists-500", only: isGet("/tags/list"), status: 500, allow: []int{502, 503}},
	{name: "lists-cut", only: isGet("/tags/list"), mangle: firstHalf, allow: []int{502, 503}},
	{name: "lists-404-html", only: isGet("/tags/list"), status: 404, text: htmlPage, allow: []int{502, 503}},
	{name: "blobs-404-html", only: isGet("/blobs/"), status: 404, text: htmlPage, allow: []int{502, 503}},
	{name: "blobs-403", only: isGet("/blobs/"), status: 403, text: ociDenied, allow: []int{403, 502, 503}},
	{name: "blobs-cut", only: isGet("/blobs/"), mangle: firstHalf, allow: []int{502, 503}},
	{name: "uploads-500", only: isUpload, status: 500, allow: []int{502, 503}},
	{name: "uploads-403", only: isUpload, status: 403, text: ociDenied, allow: []int{403, 502, 503}},
	{name: "uploads-413", only: isUpload, status: 413, allow: []int{413, 507}},
	{name: "uploads-reset", only: isUpload, reset: true, allow: []int{502, 503}},
	{name: "pushes-500", only: isPut("/manifests/"), status: 500, allow: []int{502, 503}},
	{name: "pushes-429", only: isPut("/manifests/"), status: 429, header: []string{"Retry-After", longer},
		allow: []int{429, 503}},
	{name: "pushes-404-html", only: isPut("/manifests/"), status: 404, text: htmlPage, allow: []int{502, 503}},
	{name: "deletes-500", only: isDelete, status: 500, allow: []int{502, 503}},
	{name: "deletes-403", only: isDelete, status: 403, text: ociDenied, allow: []int{403, 502, 503}},
	{name: "blobs-damaged", only: isGet("/blobs/"), mangle: damaged, allow: []int{502, 503}},
}

// startSick starts a drive that keeps nothing, so that every request needs the registry, and the proxy before it. Where
// there is no docker-registry, the registry is the one in another ocidav.
func startSick(t *testing.T) (*drive, *faulty) {
	t.Helper()
	var address string
	if _, err := exec.LookPath("docker-registry"); err == nil || required() {
		address = startRegistry(t, true).address
	} else {
		address = strings.TrimPrefix(startDrive(t, "--registry-listen", "127.0.0.1:0").registryURL, "http://")
	}
	f := startFaulty(t, address)
	return startDrive(t, "--registry", "http://"+f.address+"/"+testPrefix, "--freshness", "0s", "--cache-size", "0",
		"--write-timeout", "3s"), f // of the many failures none passes
}

// longer is a Retry-After, in seconds, beyond the write timeout.
const longer = "4"

// patient is what the drive of TestRegistryFailures holds: one file or directory for each probe, so that none is in the
// way of another.
var patient = map[string][]byte{
	"/d/a.txt": []byte("a"), "/d/b.txt": []byte("content of b"), "/d/empty": nil, "/d/large": random(2 << 20),
	"/d/source": []byte("source"), "/d/target": []byte("target"), "/d/props": []byte("props"), "/d/lock": []byte("lock"),
	"/d/sub/x": []byte("x"), "/d/sub/y": nil, "/d/gone/x": []byte("x"),
}

// TestRegistryFailures sends every method while the registry fails in every way. A failure may not look like an answer,
// what is refused has no effect, what is answered has all of it.
func TestRegistryFailures(t *testing.T) {
	t.Parallel()
	d, f := startSick(t)
	for _, dir := range []string{"/d", "/d/sub", "/d/gone"} {
		d.mkcol(dir)
	}
	for name, content := range patient {
		d.put(name, content)
	}
	before := d.tree("/")
	list := faults
	if testing.Short() {
		list = list[:10]
	}
	for _, x := range list {
		t.Run(x.name, func(t *testing.T) {
			s := sickness{t: t, d: d, x: x, want: maps.Clone(before), half: map[string]string{}}
			f.breaks(&x)
			var wg sync.WaitGroup
			for _, probe := range []func(){
				func() { s.reads("/d/b.txt") },
				func() { s.reads("/d/large") },
				func() { s.reads("/d/empty") },
				func() { s.lists("/d/") },
				func() { s.changes("PROPFIND", "/d/b.txt", "", nil, "Depth", "0") },
				func() { s.changes("PROPPATCH", "/d/props", "", []byte(propertyBody)) },
				func() { s.changes("LOCK", "/d/lock", "", []byte(lockBody)) },
				func() { s.changes("MKCOL", "/d/dir", "", nil) },
				func() { s.changes("PUT", "/d/new.txt", "", random(300)) },
				func() { s.changes("PUT", "/d/a.txt", "", random(300)) },
				func() { s.changes("COPY", "/d/b.txt", "/d/copied", nil) },
				func() { s.changes("MOVE", "/d/source", "/d/target", nil) },
				func() { s.changes("MOVE", "/d/sub", "/d/moved", nil) },
				func() { s.changes("DELETE", "/d/gone", "", nil) },
			} {
				wg.Go(probe)
			}
			wg.Wait()
			if f.broken.Load() == 0 {
				t.Error("no request met the fault")
			}
			f.heal()
			if x.status == http.StatusTooManyRequests { // all of the drive leaves the registry alone until then
				eventually(t, time.Minute, "the drive does not ask again", func() bool {
					return d.try("PROPFIND", "/", nil, "Depth", "0").status == http.StatusMultiStatus &&
						d.try("PROPFIND", "/d/b.txt", nil, "Depth", "0").status == http.StatusMultiStatus
				})
			}
			t.Logf("went through: %s", strings.Join(s.through, ", "))
			s.halfMoved()
			s.d.wantTree("/", s.want)
			s.cure(before)
		})
	}
}

// sickness is what one fault made of the requests.
type sickness struct {
	t *testing.T
	d *drive
	x fault

	mu      sync.Mutex
	want    map[string]string // the tree after what went through
	through []string          // requests that succeeded, since the fault was not on their way
	half    map[string]string // moves that failed when nothing could be deleted, by their sources
}

// failed checks the answer of a request that did not succeed.
func (s *sickness) failed(method, name string, a answer) {
	s.t.Helper()
	if a.err != nil && a.status == 0 {
		s.t.Errorf("%s %s: %v, want an answer", method, name, a.err)
		return
	}
	if !slices.Contains(s.x.allow, a.status) {
		s.t.Errorf("%s %s: %v, want one of %v", method, name, a, s.x.allow)
	}
	if a.status == 503 && a.header.Get("Retry-After") == "" {
		s.t.Errorf("%s %s: 503 without Retry-After", method, name)
	}
	if bytes.Contains(a.body, []byte("manifest")) || bytes.Contains(a.body, []byte(testPrefix)) {
		s.t.Errorf("%s %s: the answer tells about the registry: %s", method, name, a.body)
	}
}

// reads wants the whole content, a failure, or a connection that is cut before its end. What came before the cut is
// not verified yet, and may be damaged.
func (s *sickness) reads(name string) {
	s.t.Helper()
	content := patient[name]
	a := s.d.try(http.MethodGet, name, nil)
	switch {
	case a.status != http.StatusOK:
		s.failed(http.MethodGet, name, a)
	case a.err != nil:
		if len(a.body) >= len(content) {
			s.t.Errorf("GET %s: %d of %d bytes before the cut", name, len(a.body), len(content))
		}
	case !bytes.Equal(a.body, content):
		s.t.Errorf("GET %s: %d bytes, want %d: %s", name, len(a.body), len(content), firstDifference(a.body, content))
	}
	if a := s.d.try(http.MethodHead, name, nil); a.status != http.StatusOK {
		s.failed(http.MethodHead, name, a)
	} else if a.header.Get("Content-Length") != strconv.Itoa(len(content)) {
		s.t.Errorf("HEAD %s: Content-Length %s, want %d", name, a.header.Get("Content-Length"), len(content))
	}
}

// lists wants the whole listing or a failure, from PROPFIND and from the page for people.
func (s *sickness) lists(name string) {
	s.t.Helper()
	a := s.d.try("PROPFIND", name, []byte(propfindBody), "Depth", "1")
	if a.status != http.StatusMultiStatus {
		s.failed("PROPFIND", name, a)
	} else if got, err := parseMultistatus(a.body); err == nil && a.err == nil {
		for file := range patient {
			// The probes beside this one may take these away, where the fault lets them.
			base := path.Base(file)
			if _, ok := got[base]; !ok && path.Dir(file)+"/" == name && base != "source" {
				s.t.Errorf("PROPFIND %s: a whole listing without %s", name, base)
			}
		}
	}
	if a := s.d.try(http.MethodGet, name, nil); a.status != http.StatusOK {
		s.failed(http.MethodGet, name, a)
	} else if a.err == nil && !bytes.Contains(a.body, []byte("large")) {
		s.t.Errorf("GET %s: a whole page without a member", name)
	}
}

const (
	propertyBody = `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><n xmlns="urn:x">v</n></D:prop></D:set>` +
		`</D:propertyupdate>`
	lockBody = `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>` +
		`<D:locktype><D:write/></D:locktype></D:lockinfo>`
)

// changes wants a failure, or, where the fault is not on the way, success with its whole effect.
func (s *sickness) changes(method, name, dst string, body []byte, header ...string) {
	s.t.Helper()
	if dst != "" {
		header = append(header, "Destination", s.d.href(dst))
	}
	a := s.d.try(method, name, body, header...)
	if a.err != nil || a.status/100 != 2 {
		s.failed(method, name, a)
		if method == "MOVE" && strings.HasPrefix(s.x.name, "deletes-") {
			s.mu.Lock()
			s.half[name] = dst
			s.mu.Unlock()
		}
		return
	}
	if token := a.header.Get("Lock-Token"); token != "" {
		s.d.try("UNLOCK", name, nil, "Lock-Token", token)
	}
	if s.x.only == nil && method != "LOCK" { // a lock on what is there may need no registry
		s.t.Errorf("%s %s: %v while nothing works", method, name, a)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.through = append(s.through, method+" "+name)
	s.apply(method, name, dst)
	switch method {
	case "PUT":
		s.want[name] = fmt.Sprintf("%x", sha256.Sum256(body))
	case "MKCOL":
		s.want[name] = "directory"
	}
}

// apply makes want what it is after a request on files and directories that are there.
func (s *sickness) apply(method, name, dst string) {
	for file, sum := range maps.Clone(s.want) {
		below, ok := strings.CutPrefix(file+"/", name+"/")
		if !ok {
			continue
		}
		if method == "COPY" || method == "MOVE" {
			s.want[strings.TrimSuffix(dst+"/"+below, "/")] = sum
		}
		if method == "MOVE" || method == "DELETE" {
			delete(s.want, file)
		}
	}
}

// halfMoved accepts that a MOVE has failed after it copied, because the source could not be removed: the client is
// told of a failure, and its next try succeeds.
func (s *sickness) halfMoved() {
	s.t.Helper()
	tree := s.d.tree("/")
	for name, dst := range s.half {
		if tree[dst] == tree[name] {
			s.apply("COPY", name, dst)
		}
	}
}

// cure makes the tree what it was before.
func (s *sickness) cure(before map[string]string) {
	s.t.Helper()
	for name := range s.d.tree("/") {
		if before[name] == "" {
			s.d.do(http.MethodDelete, name, nil, []int{204, 404}) // 404: with its directory
		}
	}
	for _, dir := range []string{"/d/sub", "/d/gone"} {
		s.d.do("MKCOL", dir, nil, []int{201, 405})
	}
	for name, content := range patient {
		if name != "/d/lock" {
			s.d.put(name, content)
		}
	}
	s.d.wantTree("/", before)
}

// TestLostAnswers loses the registry's answers to what it did: the drive may not know, but all that is there is whole.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	d, f := startSick(t)
	old, fresh := random(3000), random(2<<20)
	d.put("/f", old)
	f.breaks(&fault{name: "lost", lost: true, only: func(r *http.Request) bool { return r.Method != http.MethodGet }})
	a := d.try(http.MethodPut, "/f", fresh)
	b := d.try(http.MethodPut, "/g", fresh)
	f.heal()
	for name, a := range map[string]answer{"/f": a, "/g": b} {
		got := d.try(http.MethodGet, name, nil)
		switch {
		case a.status/100 == 2 && !bytes.Equal(got.body, fresh):
			t.Errorf("PUT %s: %v, but GET %s", name, a, summary(got))
		case got.status == http.StatusOK && !bytes.Equal(got.body, fresh) && (name != "/f" || !bytes.Equal(got.body, old)):
			t.Errorf("%s is neither the old nor the new content: %s", name, summary(got))
		case got.status != http.StatusOK && (name == "/f" || got.status != http.StatusNotFound):
			t.Errorf("GET %s: %s", name, summary(got))
		}
	}
}

// TestStalledRegistry is a registry that never answers: a client that leaves leaves nothing behind, and whoever comes
// afterwards is served.
func TestStalledRegistry(t *testing.T) {
	t.Parallel()
	d, f := startSick(t)
	d.mkcol("/d")
	d.put("/d/f", []byte("content"))
	before := d.tree("/")
	f.breaks(&fault{name: "stall", stall: make(chan struct{})})
	impatient := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var wg sync.WaitGroup
	for _, method := range []string{"GET", "HEAD", "PROPFIND", "PUT", "DELETE", "PROPPATCH"} {
		wg.Go(func() {
			a := send(impatient, method, d.href("/d/f"), strings.NewReader(""), "Depth", "1")
			if a.err == nil && a.status < 400 {
				t.Errorf("%s while the registry stalls: %v", method, a)
			}
		})
	}
	wg.Wait()
	// Every wait ends with its context, also while the registry still stalls.
	eventually(t, 10*time.Second, "a request goes on without its client", func() bool {
		return strings.Count(d.log.String(), "path=/d/f ") >= 6+2 // the put and the read that came before
	})
	f.heal()
	d.wantTree("/", before)
}
