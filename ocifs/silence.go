package ocifs

import (
	"io"
	"sync/atomic"
	"time"
)

// watched is the body of an answer: each piece of it has to come within answerTimeout, or the registry is silent. Time
// that its reader takes does not count. It also ends the context of its request when it is closed.
type watched struct {
	body   io.ReadCloser
	timer  *time.Timer
	silent *atomic.Bool
	cancel func()
}

func watch(body io.ReadCloser, cancel func()) watched {
	w := watched{body: body, silent: new(atomic.Bool), cancel: cancel}
	w.timer = time.AfterFunc(time.Hour, func() {
		w.silent.Store(true)
		cancel()
	})
	w.timer.Stop()
	return w
}

func (w watched) Read(p []byte) (int, error) {
	w.timer.Reset(answerTimeout)
	n, err := w.body.Read(p)
	w.timer.Stop()
	if err != nil && err != io.EOF && w.silent.Load() {
		err = silence(answerTimeout)
	}
	return n, err
}

func (w watched) Close() error {
	w.timer.Stop()
	defer w.cancel()
	return w.body.Close()
}
