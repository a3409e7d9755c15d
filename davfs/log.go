package davfs

import (
	"log/slog"
	"net/http"
	"time"
)

// logRequest writes the one line of a request, also while a panic unwinds that cuts the connection. It has neither
// query nor headers, which may hold secrets. calls are the requests at the storage until then.
func (h *Handler) logRequest(r *http.Request, rq *request, g *guard, start time.Time) {
	rq.trace.Status, rq.trace.Bytes, rq.trace.Received = g.status, g.bytes, rq.body.n
	level := slog.LevelInfo
	failure := rq.failed()
	if failure != nil && judge(r.Method, failure).code >= 500 && r.Context().Err() == nil {
		level = slog.LevelError
	}
	if !h.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method),
		slog.String("path", r.URL.Path),
		slog.Int("status", g.status),
		slog.Int64("bytes", g.bytes),
		slog.Duration("duration", time.Since(start)),
		slog.Int64("calls", rq.trace.Calls()),
		slog.String("remote", rq.trace.Remote),
		slog.String("agent", r.UserAgent()),
	}
	if rq.body.n > 0 {
		attrs = append(attrs, slog.Int64("received", rq.body.n))
	}
	if rq.trace.User != "" {
		attrs = append(attrs, slog.String("user", rq.trace.User))
	}
	if rq.dst != "" {
		attrs = append(attrs, slog.String("destination", rq.dst))
	}
	if failure != nil {
		attrs = append(attrs, slog.String("err", failure.Error()))
		if !g.failed {
			attrs = append(attrs, slog.Bool("cut", true))
		}
	}
	h.log.LogAttrs(r.Context(), level, "request", attrs...)
}
