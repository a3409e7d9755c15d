package admin

import (
	"net/http"
	"net/url"
	"strings"
)

// operationOf names what a request asks of a registry, by its method and the path of the distribution API. The path is
// read from its end, since repositories may have the words in their names. Tokens are asked for elsewhere, and so may be
// the rest of an upload, whose place is the registry's choice.
func operationOf(method string, u *url.URL) string {
	path, ok := strings.CutPrefix(u.Path, "/v2/")
	parts := strings.Split(path, "/")
	last := func(n int) string {
		if n > len(parts) {
			return ""
		}
		return parts[len(parts)-n]
	}
	verb, known := verbs[method]
	switch {
	case method == http.MethodPatch:
		return "upload_write"
	case !ok && u.Path != "/v2", !known:
		if method == http.MethodPut {
			return "upload_end"
		}
		return "other"
	case path == "" || !ok:
		return "ping"
	case path == "_catalog":
		return "catalog"
	case last(2) == "tags" && last(1) == "list":
		return "tags"
	case last(3) == "blobs" && last(2) == "uploads":
		switch {
		case method == http.MethodPost && u.Query().Has("mount"):
			return "blob_mount"
		case method == http.MethodPost:
			return "upload_begin"
		case method == http.MethodPut:
			return "upload_end"
		}
		return "upload_" + verb
	case last(2) == "manifests":
		return "manifest_" + verb
	case last(2) == "blobs":
		return "blob_" + verb
	case last(2) == "referrers":
		return "referrers"
	}
	return "other"
}

var verbs = map[string]string{
	http.MethodGet: "get", http.MethodHead: "head", http.MethodPut: "put", http.MethodPost: "post", http.MethodDelete: "delete",
	http.MethodPatch: "patch",
}
