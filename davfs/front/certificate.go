package front

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A Certificate is that of files, as they are now: at a handshake, once in a second at most, it looks whether they have
// changed. Files that cannot be used, one of the two being written for example, change nothing but the log: the
// certificate that was good goes on. It is safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	good   *tls.Certificate
	looked time.Time
	state  [2]fileState // of the last try
}

const lookAgain = time.Second

// fileState tells whether a file is still the same. A new file under an old name, or a link that leads elsewhere, is not.
type fileState struct {
	changed time.Time
	size    int64
}

// LoadCertificate reads a certificate, with its chain, and its key, both PEM.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	c.looked, c.state = time.Now(), c.states()
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

// states are read before the files are, so that what changes meanwhile is seen the next time.
func (c *Certificate) states() (s [2]fileState) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if fi, err := os.Stat(name); err == nil {
			s[i] = fileState{fi.ModTime(), fi.Size()}
		}
	}
	return s
}

// Reload reads the files even if they seem to be the same.
func (c *Certificate) Reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reloadLocked(c.states())
}

func (c *Certificate) reloadLocked(s [2]fileState) {
	c.looked, c.state = time.Now(), s
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
	if time.Since(c.looked) >= lookAgain {
		c.looked = time.Now()
		if s := c.states(); s != c.state {
			c.reloadLocked(s)
		}
	}
	return c.good, nil
}

// config is for HTTP/2 and HTTP/1.1.
func (c *Certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}}
}
