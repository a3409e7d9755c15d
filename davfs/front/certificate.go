package front

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ocidav/davfs/reload"
)

// A Certificate is that of files, as they are now: a handshake looks whether they have changed. Files that cannot be used,
// one of the two being written for example, change nothing but the log: the certificate that was good goes on. It is safe
// for concurrent use.
type Certificate struct {
	Clients *Clients // that may connect; nil: all

	certFile, keyFile string
	log               *slog.Logger

	mu    sync.Mutex
	files *reload.Files
	good  *tls.Certificate
}

// LoadCertificate reads a certificate, with its chain, and its key, both PEM.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, files: reload.Watch(certFile, keyFile)}
	var err error
	c.good, err = c.load()
	return c, err
}

func (c *Certificate) load() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with the key %s: %w", c.certFile, c.keyFile, err)
	}
	return &pair, nil
}

// Reload reads the files even if they seem to be the same.
func (c *Certificate) Reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reloadLocked()
}

func (c *Certificate) reloadLocked() {
	pair, err := c.load()
	if err != nil {
		c.log.Warn("the certificate is not read anew, the former one goes on", "err", err)
		return
	}
	c.good = pair
	c.log.Info("certificate read anew", "file", c.certFile, "until", pair.Leaf.NotAfter)
}

func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files.Changed() {
		c.reloadLocked()
	}
	return c.good, nil
}

// End is when the certificate is good no more.
func (c *Certificate) End() time.Time {
	good, _ := c.get(nil)
	return good.Leaf.NotAfter
}

// config is for HTTP/2 and HTTP/1.1.
func (c *Certificate) config() *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}}
	if c.Clients != nil {
		return c.Clients.require(config)
	}
	return config
}
