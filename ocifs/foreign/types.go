package foreign

import (
	"mime"
	"path"
	"regexp"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// extensions are those of files by the last word of their media type, where the word is not one.
var extensions = map[string]string{
	"gzip": "gz", "zstd": "zst", "tgz": "tar.gz", "plain": "txt", "markdown": "md", "jpeg": "jpg", "javascript": "js",
	"json": "json", "xml": "xml", "yaml": "yaml", "wasm": "wasm", "zip": "zip", "pdf": "pdf", "html": "html", "csv": "csv",
	"prov": "prov", "tar": "tar", "gz": "gz", "zst": "zst", "png": "png", "spdx": "spdx", "toml": "toml", "gguf": "gguf",
	"safetensors": "safetensors",
}

var suffix = regexp.MustCompile(`^[a-z][a-z0-9]{0,7}$`)

// extension is that of a file without a title, by its media type: tar.gz, json, wasm and so on; bin, if that says nothing.
func extension(mediaType string) string {
	subtype := subtypeOf(mediaType)
	words := strings.FieldsFunc(subtype, func(r rune) bool { return strings.ContainsRune(".+-_", r) })
	if len(words) == 0 {
		return "bin"
	}
	last := words[len(words)-1]
	ext, ok := extensions[last]
	if !ok {
		_, structured, _ := strings.Cut(subtype, "+") // what RFC 6839 has for this: application/vnd.example.policy+rego
		if structured != last || !suffix.MatchString(last) {
			return "bin"
		}
		ext = last
	}
	if len(words) > 1 && words[len(words)-2] == "tar" && (ext == "gz" || ext == "zst") {
		ext = "tar." + ext
	}
	return ext
}

var version = regexp.MustCompile(`[.-]v[0-9][a-z0-9.-]*$`)

// readable makes a short name of a media type: application/vnd.example.sbom.v1+json is example.sbom.
func readable(mediaType string) string {
	switch {
	case strings.HasPrefix(mediaType, "application/vnd.dev.cosign.artifact.sig."):
		return "cosign-signature"
	case strings.HasPrefix(mediaType, "application/vnd.dev.cosign.artifact.sbom."):
		return "cosign-sbom"
	case strings.HasPrefix(mediaType, "application/vnd.dev.sigstore.bundle"):
		return "sigstore-bundle"
	case strings.HasPrefix(mediaType, "application/vnd.cncf.notary.signature"):
		return "notation-signature"
	case mediaType == ocispec.MediaTypeEmptyJSON:
		return "artifact"
	}
	name, _, _ := strings.Cut(subtypeOf(mediaType), "+")
	name = version.ReplaceAllString(strings.TrimPrefix(strings.TrimPrefix(name, "vnd."), "x-"), "")
	name = strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, name)
	name = strings.Trim(name[:min(len(name), 48)], ".-")
	if name == "" {
		return "artifact"
	}
	return name
}

func subtypeOf(mediaType string) string {
	mediaType, _, _ = strings.Cut(strings.ToLower(mediaType), ";")
	_, subtype, _ := strings.Cut(strings.TrimSpace(mediaType), "/")
	return subtype
}

// fileType is the content type of a file that has a title. oras says that all are tar archives, if it is not told better,
// so that type is not believed where the name says another.
func fileType(name, mediaType string) string {
	switch mediaType {
	case "", typeBytes, ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeEmptyJSON:
		if t := mime.TypeByExtension(path.Ext(name)); t != "" {
			return t
		}
	}
	return safeType(mediaType)
}
