package ocifs

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// A directory's key, with which the tags of its members begin: keyPrefix, a hash of its path in hexadecimal digits, and
// a dot. It is a hash, for a tag has 128 characters and a path may have more; and it is that of the path, not an identity
// of the directory's own, which would make its MOVE one tag: who has the path has the key, so that all ancestors of a name
// are asked for at once, and what two servers make of one name at the same time is one directory.
const (
	keyPrefix    = "_f."
	keyHexDigits = 24
	keyBytes     = len(keyPrefix) + keyHexDigits + 1

	afterKeys = "_f.g" // above every key, and below what is above them
)

// flatLayout keeps the whole tree in one repository, for registries that have no or few levels of them. The members of the
// root have no key.
type flatLayout struct{ repo string }

func (l flatLayout) of(repo, tag string) directory {
	return directory{repo: repo, key: keyOf(tag), flat: true}
}

func (l flatLayout) holds(repo string) bool { return repo == l.repo }

func (l flatLayout) directory(dir string) (directory, error) {
	d := directory{repo: l.repo, flat: true}
	if dir == "/" {
		return d, nil
	}
	for name := range strings.SplitSeq(dir[1:], "/") {
		if err := checkName(name); err != nil {
			return directory{}, err
		}
	}
	sum := sha256.Sum256([]byte(norm.NFC.String(dir)))
	d.key = keyPrefix + hex.EncodeToString(sum[:keyHexDigits/2]) + "."
	return d, nil
}

// keyOf gives the key that a tag begins with, empty for none.
func keyOf(tag string) string {
	if len(tag) < keyBytes || !strings.HasPrefix(tag, keyPrefix) || tag[keyBytes-1] != '.' {
		return ""
	}
	for i := len(keyPrefix); i < keyBytes-1; i++ {
		if !isHex(tag[i]) {
			return ""
		}
	}
	return tag[:keyBytes]
}
