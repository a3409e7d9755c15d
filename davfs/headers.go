package davfs

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Timeouts of locks. One that never ends would outlive the client that forgot it.
const (
	defaultLockTimeout = 600 * time.Second
	maxLockTimeout     = 3600 * time.Second
)

// own is a copy of r, with ctx, that may be changed. The header of a plain read is not: it is most of the copy, and nothing in it is
// repaired.
func own(ctx context.Context, r *http.Request) *http.Request {
	if reads(r.Method) && r.Header.Get("If") == "" {
		u := *r.URL
		r = r.WithContext(ctx)
		r.URL = &u
		return r
	}
	return r.Clone(ctx)
}

func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// repairHeaders writes the headers of r the way the engine understands them.
func (h *Handler) repairHeaders(r *http.Request) {
	if reads(r.Method) {
		return // it has neither
	}
	if d := r.Header.Get("Depth"); d != "" {
		r.Header.Set("Depth", depth(d))
	}
	// RFC 4918 section 10.6: absent is T. The engine takes it for F in MOVE (golang/go#66059).
	switch o := strings.ToUpper(strings.TrimSpace(r.Header.Get("Overwrite"))); o {
	case "F":
		r.Header.Set("Overwrite", "F")
	default:
		r.Header.Set("Overwrite", "T")
	}
}

// depth reads "Infinity" and "1,noroot" as well; the engine knows neither.
func depth(s string) string {
	s, _, _ = strings.Cut(strings.ToLower(s), ",")
	return strings.TrimSpace(s)
}

// lockTimeout chooses the first timeout of the list that it understands (RFC 4918 section 10.7), within bounds.
func lockTimeout(s string) time.Duration {
	d := defaultLockTimeout
	for t := range strings.SplitSeq(s, ",") {
		t = strings.TrimSpace(t)
		if strings.EqualFold(t, "Infinite") {
			d = maxLockTimeout
			break
		}
		if len(t) < 7 || !strings.EqualFold(t[:7], "Second-") {
			continue
		}
		n, err := strconv.ParseUint(t[7:], 10, 64)
		if err != nil || n == 0 {
			continue
		}
		d = maxLockTimeout
		if n < uint64(maxLockTimeout/time.Second) {
			d = time.Duration(n) * time.Second
		}
		break
	}
	return d
}
