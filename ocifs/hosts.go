package ocifs

import (
	"net"
	"strings"
)

// monolithicHosts take uploads in one piece only: they refuse PATCH, or take it and lose what it sends. A suffix begins
// with a dot.
var monolithicHosts = []string{
	"ghcr.io",        // 416 for more than 4 MiB, and several PATCHes lose data (rust-oci-client#35)
	".pkg.dev",       // Google's documentation; dotnet/sdk-container-builds#287
	"gcr.io",         // the same
	".gcr.io",        //
	".amazonaws.com", // 201 for a PATCH, whose data is lost (aws/containers-roadmap#2831)
	"public.ecr.aws", //
	".azurecr.io",    // streams of more than some 20 MB fail
	"docker.io",      // not known, and an upload that fails counts
	".docker.io",     //
}

// monolithic says whether the registry at hostport is one of them.
func monolithic(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.ToLower(host)
	for _, known := range monolithicHosts {
		if host == known || known[0] == '.' && strings.HasSuffix(host, known) {
			return true
		}
	}
	return false
}
