package bench

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/webdav"
)

// scratch is the directory of this run.
var scratch string

func TestMain(m *testing.M) {
	if dir := os.Getenv("OCIDAV_BENCH_STOCK"); dir != "" { // this is the child that is "stock"
		handler := &webdav.Handler{FileSystem: webdav.Dir(dir), LockSystem: webdav.NewMemLS()}
		fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Getenv("OCIDAV_BENCH_ADDRESS"), handler))
		os.Exit(1)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "ocidav-bench-")
		if err == nil {
			err = os.Chmod(dir, 0o711) // Apache runs as another user
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		scratch = dir
		defer killAll()
		return m.Run()
	}())
}

// ocidav is the binary under test, built once.
var ocidav = sync.OnceValues(func() (string, error) {
	file := filepath.Join(scratch, "ocidav")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", file, ".")
	cmd.Dir = filepath.Join("..", "..") // the module's root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %v\n%s", err, out)
	}
	return file, nil
})

var (
	mu      sync.Mutex
	running = map[*exec.Cmd]bool{}
)

// start runs a server until the end of this run, or stop.
func start(env []string, program string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = childAttributes()
	log, err := os.Create(filepath.Join(scratch, filepath.Base(program)+".log")) // a registry tells of every miss
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	running[cmd] = true
	return cmd, nil
}

func stop(cmd *exec.Cmd) {
	mu.Lock()
	defer mu.Unlock()
	if running[cmd] {
		end(cmd)
	}
}

// end lets a server end its children too, Apache for one.
func end(cmd *exec.Cmd) {
	delete(running, cmd)
	late := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
	defer late.Stop()
	if cmd.Process.Signal(syscall.SIGTERM) != nil {
		cmd.Process.Kill()
	}
	cmd.Wait()
}

func killAll() {
	mu.Lock()
	defer mu.Unlock()
	for cmd := range running {
		end(cmd)
	}
}

// freeAddress is one that nobody listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// ready waits until a server answers.
func ready(url string) error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		resp, err := client.Get(url)
		if err == nil {
			resp.Body.Close()
			return nil
		}
	}
	return errors.New("no answer from " + url)
}
