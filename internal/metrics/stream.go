package metrics

import (
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/replication"
)

var (
	_ replication.Observer        = (*Metrics)(nil)
	_ replication.MonitorObserver = (*Metrics)(nil)
)

// Streaming implements replication.Observer.
func (m *Metrics) Streaming(streaming bool) {
	now := time.Now()
	m.update(func(s *Snapshot) {
		s.Streaming, s.StreamingSince = streaming, time.Time{}
		if streaming {
			s.StreamingSince = now
		}
		m.heard = now
	})
}

// Reconnect implements replication.Observer.
func (m *Metrics) Reconnect(reason string) {
	m.reconnects.WithLabelValues(reason).Inc()
	now := time.Now()
	m.update(func(s *Snapshot) { s.Reconnect, m.heard = reason, now })
}

// Standby implements replication.Observer. It is a sign of life; that it is a standby the last Reconnect says.
func (m *Metrics) Standby() {
	now := time.Now()
	m.update(func(*Snapshot) { m.heard = now })
}

// Received implements replication.Observer. It is called for each transaction, and so does not look at the clock.
func (m *Metrics) Received(lsn decoder.LSN) {
	m.update(func(s *Snapshot) { s.Received = lsn })
}

// Flushed implements replication.Observer.
func (m *Metrics) Flushed(lsn decoder.LSN) {
	now := time.Now()
	m.update(func(s *Snapshot) { s.Confirmed, m.heard = lsn, now })
}

// DecodeError implements replication.Observer.
func (m *Metrics) DecodeError() { m.decodeErrors.Inc() }

// Answering implements replication.MonitorObserver.
func (m *Metrics) Answering(answering bool) {
	m.update(func(s *Snapshot) { s.Answering = answering })
}

// ObserveServer implements replication.MonitorObserver.
func (m *Metrics) ObserveServer(state replication.ServerState) {
	m.update(func(s *Snapshot) { s.Server = &state })
}

// ObserveSlot implements replication.MonitorObserver.
func (m *Metrics) ObserveSlot(state replication.SlotState) {
	m.update(func(s *Snapshot) { s.Slot = &state })
}

// ObserveTable implements replication.MonitorObserver.
func (m *Metrics) ObserveTable(state *replication.TableState) {
	m.update(func(s *Snapshot) { s.Table = state })
}

// ObserveStandby implements replication.MonitorObserver.
func (m *Metrics) ObserveStandby(state replication.StandbyState) {
	m.update(func(s *Snapshot) { s.Standbys = withStandby(s.Standbys, state) })
}

// Ended says that the run has ended with this exit code, and that the process lingers so that it is seen.
func (m *Metrics) Ended(exitCode int) {
	m.update(func(s *Snapshot) { s.ExitCode, s.Answering = exitCode, false })
}
