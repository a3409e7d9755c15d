package cache

import (
	"log/slog"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// complaints logs the disk's troubles, one of a kind in a minute: a full disk has the same for every blob.
type complaints struct {
	log  *slog.Logger
	last sync.Map // of time.Time by message
}

func (c *complaints) warn(message string, d digest.Digest, err error) {
	now := time.Now()
	if t, ok := c.last.Load(message); ok && now.Sub(t.(time.Time)) < time.Minute {
		return
	}
	c.last.Store(message, now)
	c.log.Warn(message, "digest", d, "error", err)
}
