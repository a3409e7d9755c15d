//go:build race

package ocifs_test

// sweepShare is how many fault points there are to one that TestSweep takes: the race detector makes each take ten times as
// long.
const sweepShare = 192
