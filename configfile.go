package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"github.com/urfave/cli/v2/altsrc"
	"gopkg.in/yaml.v3"
)

// lists are the settings that a file may also have as a YAML list; on the command line they have commas.
var lists = []string{"cors-origins", "read-only-users", "registry-profile", "trusted-proxies"}

// setting is one value of a configuration file, as the command line would have it.
type setting struct {
	text string
	line int
}

// settings is a configuration file. One file is for all commands: each takes from it what it has a flag for.
type settings struct {
	file string
	of   map[string]setting
	used []string // neither the command line nor a variable says otherwise
}

// configured gives a command the flag --config. What the file says is set as the command line would set it, after the
// command line and the variables and before the defaults, so that the checks behind it are the same for all.
func configured(cmd *cli.Command) *cli.Command {
	for i, f := range cmd.Flags {
		cmd.Flags[i] = sourced(f)
	}
	cmd.Flags = append(cmd.Flags, configFlag())
	action := cmd.Action
	cmd.Action = func(c *cli.Context) error {
		file := c.String("config")
		if file == "" {
			return action(c)
		}
		s, err := readSettings(file)
		if err != nil {
			return err
		}
		if err := s.apply(c, cmd.Flags); err != nil {
			return err
		}
		return s.locate(action(c))
	}
	return completing(cmd)
}

func configFlag() cli.Flag {
	return text("config", "", "YAML `FILE` with serve's flags as keys, without the dashes; the command line and variables come first")
}

// sourced is the flag as one that altsrc can set.
func sourced(f cli.Flag) cli.Flag {
	switch f := f.(type) {
	case *cli.StringFlag:
		return altsrc.NewStringFlag(f)
	case *cli.BoolFlag:
		return altsrc.NewBoolFlag(f)
	case *cli.DurationFlag:
		return altsrc.NewDurationFlag(f)
	case *cli.IntFlag:
		return altsrc.NewIntFlag(f)
	case *cli.Float64Flag:
		return altsrc.NewFloat64Flag(f)
	case *cli.GenericFlag:
		return altsrc.NewGenericFlag(f)
	}
	panic(fmt.Sprintf("--%s: a configuration file cannot set a %T", f.Names()[0], f))
}

// readSettings reads a configuration file. It does so by itself, for altsrc's reader fetches URLs, does not tell which
// keys there are, and wants YAML's types where the command line has text (5.0 for 5).
func readSettings(file string) (*settings, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, usage("--config: %w", err)
	}
	s := &settings{file: file, of: map[string]setting{}}
	var document, more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF): // nothing but comments
		return s, nil
	case err != nil:
		return nil, usage("--config %s: %w", file, err)
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, usage("--config %s: want one YAML document", file)
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, usage("--config %s: want lines of KEY: VALUE", file)
	}
	var known []string
	for _, f := range serveFlags() {
		known = append(known, f.Names()[0])
	}
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		name, wrong := key.Value, ""
		if !slices.Contains(known, name) {
			return nil, usage("%s:%d: there is no setting %q: want the name of a flag of serve, without the dashes", file, key.Line, name)
		}
		if _, twice := s.of[name]; twice {
			return nil, usage("%s:%d: %s is there twice", file, key.Line, name)
		}
		text := value.Value
		switch {
		case value.Kind == yaml.SequenceNode && slices.Contains(lists, name):
			text, wrong = joined(value)
		case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
			wrong = `it has no value; an empty text is ""`
		case value.Kind != yaml.ScalarNode:
			wrong = "want one value, as on the command line (one that begins with [, {, * or & has to be quoted)"
		}
		if wrong != "" {
			return nil, usage("%s:%d: %s: %s", file, key.Line, name, wrong)
		}
		s.of[name] = setting{text, key.Line}
	}
	return s, nil
}

// joined is a YAML list as the command line has it, or what is wrong with it.
func joined(list *yaml.Node) (text, wrong string) {
	var items []string
	for _, item := range list.Content {
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
			return "", "want a list of single values"
		}
		items = append(items, item.Value)
	}
	return strings.Join(items, ","), ""
}

// apply sets those of the flags that are in the file and are set nowhere else.
func (s *settings) apply(c *cli.Context, flags []cli.Flag) error {
	values := map[any]any{}
	for name, setting := range s.of {
		values[name] = setting.text
	}
	source := source{altsrc.NewMapInputSource(s.file, values), s.of}
	for _, f := range flags {
		name := f.Names()[0]
		before := c.IsSet(name)
		// An image brings a variable that lets everybody in, which must not silently outdo what somebody has written down.
		if said, ok := s.of[name]; ok && name == "auth" && before && c.String(name) != said.text && os.Getenv("OCIDAV_AUTH") == c.String(name) {
			return usage("%s:%d: auth is %s here and %s in OCIDAV_AUTH: say it on the command line, or take one away",
				s.file, said.line, said.text, c.String(name))
		}
		err := altsrc.ApplyInputSourceValues(c, source, []cli.Flag{f})
		if setting, ok := s.of[name]; ok && err == nil && !c.IsSet(name) {
			err = c.Set(name, setting.text) // altsrc takes an empty variable for one that is set, the flag did not
		}
		if err != nil {
			return usage("%s:%d: %s: %w", s.file, s.of[name].line, name, err)
		}
		if !before && c.IsSet(name) {
			s.used = append(s.used, name)
		}
	}
	return nil
}

var flagName = regexp.MustCompile(`--[a-z][a-z-]*`)

// locate adds to the complaint about flags which of them are not on the command line, but in the file.
func (s *settings) locate(err error) error {
	if !errors.As(err, new(usageError)) {
		return err
	}
	var places []string
	for _, flag := range flagName.FindAllString(err.Error(), -1) {
		if name := flag[2:]; slices.Contains(s.used, name) {
			if place := fmt.Sprintf("%s is at %s:%d", flag, s.file, s.of[name].line); !slices.Contains(places, place) {
				places = append(places, place)
			}
		}
	}
	if places == nil {
		return err
	}
	return usage("%w (%s)", err, strings.Join(places, ", "))
}

// source hands the text of the settings to altsrc as what it asks for. The text of a flag is text already.
type source struct {
	*altsrc.MapInputSource
	of map[string]setting
}

func (s source) Bool(name string) (bool, error) {
	on, err := strconv.ParseBool(s.of[name].text)
	if err != nil {
		err = fmt.Errorf("%q is neither true nor false", s.of[name].text)
	}
	return on, err
}

func (s source) Duration(name string) (time.Duration, error) {
	return time.ParseDuration(s.of[name].text)
}

func (s source) Int(name string) (int, error) {
	number, err := strconv.Atoi(s.of[name].text)
	if err != nil {
		err = fmt.Errorf("%q is no whole number", s.of[name].text)
	}
	return number, err
}

func (s source) Float64(name string) (float64, error) {
	number, err := strconv.ParseFloat(s.of[name].text, 64)
	if err != nil {
		err = fmt.Errorf("%q is no number", s.of[name].text)
	}
	return number, err
}

// Generic gives the text alone, which altsrc then has the flag itself read.
func (s source) Generic(name string) (cli.Generic, error) {
	return literal(s.of[name].text), nil
}

type literal string

func (literal) Set(string) error { return errors.New("it is only read") }

func (l literal) String() string { return string(l) }
