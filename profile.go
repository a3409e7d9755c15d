package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"ocidav/ocifs"
	"ocidav/ocifs/probe"
)

// profileFlags say what is known of the registry beforehand.
func profileFlags() []cli.Flag {
	return []cli.Flag{
		text("registry-profile", "", "what the registry can do, as far as it is known: a `PROFILE` ("+strings.Join(ocifs.Presets(), ", ")+
			"), or key=value, or both with commas; none: that of the host"),
		&cli.Float64Flag{Name: "registry-rps", EnvVars: env("registry-rps"), DefaultText: "as the profile has it",
			Usage: "`NUMBER` of requests in a second at most, at each host of the registry; 0 is no limit"},
	}
}

// newProfile gives what is known of the registry at host, and how fast it may be asked.
func newProfile(c *cli.Context, host string, patience time.Duration) (ocifs.Profile, ocifs.Pace, error) {
	p, err := ocifs.ParseProfile(c.String("registry-profile"), host)
	if err != nil {
		return p, ocifs.Pace{}, usage("--registry-profile: %v", err)
	}
	rps := p.RPS
	if c.IsSet("registry-rps") {
		rps = c.Float64("registry-rps")
	}
	if rps != 0 && !(rps >= 0.01 && rps <= 1e6) {
		return p, ocifs.Pace{}, usage("--registry-rps %g: want 0, or 0.01 to 1000000", rps)
	}
	return p, ocifs.Pace{RPS: rps, Patience: patience}, nil
}

// tellProfile says what a drive would know of the registry at host beforehand, and where that is not what a probe has
// found.
func tellProfile(w io.Writer, host string, known ocifs.Profile, pace ocifs.Pace, findings []probe.Finding) error {
	facts := probe.Facts(findings)
	if facts == "" {
		return nil
	}
	found, err := ocifs.ParseProfile("none,"+facts, "")
	if err != nil {
		return fmt.Errorf("what was found is no profile: %w", err)
	}
	rate := ""
	if pace.RPS > 0 {
		rate = fmt.Sprintf("; at most %g requests a second", pace.RPS)
	}
	_, err = fmt.Fprintf(w, "\nprofile %s: %s%s\n", cmp.Or(known.Name, "none"), cmp.Or(known.String(), "all is learned"), rate)
	unlike := known.Unlike(found)
	if unlike == "" || err != nil {
		return err
	}
	said, err := ocifs.ParseProfile(strings.Trim(known.String()+","+unlike, ","), host) // the last word counts
	if err != nil {
		return err
	}
	flag := said.String()
	if known.Name != ocifs.PresetOf(host).Name {
		flag = known.Name + "," + flag
	}
	_, err = fmt.Fprintf(w, "found otherwise: %s; to say so: --registry-profile %s\n", unlike, flag)
	return err
}

// howTo adds to the error of a probe how a repository is made that the registry does not make.
func howTo(err error, p ocifs.Profile) error {
	if errors.Is(err, probe.ErrNoRepository) && p.Missing != "" {
		return fmt.Errorf("%w: %s", err, p.Missing)
	}
	return err
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
