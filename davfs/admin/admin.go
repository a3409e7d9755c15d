// Package admin is what a drive shows to those who run it, on an address of its own:
//
//	/healthz       200 while the process lives
//	/readyz        200 if the registry answers, and 503 with the reason if not, or when the drive is about to end
//	/metrics       Prometheus
//	/debug/pprof/  profiles of the process
//	/-/notify      POST of a registry's notification: what it says has changed is asked for again (notification.go)
//
// None of it asks for a password but the last, if it is told one: the address is for the machine or the cluster, and the
// profiles show the memory of the process to whoever can get them.
//
// It counts from outside. [Metrics.Handler] stands in front of the drive and [Metrics.Transport] below the client of the
// registry; neither changes a request or stands between a handler and its ResponseWriter, so sendfile sees the connection
// as it is. What one request has done is in its [davfs.Trace]. Everything else is asked for when somebody asks /metrics.
//
// Labels have a fixed number of values, whatever clients send: methods and operations that are not known are "other".
package admin

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
)

// Options of the admin address. All but NotifyToken are required.
type Options struct {
	Ready       func(ctx context.Context) error    // whether the registry can be reached
	Stopping    <-chan struct{}                    // closed when the drive is about to end
	Forget      func(repository, reference string) // a notification tells of a change; reference is a tag, a digest or ""
	NotifyToken string                             // that a notification must bring; empty: none
	Metrics     *Metrics
	Log         *slog.Logger
}

type handler struct {
	Options
	ready readiness
}

// New gives the handler of the address.
func New(o Options) http.Handler {
	h := &handler{Options: o, ready: readiness{ask: o.Ready}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.Handle("GET /metrics", o.Metrics.page())
	mux.HandleFunc("POST /-/notify", h.notify)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol) // go tool pprof
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

func (h *handler) readyz(w http.ResponseWriter, _ *http.Request) {
	err := error(nil)
	select {
	case <-h.Stopping:
		err = errStopping
	default:
		err = h.ready.check()
	}
	if err != nil {
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ready\n")
}
