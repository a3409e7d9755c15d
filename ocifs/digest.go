package ocifs

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/opencontainers/go-digest"
)

// A listing meets five digests for each file, nearly all of them SHA-256, for which package digest's regular expressions and
// formats take longer than the hash of a manifest does. So those that are plain are made and checked here.

// sumOf gives the SHA-256 digest of data.
func sumOf(data []byte) digest.Digest {
	sum := sha256.Sum256(data)
	return digest.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// checkDigest says why d is no digest.
func checkDigest(d digest.Digest) error {
	if sum, ok := strings.CutPrefix(string(d), "sha256:"); ok && len(sum) == 2*sha256.Size && strings.Trim(sum, "0123456789abcdef") == "" {
		return nil
	}
	return d.Validate()
}

// parseDigest is digest.Parse.
func parseDigest(s string) (digest.Digest, error) {
	d := digest.Digest(s)
	return d, checkDigest(d)
}
