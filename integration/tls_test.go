package integration

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newCertificate writes a certificate for 127.0.0.1 and its key.
func newCertificate(t testing.TB, certFile, keyFile string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need(t, "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
		"-nodes", "-keyout", keyFile, "-out", certFile, "-days", "2", "-subj", "/CN=drive", "-addext", "subjectAltName=IP:127.0.0.1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
}

// trusting is a client that trusts the certificate of the file alone, over a new connection.
func trusting(t testing.TB, certFile string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: 90 * time.Second, Transport: transport}
}

// TestTLS writes and reads over HTTP/2, changes the certificate under the drive, and asks it for its health.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	newCertificate(t, certFile, keyFile)
	d := newDrive(t, "--tls-cert", certFile, "--tls-key", keyFile)
	d.startOnly()
	d.url = strings.TrimSuffix("https://"+d.waitLine(t, "\nserving https://"), "/")
	first := trusting(t, certFile)
	content := random(5 << 20)
	if a := send(first, http.MethodPut, d.href("/f"), strings.NewReader(string(content))); a.status != http.StatusCreated {
		t.Fatalf("PUT: %v", a)
	}
	a := send(first, http.MethodGet, d.href("/f"), nil)
	if a.status != http.StatusOK || digestOf(a.body) != digestOf(content) {
		t.Errorf("GET: %d with %d bytes, %v", a.status, len(a.body), a.err)
	}
	newCertificate(t, certFile, keyFile)
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the new certificate is not used", func() bool {
		return send(trusting(t, certFile), http.MethodGet, d.href("/f"), nil).status == http.StatusOK
	})
	address := strings.TrimPrefix(d.url, "https://")
	if code, _, errs := runOcidav(t, d.program, []string{"OCIDAV_TLS_CERT=" + certFile}, "health", "--listen", address); code != 0 {
		t.Errorf("health: %d, %s", code, errs)
	}
	if code, _, errs := runOcidav(t, d.program, nil, "serve", "--tls-cert", keyFile, "--tls-key", keyFile); code != 2 || !strings.Contains(errs, keyFile) {
		t.Errorf("a certificate that is none: %d, %s", code, errs)
	}
}
