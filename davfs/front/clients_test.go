//go:build unix

package front

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ocidav/davfs/reload"
)

// authority signs the certificates of clients.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, file string) *authority {
	t.Helper()
	a := &authority{}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: file}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) client(t *testing.T, usage x509.ExtKeyUsage, until time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(until)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestClients: nobody is served but who has a certificate of an authority of the file, as it is now.
func TestClients(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, caFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	pair(t, "localhost", certFile, keyFile)
	var text strings.Builder
	log := slog.New(slog.NewTextHandler(&text, nil))
	for _, content := range []string{"", "nonsense"} {
		os.WriteFile(caFile, []byte(content), 0o600)
		if _, err := LoadClients(caFile, log); err == nil || !strings.Contains(err.Error(), caFile) {
			t.Errorf("%q: %v", content, err)
		}
	}
	ours := newAuthority(t, caFile)
	theirs := newAuthority(t, filepath.Join(dir, "other.pem"))
	c, err := LoadCertificate(certFile, keyFile, log)
	if err != nil {
		t.Fatal(err)
	}
	if c.Clients, err = LoadClients(caFile, log); err != nil {
		t.Fatal(err)
	}
	s := Servers{Log: slog.New(slog.DiscardHandler)}
	address, err := s.Start("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Proto", r.Proto)
	}), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.list[0].Close()
	// get asks once, over a new connection.
	get := func(config *tls.Config) (*http.Response, error) {
		config = config.Clone() // the transport changes it
		config.InsecureSkipVerify = true
		transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: config.NextProtos == nil}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("https://" + address.String())
		if err == nil {
			resp.Body.Close()
		}
		return resp, err
	}
	good := ours.client(t, x509.ExtKeyUsageClientAuth, time.Hour)
	for what, config := range map[string]*tls.Config{
		"none":            {},
		"none, TLS 1.2":   {MaxVersion: tls.VersionTLS12},
		"of another":      {Certificates: []tls.Certificate{theirs.client(t, x509.ExtKeyUsageClientAuth, time.Hour)}},
		"of a server":     {Certificates: []tls.Certificate{ours.client(t, x509.ExtKeyUsageServerAuth, time.Hour)}},
		"that has ended":  {Certificates: []tls.Certificate{ours.client(t, x509.ExtKeyUsageClientAuth, -time.Minute)}},
		"with TLS 1.1":    {Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"of the server's": {Certificates: []tls.Certificate{*c.good}},
	} {
		if resp, err := get(config); err == nil {
			t.Errorf("a certificate %s: %s", what, resp.Status)
		}
	}
	for proto, config := range map[string]*tls.Config{
		"HTTP/2.0": {Certificates: []tls.Certificate{good}},
		"HTTP/1.1": {Certificates: []tls.Certificate{good}, NextProtos: []string{"http/1.1"}, MaxVersion: tls.VersionTLS12},
	} {
		if resp, err := get(config); err != nil || resp.Header.Get("Proto") != proto {
			t.Errorf("%s: %v %v", proto, resp, err)
		}
	}

	// A session of an authority that is not in the file any more is not resumed.
	sessions := map[string]*tls.Config{}
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		sessions[name] = &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
		for i, resumed := range []bool{false, true} {
			if resp, err := get(sessions[name]); err != nil || resp.TLS.DidResume != resumed {
				t.Fatalf("%s, connection %d: %v", name, i, err)
			}
		}
	}
	os.WriteFile(caFile, []byte("nonsense"), 0o600)
	c.Clients.Reload()
	if _, err := get(sessions["TLS 1.3"]); err != nil || !strings.Contains(text.String(), "level=WARN") {
		t.Errorf("a file that cannot be used: %v, and the log says\n%s", err, &text)
	}
	newAuthority(t, caFile)
	time.Sleep(1100 * time.Millisecond) // the next look
	for name, session := range sessions {
		if _, err := get(session); err == nil {
			t.Errorf("%s: a session of an authority that is gone is resumed", name)
		}
	}
}

// TestHealthOfClients: whoever has no certificate is turned away, which is a sign of life, each time.
func TestHealthOfClients(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, caFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	pair(t, "localhost", certFile, keyFile)
	newAuthority(t, caFile)
	log := slog.New(slog.DiscardHandler)
	c, err := LoadCertificate(certFile, keyFile, log)
	if err != nil {
		t.Fatal(err)
	}
	s := Servers{Log: log}
	open, err := s.Start("127.0.0.1:0", http.NotFoundHandler(), c)
	if err != nil {
		t.Fatal(err)
	}
	closed := &Certificate{certFile: certFile, keyFile: keyFile, log: log, files: reload.Watch(certFile, keyFile), good: c.good}
	if closed.Clients, err = LoadClients(caFile, log); err != nil {
		t.Fatal(err)
	}
	address, err := s.Start("127.0.0.1:0", http.NotFoundHandler(), closed)
	if err != nil {
		t.Fatal(err)
	}
	defer s.list[0].Close()
	defer s.list[1].Close()
	for range 50 {
		if err := (Door{Address: address.String(), TLS: true, Clients: true}).Health(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for address, door := range map[string]Door{"one that asks for none": {Address: open.String(), TLS: true, Clients: true}, "none": {Address: "127.0.0.1:1", TLS: true, Clients: true}} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := door.Health(ctx); err == nil {
			t.Errorf("%s is well", address)
		}
	}
}
