// Package metrics counts what the stream and the pipeline do and shows it to Prometheus. What every name means to the person
// who reads it, and what to do about a bad value, is in its help text.
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
	// StatusInterval is that of the stream, from which Healthy knows how long it may be silent. Defaults to 10 s.
	StatusInterval time.Duration
}

// Metrics is a replication.Observer and a pipeline.Observer. Its methods are safe for concurrent use, but for Durable, which
// belongs to one goroutine.
type Metrics struct {
	registry       *prometheus.Registry
	statusInterval time.Duration

	reconnects   *prometheus.CounterVec
	decodeErrors prometheus.Counter

	transactions    prometheus.Counter
	events          *prometheus.CounterVec
	tamperEvents    *prometheus.CounterVec
	retentionEvents prometheus.Counter
	incomplete      prometheus.Counter
	audited         *prometheus.CounterVec
	commitToDurable prometheus.Histogram

	sinkAttempts    *prometheus.CounterVec
	sinkFailures    *prometheus.CounterVec
	sinkEvents      *prometheus.CounterVec
	sinkBytes       *prometheus.CounterVec
	sinkLastSuccess *prometheus.GaugeVec
	filtered        *prometheus.CounterVec
	deadLetters     *prometheus.CounterVec

	mu      sync.Mutex
	state   Snapshot             // guarded by mu
	heard   time.Time            // the stream's last sign of life; guarded by mu
	writing map[string]time.Time // since when a sink has been writing, if it has; guarded by mu

	open transaction // owned by Durable
}

const namespace = "pgwitness"

// latencyBuckets run from half a millisecond, less than which no disk needs for an fsync, to the hour after which a person
// must have been told. The bounds in between are ones that people set as objectives.
var latencyBuckets = []float64{
	.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600,
}

// New returns Metrics with a registry of their own, in which every series whose labels are known beforehand begins at 0.
func New(cfg Config) *Metrics {
	if cfg.StatusInterval <= 0 {
		cfg.StatusInterval = 10 * time.Second
	}
	now := time.Now()
	m := &Metrics{
		registry:       prometheus.NewRegistry(),
		statusInterval: cfg.StatusInterval,
		state:          Snapshot{Since: now},
		heard:          now,
		writing:        make(map[string]time.Time, len(cfg.Sinks)),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		stateCollector{m},
	)
	m.register(cfg)
	m.initialise(cfg.Sinks)
	return m
}

// Registry is where all metrics are gathered from.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

func (m *Metrics) register(cfg Config) {
	factory := promauto.With(m.registry)
	counter := func(name, help string) prometheus.Counter {
		return factory.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return factory.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}

	factory.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info",
		Help:        "Always 1; the labels say which build this is.",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "commit": cfg.Commit, "goversion": cfg.GoVersion},
	}).Set(1)

	m.reconnects = counters("source_reconnects_total",
		"Replication connections that were lost or could not be made, by reason; another one is tried until it works. "+
			"\"auth\" wants the credentials, \"slot_busy\" the other consumer of the slot looked at.", "reason")
	m.decodeErrors = counter("decode_errors_total",
		"Messages of the server that could not be decoded. Each stops the stream without confirming anything at or after it: "+
			"keep the slot and report the logged error.")

	m.transactions = counter("transactions_total",
		"Transactions with at least one event that every sink has made durable as a whole.")
	m.events = counters("events_total",
		"Events that every sink has made durable, by operation on the audit table: \"insert\" is a row that a trigger wrote, "+
			"anything else is a change to evidence, or its retention.", "op")
	m.tamperEvents = counters("tamper_events_total",
		"Durable events of changes to rows that were already in the audit table, by operation. Any increase means that somebody "+
			"altered evidence: find the events of kind \"tamper\" in the sinks, and who did it.", "op")
	m.retentionEvents = counter("retention_events_total",
		"Durable events of audit rows that were deleted in a transaction which had announced it, as `pgwitness audit retention` does. "+
			"Whoever may delete audit rows can announce it: look after any increase that your schedule does not explain.")
	m.incomplete = counter("incomplete_events_total",
		"Durable audit events of a DELETE that do not say what was deleted: the trigger wrote nothing but nulls. They are "+
			"delivered as they are, and what they left out is nowhere; `pgwitness audit harden` mends the trigger.")
	m.audited = counters("audited_operations_total",
		"Durable audit rows by the operation on the application's table that their event_type names; \"other\" is any other word.",
		"operation")
	m.commitToDurable = factory.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: "commit_to_durable_seconds",
		Help: "Time from a transaction's commit to when every sink had all of it durable, by the server's clock and ours: keep " +
			"both set by NTP. If it grows, the slowest sink does, or the connection is being made up for.",
		Buckets:                         latencyBuckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	})

	m.sinkAttempts = counters("sink_attempts_total",
		"Writes to the sink that were begun, each of one batch, repetitions after a failure included.", "sink")
	m.sinkFailures = counters("sink_failures_total",
		"Attempts to open the sink or to write to it that failed, by reason. Nothing is lost by them: the same events are tried "+
			"again, and nothing is confirmed to the database meanwhile. While it increases, mend the sink; the log has the error.",
		"sink", "reason")
	m.sinkEvents = counters("sink_delivered_events_total",
		"Events that the sink has made durable.", "sink")
	m.sinkBytes = counters("sink_delivered_bytes_total",
		"Size of the events that the sink has made durable, in the native format and before any compression.", "sink")
	m.filtered = counters("filtered_events_total",
		"Audit events that the sink was not given because its filter leaves them out, as configured. Such a sink does not hold "+
			"everything: see that another one does.", "sink")
	m.deadLetters = counters("dead_letter_events_total",
		"Events that the sink refused for good and that are durable in its dead-letter file instead. Each is evidence that its "+
			"destination does not have: read the file, mend the cause, and deliver them by hand.", "sink")
	m.sinkLastSuccess = factory.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: "sink_last_success_timestamp_seconds",
		Help: "When the sink last made events durable, in Unix time; 0 if it has not yet. Old is bad only while there is " +
			"something to write: see pgwitness_sink_failures_total and pgwitness_slot_confirmed_lag_bytes.",
	}, []string{"sink"})
}

// initialise makes every series that there can be, so that the first increase of each is one that rate() sees.
func (m *Metrics) initialise(sinks []string) {
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
	for _, name := range sinks {
		m.sinkAttempts.WithLabelValues(name)
		m.sinkEvents.WithLabelValues(name)
		m.sinkBytes.WithLabelValues(name)
		m.sinkLastSuccess.WithLabelValues(name)
		m.filtered.WithLabelValues(name)
		m.deadLetters.WithLabelValues(name)
		for _, reason := range sink.Reasons {
			m.sinkFailures.WithLabelValues(name, reason)
		}
	}
}
