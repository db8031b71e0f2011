package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pgwitness/decoder"
	"pgwitness/internal/replication"
)

// Snapshot is the state at one moment.
type Snapshot struct {
	// Since is when the counting began.
	Since time.Time
	// Streaming says whether the stream is connected and streams; StreamingSince since when, zero if it does not.
	Streaming      bool
	StreamingSince time.Time
	// Reconnect is why the last connection was lost or could not be made, one of replication.Reasons; empty if none was.
	Reconnect string
	// Received is up to where the server has sent, Confirmed the flush position it was told; 0 before the first of each.
	Received, Confirmed decoder.LSN
	// Slot is what the catalog last said; nil before it was read. It is shared: read only.
	Slot *replication.SlotState
	// Transactions and the rest count what every sink has made durable, as the counters of these names do.
	Transactions, Events, TamperEvents, RetentionEvents, IncompleteEvents uint64
}

// Snapshot returns the state now.
func (m *Metrics) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// update changes the state.
func (m *Metrics) update(change func(*Snapshot)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.state)
}

var (
	activeDesc = describe("active",
		"1 while this process streams from the slot, 0 otherwise. Of all processes of one slot exactly one should be active.")
	connectedDesc = describe("source_connected",
		"1 while the replication connection to PostgreSQL is up. If it stays 0, pgwitness_source_reconnects_total says why.")
	receivedDesc = describe("received_lsn_bytes",
		"WAL position up to which the server has sent, in bytes; 0 before the first. What it is ahead of "+
			"pgwitness_confirmed_lsn_bytes has been received and is not confirmed yet.")
	confirmedDesc = describe("confirmed_lsn_bytes",
		"Flush position that the server was told, in bytes; 0 before the first. Everything before it is durable in every sink. If "+
			"it stands still while the received one moves, a sink fails: see pgwitness_sink_failures_total.")
	slotReadDesc = describe("slot_last_read_timestamp_seconds",
		"When the slot was last read from the catalog, in Unix time; 0 if it was not yet. If it is old, so are the other "+
			"pgwitness_slot metrics: the second connection, which the stream does not need, fails; the log says why.")
	slotActiveDesc = describe("slot_active",
		"1 if the catalog says that a consumer is connected to the slot. 0 for long means that WAL piles up on the server.")
	slotRetainedDesc = describe("slot_retained_wal_bytes",
		"WAL that the server keeps on its disk for the slot. If it grows without end, the disk fills: mend what holds "+
			"pgwitness_confirmed_lsn_bytes back, or end the transaction that has been open for so long.")
	slotLagDesc = describe("slot_confirmed_lag_bytes",
		"WAL between the slot's flush position and the server's, of all tables. It shrinks as soon as the sinks keep up.")
	slotSafeDesc = describe("slot_safe_wal_bytes",
		"WAL that can still be written before the slot may be invalidated and evidence lost; negative if it is past that. "+
			"Absent where max_slot_wal_keep_size sets no limit. Act long before 0: raise that setting or mend the sink.")
	slotStatusDesc = describe("slot_wal_status",
		"1 for the slot's wal_status, 0 for the others. \"unreserved\" is the last moment to act: raise max_slot_wal_keep_size or "+
			"mend what is behind; with \"lost\" the stream has ended, and rows must be taken from the table.", "status")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

// stateCollector shows the gauges, all of one moment. That it is no set of gauges to be kept up to date is what lets those
// of the slot be absent while they are not known: a 0 would be a good value.
type stateCollector struct{ metrics *Metrics }

// Describe implements prometheus.Collector.
func (c stateCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		activeDesc, connectedDesc, receivedDesc, confirmedDesc,
		slotReadDesc, slotActiveDesc, slotRetainedDesc, slotLagDesc, slotSafeDesc, slotStatusDesc,
	} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c stateCollector) Collect(collected chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		collected <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	s := c.metrics.Snapshot()
	gauge(activeDesc, oneIf(s.Streaming))
	gauge(connectedDesc, oneIf(s.Streaming))
	gauge(receivedDesc, float64(s.Received))
	gauge(confirmedDesc, float64(s.Confirmed))
	if s.Slot == nil {
		gauge(slotReadDesc, 0)
		return
	}
	gauge(slotReadDesc, unixSeconds(s.Slot.At))
	gauge(slotActiveDesc, oneIf(s.Slot.Active))
	gauge(slotRetainedDesc, float64(s.Slot.RetainedWAL))
	gauge(slotLagDesc, float64(s.Slot.ConfirmedLag))
	if s.Slot.SafeWAL != nil {
		gauge(slotSafeDesc, float64(*s.Slot.SafeWAL))
	}
	for _, status := range replication.WALStatuses {
		gauge(slotStatusDesc, oneIf(s.Slot.WALStatus == status), status)
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }
