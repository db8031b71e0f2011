package status

import (
	"sync"
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/pipeline"
	"pgwitness/internal/replication"
)

// Observer is told of the stream and of the sinks.
type Observer interface {
	replication.Observer
	pipeline.Observer
}

// Meter measures what counters alone do not tell a person who looks once: the pace of the last moments, and since when. It
// tells everything to the Observer behind it as well.
type Meter struct {
	Observer

	open transaction // owned by Durable

	mu         sync.Mutex // guards the rest
	since      time.Time
	down       time.Time // since when there is no stream; zero while there is
	lastTamper time.Time
	events     series
	operations [decoder.NumOps]uint64
	latencies  latencies
	sinks      map[string]*sinkMeter
}

type sinkMeter struct {
	writing       time.Time // since when; zero while it does not
	events, bytes series
}

// transaction is one of which events are durable, and which may not be complete; its commit LSN is 0 where there is none.
type transaction struct {
	commit decoder.LSN
	at     time.Time
}

// NewMeter returns a Meter in front of next.
func NewMeter(next Observer) *Meter {
	now := time.Now()
	return &Meter{Observer: next, since: now, down: now, sinks: map[string]*sinkMeter{}}
}

// Streaming implements replication.Observer.
func (m *Meter) Streaming(streaming bool) {
	m.Observer.Streaming(streaming)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = time.Time{}
	if !streaming {
		m.down = time.Now()
	}
}

// Attempt implements pipeline.Observer.
func (m *Meter) Attempt(sink string) {
	m.Observer.Attempt(sink)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sink(sink).writing = time.Now()
}

// Failed implements pipeline.Observer.
func (m *Meter) Failed(sink, reason string) {
	m.Observer.Failed(sink, reason)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sink(sink).writing = time.Time{}
}

// Delivered implements pipeline.Observer.
func (m *Meter) Delivered(sink string, events, bytes int) {
	m.Observer.Delivered(sink, events, bytes)
	second := time.Now().Unix()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sink(sink)
	s.writing = time.Time{}
	s.events.add(second, events)
	s.bytes.add(second, bytes)
}

// Durable implements pipeline.Observer.
func (m *Meter) Durable(events []decoder.Event, end decoder.LSN) {
	m.Observer.Durable(events, end)
	if len(events) == 0 && m.open.commit == 0 {
		return
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events.add(now.Unix(), len(events))
	for i := range events {
		e := &events[i]
		switch e.Kind() {
		case decoder.KindAudit:
			m.operations[e.Audited()]++
		case decoder.KindTamper:
			m.lastTamper = now
		}
		if e.LSN != m.open.commit {
			m.complete(now) // the end of the one before came with the first events of this one
			m.open = transaction{commit: e.LSN, at: e.CommitTime()}
		}
	}
	if end > m.open.commit {
		m.complete(now)
	}
}

func (m *Meter) complete(now time.Time) {
	if m.open.commit != 0 {
		m.latencies.add(now, now.Sub(m.open.at))
	}
	m.open = transaction{}
}

func (m *Meter) sink(name string) *sinkMeter {
	if m.sinks[name] == nil {
		m.sinks[name] = new(sinkMeter)
	}
	return m.sinks[name]
}

// read adds what was measured to s.
func (m *Meter) read(s *Status, sinks []pipeline.SinkState) {
	since, second := m.since.Unix(), s.At.Unix()
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Source.DownSince, s.LastTamper = m.down, m.lastTamper
	s.EventsPerSecond = m.events.rates(since, second)
	s.Operations = make(map[string]uint64, decoder.NumOps)
	for op := range decoder.NumOps {
		s.Operations[op.String()] = m.operations[op]
	}
	s.Latency = m.latencies.read(s.At)
	s.Sinks = make([]Sink, len(sinks))
	for i, state := range sinks {
		measured := m.sink(state.Name)
		s.Sinks[i] = Sink{
			SinkState: state, WritingSince: measured.writing,
			EventsPerSecond: measured.events.rates(since, second), BytesPerSecond: measured.bytes.rates(since, second),
		}
	}
}
