package main

import (
	"net/http"

	"github.com/urfave/cli/v2"

	"ocidav/davfs/front"
)

// askHealth asks the drive that the same flags have started. One that is entered through a proxy refuses this machine, and
// so it answers.
func askHealth(c *cli.Context) error {
	if err := checkAddress(c, "listen"); err != nil {
		return err
	}
	var well []int
	if c.String("auth") == "proxy" {
		well = append(well, http.StatusForbidden)
	}
	return front.Health(c.Context, c.String("listen"), c.String("prefix"), c.String("tls-cert") != "", well...)
}
