package main

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ocidav/davfs"
	"ocidav/ocifs"
)

func listenFlag() cli.Flag {
	return text("listen", "127.0.0.1:8080", "`ADDRESS` of the drive; port 0 picks one")
}

func prefixFlag() cli.Flag {
	return text("prefix", "/", "URL `PATH` of the drive")
}

func certFlag() cli.Flag {
	return text("tls-cert", "", "PEM `FILE` of the drive's certificate with its chain; read again when it changes, and at SIGHUP")
}

func clientCAFlag() cli.Flag {
	return text("tls-client-ca", "", "PEM `FILE` of authorities; only clients with a certificate of theirs may connect; read again like --tls-cert")
}

func authFlag() cli.Flag {
	return text("auth", "none", "who may use the drive: none (everybody), htpasswd (the users of --htpasswd), registry (those of the registry, each with his own rights), or proxy (who has logged in at one of --trusted-proxies)")
}

func dataFlag() cli.Flag {
	return text("data", defaultDir("XDG_DATA_HOME", ".local", "share"), "`DIR` of the embedded registry")
}

func cacheDirFlag() cli.Flag {
	return text("cache-dir", defaultDir("XDG_CACHE_HOME", ".cache"), "`DIR` of the cache and of uploads on their way")
}

func serveFlags() []cli.Flag {
	size := func(name string, value byteSize, help string) cli.Flag {
		return &cli.GenericFlag{Name: name, Value: &value, Usage: help, EnvVars: env(name)}
	}
	return append(append(credentialFlags(), profileFlags()...),
		listenFlag(),
		text("registry", "", "`REF` of the drive's root, [http://]host[:port][/prefix]; none: the embedded registry"),
		dataFlag(),
		&cli.DurationFlag{Name: "gc-interval", Value: 24 * time.Hour, EnvVars: env("gc-interval"),
			Usage: "how often the embedded registry frees what no file needs any more, and at start; 0 never"},
		text("registry-listen", "", "`ADDRESS` that shows the embedded registry to OCI clients"),
		cacheDirFlag(),
		size("cache-size", 10<<30, "`BYTES` that the cache may take; 0 turns it off"),
		&cli.DurationFlag{Name: "freshness", Value: 2 * time.Second, EnvVars: env("freshness"),
			DefaultText: "2s, with --sole-writer 10m",
			Usage:       "for how long the registry's answer about a name is good; the embedded one's always is"},
		flagged("sole-writer", "nobody else writes to the drive, or the registry notifies: nothing is asked twice within --freshness, not even before a write"),
		size("part-size", 4<<30, "`BYTES` of a layer at most; longer files have several"),
		text("layout", "", "path (a repository for each directory) or flat (one for the whole tree); none: the one that the drive has, path for a new one"),
		text("upload", ocifs.UploadAuto, "how large files are uploaded: stream (while they arrive), monolithic (when they have come), or auto (as the profile has it; stream, until the registry refuses)"),
		&cli.GenericFlag{Name: "spool-size", Value: new(byteSize), EnvVars: env("spool-size"), DefaultText: "as the disk has",
			Usage: "`BYTES` that all uploads on their way may take in --cache-dir; 0 is as the disk has"},
		size("upload-memory", 256<<20, "`BYTES` of memory that all uploads on their way may take; more of them wait their turn"),
		&cli.DurationFlag{Name: "write-timeout", Value: time.Minute, EnvVars: env("write-timeout"),
			Usage: "for how long a write that the registry fails is tried again, from its last byte on, and a question that it wants to be asked later"},
		authFlag(),
		text("htpasswd", "", "`FILE` with names and bcrypt hashes, as htpasswd -B writes it; read again when it changes, and at SIGHUP"),
		text("proxy-user-header", davfs.DefaultUserHeader, "with --auth proxy: the `HEADER` in which the proxy says who the user is"),
		flagged("anonymous-read", "let read who does not log in"),
		text("read-only-users", "", "`NAMES`, with commas, of users who may not write"),
		flagged("insecure-anonymous", "with --auth none: everybody may write, on an address that others reach"),
		flagged("insecure-basic", "take passwords without TLS on an address that others reach"),
		certFlag(),
		text("tls-key", "", "PEM `FILE` of its key"),
		clientCAFlag(),
		prefixFlag(),
		text("public-url", "", "`URL` by which clients know the drive, where a reverse proxy stands in between"),
		text("trusted-proxies", "", "`ADDRESSES` or networks, with commas, whose X-Forwarded-For, -Host and -Prefix are believed, and with --auth proxy what they say of the user"),
		&cli.GenericFlag{Name: "quota", Value: new(byteSize), EnvVars: env("quota"), DefaultText: "of the disk, where it is known",
			Usage: "`BYTES` that clients are told are free"},
		&cli.IntFlag{Name: "max-requests-per-client", Value: 128, EnvVars: env("max-requests-per-client"),
			Usage: "requests that one user, or one address where nobody logs in, has running at the same time; 0 is no limit"},
		text("junk", "memory", "what becomes of files that systems make for themselves (._*, .DS_Store, Thumbs.db, desktop.ini): memory, store or reject"),
		flagged("no-index", "push no index of large directories, by which another machine lists them quickly"),
		flagged("no-discover", "do not look for repositories that others have filled"),
		flagged("read-only", "refuse all that writes"),
		text("cors-origins", "", "`ORIGINS`, with commas, whose pages may use the drive in a browser, with its credentials; * is any, without; none: no page"),
		&cli.DurationFlag{Name: "shutdown-timeout", Value: 30 * time.Second, EnvVars: env("shutdown-timeout"),
			Usage: "for how long requests that run at SIGTERM, uploads among them, may go on"},
		text("admin-listen", "", "`ADDRESS` of health, metrics, profiles and the registry's notifications, a loopback one best; none: off"),
		text("notify-token-file", "", "`FILE` with the secret that a notification at POST /-/notify must bring in its Authorization header"),
		text("log-level", "info", "debug, info, warn or error"),
		text("log-format", "text", "text or json"),
	)
}

// credentialFlags are those of every command that talks to a registry.
func credentialFlags() []cli.Flag {
	return []cli.Flag{
		text("registry-config", "", "docker configuration `FILE` with credentials; none: docker's own place"),
		text("registry-username", "", "`USER` at the registry"),
		text("registry-password-file", "", "`FILE` that holds the password"),
	}
}

func text(name, value, help string) cli.Flag {
	return &cli.StringFlag{Name: name, Value: value, Usage: help, EnvVars: env(name)}
}

func flagged(name, help string) cli.Flag {
	return &cli.BoolFlag{Name: name, Usage: help, EnvVars: env(name)}
}

func env(flag string) []string {
	return []string{"OCIDAV_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))}
}

// defaultDir is ocidav's directory under the XDG base directory, which is under the home directory by default.
func defaultDir(variable string, under ...string) string {
	base := os.Getenv(variable)
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		base = filepath.Join(append([]string{home}, under...)...)
	}
	return filepath.Join(base, "ocidav")
}
