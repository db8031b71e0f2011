package metrics

import (
	"strconv"
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
	now := time.Now()
	m.update(func(*Snapshot) {
		delete(m.writing, sink)
		m.lastSuccess[sink] = now
	})
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
	xid    uint32
	at     time.Time
}

// exemplar names the transaction in which to look.
func exemplar(commit decoder.LSN, xid uint32) prometheus.Labels {
	return prometheus.Labels{"lsn": commit.String(), "xid": strconv.FormatUint(uint64(xid), 10)}
}

// tally is what one call of Durable counts.
type tally struct {
	ops, audited        [decoder.NumOps]int
	tampers             [decoder.NumOps]int
	tampered            [decoder.NumOps]*decoder.Event // the last one of each operation
	expired, incomplete int
	bytes               int

	completed int
	slowest   transaction // of those completed
	latency   time.Duration
}

func (t *tally) count(e *decoder.Event) {
	t.ops[e.Op()]++
	t.bytes += len(e.Line())
	switch e.Kind() {
	case decoder.KindTamper:
		t.tampers[e.Op()]++
		t.tampered[e.Op()] = e
	case decoder.KindRetention:
		t.expired++
	default:
		t.audited[e.Audited()]++
		if e.Incomplete() {
			t.incomplete++
		}
	}
}

// Durable implements pipeline.Observer.
func (m *Metrics) Durable(events []decoder.Event, end decoder.LSN) {
	var t tally
	var now time.Time
	if len(events) > 0 || m.open.commit != 0 {
		now = time.Now()
	}
	for i := range events {
		e := &events[i]
		t.count(e)
		if e.Kind() == decoder.KindAudit {
			m.countNames(e)
		}
		if e.LSN == m.open.commit {
			continue
		}
		if m.open.commit != 0 {
			m.complete(&t, now) // the end of the one before came with the first events of this one
		}
		m.open = transaction{commit: e.LSN, xid: e.XID(), at: e.CommitTime()}
	}
	if m.open.commit != 0 && end > m.open.commit {
		m.complete(&t, now)
	}
	if len(events) == 0 && t.completed == 0 {
		return
	}
	m.add(&t, events)
}

// complete counts the open transaction, but for the slowest one of a call, which may become an exemplar.
func (m *Metrics) complete(t *tally, now time.Time) {
	latency := max(0, now.Sub(m.open.at)) // the server's clock may be ahead of ours
	switch {
	case t.completed == 0:
		t.slowest, t.latency = m.open, latency
	case latency > t.latency:
		m.commitToDurable.Observe(t.latency.Seconds())
		t.slowest, t.latency = m.open, latency
	default:
		m.commitToDurable.Observe(latency.Seconds())
	}
	m.open = transaction{}
	t.completed++
}

// countNames counts an audit row by what is named in it, as far as that is wanted.
func (m *Metrics) countNames(e *decoder.Event) {
	if m.tables != nil {
		m.tableName = appendTable(m.tableName[:0], e)
		m.tableRows.WithLabelValues(m.tables.label(m.tableName), e.Audited().String()).Inc()
	}
	if m.users != nil {
		m.userRows.WithLabelValues(m.users.label(e.User())).Inc()
	}
}

func (m *Metrics) add(t *tally, events []decoder.Event) {
	if t.completed > 0 {
		m.transactions.Add(float64(t.completed))
		m.observeSlowest(t)
	}
	tampered := 0
	for op := range decoder.NumOps {
		add(m.events, op, t.ops[op])
		add(m.audited, op, t.audited[op])
		if e := t.tampered[op]; e != nil {
			m.tamperEvents.WithLabelValues(op.String()).(prometheus.ExemplarAdder).AddWithExemplar(
				float64(t.tampers[op]), exemplar(e.LSN, e.XID()))
		}
		tampered += t.tampers[op]
	}
	m.retentionEvents.Add(float64(t.expired))
	m.incomplete.Add(float64(t.incomplete))
	var last time.Time
	if len(events) > 0 {
		m.batchEvents.Observe(float64(len(events)))
		m.batchBytes.Observe(float64(t.bytes))
		last = events[len(events)-1].CommitTime()
	}
	m.update(func(s *Snapshot) {
		s.Transactions += uint64(t.completed)
		s.Events += uint64(len(events))
		s.TamperEvents += uint64(tampered)
		s.RetentionEvents += uint64(t.expired)
		s.IncompleteEvents += uint64(t.incomplete)
		if last.After(s.LastEvent) {
			s.LastEvent = last
		}
	})
}

// exemplarEvery is how long a transaction remains the exemplar that only one twice as slow replaces: it is the slow ones that
// are looked for, and an exemplar costs more than all else that is counted of a small batch.
const exemplarEvery = time.Second

func (m *Metrics) observeSlowest(t *tally) {
	now := time.Now()
	if t.latency < 2*m.slowest && now.Before(m.slowestUntil) {
		m.commitToDurable.Observe(t.latency.Seconds())
		return
	}
	m.slowest, m.slowestUntil = t.latency, now.Add(exemplarEvery)
	m.commitToDurable.(prometheus.ExemplarObserver).ObserveWithExemplar(
		t.latency.Seconds(), exemplar(t.slowest.commit, t.slowest.xid))
}

func add(counters *prometheus.CounterVec, op decoder.Op, n int) {
	if n > 0 { // or the series of an operation that cannot be would come into being
		counters.WithLabelValues(op.String()).Add(float64(n))
	}
}
