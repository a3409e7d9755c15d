package integration

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// asked is a proxy before a registry that counts what is asked for by digest.
type asked struct {
	address string

	mu    sync.Mutex
	times map[string]int // by the digest's hex digits
}

var byDigest = regexp.MustCompile(`/(?:blobs|manifests)/sha256:([0-9a-f]{64})$`)

func startAsked(t testing.TB, r *registry) *asked {
	t.Helper()
	a := &asked{times: map[string]int{}}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: r.address})
	proxy.ErrorLog = log.New(io.Discard, "", 0) // clients are killed
	proxy.FlushInterval = -1
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m := byDigest.FindStringSubmatch(r.URL.Path); m != nil && r.Method == http.MethodGet {
			a.mu.Lock()
			a.times[m[1]]++
			a.mu.Unlock()
		}
		proxy.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = proxy.ErrorLog
	t.Cleanup(server.Close)
	a.address = strings.TrimPrefix(server.URL, "http://")
	return a
}

// reset gives how often each was asked for, and begins to count anew.
func (a *asked) reset() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.times
	a.times = map[string]int{}
	return t
}

// wholeBlobs are the blobs and manifests that a cache holds whole, by hex digits: the names of their files.
func wholeBlobs(t testing.TB, cache string) map[string]string {
	t.Helper()
	whole := map[string]string{}
	err := filepath.WalkDir(cache, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && len(filepath.Base(name)) == 64 && !strings.Contains(name, "/partial/") {
			whole[filepath.Base(name)] = name
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// readMixed reads files whole and in parts until the server is gone.
func readMixed(d *drive, files map[string][]byte, names []string) {
	for {
		name := names[rand.IntN(len(names))]
		want := files[name]
		a := answer{}
		if rand.IntN(3) > 0 {
			from := rand.IntN(len(want))
			to := min(len(want), from+1+rand.IntN(200_000))
			a = d.try(http.MethodGet, name, nil, "Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
			want = want[from:to]
		} else {
			a = d.try(http.MethodGet, name, nil)
		}
		if a.err != nil {
			if a.status != 0 && !bytes.HasPrefix(want, a.body) {
				d.t.Errorf("GET %s: wrong bytes before the end", name)
			}
			return
		}
		if a.status/100 != 2 || !bytes.Equal(a.body, want) {
			d.t.Errorf("GET %s: %s: %s", name, summary(a), firstDifference(a.body, want))
			return
		}
	}
}

// TestCrashWhileReading kills the server at random moments of mixed reads, the start among them: the cache opens, no byte
// is wrong, and what was whole in the cache is not asked for again. OCIDAV_KILLS=200 makes it 200 times.
func TestCrashWhileReading(t *testing.T) {
	kills := 20
	if n, err := strconv.Atoi(os.Getenv("OCIDAV_KILLS")); err == nil {
		kills = n
	}
	r := startRegistry(t, true)
	files := map[string][]byte{}
	var names []string
	writer := startDrive(t, "--registry", r.ref())
	for i := range 36 {
		name := fmt.Sprintf("/%d", i)
		files[name] = random([]int{1 + i*100, 300_000 + i, 3<<20 + i, 9<<20 + 77*i}[i%4])
		names = append(names, name)
		writer.put(name, files[name])
	}
	writer.stop()
	proxy := startAsked(t, r)
	d := newDrive(t, "--registry", "http://"+proxy.address+"/"+testPrefix)
	whole := map[string]string{}
	kept, partial := 0, 0
	for round := range kills {
		if round%8 == 7 { // in the middle of the start
			d.startOnly()
			time.Sleep(rand.N(120 * time.Millisecond))
		} else {
			d.start()
			var readers sync.WaitGroup
			for range 8 {
				readers.Go(func() { readMixed(d, files, names) })
			}
			time.Sleep(rand.N(250 * time.Millisecond))
			d.kill()
			readers.Wait()
		}
		d.crash()
		for hex, n := range proxy.reset() {
			if whole[hex] != "" {
				t.Errorf("round %d: %s was whole, and asked for %d times", round, hex, n)
			}
		}
		whole = wholeBlobs(t, d.cache)
		kept += len(whole)
		if p, _ := filepath.Glob(filepath.Join(d.cache, "partial", "*", "*", "*")); len(p) > 0 {
			partial++
		}
		for hex, file := range whole { // so that there is something to fetch
			if rand.IntN(3) == 0 {
				os.Remove(file)
				os.Remove(file + ".crc")
				delete(whole, hex)
			}
		}
		if t.Failed() {
			break
		}
	}
	d.start()
	for name, content := range files {
		d.want(name, content)
	}
	for hex, n := range proxy.reset() {
		if whole[hex] != "" {
			t.Errorf("%s was whole, and asked for %d times", hex, n)
		}
	}
	if strings.Contains(d.log.String(), "damaged") {
		t.Errorf("the cache is damaged:\n%s", tail(d.log.String(), 20))
	}
	t.Logf("%d kills, after each %.1f blobs were whole; %d left partial ones", kills, float64(kept)/float64(max(1, kills)), partial)
}
