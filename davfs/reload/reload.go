// Package reload sees that files have changed from which something was read: when somebody wants to use it, or at SIGHUP.
package reload

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const lookAgain = time.Second

// Files are looked at once in a second at most, when Changed is called. It is not safe for concurrent use.
type Files struct {
	names  []string
	looked time.Time
	states []fileState
}

// fileState tells whether a file is still the same. A new file under an old name, or a link that leads elsewhere, is not.
type fileState struct {
	changed time.Time
	size    int64
}

// Watch is called before the files are read for the first time, so that what changes meanwhile is seen.
func Watch(names ...string) *Files {
	f := &Files{names: names}
	f.Changed()
	return f
}

// Changed says whether a file has changed since it last said so, at a look that is a second old at most.
func (f *Files) Changed() bool {
	if time.Since(f.looked) < lookAgain {
		return false
	}
	f.looked = time.Now()
	states := make([]fileState, len(f.names))
	same := len(f.states) == len(states)
	for i, name := range f.names {
		if fi, err := os.Stat(name); err == nil {
			states[i] = fileState{fi.ModTime(), fi.Size()}
		}
		same = same && states[i] == f.states[i]
	}
	f.states = states
	return !same
}

// OnHangup calls all of reload at each SIGHUP, until ctx ends.
func OnHangup(ctx context.Context, reload ...func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-signals:
				for _, f := range reload {
					f()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
}
