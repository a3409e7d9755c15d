package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"ocidav/ocifs/embedded"
)

// collect frees what no file needs in a data directory that no drive has open. Nobody reads or writes there, so what is
// not needed now will not be needed.
func collect(c *cli.Context, stdout, stderr io.Writer) error {
	dir := c.String("data")
	if c.Args().Present() {
		return usage("gc takes flags only, not %q", c.Args().First())
	}
	reg, err := openStopped(dir, newLog(config{logLevel: slog.LevelWarn}, stderr), "a running drive collects by itself, see serve --gc-interval")
	if err != nil {
		return err
	}
	defer reg.Close()
	done, err := reg.Collect(c.Context, embedded.Rules{DryRun: c.Bool("dry-run")})
	word := "freed"
	if c.Bool("dry-run") {
		word = "would free"
	}
	fmt.Fprintf(stdout, "%s %s\n", word, done)
	return err
}

// openStopped opens the data directory of a drive that does not run; running is what to do where it does.
func openStopped(dir string, log *slog.Logger, running string) (*embedded.Registry, error) {
	if _, err := os.Stat(filepath.Join(dir, "docker")); err != nil { // Open would make it
		return nil, fmt.Errorf("there is no registry in the data directory: %w", err)
	}
	keepPrivate()
	reg, err := embedded.Open(dir, embedded.Options{Log: log})
	if errors.Is(err, embedded.ErrInUse) {
		return nil, fmt.Errorf("%w: %s", err, running)
	}
	return reg, err
}
