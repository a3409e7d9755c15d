package ocifs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A PartialError is the failure of a change that had begun to be seen: what failed of it, by name, has stayed as it was.
// RFC 4918 answers it with a multistatus (sections 9.8.5 and 9.9.4). Only a directory that takes another directory's place
// can fail so; all other changes are whole or have not happened.
type PartialError struct {
	failed map[string]error
	err    error // the first one
}

func (e *PartialError) Error() string {
	names := slices.Sorted(maps.Keys(e.failed))
	return fmt.Sprintf("done in part, but for %s: %v", strings.Join(names, ", "), e.err)
}

func (e *PartialError) Unwrap() error { return e.err }

// Members are the names that failed, and why.
func (e *PartialError) Members() map[string]error { return e.failed }
