package davfs

import (
	"net/http"
	"slices"
	"strings"
)

// Methods by what stands at the name. HEAD and GET of a directory are the listing page.
var (
	allMethods = []string{"OPTIONS", "GET", "HEAD", "PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPFIND", "PROPPATCH",
		"LOCK", "UNLOCK"}
	fileMethods = without(allMethods, "MKCOL")
	dirMethods  = without(fileMethods, "PUT")
	newMethods  = []string{"OPTIONS", "PUT", "MKCOL", "LOCK"}
	readMethods = []string{"OPTIONS", "GET", "HEAD", "PROPFIND"}
)

func without(l []string, m string) []string {
	return slices.DeleteFunc(slices.Clone(l), func(s string) bool { return s == m })
}

// setAllow writes the Allow header of OPTIONS, and of a 405 (RFC 9110 section 15.5.6).
func (rq *request) setAllow(hd http.Header, methods []string) {
	if rq.readOnly() {
		methods = slices.DeleteFunc(slices.Clone(methods), func(m string) bool { return !slices.Contains(readMethods, m) })
	}
	hd.Set("Allow", strings.Join(methods, ", "))
}

// admit refuses methods that are unknown, or that write where nothing may be written.
func (h *Handler) admit(method string) error {
	if !slices.Contains(allMethods, method) {
		return refuse(http.StatusMethodNotAllowed, "This method is not supported.")
	}
	if h.ReadOnly && !slices.Contains(readMethods, method) {
		return refuse(http.StatusForbidden, "This drive is read-only.")
	}
	return nil
}

func (h *Handler) serveOptions(w http.ResponseWriter, rq *request) error {
	fi, err := rq.stat(rq.name)
	switch {
	case isAbsent(err):
		h.options(w, rq, newMethods)
	case err != nil:
		return err
	case fi.IsDir():
		h.options(w, rq, dirMethods)
	default:
		h.options(w, rq, fileMethods)
	}
	return nil
}

// options answers OPTIONS. Class 2 is locks, which a read-only drive has not; Finder then mounts it read-only.
func (h *Handler) options(w http.ResponseWriter, rq *request, allow []string) {
	class := "1, 2"
	if rq.readOnly() {
		class = "1"
	}
	w.Header().Set("DAV", class)
	if !rq.readOnly() {
		w.Header().Add("DAV", "<http://apache.org/dav/propset/fs/1>") // the property executable, kept like any other
	}
	w.Header().Set("MS-Author-Via", "DAV") // Windows asks FrontPage's protocol without it
	rq.setAllow(w.Header(), allow)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
}
