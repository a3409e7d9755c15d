package davfs_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestLitmus runs the WebDAV server test suite of that name, if it is installed.
func TestLitmus(t *testing.T) {
	bin, err := exec.LookPath("litmus")
	if err != nil {
		t.Skip("litmus is not installed")
	}
	// The suite opens its own connections to one drive, so they run one after another.
	for _, suite := range []string{"basic", "copymove", "props", "locks", "http"} {
		t.Run(suite, func(t *testing.T) {
			d := newDrive(t)
			cmd := exec.Command(bin, "-k", "http://"+d.listen()+"/")
			cmd.Dir = t.TempDir() // it writes debug.log
			cmd.Env = append(os.Environ(), "TESTS="+suite)
			out, err := cmd.CombinedOutput()
			bad := regexp.MustCompile(`(?m)^.*(FAIL|WARNING|SKIPPED).*$`).FindAllString(string(out), -1)
			if err != nil || len(bad) > 0 || !strings.Contains(string(out), "100.0%") {
				t.Errorf("litmus %s: %v\n%s", suite, err, out)
			}
		})
	}
}
