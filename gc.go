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
	if _, err := os.Stat(filepath.Join(dir, "docker")); err != nil { // Open would make it
		return fmt.Errorf("there is no registry in the data directory: %w", err)
	}
	keepPrivate()
	reg, err := embedded.Open(dir, embedded.Options{Log: newLog(config{logLevel: slog.LevelWarn}, stderr)})
	if errors.Is(err, embedded.ErrInUse) {
		return fmt.Errorf("%w: a running drive collects by itself, see serve --gc-interval", err)
	}
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
