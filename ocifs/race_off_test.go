//go:build !race

package ocifs_test

// sweepShare is how many fault points there are to one that TestSweep takes.
const sweepShare = 48
