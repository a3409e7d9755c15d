package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"strings"
)

// maxNotification is the length of a notification's body. distribution sends events one by one, Harbor one for each push.
const maxNotification = 1 << 20

// notify takes a registry's notification and has forgotten what it was about before it answers. It is the registry that
// shall be told, not whoever pushed, so a repeated, late or invented one does no harm but some requests.
func (h *handler) notify(w http.ResponseWriter, r *http.Request) {
	if !authorized(r.Header.Get("Authorization"), h.NotifyToken) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="ocidav"`)
		h.refuse(w, r, http.StatusUnauthorized, "The Authorization header is not that of --notify-token-file.")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNotification))
	if err != nil {
		code := http.StatusBadRequest
		if errors.As(err, new(*http.MaxBytesError)) {
			code = http.StatusRequestEntityTooLarge
		}
		h.refuse(w, r, code, "The notification could not be read: "+err.Error()+".")
		return
	}
	changes, err := parseNotification(r.Header.Get("Ce-Type"), body)
	if err != nil {
		h.refuse(w, r, http.StatusBadRequest, "This is no notification: "+err.Error()+".")
		return
	}
	for _, c := range changes {
		h.Forget(c.repository, c.reference)
	}
	h.Metrics.notified(http.StatusNoContent)
	h.Log.Debug("notification", "changes", len(changes), "remote", r.RemoteAddr)
	w.WriteHeader(http.StatusNoContent)
}

// refuse tells the registry's operator, who sees the log of one side or the other.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, code int, text string) {
	h.Metrics.notified(code)
	h.Log.Warn("a notification was refused", "status", code, "reason", text, "remote", r.RemoteAddr)
	http.Error(w, text, code)
}

// authorized says whether the header has the token, as it is (Harbor's auth header) or after "Bearer ". It takes as long
// for any header of that length.
func authorized(header, token string) bool {
	if token == "" {
		return true
	}
	if scheme, rest, ok := strings.Cut(header, " "); ok && strings.EqualFold(scheme, "Bearer") {
		header = strings.TrimSpace(rest)
	}
	got, want := sha256.Sum256([]byte(header)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
