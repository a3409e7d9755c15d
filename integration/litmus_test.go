package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// litmusLine is the outcome of one test: " 3. propfind_invalid2..... FAIL (reason)".
var litmusLine = regexp.MustCompile(`(?m)^ *\d+\. (\w+)\.* +(pass|FAIL|SKIPPED|WARNING:)(.*)$`)

// litmusTests is how many tests each suite of litmus 0.13 has, 104 in all.
var litmusTests = map[string]int{"basic": 16, "copymove": 13, "props": 30, "locks": 41, "http": 4}

// litmus runs one suite and gives the number of passed tests and the lines of all others: FAIL, SKIPPED, WARNING. It
// leaves its logs in the working directory, so it gets one of its own.
func litmus(t *testing.T, d *drive, suite string) (passed int, problems []string) {
	t.Helper()
	program := need(t, "litmus")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-k", d.url+"/")
	cmd.Dir, cmd.Env = t.TempDir(), environment(d.home, "TESTS="+suite)
	// The exit code is that of the last suite's last state; the lines say more.
	out, err := cmd.CombinedOutput()
	text := strings.ReplaceAll(string(out), "\r", "\n") // it overwrites "..... " lines on a terminal
	for _, m := range litmusLine.FindAllStringSubmatch(text, -1) {
		if m[2] == "pass" {
			passed++
		} else {
			problems = append(problems, m[0])
		}
	}
	if !strings.Contains(text, "<- summary for `"+suite+"'") {
		t.Errorf("litmus %s did not come to its end (%v):\n%s", suite, err, tail(text, 40))
	}
	return passed, problems
}

// TestLitmus runs the suites of RFC 4918: every test passes, and none is skipped or warns.
func TestLitmus(t *testing.T) {
	eachLayout(t, func(t *testing.T, b backend) {
		d := b.start(t)
		total := 0
		for suite, want := range litmusTests {
			passed, problems := litmus(t, d, suite)
			if passed != want || len(problems) > 0 {
				t.Errorf("litmus %s: %d passed, want %d; %s", suite, passed, want, strings.Join(problems, "; "))
			}
			total += passed
		}
		t.Logf("litmus: %d tests passed", total)
	})
}

// The content of litmus's suite largefile: 64 KiB more than what a signed 32-bit number of bytes can count.
const (
	largeBlock  = 8192
	largeBlocks = 262152
	largeSize   = largeBlock * largeBlocks
)

// largeContent reads as the whole content, and as a writer checks that it is that.
type largeContent struct{ n int64 }

func (c *largeContent) Read(p []byte) (int, error) {
	n := int(min(int64(len(p)), largeSize-c.n))
	if n == 0 {
		return 0, io.EOF
	}
	n = copy(p[:n], largePattern[c.n%256:])
	c.n += int64(n)
	return n, nil
}

func (c *largeContent) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		want := largePattern[c.n%256:]
		n := min(len(want), len(p)-done)
		if !bytes.Equal(p[done:done+n], want[:n]) {
			return done, fmt.Errorf("byte mismatch at %d", c.n)
		}
		done += n
		c.n += int64(n)
	}
	return len(p), nil
}

var largePattern = func() []byte { // of many blocks, for speed
	b := make([]byte, 64*largeBlock)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}()

// TestLitmusLargefile sends what litmus's suite largefile sends, which no Debian package has: litmus is built there
// without it. A GET of a part beyond 2 GiB and a COPY are ours. It takes 4 GiB of disk on each backend, the upload and
// the registry's copy.
func TestLitmusLargefile(t *testing.T) {
	if testing.Short() {
		t.Skip("it moves 4 GiB")
	}
	patient := &http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{DisableCompression: true}}
	largefile := func(t *testing.T, b backend) {
		d := b.start(t)
		start := time.Now()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, d.href("/large.txt"), &largeContent{})
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = largeSize
		resp, err := patient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			t.Fatalf("PUT of %d bytes: %s", int64(largeSize), resp.Status)
		}
		t.Logf("stored in %s", time.Since(start).Round(time.Second))
		d.do("COPY", "/large.txt", nil, made, "Destination", d.href("/copy.txt"))
		resp, err = patient.Get(d.href("/copy.txt")) // of the same blob
		if err != nil {
			t.Fatal(err)
		}
		var got largeContent
		_, err = io.Copy(&got, resp.Body)
		resp.Body.Close()
		if err != nil || got.n != largeSize || resp.ContentLength != largeSize || resp.StatusCode != http.StatusOK {
			t.Errorf("GET of the copy: %s, %d bytes announced, %d read, %v", resp.Status, resp.ContentLength, got.n, err)
		}
		from := int64(1<<31 - 10) // both sides of the border
		a := d.do(http.MethodGet, "/copy.txt", nil, []int{http.StatusPartialContent}, "Range",
			fmt.Sprintf("bytes=%d-%d", from, from+19))
		if !bytes.Equal(a.body, largePattern[from%256:from%256+20]) {
			t.Errorf("20 bytes at %d are %x", from, a.body)
		}
		for name, m := range d.list("/") {
			if m.size != largeSize {
				t.Errorf("%s is listed with %d bytes", name, m.size)
			}
		}
	}
	// One after the other: the disk is what they wait for.
	t.Run(onEmbedded, func(t *testing.T) { largefile(t, backend{name: onEmbedded}) })
	t.Run(onDeleting, func(t *testing.T) { largefile(t, backend{name: onDeleting, registry: startRegistry(t, true)}) })
}
