package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestRefusals: what the registry refuses for good is asked for once; the client is told in a plain sentence, with the status
// for it, and the log has the registry's own reason.
func TestRefusals(t *testing.T) {
	t.Parallel()
	d, f := startSick(t)
	old := random(1000)
	d.put("/f", old)
	refusal := func(code, message string) string {
		return fmt.Sprintf(`{"errors":[{"code":%q,"message":%q}]}`, code, message)
	}
	for _, c := range []struct {
		name   string
		status int // of the registry
		text   string
		want   int
		reason string // in the log
		says   string // to the client
	}{
		{"denied", 403, ociDenied, 403, "requested access to the resource is denied", "does not allow this"},
		{"quota", 403, refusal("DENIED", "adding 3 MiB will exceed the configured quota"), 507, "exceed the configured quota", "no space left"},
		{"immutable", 412, refusal("PRECONDITION", "the tag is immutable"), 409, "the tag is immutable", "immutable"},
		{"immutable by 400", 400, refusal("TAG_INVALID", "tag is Immutable"), 409, "tag is Immutable", "immutable"},
		{"too large", 413, refusal("SIZE_INVALID", "blobs have 1 MiB at most"), 413, "blobs have 1 MiB at most", "of this size"},
		{"no credentials", 401, ociUnallowed, 401, "authentication required", "other credentials"},
	} {
		for where, only := range map[string]func(*http.Request) bool{
			"POST":     func(r *http.Request) bool { return r.Method == http.MethodPost && isUpload(r) },
			"manifest": func(r *http.Request) bool { return r.Method == http.MethodPut && isManifestOf("f")(r) },
		} {
			for _, size := range []int{3000, 3 << 20} {
				what := fmt.Sprintf("%s at the %s, %d bytes", c.name, where, size)
				f.breaks(&fault{name: what, status: c.status, text: c.text, header: []string{"Content-Type", "application/json"}, only: only})
				from := len(d.log.String())
				a := d.try(http.MethodPut, "/f", random(size))
				asked := f.broken.Load()
				f.heal()
				if a.status != c.want || asked != 1 {
					t.Errorf("%s: %v, want %d; the registry was asked %d times", what, a, c.want, asked)
				}
				text := string(a.body)
				if !strings.Contains(text, c.says) || strings.Contains(text, "127.0.0.1") || strings.Contains(text, "sha256") {
					t.Errorf("%s: the client is told %q", what, text)
				}
				eventually(t, startLimit, what+": the registry's reason is not in the log", func() bool {
					return strings.Contains(d.log.String()[from:], c.reason)
				})
			}
		}
	}
	d.want("/f", old)
}
