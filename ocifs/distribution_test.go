package ocifs_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ocidav/davfs"
	"ocidav/davfs/treetest"
	"ocidav/ocifs"
)

// startDistribution starts a docker-registry (distribution 2.8) of its own and gives its host and port.
func startDistribution(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		if os.Getenv("OCIDAV_INTEGRATION") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf(`version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}
http: {addr: "127.0.0.1:0", secret: ocifs}
`, filepath.Join(dir, "storage"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "serve", config)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address, read := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if _, at, ok := strings.Cut(lines.Text(), "listening on "); ok {
				select {
				case address <- strings.TrimRight(strings.Fields(at)[0], `",`):
				default:
				}
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
	})
	select {
	case at := <-address:
		return at
	case <-read:
		t.Fatal("docker-registry has ended")
	case <-time.After(time.Minute):
		t.Fatal("docker-registry does not listen")
	}
	return ""
}

// TestTreeOnDistribution runs the suite over a stock registry that deletes no tags and knows no pages.
func TestTreeOnDistribution(t *testing.T) {
	host := startDistribution(t)
	var trees atomic.Int32
	for _, layout := range []string{ocifs.LayoutPath, ocifs.LayoutFlat} {
		t.Run(layout, func(t *testing.T) {
			newTree := func(t *testing.T) davfs.Tree {
				transport := ocifs.NewTransport()
				t.Cleanup(transport.CloseIdleConnections)
				client, err := ocifs.Dial(host, true, transport, nil)
				if err != nil {
					t.Fatal(err)
				}
				tree, err := ocifs.New(ocifs.Options{
					Registry: client, Prefix: fmt.Sprint("drive", trees.Add(1)), Layout: layout,
					Blobs: noBlobs{}, Freshness: 2 * time.Second, SpoolDir: t.TempDir(),
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := tree.Settle(t.Context(), true); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { tree.Close(context.Background()) })
				return tree
			}
			treetest.Run(t, newTree, treetest.Options{Short: true, Parallel: true})
		})
	}
}
