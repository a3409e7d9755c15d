//go:build unix

package front

import (
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
)

// pair writes a new certificate of that name into the files.
func pair(t *testing.T, name, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCertificate: new files are seen without a word, and files that cannot be used change nothing.
func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	if _, err := LoadCertificate(certFile, keyFile, logger); err == nil || !strings.Contains(err.Error(), certFile) {
		t.Errorf("no files: %v", err)
	}
	pair(t, "one", certFile, keyFile)
	c, err := LoadCertificate(certFile, keyFile, logger)
	if err != nil {
		t.Fatal(err)
	}
	want := func(what, name string) {
		t.Helper()
		got, err := c.get(nil)
		if err != nil || got.Leaf.Subject.CommonName != name {
			t.Errorf("%s: %v, %v, want %s", what, got.Leaf.Subject.CommonName, err, name)
		}
	}
	later := func() { time.Sleep(1100 * time.Millisecond) } // the next look
	want("first", "one")
	pair(t, "two", certFile, keyFile)
	want("at once", "one")
	later()
	want("later", "two")
	pair(t, "three", certFile, filepath.Join(dir, "other"))
	later()
	want("a key that does not fit", "two")
	if !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("the log says\n%s", log.String())
	}
	os.Rename(filepath.Join(dir, "other"), keyFile)
	later()
	want("the key has come", "three")
	os.Remove(certFile)
	later()
	want("no certificate", "three")
	pair(t, "four", certFile, keyFile)
	c.Reload()
	want("told", "four")
}

// TestTLS serves by HTTP/2 and HTTP/1.1, and not by what is older than TLS 1.2.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pair(t, "localhost", certFile, keyFile)
	log := slog.New(slog.DiscardHandler)
	c, err := LoadCertificate(certFile, keyFile, log)
	if err != nil {
		t.Fatal(err)
	}
	s := Servers{Log: log}
	address, err := s.Start("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Proto", r.Proto)
	}), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.list[0].Close()
	for proto, transport := range map[string]*http.Transport{
		"HTTP/2.0": {ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		"HTTP/1.1": {TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}},
	} {
		resp, err := (&http.Client{Transport: transport}).Get("https://" + address.String())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		transport.CloseIdleConnections()
		if got := resp.Header.Get("Proto"); got != proto {
			t.Errorf("%s, want %s", got, proto)
		}
	}
	if conn, err := tls.Dial("tcp", address.String(), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
	if err := (Door{Address: address.String(), TLS: true}).Health(t.Context()); err != nil {
		t.Errorf("health: %v", err)
	}
	if err := (Door{Address: address.String()}).Health(t.Context()); err == nil {
		t.Error("health by plain HTTP is well")
	}
}
