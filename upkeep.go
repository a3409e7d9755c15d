package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/urfave/cli/v2"

	"ocidav/cache"
)

// cacheCommand looks after the cache directory of a drive that does not run.
func cacheCommand(stdout io.Writer, onUsageError cli.OnUsageErrorFunc) *cli.Command {
	sub := func(name, help string, act func(*cli.Context, *cache.Upkeep) (report any, lines string, err error), flags ...cli.Flag) *cli.Command {
		return configured(&cli.Command{
			Name: name, Usage: help, OnUsageError: onUsageError,
			Flags: append([]cli.Flag{cacheDirFlag(), &cli.BoolFlag{Name: "json", Usage: "for machines"}}, flags...),
			Action: func(c *cli.Context) error {
				if c.Args().Present() {
					return usage("cache %s takes flags only, not %q", name, c.Args().First())
				}
				upkeep, err := cache.OpenUpkeep(c.String("cache-dir"))
				if err != nil {
					return err
				}
				defer upkeep.Close()
				report, lines, err := act(c, upkeep)
				if err != nil {
					return err
				}
				if c.Bool("json") {
					return json.NewEncoder(stdout).Encode(report)
				}
				_, err = io.WriteString(stdout, lines)
				return err
			},
		})
	}
	return &cli.Command{
		Name: "cache", Usage: "look after the cache directory of a drive that does not run",
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("there is no command %q; see ocidav cache --help", c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		},
		OnUsageError: onUsageError,
		Subcommands: []*cli.Command{
			sub("stat", "tell what is there", cacheStat),
			sub("prune", "remove what was not used for long, the oldest first", cachePrune,
				&cli.GenericFlag{Name: "size", Value: new(byteSize), DefaultText: "no bound", Usage: "leave `BYTES` at most"},
				&cli.DurationFlag{Name: "older", DefaultText: "of any age", Usage: "remove what was not used for a `DURATION` (720h)"}),
			sub("verify", "hash what is whole and remove what is damaged", cacheVerify),
		},
	}
}

func cacheStat(_ *cli.Context, upkeep *cache.Upkeep) (any, string, error) {
	s := upkeep.Usage()
	lines := fmt.Sprintf("blobs %s\npartial %s\nmanifests %s\nbytes %d\n", counted(s.Blobs), counted(s.Partial), counted(s.Manifests), s.Bytes)
	if !s.Oldest.IsZero() {
		lines += fmt.Sprintf("oldest %s\n", s.Oldest.Format(time.RFC3339))
	}
	return s, lines, nil
}

func cachePrune(c *cli.Context, upkeep *cache.Upkeep) (any, string, error) {
	switch older := c.Duration("older"); {
	case !c.IsSet("size") && !c.IsSet("older"):
		return nil, "", usage("cache prune: want --size, --older or both")
	case older < 0:
		return nil, "", usage("--older %s: want zero or more", older)
	}
	size, before := int64(math.MaxInt64), time.Time{}
	if c.IsSet("size") {
		size = c.Generic("size").(*byteSize).bytes()
	}
	if c.IsSet("older") {
		before = time.Now().Add(-c.Duration("older"))
	}
	removed, err := upkeep.Prune(size, before)
	return removed, fmt.Sprintf("removed %s\n", counted(removed)), err
}

func cacheVerify(c *cli.Context, upkeep *cache.Upkeep) (any, string, error) {
	v, err := upkeep.Verify(c.Context)
	lines := fmt.Sprintf("good %s\ndamaged and removed %d\n", counted(v.Good), len(v.Damaged))
	for _, d := range v.Damaged {
		lines += fmt.Sprintf("  %s\n", d)
	}
	if v.Maps > 0 {
		lines += fmt.Sprintf("maps of good blobs removed %d\n", v.Maps)
	}
	return v, lines, err
}

func counted(c cache.Count) string { return fmt.Sprintf("%d, %d bytes", c.Files, c.Bytes) }
