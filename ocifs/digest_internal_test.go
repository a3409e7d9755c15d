package ocifs

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestDigests: what is made and checked here is what package digest makes and takes.
func TestDigests(t *testing.T) {
	for _, data := range []string{"", "{}", strings.Repeat("x", 5000)} {
		if got, want := sumOf([]byte(data)), digest.FromString(data); got != want {
			t.Errorf("sum %s, want %s", got, want)
		}
	}
	hex := strings.Repeat("0123456789abcdef", 4)
	for _, s := range []string{
		"", ":", "sha256:", "sha256:" + hex, "sha256:" + hex[1:], "sha256:" + hex + "0", "sha256:" + strings.ToUpper(hex),
		"sha256:" + hex[:63] + "g", "sha256:" + hex[:30] + "/.." + hex[:31], "SHA256:" + hex, "sha512:" + hex, "sha512:" + hex + hex,
		"md5:" + hex[:32], "sha256:" + hex[:63] + "\n", "file.txt", "sha256-" + hex,
	} {
		want := digest.Digest(s).Validate()
		if got := checkDigest(digest.Digest(s)); (got == nil) != (want == nil) {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
		if d, err := parseDigest(s); d != digest.Digest(s) || (err == nil) != (want == nil) {
			t.Errorf("%q is parsed as %q, %v", s, d, err)
		}
	}
}
