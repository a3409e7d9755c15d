package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v2"

	"ocidav/cache"
	"ocidav/ocifs"
	"ocidav/ocifs/embedded"
)

func checkCommand(stdout, stderr io.Writer, onUsageError cli.OnUsageErrorFunc) *cli.Command {
	return configured(&cli.Command{
		Name: "check", Usage: "verify every manifest and blob of a drive; exit 1 if something is damaged, or could not be looked at", OnUsageError: onUsageError,
		ArgsUsage: "[PATH...]",
		Flags: append(append(credentialFlags(), profileFlags()...),
			text("registry", "", "`REF` of the drive's root, [http://]host[:port][/prefix]; none: the embedded registry"),
			dataFlag(),
			text("layout", "", "path or flat; none: the one that the drive has"),
			cacheDirFlag(),
			&cli.BoolFlag{Name: "quick", Usage: "ask whether blobs are there, with their size, and read none"},
			&cli.BoolFlag{Name: "no-foreign", Usage: "leave out the content of others' artifacts"},
			&cli.BoolFlag{Name: "repair", Usage: "repair what can be, from the drive itself and from --cache-dir"},
			&cli.BoolFlag{Name: "alone", Usage: "with --registry: nobody writes to the drive meanwhile, so that --repair may remove what no name leads to"},
			&cli.StringFlag{Name: "json", Usage: "write the report to `FILE`; - is the standard output, which has nothing else then"},
			&cli.IntFlag{Name: "parallel", Value: 16, Usage: "`NUMBER` of requests at once"},
		),
		Description: "PATH is one of the drive, /reports for one; none is all. Without --registry it is the drive in --data, which must not run.",
		Action:      func(c *cli.Context) error { return checkDrive(c, stdout, stderr) },
	})
}

// checkDrive verifies the drive of the command line.
func checkDrive(c *cli.Context, stdout, stderr io.Writer) error {
	tree, o, end, err := openToCheck(c, stderr)
	if err != nil {
		return err
	}
	defer end()
	o.Paths, o.Quick, o.NoForeign, o.Repair = c.Args().Slice(), c.Bool("quick"), c.Bool("no-foreign"), c.Bool("repair")
	o.Alone = c.Bool("alone")
	bar := newBar(stderr)
	o.Progress = bar.show
	report, err := tree.Check(c.Context, o)
	bar.end()
	if e := tellCheck(c.String("json"), report, stdout); e != nil {
		return e
	}
	if err != nil {
		return fmt.Errorf("the check is not complete: %w", err)
	}
	return checkVerdict(report)
}

// openToCheck gives the tree that is checked, without serving it, and what it can be repaired with.
func openToCheck(c *cli.Context, stderr io.Writer) (tree *ocifs.FS, o ocifs.CheckOptions, end func(), err error) {
	layout := c.String("layout")
	switch {
	case layout != "" && layout != ocifs.LayoutPath && layout != ocifs.LayoutFlat:
		return nil, o, nil, usage("--layout %s: want path or flat", layout)
	case c.Int("parallel") < 1 || c.Int("parallel") > 1000:
		return nil, o, nil, usage("--parallel %d: want 1 to 1000", c.Int("parallel"))
	case c.Bool("alone") && !c.Bool("repair"):
		return nil, o, nil, usage("--alone goes with --repair")
	}
	for _, name := range c.Args().Slice() {
		if strings.HasPrefix(name, "-") {
			return nil, o, nil, usage("flags come before the paths, as %s does not; ./%s is a path", name, name)
		}
	}
	log := newLog(config{logLevel: slog.LevelWarn}, stderr)
	options := ocifs.Options{
		Layout: layout, Blobs: nothingKept{}, Freshness: checkFreshness, Parallel: c.Int("parallel"), Discover: true, NoIndex: true,
		Upload: ocifs.UploadMonolithic, Log: log,
	}
	if dir := c.String("cache-dir"); dir != "" {
		o.AtHand = func(d digest.Digest) (*os.File, error) { return cache.OpenWhole(dir, d) }
	}
	end = func() {}
	if c.String("registry") == "" {
		var reg *embedded.Registry
		if reg, err = openData(c, log); err != nil {
			return nil, o, nil, err
		}
		end = func() { reg.Close() }
		o.Mend, options.Local, options.LocalTag = reg.Mend, reg.OpenBlob, reg.Tagged
		options.Registry, err = ocifs.Dial(reg.Host(), true, reg.Transport(), nil)
	} else {
		err = dialToCheck(c, &options)
	}
	if err == nil {
		tree, err = ocifs.New(options)
	}
	if err == nil {
		err = settle(c.Context, tree, false)
	}
	if err != nil {
		end()
	}
	return tree, o, end, err
}

// openData opens the data directory of a drive that does not run.
func openData(c *cli.Context, log *slog.Logger) (*embedded.Registry, error) {
	for _, flag := range []string{"registry-config", "registry-username", "registry-password-file", "registry-profile", "registry-rps", "alone"} {
		if c.IsSet(flag) {
			return nil, usage("--%s goes with --registry", flag)
		}
	}
	return openStopped(c.String("data"), log, "a running drive is checked by --registry, at the address of its --registry-listen")
}

// dialToCheck takes over the registry of the command line.
func dialToCheck(c *cli.Context, o *ocifs.Options) error {
	host, prefix, plainHTTP, err := ocifs.ParseReference(c.String("registry"))
	if err != nil {
		return usage("--registry: %v", err)
	}
	credential, err := newCredential(c, host)
	if err != nil {
		return err
	}
	profile, pace, err := newProfile(c, host, checkPatience)
	if err != nil {
		return err
	}
	o.Prefix, o.Profile = prefix, profile
	o.Registry, err = pace.Dial(host, plainHTTP, ocifs.NewTransport(), credential)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, pingTimeout)
	defer cancel()
	return ocifs.Ping(ctx, o.Registry)
}

// tellCheck writes the report for people, or for programs where they want it.
func tellCheck(file string, r ocifs.CheckReport, stdout io.Writer) error {
	if file != "" {
		report, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		report = append(report, '\n')
		if file == "-" {
			_, err := stdout.Write(report)
			return err
		}
		if err := os.WriteFile(file, report, 0o666); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	for _, n := range r.Findings {
		fmt.Fprintf(stdout, "%s %s: %s\n", n.Severity, n.Kind, place(n.Path, n.Repository, n.Tag))
		fmt.Fprintf(stdout, "    %s\n", n.Text)
		switch n.Repair {
		case ocifs.RepairPossible:
			fmt.Fprintf(stdout, "    can be repaired: %s\n", n.RepairText)
		case ocifs.RepairDone:
			fmt.Fprintf(stdout, "    repaired: %s\n", n.RepairText)
		case ocifs.RepairFailed:
			fmt.Fprintf(stdout, "    not repaired: %s\n", n.RepairText)
		case "":
			if n.RepairText != "" {
				fmt.Fprintf(stdout, "    %s\n", n.RepairText)
			}
		}
	}
	if r.OmittedFindings > 0 {
		fmt.Fprintf(stdout, "and %d more\n", r.OmittedFindings)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(stdout, "not seen: %s\n    %s\n", place(f.Path, f.Repository, f.Tag), f.Text)
	}
	did := "read"
	if r.Quick {
		did = "asked for, and not read"
	}
	_, err := fmt.Fprintf(stdout, "%d directories, %d files, %d artifacts of others; %d manifests and %d blobs %s, %s\n",
		r.Directories, r.Files, r.Artifacts, r.Manifests, r.Blobs, did, readable(r.Bytes))
	return err
}

// place says where something is, in the drive and in the registry.
func place(path, repository, tag string) string {
	at := repository
	if tag != "" {
		at += ":" + tag
	}
	switch {
	case path == "":
		return at
	case at == "":
		return path
	}
	return path + " (" + at + ")"
}

// checkVerdict is the end of a check: nil if all is well.
func checkVerdict(r ocifs.CheckReport) error {
	damage := "no damage was found"
	if r.Damage > 0 {
		damage = fmt.Sprintf("damage was found, %s", times(r.Damage))
	}
	switch {
	case !r.Complete:
		return fmt.Errorf("the check is not complete, the registry has failed %s; %s", times(r.Failed), damage)
	case r.Damage > 0:
		return errors.New(damage)
	}
	return nil
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// nothingKept are the blobs at hand of a check: none, for it looks at the registry's.
type nothingKept struct{}

func (nothingKept) Open(context.Context, ocispec.Descriptor, ocifs.Source) (ocifs.Blob, error) {
	return nil, errors.New("a check keeps nothing at hand")
}

func (nothingKept) Add(context.Context, ocispec.Descriptor, io.Reader) error { return nil }

func (nothingKept) Hold(ocispec.Descriptor, []byte) {}
