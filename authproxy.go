package main

import (
	"github.com/urfave/cli/v2"

	"ocidav/davfs"
)

// setProxyUsers takes over how a proxy says who the user is. Whoever is trusted says it of whomever he likes, so the proxies
// have to be named, and not as everybody.
func (c *config) setProxyUsers(ctx *cli.Context) error {
	if c.auth != "proxy" {
		if ctx.IsSet("proxy-user-header") {
			return usage("--proxy-user-header goes with --auth proxy")
		}
		return nil
	}
	if c.htpasswd != "" {
		return usage("--htpasswd goes with --auth htpasswd, and not with --auth proxy")
	}
	if len(c.trusted) == 0 {
		return usage("--auth proxy: want the addresses of the proxy that says who the user is, --trusted-proxies ADDRESSES")
	}
	for _, network := range c.trusted {
		if network.Bits() == 0 {
			return usage("--trusted-proxies %s: with --auth proxy everybody could say that he is anybody", network)
		}
	}
	c.userHeader = ctx.String("proxy-user-header")
	if err := davfs.CheckUserHeader(c.userHeader); err != nil {
		return usage("--proxy-user-header: %v", err)
	}
	return nil
}
