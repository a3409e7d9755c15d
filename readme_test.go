package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/crypto/bcrypt"
	"gopkg.in/yaml.v3"
)

// shown is the example of the README that begins with a line.
func shown(t *testing.T, first string) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n    "+first+"\n")
	if !ok {
		t.Fatalf("the README has no example that begins with %s", first)
	}
	example := first + "\n"
	for line := range strings.Lines(rest) {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "    ") {
			break
		}
		example += strings.TrimPrefix(line, "    ")
	}
	return example
}

func isVariable(name string) bool {
	return slices.ContainsFunc(append(serveFlags(), configFlag()), func(f cli.Flag) bool { return env(f.Names()[0])[0] == name })
}

// TestREADMENames: each flag in the table is one, each one is there, and each variable is one of a flag.
func TestREADMENames(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| flag | default | |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, f := range append(serveFlags(), configFlag()) {
		if !strings.Contains(table, "`--"+f.Names()[0]+"`") {
			t.Errorf("--%s is not in the table of flags", f.Names()[0])
		}
	}
	for _, name := range regexp.MustCompile("`--([a-z-]+)`").FindAllStringSubmatch(table, -1) {
		if !isVariable(env(name[1])[0]) {
			t.Errorf("the table has --%s", name[1])
		}
	}
	for _, name := range regexp.MustCompile(`OCIDAV_[A-Z_]+`).FindAllString(string(text), -1) {
		if !isVariable(name) && name != "OCIDAV_CI_TOOLS" {
			t.Errorf("%s is the variable of no flag", name)
		}
	}
}

// TestREADMEUnit has systemd look at the unit, where it is there.
func TestREADMEUnit(t *testing.T) {
	unit := shown(t, "[Unit]")
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze")
	}
	unit = strings.Replace(unit, "/usr/local/bin/ocidav", "/bin/true", 1) // a program that is there
	unit = strings.Replace(unit, "network-online.target", "basic.target", 2)
	file := filepath.Join(t.TempDir(), "ocidav.service")
	if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", file).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("ocidav.service:")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestREADMECompose: the file is YAML, and what it sets are variables that serve takes together.
func TestREADMECompose(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Image, Build string
			Environment  map[string]string
			Secrets      []string
			Volumes      []string
		}
		Secrets, Volumes map[string]any
	}
	decoder := yaml.NewDecoder(strings.NewReader(shown(t, "services:")))
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	drive := file.Services["drive"]
	if file.Services["registry"].Image != "registry:3" || drive.Build != "." || len(drive.Secrets) != 1 || file.Secrets[drive.Secrets[0]] == nil {
		t.Errorf("the services are %+v", file.Services)
	}
	for name, value := range drive.Environment {
		if !isVariable(name) {
			t.Errorf("%s is the variable of no flag", name)
		}
		t.Setenv(name, value)
	}
	t.Setenv("OCIDAV_LISTEN", ":8080") // of the image
	t.Setenv("OCIDAV_INSECURE_ANONYMOUS", "true")
	if err := parse(t, func(c *cli.Context) error { _, err := newConfig(c); return err }); err != nil {
		t.Error(err)
	}
}

// TestREADMEAlerts: the rules are YAML, and each metric that they name is on the page of a drive that has done a little.
func TestREADMEAlerts(t *testing.T) {
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct{ Alert, Expr, For string }
		}
	}
	if err := yaml.Unmarshal([]byte(shown(t, "groups:")), &rules); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key, users := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "passwords")
	selfSigned(t, cert, key)
	hash, err := bcrypt.GenerateFromPassword([]byte("alice"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(users, []byte("alice:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--admin-listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key, "--auth", "htpasswd", "--htpasswd", users)
	url, admin := p.line(t, `^serving (https://\S+/)$`), p.line(t, `^admin (http://\S+/)$`)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	for password, code := range map[string]int{"alice": 404, "wrong": 401} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", url+"none", nil)
		req.SetBasicAuth("alice", password)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != code {
			t.Errorf("%s: %d, want %d", password, resp.StatusCode, code)
		}
	}
	_, page := request(t, http.MethodGet, admin+"metrics", "")
	seen := 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" || rule.Expr == "" {
				t.Errorf("the rule %+v", rule)
			}
			for _, metric := range regexp.MustCompile(`[a-z]+(_[a-z]+)+`).FindAllString(regexp.MustCompile(`\{.*?\}|histogram_quantile`).ReplaceAllString(rule.Expr, ""), -1) {
				if seen++; !strings.Contains(page, "\n"+metric+"{") && !strings.Contains(page, "\n"+metric+" ") {
					t.Errorf("%s: no page has %s", rule.Alert, metric)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d metrics are found in the rules", seen)
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "drive"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
