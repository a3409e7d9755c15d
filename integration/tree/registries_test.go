package tree

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

// beRegistry is the variable that makes this program a registry by the configuration that it names.
const beRegistry = "TREE_TEST_REGISTRY"

func TestMain(m *testing.M) {
	if file := os.Getenv(beRegistry); file != "" {
		fmt.Fprintln(os.Stderr, serveDistribution(file))
		os.Exit(1)
	}
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("16") // most of the time is the registries' waiting for their disk
	}
	os.Exit(m.Run())
}

// serveDistribution does what "registry serve" of distribution does, without TLS and signals.
func serveDistribution(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	config, err := configuration.Parse(bytes.NewReader(text))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", config.HTTP.Addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "listening on %s \n", l.Addr())
	return http.Serve(l, handlers.NewApp(context.Background(), config))
}

// registryConfig is read by distribution 2.8 and 3 alike.
const registryConfig = `version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: %t}
  redirect: {disable: true}
http: {addr: "127.0.0.1:0", relativeurls: true, secret: integration}
`

func configFile(t *testing.T, deletion bool) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, registryConfig, filepath.Join(dir, "storage"), deletion), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func distribution(t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, "listening on ", []string{beRegistry + "=" + configFile(t, true)}, program)
}

func dockerRegistry(t *testing.T, deletion bool) string {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		if os.Getenv("OCIDAV_INTEGRATION") == "required" {
			t.Fatal("docker-registry is not installed, and OCIDAV_INTEGRATION=required")
		}
		t.Skip("docker-registry is not installed")
	}
	return start(t, "listening on ", nil, program, "serve", configFile(t, deletion))
}

// embedded is the registry inside ocidav, on its socket. Its drive has its root elsewhere and nothing to do.
func embedded(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "ocidav")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "ocidav")
	if raceDetector {
		build.Args = append(build.Args[:2:2], append([]string{"-race"}, build.Args[2:]...)...)
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return start(t, "registry also at http://", []string{"HOME=" + dir}, program, "serve", "--listen", "127.0.0.1:0",
		"--registry-listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--cache-dir", filepath.Join(dir, "cache"))
}

// output is what a process has written so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start runs a registry until the test ends, and gives the host and port that it says after mark.
func start(t *testing.T, mark string, env []string, program string, args ...string) string {
	t.Helper()
	var said output
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = append(os.Environ(), env...), &said, &said, childAttributes()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s %q wrote:\n%s", program, args, said.String())
		}
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		_, rest, _ := strings.Cut(said.String(), mark)
		if i := strings.IndexAny(rest, "/\n\" "); i > 0 {
			return rest[:i]
		}
	}
	t.Fatalf("%s does not say %q; it wrote:\n%s", program, mark, said.String())
	return ""
}
