// Ocidav serves an OCI registry as a WebDAV drive: directories are repositories, files are artifacts.
//
// This file is the plan of the house. serve reads from the top: the registry, the cache before it, the tree in it, and
// the WebDAV handler on the tree; no other package knows all of them (imports_test.go holds the table). Flags become a
// config here and nothing below knows of them.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocidav/cache"
	"ocidav/davfs"
	"ocidav/davfs/admin"
	"ocidav/davfs/front"
	"ocidav/davfs/reload"
	"ocidav/ocifs"
	"ocidav/ocifs/embedded"
	"ocidav/ocifs/probe"
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
			Usage: "for how long the registry's answer about a name is good; the embedded one's always is"},
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

// config is the command line, checked.
type config struct {
	listen, prefix      string
	publicURL           *url.URL
	trusted             []netip.Prefix
	origins             *davfs.Origins
	quota               int64 // negative: not told
	maxRequests         int
	junk                davfs.Junk
	readOnly, noIndex   bool
	discover            bool
	host, root          string // of the registry; no host is the embedded one
	plainHTTP           bool
	data, registryShown string
	cacheDir            string
	cacheSize, partSize int64
	spoolSize           int64
	uploadMemory        int64
	upload, layout      string
	freshness           time.Duration
	writeTimeout        time.Duration
	gcInterval          time.Duration
	shutdownTimeout     time.Duration
	credential          auth.CredentialFunc
	profile             ocifs.Profile
	pace                ocifs.Pace
	adminListen         string
	tlsCert, tlsKey     string
	tlsClientCA         string
	auth, htpasswd      string
	userHeader          string // of a proxy
	anonymousRead       bool
	readers             []string // users who may not write
	notifyToken         string
	logLevel            slog.Level
	logJSON             bool
}

func newConfig(c *cli.Context) (config, error) {
	cfg := config{
		listen: c.String("listen"), prefix: path.Clean("/" + c.String("prefix")), readOnly: c.Bool("read-only"), noIndex: c.Bool("no-index"), discover: !c.Bool("no-discover"),
		data: c.String("data"), registryShown: c.String("registry-listen"),
		cacheDir: c.String("cache-dir"), cacheSize: c.Generic("cache-size").(*byteSize).bytes(), partSize: c.Generic("part-size").(*byteSize).bytes(),
		spoolSize: c.Generic("spool-size").(*byteSize).bytes(), uploadMemory: c.Generic("upload-memory").(*byteSize).bytes(), upload: c.String("upload"), layout: c.String("layout"), writeTimeout: c.Duration("write-timeout"),
		adminListen: c.String("admin-listen"), tlsCert: c.String("tls-cert"), tlsKey: c.String("tls-key"), tlsClientCA: c.String("tls-client-ca"), freshness: c.Duration("freshness"), gcInterval: c.Duration("gc-interval"), shutdownTimeout: c.Duration("shutdown-timeout"), maxRequests: c.Int("max-requests-per-client"), logJSON: c.String("log-format") == "json",
	}
	if c.Args().Present() {
		return cfg, usage("serve takes flags only, not %q", c.Args().First())
	}
	if err := checkAddress(c, "listen", "registry-listen", "admin-listen"); err != nil {
		return cfg, err
	}
	if err := cfg.logLevel.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return cfg, usage("--log-level %s: want debug, info, warn or error", c.String("log-level"))
	}
	switch {
	case !cfg.logJSON && c.String("log-format") != "text":
		return cfg, usage("--log-format %s: want text or json", c.String("log-format"))
	case cfg.freshness < 0:
		return cfg, usage("--freshness %s: want zero or more", cfg.freshness)
	case cfg.shutdownTimeout < 0:
		return cfg, usage("--shutdown-timeout %s: want zero or more", cfg.shutdownTimeout)
	case cfg.maxRequests < 0:
		return cfg, usage("--max-requests-per-client %d: want zero or more", cfg.maxRequests)
	case cfg.uploadMemory < 1<<20:
		return cfg, usage("--upload-memory %d: want 1MiB or more", cfg.uploadMemory)
	case cfg.writeTimeout <= 0:
		return cfg, usage("--write-timeout %s: want more than zero", cfg.writeTimeout)
	case cfg.upload != ocifs.UploadAuto && cfg.upload != ocifs.UploadStream && cfg.upload != ocifs.UploadMonolithic:
		return cfg, usage("--upload %s: want auto, stream or monolithic", cfg.upload)
	case cfg.layout != "" && cfg.layout != ocifs.LayoutPath && cfg.layout != ocifs.LayoutFlat:
		return cfg, usage("--layout %s: want path or flat", cfg.layout)
	case cfg.gcInterval < 0 || cfg.gcInterval > 0 && cfg.gcInterval < time.Minute:
		return cfg, usage("--gc-interval %s: want 0 or one minute or more", cfg.gcInterval)
	case cfg.partSize < 1<<20:
		return cfg, usage("--part-size %s: want 1MiB or more", c.Generic("part-size"))
	case (cfg.tlsCert == "") != (cfg.tlsKey == ""):
		return cfg, usage("--tls-cert and --tls-key go together")
	case cfg.tlsClientCA != "" && cfg.tlsCert == "":
		return cfg, usage("--tls-client-ca: want --tls-cert and --tls-key too")
	case cfg.cacheDir == "":
		return cfg, usage("--cache-dir: there is no home directory to put it in, name one")
	}
	var err error
	if cfg.publicURL, err = davfs.ParsePublicURL(c.String("public-url")); err != nil {
		return cfg, usage("--public-url %v", err)
	}
	if cfg.trusted, err = davfs.ParseProxies(c.String("trusted-proxies")); err != nil {
		return cfg, usage("--trusted-proxies %v", err)
	}
	if err := cfg.setAuth(c); err != nil {
		return cfg, err
	}
	if cfg.origins, err = davfs.ParseOrigins(c.String("cors-origins")); err != nil {
		return cfg, usage("--cors-origins %v", err)
	}
	if cfg.origins.Any() && cfg.auth == "none" && !cfg.readOnly {
		return cfg, usage("--cors-origins *: every page that somebody visits could write: want origins by name, --read-only, or an --auth")
	}
	if file := c.String("notify-token-file"); file != "" {
		var err error
		if cfg.notifyToken, err = secret(file); err != nil {
			return cfg, usage("--notify-token-file: %v", err)
		}
	}
	cfg.quota = -1
	if c.IsSet("quota") {
		cfg.quota = c.Generic("quota").(*byteSize).bytes()
	}
	switch cfg.junk = davfs.Junk(c.String("junk")); cfg.junk {
	case davfs.JunkMemory, davfs.JunkStore, davfs.JunkReject:
	default:
		return cfg, usage("--junk %s: want memory, store or reject", cfg.junk)
	}
	ref := c.String("registry")
	if ref == "" {
		if cfg.auth == "registry" {
			return cfg, usage("--auth registry goes with --registry: the embedded registry has no users")
		}
		for _, flag := range []string{"registry-config", "registry-username", "registry-password-file"} {
			if c.String(flag) != "" {
				return cfg, usage("--%s goes with --registry: the embedded registry asks for no credentials", flag)
			}
		}
		for _, flag := range []string{"registry-profile", "registry-rps"} {
			if c.IsSet(flag) {
				return cfg, usage("--%s goes with --registry: what the embedded registry can do is known", flag)
			}
		}
		if cfg.data == "" {
			return cfg, usage("--data: there is no home directory to put it in, name one")
		}
		return cfg, nil
	}
	if cfg.registryShown != "" {
		return cfg, usage("--registry-listen shows the embedded registry, and with --registry there is none")
	}
	if cfg.host, cfg.root, cfg.plainHTTP, err = ocifs.ParseReference(ref); err != nil {
		return cfg, usage("--registry: %v", err)
	}
	if cfg.profile, cfg.pace, err = newProfile(c, cfg.host, cfg.writeTimeout); err != nil {
		return cfg, err
	}
	if cfg.auth == "registry" {
		for _, flag := range []string{"registry-config", "registry-username", "registry-password-file"} {
			if c.String(flag) != "" {
				return cfg, usage("--%s goes not with --auth registry: each user comes with credentials of his own", flag)
			}
		}
		return cfg, nil
	}
	cfg.credential, err = newCredential(c, cfg.host)
	return cfg, err
}

// checkAddress refuses what cannot be listened on.
func checkAddress(c *cli.Context, flags ...string) error {
	for _, flag := range flags {
		if address := c.String(flag); address != "" {
			_, port, err := net.SplitHostPort(address)
			if err == nil {
				_, err = net.LookupPort("tcp", port)
			}
			if err != nil {
				return usage("--%s %s: %v", flag, address, err)
			}
		}
	}
	return nil
}

// newCredential says how to log in at host.
func newCredential(c *cli.Context, host string) (auth.CredentialFunc, error) {
	user, passwordFile := c.String("registry-username"), c.String("registry-password-file")
	if (user == "") != (passwordFile == "") {
		return nil, usage("--registry-username and --registry-password-file go together")
	}
	if user != "" {
		password, err := secret(passwordFile)
		if err != nil {
			return nil, usage("--registry-password-file: %v", err)
		}
		return auth.StaticCredential(host, auth.Credential{Username: user, Password: password}), nil
	}
	credential, err := ocifs.DockerCredential(c.String("registry-config"))
	if err != nil {
		err = usage("--registry-config: %v", err)
	}
	return credential, err
}

// setAuth takes over who may use the drive. What is open to everybody, or sends passwords in the clear, has to be said.
func (c *config) setAuth(ctx *cli.Context) error {
	c.auth, c.htpasswd, c.anonymousRead = ctx.String("auth"), ctx.String("htpasswd"), ctx.Bool("anonymous-read")
	c.readers = strings.FieldsFunc(ctx.String("read-only-users"), func(r rune) bool { return r == ',' || r == ' ' })
	here, open := front.IsLoopback(c.listen), ctx.IsSet("auth") && (ctx.Bool("insecure-anonymous") || c.tlsClientCA != "")
	if err := c.setProxyUsers(ctx); err != nil || c.auth == "proxy" {
		return err
	}
	switch {
	case c.auth == "none" && (c.htpasswd != "" || c.anonymousRead || len(c.readers) > 0):
		return usage("--htpasswd goes with --auth htpasswd; --anonymous-read and --read-only-users go with that, --auth registry or --auth proxy")
	case c.auth == "none" && !here && !open:
		return usage("--listen %s: everybody who reaches this address could read and write: want --auth htpasswd, registry or proxy, or --auth none with --insecure-anonymous or --tls-client-ca", c.listen)
	case c.auth == "none":
	case c.auth != "htpasswd" && c.auth != "registry":
		return usage("--auth %s: want none, htpasswd, registry or proxy", c.auth)
	case c.auth == "registry" && c.htpasswd != "":
		return usage("--htpasswd goes with --auth htpasswd")
	case c.auth == "htpasswd" && c.htpasswd == "":
		return usage("--auth htpasswd: want the file, --htpasswd FILE")
	case c.tlsCert == "" && !here && !ctx.Bool("insecure-basic"):
		return usage("--listen %s: passwords would pass in the clear: want --tls-cert and --tls-key, or --insecure-basic if something in front speaks TLS", c.listen)
	}
	return nil
}

// secret is what the file holds, up to its line's end.
func secret(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err == nil && len(bytes.TrimSpace(content)) == 0 {
		err = fmt.Errorf("%s is empty", file)
	}
	return strings.TrimRight(string(content), "\r\n"), err
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
		Prefix: cfg.root, Layout: cfg.layout, Blobs: blobs, Freshness: freshness, PartSize: cfg.partSize,
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

// lockFile is the drive's own, whichever others use the cache directory.
func (c config) lockFile() string {
	root := c.reference()
	if c.host == "" {
		root, _ = filepath.Abs(c.data) // it is only a name
	}
	sum := sha256.Sum256([]byte(root))
	return filepath.Join(c.cacheDir, fmt.Sprintf("locks-%x.jsonl", sum[:8]))
}

// onlyLocal says whether the drive is for this machine alone, by no name of its own, and asks for no password.
func (c config) onlyLocal() bool {
	return c.auth == "none" && front.IsLoopback(c.listen) && c.publicURL == nil && len(c.trusted) == 0 && c.tlsClientCA == ""
}

// space says what to tell clients of the room that there is; nil for nothing.
func (c config) space(reg *embedded.Registry) func(context.Context) (available, used int64) {
	switch {
	case c.quota >= 0:
		return func(context.Context) (available, used int64) { return c.quota, -1 }
	case reg != nil:
		return func(context.Context) (available, used int64) { return reg.Space() }
	}
	return nil
}

func (c config) reference() string {
	scheme := "https"
	if c.plainHTTP {
		scheme = "http"
	}
	return scheme + "://" + path.Join(c.host, c.root)
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

// probeRegistry asks the registry of the command line what it can do.
func probeRegistry(c *cli.Context, stdout io.Writer) error {
	if c.NArg() != 1 {
		return usage("probe takes one REF, [http://]host[:port][/prefix]")
	}
	host, prefix, plainHTTP, err := ocifs.ParseReference(c.Args().First())
	if err != nil {
		return usage("%v", err)
	}
	credential, err := newCredential(c, host)
	if err != nil {
		return err
	}
	profile, pace, err := newProfile(c, host, 0)
	if err != nil {
		return err
	}
	client, err := pace.Dial(host, plainHTTP, ocifs.NewTransport(), credential)
	if err != nil {
		return err
	}
	findings, err := probe.Run(c.Context, client, prefix)
	err = howTo(err, profile)
	for _, e := range []error{probe.Table(stdout, findings), tellProfile(stdout, host, profile, pace, findings)} {
		err = cmp.Or(err, e)
	}
	if err == nil && slices.ContainsFunc(findings, func(f probe.Finding) bool { return f.Verdict == probe.Broken }) {
		err = errors.New("a drive on this registry would lack what is marked with NO")
	}
	return err
}

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

// byteSize is a flag's number of bytes: 1048576, 1MiB, 1.5GiB, 10GB.
type byteSize int64

var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"B", 1},
}

// Set implements flag.Value.
func (b *byteSize) Set(s string) error {
	number, factor := strings.TrimSpace(s), 1.0
	for _, u := range sizeUnits {
		if n := len(number) - len(u.name); n > 0 && strings.EqualFold(number[n:], u.name) {
			number, factor = strings.TrimSpace(number[:n]), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n >= 0) || n*factor > math.MaxInt64/2 {
		return fmt.Errorf("%q is no size: want a number of bytes, or one with KiB, MiB, GiB or TiB", s)
	}
	*b = byteSize(n * factor)
	return nil
}

// String writes the largest unit that fits without a fraction.
func (b byteSize) String() string {
	for i := 3; i >= 0; i-- {
		if unit := int64(sizeUnits[i].bytes); b > 0 && int64(b)%unit == 0 {
			return strconv.FormatInt(int64(b)/unit, 10) + sizeUnits[i].name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

func (b *byteSize) bytes() int64 { return int64(*b) }
