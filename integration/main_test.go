package integration

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// scratch is the directory of this run; the binaries are in it.
var scratch string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "ocidav-integration-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		scratch = dir
		return m.Run()
	}())
}

// binary is the ocidav under test, built once.
var binary = sync.OnceValues(func() (string, error) {
	if err := lookAtSource(); err != nil {
		return "", err
	}
	if raceDetector {
		return build("ocidav", "-race")
	}
	return build("ocidav")
})

// lookAtSource opens the directories of the source. go test takes an earlier result for as long as what the test has opened is
// as it was, and knows nothing of what the go build here reads.
func lookAtSource() error {
	return filepath.WalkDir("..", func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && e.Name() == ".git" {
			return fs.SkipDir
		}
		return err
	})
}

func build(name string, flags ...string) (string, error) {
	file := filepath.Join(scratch, name)
	if runtime.GOOS == "windows" {
		file += ".exe"
	}
	// What is tested is the source as it lies here, which need not be a repository that git trusts.
	args := append([]string{"build", "-buildvcs=false", "-o", file}, flags...)
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir = ".." // the module's root: tests run in their package's directory
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %v: %v\n%s", flags, err, out)
	}
	return file, nil
}

func ocidav(t testing.TB) string {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// required says that a missing tool is an error.
func required() bool { return os.Getenv("OCIDAV_INTEGRATION") == "required" }

// need gives the path of a tool, or ends the test. It also looks where a user's PATH often does not.
func need(t testing.TB, tool string) string {
	t.Helper()
	for _, name := range []string{tool, "/usr/sbin/" + tool, "/sbin/" + tool} {
		if file, err := exec.LookPath(name); err == nil {
			return file
		}
	}
	if required() {
		t.Fatalf("%s is not installed, and OCIDAV_INTEGRATION=required", tool)
	}
	t.Skipf("%s is not installed", tool)
	return ""
}

// environment is this process's own without what would reach into the tests from outside: ocidav's variables, rclone's,
// proxies, and a home with credentials.
func environment(home string, extra ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch upper := strings.ToUpper(name); {
		case strings.HasPrefix(upper, "OCIDAV_"), strings.HasPrefix(upper, "RCLONE_"), strings.HasPrefix(upper, "XDG_"),
			strings.HasSuffix(upper, "_PROXY"), upper == "HOME", upper == "DOCKER_CONFIG":
			continue
		}
		env = append(env, v)
	}
	// A program with the race detector sleeps for a second before it ends, unless told otherwise.
	return append(append(env, "HOME="+home, "DOCKER_CONFIG="+home, "GORACE=atexit_sleep_ms=0"), extra...)
}

// buffer is what a process has written so far.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// tail is the end of s, for the output of a failed test.
func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// eventually waits until ok, and fails the test if that takes longer than limit.
func eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %s: %s", limit, what)
		}
	}
}
