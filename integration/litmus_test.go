package integration

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// litmusLine is the outcome of one test: " 3. propfind_invalid2..... FAIL (reason)".
var litmusLine = regexp.MustCompile(`(?m)^ *\d+\. (\w+)\.* +(pass|FAIL|SKIPPED|WARNING:)(.*)$`)

// outcome is what one litmus suite said.
type outcome struct {
	passed   int
	failed   []string // the names of tests that failed or were skipped
	problems []string // their lines, and the warnings
}

// litmus runs one suite. It leaves its logs in the working directory, so it gets one of its own.
func litmus(t *testing.T, d *drive, suite string) outcome {
	t.Helper()
	program := need(t, "litmus")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-k", d.url+"/")
	cmd.Dir, cmd.Env = t.TempDir(), environment(d.home, "TESTS="+suite)
	// The exit code is that of the last suite's last state; the lines say more.
	out, err := cmd.CombinedOutput()
	text := strings.ReplaceAll(string(out), "\r", "\n") // it overwrites "..... " lines on a terminal
	var o outcome
	for _, m := range litmusLine.FindAllStringSubmatch(text, -1) {
		switch m[2] {
		case "pass":
			o.passed++
		case "WARNING:":
			o.problems = append(o.problems, m[0])
		default:
			o.failed = append(o.failed, m[1])
			o.problems = append(o.problems, m[0])
		}
	}
	if o.passed == 0 || !strings.Contains(text, "<- summary for `"+suite+"'") {
		t.Errorf("litmus %s did not come to its end (%v):\n%s", suite, err, tail(text, 40))
	}
	return o
}

// TestLitmus runs the suites of RFC 4918. All must pass but for one test.
func TestLitmus(t *testing.T) {
	eachBackend(t, func(t *testing.T, b backend) {
		d := b.start(t)
		for _, suite := range []string{"basic", "copymove", "http", "props", "locks"} {
			o := litmus(t, d, suite)
			t.Logf("litmus %s: %d passed, %d not; %s", suite, o.passed, len(o.failed), strings.Join(o.problems, "; "))
			for _, name := range o.failed {
				// It sends a namespace prefix that is bound to nothing, which XML 1.0 forbids and the engine allows.
				if suite != "props" || name != "propfind_invalid2" {
					t.Errorf("litmus %s: %s", suite, name)
				}
			}
		}
	})
}
