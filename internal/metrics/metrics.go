// Package metrics counts what the stream and the pipeline do and shows it to Prometheus. What every name means to the person
// who reads it, and what to do about a bad value, is in its Definition.
package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pgwitness/decoder"
	"pgwitness/internal/replication"
	"pgwitness/sink"
)

// Config says what the metrics are about.
type Config struct {
	// Sinks are the names of the sinks, the values of the label "sink". Defaults to none.
	Sinks []string
	// Version, Commit and GoVersion are the labels of build_info. Default to empty.
	Version, Commit, GoVersion string
	// Source and Slot are the labels of source_info: the events' source and the replication slot. Default to empty.
	Source, Slot string
	// Tables and Users are of how many audited tables and users the audit rows are counted, first come; the rest is "other".
	// Default to 0: they are not counted by table, or by user.
	Tables, Users int
	// Buffered returns the memory of the events that were received and are not durable yet, and its bound, in bytes. It is
	// called at each scrape. Defaults to nil: they are not shown.
	Buffered func() (size, limit int)
	// StatusInterval is that of the stream, from which Healthy knows how long it may be silent. Defaults to 10 s.
	StatusInterval time.Duration
}

// Metrics is a replication.Observer, a replication.MonitorObserver and a pipeline.Observer. Its methods are safe for concurrent
// use, but for Durable, which belongs to one goroutine.
type Metrics struct {
	cfg      Config
	registry *prometheus.Registry

	reconnects   *prometheus.CounterVec
	decodeErrors prometheus.Counter

	transactions    prometheus.Counter
	events          *prometheus.CounterVec
	tamperEvents    *prometheus.CounterVec
	retentionEvents prometheus.Counter
	incomplete      prometheus.Counter
	audited         *prometheus.CounterVec
	tableRows       *prometheus.CounterVec
	userRows        *prometheus.CounterVec
	commitToDurable prometheus.Histogram
	batchEvents     prometheus.Histogram
	batchBytes      prometheus.Histogram

	sinkAttempts *prometheus.CounterVec
	sinkFailures *prometheus.CounterVec
	sinkEvents   *prometheus.CounterVec
	sinkBytes    *prometheus.CounterVec
	filtered     *prometheus.CounterVec
	deadLetters  *prometheus.CounterVec

	mu          sync.Mutex
	state       Snapshot             // guarded by mu
	heard       time.Time            // the stream's last sign of life; guarded by mu
	writing     map[string]time.Time // since when a sink has been writing, if it has; guarded by mu
	lastSuccess map[string]time.Time // of each sink; guarded by mu

	// The rest is owned by Durable; what is not counted by is nil.
	open         transaction
	tables       *firstCome
	users        *firstCome
	tableName    []byte        // scratch
	slowest      time.Duration // of the transactions that were exemplars
	slowestUntil time.Time     // when another one may be it, however fast
}

const namespace = "pgwitness"

var (
	// latencyBuckets run from half a millisecond, less than which no disk needs for an fsync, to the hour after which a person
	// must have been told. The bounds in between are ones that people set as objectives.
	latencyBuckets = []float64{
		.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600,
	}
	// eventBuckets and byteBuckets end where half of the default buffer is full.
	eventBuckets = prometheus.ExponentialBuckets(1, 8, 6)   // to 32,768
	byteBuckets  = prometheus.ExponentialBuckets(512, 8, 6) // to 16 MiB
)

// New returns Metrics with a registry of their own, in which every series whose labels are known beforehand begins at 0.
func New(cfg Config) *Metrics {
	if cfg.StatusInterval <= 0 {
		cfg.StatusInterval = 10 * time.Second
	}
	now := time.Now()
	m := &Metrics{
		cfg:         cfg,
		registry:    prometheus.NewRegistry(),
		state:       Snapshot{Since: now},
		heard:       now,
		writing:     make(map[string]time.Time, len(cfg.Sinks)),
		lastSuccess: make(map[string]time.Time, len(cfg.Sinks)),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		stateCollector{m},
	)
	if cfg.Tables > 0 {
		m.tables = newFirstCome(cfg.Tables)
	}
	if cfg.Users > 0 {
		m.users = newFirstCome(cfg.Users)
	}
	m.register()
	m.initialise()
	return m
}

// Registry is where all metrics are gathered from.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

func (m *Metrics) register() {
	factory := promauto.With(m.registry)
	counters := func(name string) *prometheus.CounterVec {
		d := definition(name)
		return factory.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.help()}, d.Labels)
	}
	counter := func(name string) prometheus.Counter { return counters(name).WithLabelValues() }
	histogram := func(name string, buckets []float64) prometheus.Histogram {
		d := definition(name)
		return factory.NewHistogram(prometheus.HistogramOpts{
			Name: d.Name, Help: d.help(), Buckets: buckets,
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  160,
			NativeHistogramMinResetDuration: time.Hour,
		})
	}
	m.reconnects = counters("source_reconnects_total")
	m.decodeErrors = counter("decode_errors_total")

	m.transactions = counter("transactions_total")
	m.events = counters("events_total")
	m.tamperEvents = counters("tamper_events_total")
	m.retentionEvents = counter("retention_events_total")
	m.incomplete = counter("incomplete_events_total")
	m.audited = counters("audited_operations_total")
	m.commitToDurable = histogram("commit_to_durable_seconds", latencyBuckets)
	m.batchEvents = histogram("batch_events", eventBuckets)
	m.batchBytes = histogram("batch_bytes", byteBuckets)
	m.tableRows = counters("audited_rows_total")
	m.userRows = counters("audited_user_rows_total")

	m.sinkAttempts = counters("sink_attempts_total")
	m.sinkFailures = counters("sink_failures_total")
	m.sinkEvents = counters("sink_delivered_events_total")
	m.sinkBytes = counters("sink_delivered_bytes_total")
	m.filtered = counters("filtered_events_total")
	m.deadLetters = counters("dead_letter_events_total")
}

// initialise makes every series that there can be, so that the first increase of each is one that rate() sees.
func (m *Metrics) initialise() {
	for _, reason := range replication.Reasons {
		m.reconnects.WithLabelValues(reason)
	}
	for op := range decoder.NumOps {
		m.audited.WithLabelValues(op.String())
	}
	for _, op := range []decoder.Op{decoder.OpInsert, decoder.OpUpdate, decoder.OpDelete, decoder.OpTruncate} {
		m.events.WithLabelValues(op.String())
		if op != decoder.OpInsert {
			m.tamperEvents.WithLabelValues(op.String())
		}
	}
	for _, name := range m.cfg.Sinks {
		for _, counters := range []*prometheus.CounterVec{m.sinkAttempts, m.sinkEvents, m.sinkBytes, m.filtered, m.deadLetters} {
			counters.WithLabelValues(name)
		}
		m.lastSuccess[name] = time.Time{}
		for _, reason := range sink.Reasons {
			m.sinkFailures.WithLabelValues(name, reason)
		}
	}
}
