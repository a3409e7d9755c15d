package integration

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Bounds of a process: how long it may take to start, and to stop after SIGTERM.
const (
	startLimit = 60 * time.Second
	stopLimit  = 45 * time.Second
)

// process is a running server and what it writes.
type process struct {
	cmd  *exec.Cmd
	log  buffer
	done chan struct{} // closed when it has ended and all of its output is in log
	err  error         // of Wait; read after done
}

func startProcess(t testing.TB, dir string, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.SysProcAttr = dir, env, childAttributes()
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// waitLine gives the rest of the first line that contains mark, up to a blank or a quote, as soon as it is there.
func (p *process) waitLine(t testing.TB, mark string) string {
	t.Helper()
	for end := time.Now().Add(startLimit); ; time.Sleep(5 * time.Millisecond) {
		running := p.running() // asked first, so that a process that has ended has written all
		if _, rest, ok := strings.Cut(p.log.String(), mark); ok {
			if i := strings.IndexAny(rest, "\n\" "); i >= 0 {
				return rest[:i]
			}
		}
		if !running || time.Now().After(end) {
			p.kill()
			t.Fatalf("%s did not say %q; it ended with %v and wrote:\n%s", p.cmd.Path, mark, p.err, tail(p.log.String(), 40))
		}
	}
}

// terminate sends SIGTERM and gives the exit code.
func (p *process) terminate(t testing.TB) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && p.running() {
		t.Errorf("SIGTERM: %v", err)
	}
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		t.Errorf("%s still runs %s after SIGTERM; its log ends:\n%s", p.cmd.Path, stopLimit, tail(p.log.String(), 20))
		p.kill()
	}
	return p.exitCode()
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

func (p *process) exitCode() int {
	<-p.done
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return 0
	case errors.As(p.err, &exit):
		return exit.ExitCode()
	}
	return -1
}
