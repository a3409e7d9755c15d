package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// version is that of the module, or (devel).
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(devel)"
	}
	return cmp.Or(info.Main.Version, "(devel)")
}

// tellVersion prints what the build knows of itself: on the first line the version alone, for scripts.
func tellVersion(w io.Writer) error {
	revision := "unknown, built without its repository"
	settings := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
	}
	if r := settings["vcs.revision"]; r != "" {
		revision = r + " of " + settings["vcs.time"]
		if settings["vcs.modified"] == "true" {
			revision += ", changed since"
		}
	}
	_, err := fmt.Fprintf(w, "ocidav %s\nrevision %s\n%s %s/%s\n", version(), revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
