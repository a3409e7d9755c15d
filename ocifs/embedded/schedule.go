//go:build !noembed

package embedded

import (
	"errors"
	"time"
)

// Where the disk is full, those who have just deleted something wait for the room.
const (
	pressureGrace = time.Minute
	pressurePause = 10 * time.Second // between two collections for that reason, at least
)

// CollectEvery collects in the background until Close: now, again after each interval, and, with a short grace, when a
// writer has met a full disk.
func (r *Registry) CollectEvery(interval time.Duration) {
	go func() {
		next := time.NewTimer(0)
		defer next.Stop()
		for {
			select {
			case <-r.closing.Done():
				return
			case <-next.C:
				r.collectAndTell(Running)
				next.Reset(interval)
			case <-r.pressure:
				rules := Running
				rules.Grace = pressureGrace
				r.collectAndTell(rules)
				select {
				case <-r.closing.Done():
				case <-time.After(pressurePause):
				}
			}
		}
	}()
}

func (r *Registry) collectAndTell(rules Rules) {
	begin := time.Now()
	done, err := r.Collect(r.closing, rules)
	log := r.journal.log.With("removed", done.String(), "took", time.Since(begin).Round(time.Millisecond))
	switch {
	case errors.Is(err, errClosed):
	case err != nil:
		log.Warn("the collection of the embedded registry has failed; the next one goes on", "error", err)
	case done != Collected{}:
		log.Info("the embedded registry was collected")
	default:
		log.Debug("the embedded registry was collected")
	}
}

// pressed asks for a collection because the disk is full. It does not wait.
func (r *Registry) pressed() {
	select {
	case r.pressure <- struct{}{}:
	default:
	}
}
