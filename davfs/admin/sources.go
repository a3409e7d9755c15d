package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sources are asked when somebody asks for the metrics; none of the first three may be nil. Their types are the fields of
// cache.Stats and ocifs.Stats, so that a value of one is converted to the other; this package knows neither.
type Sources struct {
	Cache func() CacheStats
	Tree  func() TreeStats
	Locks func() int // WebDAV locks that are held

	CacheMax       int64            // bytes that the cache may take
	Failures       func() int64     // to log in; nil: nobody is asked to
	CertificateEnd func() time.Time // nil: there is no TLS
}

// CacheStats is cache.Stats.
type CacheStats struct {
	Hits, Misses int64
	Evicted      int64
	Fetched      int64
	Bytes        int64
	InFlight     int
}

// TreeStats is ocifs.Stats.
type TreeStats struct {
	Uploads    int
	SpoolBytes int64
}

// Watch adds the metrics of the sources; it is called once.
func (m *Metrics) Watch(s Sources) {
	m.registry.MustRegister(&watcher{sources: s, metrics: []watched{
		{"ocidav_cache_hits_total", "Opened blobs that were whole in the cache.", prometheus.CounterValue, func(n now) float64 { return float64(n.cache.Hits) }},
		{"ocidav_cache_misses_total", "Opened blobs that were not, or not whole, in the cache.", prometheus.CounterValue, func(n now) float64 { return float64(n.cache.Misses) }},
		{"ocidav_cache_evicted_total", "Blobs that made room for others.", prometheus.CounterValue, func(n now) float64 { return float64(n.cache.Evicted) }},
		{"ocidav_cache_fetched_bytes_total", "Bytes from the registry that were kept.", prometheus.CounterValue, func(n now) float64 { return float64(n.cache.Fetched) }},
		{"ocidav_cache_bytes", "Bytes on the disk, reserved ones too.", prometheus.GaugeValue, func(n now) float64 { return float64(n.cache.Bytes) }},
		{"ocidav_cache_fetches_in_flight", "Requests at the registry that fill the cache.", prometheus.GaugeValue, func(n now) float64 { return float64(n.cache.InFlight) }},
		{"ocidav_uploads_in_flight", "Files that are being written.", prometheus.GaugeValue, func(n now) float64 { return float64(n.tree.Uploads) }},
		{"ocidav_spool_bytes", "Bytes of uploads on the disk that the registry has not acknowledged.", prometheus.GaugeValue, func(n now) float64 { return float64(n.tree.SpoolBytes) }},
		{"ocidav_locks", "WebDAV locks that are held.", prometheus.GaugeValue, func(n now) float64 { return float64(n.locks) }},
	}})
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("ocidav_cache_max_bytes", "Bytes that the cache may take on the disk.", func() float64 { return float64(s.CacheMax) })
	if s.Failures != nil {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "ocidav_auth_failures_total", Help: "Wrong names and passwords."},
			func() float64 { return float64(s.Failures()) }))
	}
	if s.CertificateEnd != nil {
		gauge("ocidav_tls_certificate_expiry_timestamp_seconds", "When the certificate of the drive is good no more, in seconds since 1970.",
			func() float64 { return float64(s.CertificateEnd().Unix()) })
	}
}

// now is what the sources say at one moment: the values of one page belong together.
type now struct {
	cache CacheStats
	tree  TreeStats
	locks int
}

type watched struct {
	name, help string
	kind       prometheus.ValueType
	value      func(now) float64
}

func (w watched) desc() *prometheus.Desc { return prometheus.NewDesc(w.name, w.help, nil, nil) }

// watcher is a prometheus.Collector.
type watcher struct {
	sources Sources
	metrics []watched
}

func (w *watcher) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range w.metrics {
		ch <- m.desc()
	}
}

func (w *watcher) Collect(ch chan<- prometheus.Metric) {
	n := now{w.sources.Cache(), w.sources.Tree(), w.sources.Locks()}
	for _, m := range w.metrics {
		ch <- prometheus.MustNewConstMetric(m.desc(), m.kind, m.value(n))
	}
}
