// Ocidav serves an OCI registry as a WebDAV drive: directories are repositories, files are artifacts.
//
// This file is the plan of the house. serve reads from the top: the registry, the cache before it, the tree in it, and
// the WebDAV handler on the tree; no other package knows all of them (imports_test.go holds the table). Flags
// (flags.go) become a config (config.go, configfile.go), and nothing below knows of them. Each other command has a file.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"ocidav/cache"
	"ocidav/davfs"
	"ocidav/davfs/admin"
	"ocidav/davfs/front"
	"ocidav/davfs/reload"
	"ocidav/ocifs"
	"ocidav/ocifs/embedded"
)

var _ davfs.Tree = (*ocifs.FS)(nil) // neither package knows the other

const pingTimeout = 15 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal kills
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// run is the program: 0 for success, 2 for a bad command line, 1 for anything else, with one line of reason on stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	forgetVariables(args)
	err := newApp(stdout, stderr).RunContext(ctx, args)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "ocidav: %v\n", err)
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// usageError is a command line that cannot be meant.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func newApp(stdout, stderr io.Writer) *cli.App {
	onUsageError := func(_ *cli.Context, err error, _ bool) error { return usageError{err} }
	return &cli.App{
		Name: "ocidav", Usage: "a WebDAV drive on an OCI registry", Version: version(),
		Writer: stdout, ErrWriter: stderr, HideVersion: true, EnableBashCompletion: true, OnUsageError: onUsageError,
		Flags:          []cli.Flag{&cli.BoolFlag{Name: "version", Usage: "as the command version", DisableDefaultText: true}},
		ExitErrHandler: func(*cli.Context, error) {}, // run prints and decides
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("there is no command %q; see ocidav help", c.Args().First())
			}
			if c.Bool("version") {
				return tellVersion(stdout)
			}
			return cli.ShowAppHelp(c)
		},
		Commands: []*cli.Command{
			configured(&cli.Command{
				Name: "serve", Usage: "serve the drive until SIGTERM", OnUsageError: onUsageError, Flags: serveFlags(),
				Description: "Without --registry the drive is on a registry of its own in --data, which --registry-listen shows to others.",
				Action: func(c *cli.Context) error {
					cfg, err := newConfig(c)
					if err != nil {
						return err
					}
					return serve(c.Context, cfg, stderr)
				},
			}),
			configured(&cli.Command{
				Name: "gc", Usage: "free what no file needs any more in the data directory of a drive that does not run", OnUsageError: onUsageError,
				Flags:       []cli.Flag{dataFlag(), &cli.BoolFlag{Name: "dry-run", Usage: "remove nothing, only tell"}},
				Description: "A running drive does it by itself, at start and after each --gc-interval. No other registry may serve the directory meanwhile.",
				Action:      func(c *cli.Context) error { return collect(c, stdout, stderr) },
			}),
			configured(&cli.Command{
				Name: "health", Usage: "ask a running drive whether it answers; exit 0 if it does", OnUsageError: onUsageError,
				Flags: []cli.Flag{listenFlag(), prefixFlag(), certFlag(), clientCAFlag(), authFlag()}, Action: askHealth,
			}),
			configured(&cli.Command{
				Name: "probe", Usage: "ask a registry what it can do for a drive; exit 0 if all that a drive needs", OnUsageError: onUsageError,
				ArgsUsage: "REF", Flags: append(credentialFlags(), profileFlags()...),
				Description: "REF is that of serve --registry. A few small artifacts are pushed to PREFIX/x.probe and removed again,\n" +
					"and what the registry does not let go of is named.",
				Action: func(c *cli.Context) error { return probeRegistry(c, stdout) },
			}),
			{
				Name: "version", Usage: "print the version, the revision that it was built from, and the Go version",
				Action: func(*cli.Context) error { return tellVersion(stdout) },
			},
			completionCommand(stdout),
			checkCommand(stdout, stderr, onUsageError),
			cacheCommand(stdout, onUsageError),
		},
	}
}

// heapFloor is the weight, in bytes, of what is on the heap for the collector's sake alone. It collects when the heap has
// doubled, and that of an idle drive has a few megabytes, which a thousand small GETs double: a fifth of the time that
// they take would be the collector's. So it waits for as much garbage more, whatever the heap has, and no more than that:
// a percentage would multiply a heap that is large already. The floor itself is never touched, and no memory.
const heapFloor = 16 << 20

// serve builds the drive, serves until ctx ends, and lets what runs then come to its end.
func serve(ctx context.Context, cfg config, stderr io.Writer) error {
	defer runtime.KeepAlive(make([]byte, heapFloor))
	go mime.TypeByExtension(".txt") // reads its tables, which takes milliseconds, before somebody waits for the first GET
	log := newLog(cfg, stderr)
	fmt.Fprintf(stderr, "ocidav %s\n", version())
	keepPrivate()
	reload.OnHangup(ctx) // a reload ends nothing, also where there is nothing to read again

	spool, index := filepath.Join(cfg.cacheDir, "spool"), filepath.Join(cfg.cacheDir, "directories")
	for _, dir := range []string{spool, index} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("cache directory: %w", err)
		}
	}
	blobs, err := cache.New(cache.Options{Dir: cfg.cacheDir, MaxBytes: cfg.cacheSize, Log: log})
	if err != nil {
		return err
	}
	defer blobs.Close()

	var certificate *front.Certificate
	scheme := "http"
	if cfg.tlsCert != "" {
		scheme = "https"
		if certificate, err = front.LoadCertificate(cfg.tlsCert, cfg.tlsKey, log); err != nil {
			return usage("--tls-cert, --tls-key: %w", err)
		}
		reload.OnHangup(ctx, certificate.Reload)
	}
	if cfg.tlsClientCA != "" {
		if certificate.Clients, err = front.LoadClients(cfg.tlsClientCA, log); err != nil {
			return usage("--tls-client-ca: %w", err)
		}
		reload.OnHangup(ctx, certificate.Clients.Reload)
	}
	var users *davfs.Auth // nil is everybody
	if cfg.auth == "htpasswd" {
		if users, err = davfs.OpenAuth(cfg.htpasswd, cfg.anonymousRead, cfg.readers, log); err != nil {
			return usage("--htpasswd: %w", err)
		}
		reload.OnHangup(ctx, users.Users.Reload)
	}
	if cfg.auth == "proxy" {
		users = &davfs.Auth{UserHeader: cfg.userHeader, AnonymousRead: cfg.anonymousRead, ReadOnlyUsers: cfg.readers}
	}

	var tree *ocifs.FS
	var reg *embedded.Registry
	var local func(digest.Digest) (*os.File, error)
	var localTag func(repository, tag string) digest.Digest
	upload := cfg.upload
	host, plainHTTP, freshness, transport := cfg.host, cfg.plainHTTP, cfg.freshness, http.RoundTripper(ocifs.NewTransport())
	if cfg.host == "" {
		reg, err = embedded.Open(cfg.data, embedded.Options{Log: log, Changed: func(repo, ref string) { tree.Changed(repo, ref) }})
		if err != nil {
			return err
		}
		defer reg.Close()
		host, plainHTTP, transport = reg.Host(), true, reg.Transport()
		local, localTag, freshness = reg.OpenBlob, reg.Tagged, ocifs.Told
		if upload == ocifs.UploadAuto {
			upload = ocifs.UploadDirect
		}
	}
	metrics := admin.NewMetrics(version())
	options := ocifs.Options{
		Prefix: cfg.root, Layout: cfg.layout, Blobs: blobs, Freshness: freshness, SoleWriter: cfg.soleWriter, PartSize: cfg.partSize,
		Profile: cfg.profile, Upload: upload, SpoolDir: spool, SpoolSize: cfg.spoolSize, Memory: cfg.uploadMemory, WriteTimeout: cfg.writeTimeout,
		IndexDir: index, NoIndex: cfg.readOnly || cfg.noIndex, Discover: cfg.discover, Local: local, LocalTag: localTag, Log: log,
	}
	dialer := cfg.pace.Dialer(host, plainHTTP, metrics.Transport(transport, log))
	var store storage
	if cfg.auth == "registry" {
		if store, err = treesOfUsers(dialer, options, cfg, log); err != nil {
			return usageError{err}
		}
		users = &davfs.Auth{Accounts: store.accounts, AnonymousRead: cfg.anonymousRead, ReadOnlyUsers: cfg.readers}
	} else {
		if options.Registry, err = dialer.Dial(cfg.credential); err != nil {
			return err
		}
		if tree, err = ocifs.New(options); err != nil {
			return usageError{err}
		}
		store = treeForAll(tree, options.Registry, cfg)
	}
	drive := &davfs.Handler{
		Tree: store.tree, Prefix: cfg.prefix, PublicURL: cfg.publicURL, TrustedProxies: cfg.trusted,
		Auth: users, ReadOnly: cfg.readOnly, LockFile: cfg.lockFile(), Origins: cfg.origins, OnlyLocal: cfg.onlyLocal(), Quota: cfg.space(reg), MaxRequests: cfg.maxRequests, Log: log,
	}

	sources := admin.Sources{
		Cache: func() admin.CacheStats { return admin.CacheStats(blobs.Stats()) },
		Tree:  func() admin.TreeStats { return admin.TreeStats(store.stats()) },
		Locks: drive.Locks, CacheMax: cfg.cacheSize,
	}
	if users != nil {
		sources.Failures = users.Failures
	}
	if certificate != nil {
		sources.CertificateEnd = certificate.End
	}
	metrics.Watch(sources)
	if err := store.begin(ctx); err != nil {
		return err
	}
	servers := front.Servers{Log: log}
	defer func() { servers.Drain(cfg.shutdownTimeout, store.close) }()
	if reg == nil {
		fmt.Fprintf(stderr, "registry %s, profile %s, layout %s\n", cfg.reference(), cmp.Or(cfg.profile.String(), "none"), store.layout())
	} else {
		fmt.Fprintf(stderr, "registry embedded, in %s, layout %s\n", cfg.data, store.layout())
		if cfg.registryShown != "" {
			address, err := servers.Start(cfg.registryShown, reg, nil)
			if err != nil {
				return err
			}
			warnOpen(log, "registry", "read and write", address)
			fmt.Fprintf(stderr, "registry also at http://%s/v2/\n", address)
		}
	}
	fmt.Fprintf(stderr, "cache %s, at most %s\n", cfg.cacheDir, byteSize(cfg.cacheSize))
	if cfg.adminListen != "" {
		address, err := servers.Start(cfg.adminListen, admin.New(admin.Options{
			Ready: store.ready, Stopping: ctx.Done(),
			Forget: store.forget, NotifyToken: cfg.notifyToken, Metrics: metrics, Log: log,
		}), nil)
		if err != nil {
			return err
		}
		warnOpen(log, "admin", "see the process's memory", address)
		fmt.Fprintf(stderr, "admin http://%s/\n", address)
	}
	address, err := servers.Start(cfg.listen, metrics.Handler(drive), certificate)
	if err != nil {
		return err
	}
	if users == nil && cfg.tlsClientCA == "" {
		warnOpen(log, "drive", "read and write", address)
	}
	fmt.Fprintf(stderr, "serving %s://%s%s\n", scheme, address, strings.TrimSuffix(cfg.prefix, "/")+"/")
	if reg != nil && cfg.gcInterval > 0 {
		reg.CollectEvery(cfg.gcInterval)
	}
	select {
	case <-ctx.Done():
		log.Info("stopping, requests in flight have time to finish", "seconds", cfg.shutdownTimeout.Seconds())
		return nil
	case err := <-servers.Failed():
		return err
	}
}

func newLog(cfg config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.logLevel}
	if cfg.logJSON {
		return slog.New(davfs.LogHandler(slog.NewJSONHandler(w, options)))
	}
	return slog.New(davfs.LogHandler(slog.NewTextHandler(w, options)))
}

// warnOpen says that what answers at address knows no passwords, unless only this machine can reach it.
func warnOpen(log *slog.Logger, what, can string, address net.Addr) {
	if !front.IsLoopback(address.String()) {
		log.Warn("everybody who reaches this address can "+can, "what", what, "address", address.String())
	}
}
