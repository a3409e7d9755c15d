package front

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"ocidav/davfs/reload"
)

// Clients are those whose certificate an authority of a file has signed, as the file is now: a handshake looks whether it
// has changed. A file that cannot be used changes nothing but the log. It is safe for concurrent use.
type Clients struct {
	file string
	log  *slog.Logger

	mu    sync.Mutex
	files *reload.Files
	good  *x509.CertPool
}

// LoadClients reads the authorities' certificates, PEM.
func LoadClients(file string, log *slog.Logger) (*Clients, error) {
	c := &Clients{file: file, log: log, files: reload.Watch(file)}
	var err error
	c.good, err = c.load()
	return c, err
}

func (c *Clients) load() (*x509.CertPool, error) {
	pem, err := os.ReadFile(c.file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: there is no PEM certificate in it", c.file)
	}
	return pool, nil
}

// Reload reads the file even if it seems to be the same.
func (c *Clients) Reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reloadLocked()
}

func (c *Clients) reloadLocked() {
	pool, err := c.load()
	if err != nil {
		c.log.Warn("the authorities of clients are not read anew, the former ones go on", "err", err)
		return
	}
	c.good = pool
	c.log.Info("authorities of clients read anew", "file", c.file)
}

func (c *Clients) now() *x509.CertPool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files.Changed() {
		c.reloadLocked()
	}
	return c.good
}

// require makes a configuration one that wants such a client. A session that is resumed is held to the authorities of now by
// crypto/tls.
func (c *Clients) require(config *tls.Config) *tls.Config {
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		today := config.Clone()
		today.GetConfigForClient = nil
		today.ClientAuth, today.ClientCAs = tls.RequireAndVerifyClientCert, c.now()
		return today, nil
	}
	return config
}
