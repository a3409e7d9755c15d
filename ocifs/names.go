package ocifs

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits of names. Repository names are limited by what clients accept, host included (distribution-spec, "Pulling
// manifests"); tags by their grammar; file and directory names by what every operating system can hold.
const (
	maxNameBytes       = 255
	maxTagBytes        = 128
	maxRepositoryBytes = 255
	maxComponentBytes  = 128 // of a directory's name as it is: longer ones are hashed, or few would fit in a repository name
)

// Prefixes of the tags that are not a file's name as it is. Tags "_x." for every other letter x are reserved.
const (
	escapedFile      = "_."  // then the name, escaped
	hashedFile       = "_h." // then a hash; the true name is in the manifest
	escapedDirectory = "_d." // marker of a directory: then its name, escaped
	hashedDirectory  = "_e." // marker of a directory: then a hash

	// A directory of one layout is none in the other, so that nobody takes its members for absent.
	escapedFlatDirectory = "_b."
	hashedFlatDirectory  = "_c."
)

var (
	digestTag      = regexp.MustCompile(`^sha(256|512)-[0-9a-f]{32,}`) // referrers of older registries, cosign
	plainComponent = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*$`)
	base32Lower    = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
)

// Components that are part of some registry's own routes or files.
var reservedComponents = map[string]bool{
	"blobs": true, "manifests": true, "tags": true, "uploads": true, "referrers": true,
	"index.json": true, "oci-layout": true,
}

// checkName says whether name can be the name of a file or directory. The text of the error is for the user.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("the name %q is not possible: %w", name, fs.ErrInvalid)
	case len(name) > maxNameBytes:
		return fmt.Errorf("the name is longer than %d bytes: %w", maxNameBytes, fs.ErrInvalid)
	case !utf8.ValidString(name):
		return fmt.Errorf("the name is not valid UTF-8: %w", fs.ErrInvalid)
	case strings.ContainsRune(name, '/') || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("the name holds a control character or a slash: %w", fs.ErrInvalid)
	}
	return nil
}

// file gives the tag of the file name in d.
func (d directory) file(name string) string {
	name = norm.NFC.String(name)
	if isTag(name) && len(d.key)+len(name) <= maxTagBytes && !isReserved(name) && !isDigestTag(name) {
		return d.key + name
	}
	return d.escapeOr(escapedFile, hashedFile, name)
}

// isTag says whether s is a tag by the specification: [A-Za-z0-9_][A-Za-z0-9._-]{0,127}. By hand, as isReserved, since a
// listing asks it for every member.
func isTag(s string) bool {
	if len(s) == 0 || len(s) > maxTagBytes || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if !isLiteral(s[i]) && s[i] != '_' {
			return false
		}
	}
	return true
}

// isReserved says whether s begins as tags do that are no file's name as it is: _[A-Za-z]?[.]
func isReserved(s string) bool {
	rest, ok := strings.CutPrefix(s, "_")
	if ok && rest != "" && ('a' <= rest[0] && rest[0] <= 'z' || 'A' <= rest[0] && rest[0] <= 'Z') {
		rest = rest[1:]
	}
	return ok && strings.HasPrefix(rest, ".")
}

// isDigestTag says whether s is the tag of something that refers to a manifest by its digest: a signature, an attestation.
func isDigestTag(s string) bool { return strings.HasPrefix(s, "sha") && digestTag.MatchString(s) }

// marker gives the tag that marks the directory name in its parent d.
func (d directory) marker(name string) string {
	escaped, hashed := d.markers()
	return d.escapeOr(escaped, hashed, norm.NFC.String(name))
}

// member gives the tag of a member of that name.
func (d directory) member(name string, isDir bool) string {
	if isDir {
		return d.marker(name)
	}
	return d.file(name)
}

// markers are how the tags begin that mark directories.
func (d directory) markers() (escaped, hashed string) {
	if d.flat {
		return escapedFlatDirectory, hashedFlatDirectory
	}
	return escapedDirectory, hashedDirectory
}

func (d directory) escapeOr(escaped, hashed, name string) string {
	if tag := d.key + escaped + escape(name); len(tag) <= maxTagBytes {
		return tag
	}
	return d.key + hashed + hash(name)
}

// tagKind is what a tag stands for, as far as the tag alone tells.
type tagKind int

const (
	tagForeign   tagKind = iota // reserved or not ours
	tagFile                     // a file, ours or another's
	tagDirectory                // a directory's marker
)

// nameOf inverts file and marker. The name is empty for a hash: it is then in the manifest.
func (d directory) nameOf(tag string) (name string, kind tagKind) {
	member, ok := strings.CutPrefix(tag, d.key)
	if !ok {
		return "", tagForeign
	}
	escaped, hashed := d.markers()
	switch {
	case strings.HasPrefix(member, escapedFile):
		kind = tagFile
		name, ok = unescape(member[len(escapedFile):])
	case strings.HasPrefix(member, escaped):
		kind = tagDirectory
		name, ok = unescape(member[len(escaped):])
	case strings.HasPrefix(member, hashedFile) && isHash(member[len(hashedFile):]):
		return "", tagFile
	case strings.HasPrefix(member, hashed) && isHash(member[len(hashed):]):
		return "", tagDirectory
	default:
		kind, name = tagFile, member
	}
	if !ok || checkName(name) != nil || d.tagOf(name, kind) != tag { // the one spelling that we write, no other
		return "", tagForeign
	}
	return name, kind
}

// tagOf gives the tag of a name of that kind.
func (d directory) tagOf(name string, kind tagKind) string {
	return d.member(name, kind == tagDirectory)
}

// component gives the repository path component of the directory name.
func component(name string) string {
	name = norm.NFC.String(name)
	if len(name) <= maxComponentBytes && plainComponent.MatchString(name) && !strings.HasPrefix(name, "x.") && !reservedComponents[name] {
		return name
	}
	const slugBytes, hashBytes = 32, 10
	var slug strings.Builder
	for _, r := range strings.ToLower(name) {
		if slug.Len() == slugBytes {
			break
		}
		if r < utf8.RuneSelf && (unicode.IsLower(r) || unicode.IsDigit(r)) {
			slug.WriteRune(r)
		} else if s := slug.String(); s != "" && !strings.HasSuffix(s, "-") {
			slug.WriteByte('-')
		}
	}
	parts := []string{"x", hash(name)[:hashBytes]}
	if s := strings.Trim(slug.String(), "-"); s != "" {
		parts = []string{"x", s, hash(name)[:hashBytes]}
	}
	return strings.Join(parts, ".")
}

// escape writes [A-Za-z0-9.-] as it is and every other byte as _hh.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isLiteral(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

func unescape(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case isLiteral(c):
			b.WriteByte(c)
		case c == '_' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
		default:
			return "", false
		}
	}
	return b.String(), true
}

func isLiteral(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-'
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}

func hash(name string) string {
	sum := sha256.Sum256([]byte(name))
	return base32Lower.EncodeToString(sum[:])
}

func isHash(s string) bool {
	b, err := base32Lower.DecodeString(s)
	return err == nil && len(b) == sha256.Size && base32Lower.EncodeToString(b) == s
}
