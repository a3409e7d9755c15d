package main

import (
	"github.com/urfave/cli/v2"

	"ocidav/davfs/front"
)

// askHealth asks the drive that the same flags have started.
func askHealth(c *cli.Context) error {
	if err := checkAddress(c, "listen"); err != nil {
		return err
	}
	return front.Door{
		Address: c.String("listen"), Prefix: c.String("prefix"),
		TLS: c.String("tls-cert") != "", Clients: c.String("tls-client-ca") != "", Proxy: c.String("auth") == "proxy",
	}.Health(c.Context)
}
