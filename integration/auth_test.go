package integration

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// passwords has the users alice and guest, with their names as passwords, by bcrypt of cost 4.
const passwords = `# made by htpasswd -nbB -C 4
alice:$2y$04$vE1P9oceFWyDi//J41PDYerGSsGSsy8I3iQXPw2Xbqo6ZJmKjrjg6
guest:$2y$04$OowWTQI/W/eSHXW3Zt.Nu.awb11YTGVYimpLph1JJlC3VDDewKLxa
`

// TestAuth: who may read, who may write, a file that changes under the drive, and what a failure leaves in the log.
func TestAuth(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "passwords")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(passwords)
	d := startDrive(t, "--auth", "htpasswd", "--htpasswd", file, "--anonymous-read", "--read-only-users", "guest")
	want := func(user, password, method, name string, code int) {
		t.Helper()
		req, err := http.NewRequest(method, d.href(name), strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != code {
			t.Errorf("%s %s as %s: %d, want %d", method, name, user, resp.StatusCode, code)
		}
	}
	want("", "", "PUT", "/f", 401)
	want("alice", "alice", "PUT", "/f", 201)
	want("", "", "GET", "/f", 200)
	want("guest", "guest", "GET", "/f", 200)
	want("guest", "guest", "PUT", "/f", 403)
	want("alice", "wrong", "GET", "/f", 401)
	want("mallory", "alice", "GET", "/f", 401)
	line := regexp.MustCompile(`msg="authentication failed" remote=127\.0\.0\.1 user=(alice|mallory) `)
	eventually(t, 5*time.Second, "the failures are not in the log", func() bool { return len(line.FindAllString(d.log.String(), -1)) == 2 })

	write(strings.ReplaceAll(passwords, "guest:", "bob:")) // bob has the password of guest
	eventually(t, 10*time.Second, "the new file is not read", func() bool {
		want("alice", "alice", "GET", "/f", 200) // a look
		return strings.Contains(d.log.String(), "password file read anew")
	})
	want("bob", "guest", "PUT", "/g", 201)
	want("guest", "guest", "GET", "/f", 401)

	for text, says := range map[string]string{"alice:$apr1$x$y\n": file + ":1: ", "": "no user"} {
		write(text)
		code, _, errs := runOcidav(t, d.program, nil, "serve", "--listen", "127.0.0.1:0", "--auth", "htpasswd", "--htpasswd", file)
		if code != 2 || !strings.Contains(errs, says) {
			t.Errorf("%q: %d, %s", text, code, errs)
		}
	}
	if rclone, err := exec.LookPath("rclone"); err == nil {
		out, err := exec.CommandContext(t.Context(), rclone, "--config", os.DevNull, "lsf", ":webdav:", "--webdav-url", d.url, "--webdav-user", "alice",
			"--webdav-pass", obscured(t, rclone, "alice")).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "f\n") {
			t.Errorf("rclone: %v\n%s", err, out)
		}
	}
}

func obscured(t *testing.T, rclone, password string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), rclone, "obscure", password).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
