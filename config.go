package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocidav/davfs"
	"ocidav/davfs/front"
	"ocidav/ocifs"
	"ocidav/ocifs/embedded"
)

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
	soleWriter          bool
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

// soleFreshness is the default of --freshness with --sole-writer: some registries answer for a while as they did before a
// write, and what is changed by hand all the same should show one day.
const soleFreshness = 10 * time.Minute

func newConfig(c *cli.Context) (config, error) {
	cfg := config{
		listen: c.String("listen"), prefix: path.Clean("/" + c.String("prefix")), readOnly: c.Bool("read-only"), noIndex: c.Bool("no-index"), discover: !c.Bool("no-discover"),
		data: c.String("data"), registryShown: c.String("registry-listen"),
		cacheDir: c.String("cache-dir"), cacheSize: c.Generic("cache-size").(*byteSize).bytes(), partSize: c.Generic("part-size").(*byteSize).bytes(),
		spoolSize: c.Generic("spool-size").(*byteSize).bytes(), uploadMemory: c.Generic("upload-memory").(*byteSize).bytes(), upload: c.String("upload"), layout: c.String("layout"), writeTimeout: c.Duration("write-timeout"),
		adminListen: c.String("admin-listen"), tlsCert: c.String("tls-cert"), tlsKey: c.String("tls-key"), tlsClientCA: c.String("tls-client-ca"), freshness: c.Duration("freshness"), soleWriter: c.Bool("sole-writer"), gcInterval: c.Duration("gc-interval"), shutdownTimeout: c.Duration("shutdown-timeout"), maxRequests: c.Int("max-requests-per-client"), logJSON: c.String("log-format") == "json",
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
	if cfg.soleWriter && !c.IsSet("freshness") && cfg.auth != "registry" { // a user's rights may be taken away
		cfg.freshness = soleFreshness
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
		for _, flag := range []string{"registry-profile", "registry-rps", "sole-writer"} {
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
