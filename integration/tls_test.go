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

// TestClientCertificates has curl come with a certificate and without one, and the authority change under the drive.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	curl, openssl := need(t, "curl"), need(t, "openssl")
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	newCertificate(t, file("cert.pem"), file("key.pem"))
	// client makes an authority and a certificate that it has signed.
	client := func(ca, name string) {
		t.Helper()
		newCertificate(t, file(ca+".pem"), file(ca+".key"))
		request := exec.CommandContext(t.Context(), openssl, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
			"-keyout", file(name+".key"), "-out", file(name+".csr"), "-subj", "/CN="+name)
		sign := exec.CommandContext(t.Context(), openssl, "x509", "-req", "-in", file(name+".csr"), "-CA", file(ca+".pem"), "-CAkey", file(ca+".key"),
			"-set_serial", "1", "-days", "2", "-out", file(name+".pem"))
		for _, cmd := range []*exec.Cmd{request, sign} {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", cmd, err, out)
			}
		}
	}
	client("ca", "alice")
	client("other", "bob")
	d := newDrive(t, "--tls-cert", file("cert.pem"), "--tls-key", file("key.pem"), "--tls-client-ca", file("ca.pem"))
	d.startOnly()
	d.url = strings.TrimSuffix("https://"+d.waitLine(t, "\nserving https://"), "/")
	ask := func(name string) string {
		args := []string{"--silent", "--show-error", "--cacert", file("cert.pem"), "--output", os.DevNull, "--write-out", "%{http_code} %{http_version}", d.href("/")}
		if name != "" {
			args = append(args, "--cert", file(name+".pem"), "--key", file(name+".key"))
		}
		out, _ := exec.CommandContext(t.Context(), curl, args...).Output()
		return string(out)
	}
	for name, want := range map[string]string{"alice": "200 2", "bob": "000 ", "": "000 "} {
		if got := ask(name); !strings.HasPrefix(got, want) {
			t.Errorf("%q gets %s, want %s", name, got, want)
		}
	}
	address := strings.TrimPrefix(d.url, "https://")
	told := []string{"OCIDAV_TLS_CERT=" + file("cert.pem"), "OCIDAV_TLS_CLIENT_CA=" + file("ca.pem")}
	if code, _, errs := runOcidav(t, d.program, told, "health", "--listen", address); code != 0 {
		t.Errorf("health: %d, %s", code, errs)
	}
	if err := os.Rename(file("other.pem"), file("ca.pem")); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the new authority is not used", func() bool { return strings.HasPrefix(ask("bob"), "200") })
	if got := ask("alice"); !strings.HasPrefix(got, "000") {
		t.Errorf("alice still gets %s", got)
	}
}
