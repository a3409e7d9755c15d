package davfs

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/adler32"
	"slices"
	"strings"
)

// A checksum is what ownCloud's, Nextcloud's and rclone's clients send along in OC-Checksum: a digest of the body, which
// has to be true, and which they want to see again in {http://owncloud.org/ns}checksums. rclone compares files by MD5
// or SHA-1, whichever the server has, so both are made where one was sent. The nil *checksum checks nothing.
type checksum struct {
	algorithm string // that of the client
	want      string // lower-case hex
	hashes    map[string]hash.Hash
}

var checksumHashes = map[string]func() hash.Hash{
	"MD5":     md5.New,
	"SHA1":    sha1.New,
	"SHA256":  sha256.New,
	"ADLER32": func() hash.Hash { return adler32.New() },
}

// newChecksum reads an OC-Checksum; nil for none, and for an algorithm that we do not know and cannot vouch for.
func newChecksum(header string) *checksum {
	algorithm, want, ok := strings.Cut(strings.TrimSpace(header), ":")
	algorithm = strings.ToUpper(algorithm)
	make, known := checksumHashes[algorithm]
	if !ok || !known {
		return nil
	}
	c := &checksum{algorithm, strings.ToLower(want), map[string]hash.Hash{"MD5": md5.New(), "SHA1": sha1.New()}}
	c.hashes[algorithm] = make()
	return c
}

func (c *checksum) write(p []byte) {
	if c == nil {
		return
	}
	for _, h := range c.hashes {
		h.Write(p)
	}
}

// holds says whether what was written has the client's digest.
func (c *checksum) holds() bool {
	return c == nil || hex.EncodeToString(c.hashes[c.algorithm].Sum(nil)) == c.want
}

// keep gives what the tree shall keep of it (PutOptions.Checksums). SHA-256 is the tree's own.
func (c *checksum) keep() []string {
	if c == nil {
		return nil
	}
	var l []string
	for name, h := range c.hashes {
		if name != "SHA256" {
			l = append(l, fmt.Sprintf("%s:%x", name, h.Sum(nil)))
		}
	}
	slices.Sort(l)
	slices.Reverse(l) // SHA1 first, as ownCloud has it
	return l
}
