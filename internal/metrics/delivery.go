package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pgwitness/decoder"
	"pgwitness/internal/pipeline"
)

var _ pipeline.Observer = (*Metrics)(nil)

// Attempt implements pipeline.Observer.
func (m *Metrics) Attempt(sink string) {
	m.sinkAttempts.WithLabelValues(sink).Inc()
	now := time.Now()
	m.update(func(*Snapshot) { m.writing[sink] = now })
}

// Failed implements pipeline.Observer.
func (m *Metrics) Failed(sink, reason string) {
	m.sinkFailures.WithLabelValues(sink, reason).Inc()
	m.update(func(*Snapshot) { delete(m.writing, sink) })
}

// Delivered implements pipeline.Observer.
func (m *Metrics) Delivered(sink string, events, bytes int) {
	m.sinkEvents.WithLabelValues(sink).Add(float64(events))
	m.sinkBytes.WithLabelValues(sink).Add(float64(bytes))
	m.sinkLastSuccess.WithLabelValues(sink).Set(unixSeconds(time.Now()))
	m.update(func(*Snapshot) { delete(m.writing, sink) })
}

// Filtered implements pipeline.Observer.
func (m *Metrics) Filtered(sink string, events int) {
	m.filtered.WithLabelValues(sink).Add(float64(events))
}

// DeadLetter implements pipeline.Observer.
func (m *Metrics) DeadLetter(sink string, events int) {
	m.deadLetters.WithLabelValues(sink).Add(float64(events))
}

// transaction is one of which events are durable, and which may not be complete; its commit LSN is 0 where there is none.
type transaction struct {
	commit decoder.LSN
	at     time.Time
}

// Durable implements pipeline.Observer.
func (m *Metrics) Durable(events []decoder.Event, end decoder.LSN) {
	var ops, tampers, audited [decoder.NumOps]int
	var now time.Time
	if len(events) > 0 || m.open.commit != 0 {
		now = time.Now()
	}
	expired, incomplete, completed := 0, 0, 0
	complete := func() {
		m.commitToDurable.Observe(max(0, now.Sub(m.open.at).Seconds())) // the server's clock may be ahead of ours
		m.open = transaction{}
		completed++
	}
	for i := range events {
		e := &events[i]
		ops[e.Op()]++
		switch e.Kind() {
		case decoder.KindTamper:
			tampers[e.Op()]++
		case decoder.KindRetention:
			expired++
		default:
			audited[e.Audited()]++
			if e.Incomplete() {
				incomplete++
			}
		}
		if e.LSN == m.open.commit {
			continue
		}
		if m.open.commit != 0 {
			complete() // the end of the one before came with the first events of this one
		}
		m.open = transaction{commit: e.LSN, at: e.CommitTime()}
	}
	if m.open.commit != 0 && end > m.open.commit {
		complete()
	}
	if completed > 0 {
		m.transactions.Add(float64(completed))
	}
	if len(events) == 0 && completed == 0 {
		return
	}
	tampered := 0
	for op := range decoder.NumOps {
		add(m.events, op, ops[op])
		add(m.tamperEvents, op, tampers[op])
		add(m.audited, op, audited[op])
		tampered += tampers[op]
	}
	m.retentionEvents.Add(float64(expired))
	m.incomplete.Add(float64(incomplete))
	m.update(func(s *Snapshot) {
		s.Transactions += uint64(completed)
		s.Events += uint64(len(events))
		s.TamperEvents += uint64(tampered)
		s.RetentionEvents += uint64(expired)
		s.IncompleteEvents += uint64(incomplete)
	})
}

func add(counters *prometheus.CounterVec, op decoder.Op, n int) {
	if n > 0 { // or the series of an operation that cannot be would come into being
		counters.WithLabelValues(op.String()).Add(float64(n))
	}
}
