package front

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

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
