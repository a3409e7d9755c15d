package davfs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
)

// requestID is what the lines of one request have in common: the client's X-Request-Id, which a proxy may have made, if it
// is short and plain, so that it cannot be taken for something else in a log; else one that nobody else has.
func requestID(header string) string {
	if plainID(header) {
		return header
	}
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

const maxRequestID = 64 // characters; a UUID has 36

func plainID(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return s != "" && len(s) <= maxRequestID
}

// LogHandler writes the id of the request that is worked for into every line whose context has one, as request_id.
func LogHandler(next slog.Handler) slog.Handler { return identified{next} }

type identified struct{ slog.Handler }

func (h identified) Handle(ctx context.Context, r slog.Record) error {
	if t := TraceOf(ctx); t != nil && t.ID != "" {
		r.AddAttrs(slog.String("request_id", t.ID))
	}
	return h.Handler.Handle(ctx, r)
}

func (h identified) WithAttrs(attrs []slog.Attr) slog.Handler {
	return identified{h.Handler.WithAttrs(attrs)}
}
func (h identified) WithGroup(name string) slog.Handler { return identified{h.Handler.WithGroup(name)} }
