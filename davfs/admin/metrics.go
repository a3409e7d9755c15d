package admin

import (
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ocidav/davfs"
)

// Metrics are those of one process, in a registry of their own: others' libraries put theirs into the global one.
type Metrics struct {
	registry *prometheus.Registry

	requests      *prometheus.CounterVec
	durations     *prometheus.HistogramVec
	inFlight      *prometheus.GaugeVec
	sent          prometheus.Counter
	received      prometheus.Counter
	asked         *prometheus.CounterVec
	answered      *prometheus.HistogramVec
	notifications *prometheus.CounterVec
}

// Bounds of the histograms, in seconds. Uploads and downloads take minutes, most of what a registry is asked milliseconds.
var (
	requestSeconds  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	registrySeconds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}
)

// methods are those with a label of their own.
var methods = davfs.Methods()

// NewMetrics gives metrics with nothing counted yet.
func NewMetrics(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	m.requests = counter("http_requests_total",
		"Requests at the drive that have ended. The code of one that was cut in the middle of its answer is cut.", "method", "code")
	m.durations = histogram("http_request_duration_seconds", "Time from a request's head to the end of its answer.", requestSeconds, "method")
	m.inFlight = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "http_requests_in_flight", Help: "Requests at the drive that are being served."}, []string{"method"})
	m.sent = prometheus.NewCounter(prometheus.CounterOpts{Name: "http_response_body_bytes_total", Help: "Bytes of the bodies of answers."})
	m.received = prometheus.NewCounter(prometheus.CounterOpts{Name: "http_request_body_bytes_total", Help: "Bytes of the bodies of requests."})
	m.asked = counter("ocidav_registry_requests_total",
		"Requests at the registry, repeated ones too. The code of one without an answer is error.", "operation", "code")
	m.answered = histogram("ocidav_registry_request_duration_seconds", "Time until the head of the registry's answer.", registrySeconds, "operation")
	m.notifications = counter("ocidav_notifications_total", "Notifications of the registry at /-/notify.", "code")
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "ocidav_build_info", Help: "1, and the version.",
		ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.durations, m.inFlight, m.sent, m.received, m.asked, m.answered, m.notifications, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) page() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

func (m *Metrics) notified(code int) { m.notifications.WithLabelValues(strconv.Itoa(code)).Inc() }

// Handler counts the requests of a davfs.Handler.
func (m *Metrics) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if !slices.Contains(methods, method) {
			method = "other"
		}
		flying := m.inFlight.WithLabelValues(method)
		flying.Inc()
		begin, trace, code := time.Now(), new(davfs.Trace), "cut"
		defer func() { // a panic cuts the connection
			flying.Dec()
			m.requests.WithLabelValues(method, code).Inc()
			m.durations.WithLabelValues(method).Observe(time.Since(begin).Seconds())
			m.sent.Add(float64(trace.Bytes))
			m.received.Add(float64(trace.Received))
		}()
		next.ServeHTTP(w, r.WithContext(trace.Context(r.Context())))
		code = strconv.Itoa(trace.Status)
	})
}

// Transport counts the requests of a registry's client, tells the trace of the request that they are made for, and writes
// a line for each at the level debug. The line has no query, which may hold a secret.
func (m *Metrics) Transport(next http.RoundTripper, log *slog.Logger) http.RoundTripper {
	return counting{m, next, log}
}

type counting struct {
	metrics *Metrics
	next    http.RoundTripper
	log     *slog.Logger
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	davfs.TraceOf(r.Context()).Called()
	operation, begin := operationOf(r.Method, r.URL), time.Now()
	resp, err := c.next.RoundTrip(r)
	code := "error"
	if err == nil {
		code = strconv.Itoa(resp.StatusCode)
	}
	c.metrics.asked.WithLabelValues(operation, code).Inc()
	took := time.Since(begin)
	c.metrics.answered.WithLabelValues(operation).Observe(took.Seconds())
	if ctx := r.Context(); c.log.Enabled(ctx, slog.LevelDebug) {
		c.log.LogAttrs(ctx, slog.LevelDebug, "registry request", slog.String("method", r.Method), slog.String("host", r.URL.Host),
			slog.String("path", r.URL.Path), slog.String("status", code), slog.Duration("duration", took))
	}
	return resp, err
}
