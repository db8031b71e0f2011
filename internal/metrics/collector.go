package metrics

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pgwitness/internal/replication"
)

// lingering are the exit codes that a process lingers with.
var lingering = []int{3, 4}

// stateCollector shows what is read off a state, all of one moment. That it is no set of gauges to be kept up to date is what
// lets those of the slot be absent while they are not known: a 0 would be a good value. It asks nobody: a scrape goes on while
// the database hangs.
type stateCollector struct{ metrics *Metrics }

// Describe implements prometheus.Collector.
func (c stateCollector) Describe(described chan<- *prometheus.Desc) {
	for _, desc := range descs {
		described <- desc
	}
}

// show shows the metric of that name, which is one of descs.
type show func(name string, value float64, labels ...string)

// Collect implements prometheus.Collector.
func (c stateCollector) Collect(collected chan<- prometheus.Metric) {
	gauge := func(name string, value float64, labels ...string) {
		collected <- prometheus.MustNewConstMetric(descs[name], prometheus.GaugeValue, value, labels...)
	}
	counter := func(name string, value float64, labels ...string) {
		collected <- prometheus.MustNewConstMetric(descs[name], prometheus.CounterValue, value, labels...)
	}
	c.metrics.mu.Lock()
	s, lastSuccess := c.metrics.state, maps.Clone(c.metrics.lastSuccess)
	c.metrics.mu.Unlock()
	cfg := c.metrics.cfg

	gauge("build_info", 1, cfg.Version, cfg.Commit, cfg.GoVersion)
	gauge("source_info", 1, cfg.Source, cfg.Slot)
	gauge("active", oneIf(s.Streaming))
	gauge("standby", oneIf(s.Standby()))
	for _, code := range lingering {
		gauge("run_ended", oneIf(s.ExitCode == code), strconv.Itoa(code))
	}
	gauge("source_connected", oneIf(s.Connected()))
	gauge("received_lsn_bytes", float64(s.Received))
	gauge("confirmed_lsn_bytes", float64(s.Confirmed))
	if !s.LastEvent.IsZero() {
		gauge("last_event_timestamp_seconds", unixSeconds(s.LastEvent))
	}
	if cfg.Buffered != nil {
		size, limit := cfg.Buffered()
		gauge("buffer_bytes", float64(size))
		gauge("buffer_limit_bytes", float64(limit))
	}
	for sink, at := range lastSuccess {
		gauge("sink_last_success_timestamp_seconds", unixSeconds(at), sink)
	}
	for _, standby := range s.Standbys {
		gauge("standby_slot_ready", oneIf(standby.Ready), standby.Name)
		gauge("standby_last_read_timestamp_seconds", unixSeconds(standby.At), standby.Name)
	}
	if s.Server != nil {
		gauge("source_timeline", float64(s.Server.Timeline))
		gauge("source_clock_offset_seconds", s.Server.ClockOffset.Seconds())
	}
	if s.Table != nil {
		gauge("audit_table_bytes", float64(s.Table.Bytes))
		if s.Table.Oldest != nil {
			gauge("audit_table_oldest_row_timestamp_seconds", unixSeconds(*s.Table.Oldest))
		}
	}
	if s.Slot == nil {
		gauge("slot_last_read_timestamp_seconds", 0)
		return
	}
	showSlot(*s.Slot, gauge, counter)
}

func showSlot(s replication.SlotState, gauge, counter show) {
	gauge("slot_last_read_timestamp_seconds", unixSeconds(s.At))
	gauge("slot_active", oneIf(s.Active))
	gauge("slot_retained_wal_bytes", float64(s.RetainedWAL))
	gauge("slot_confirmed_lag_bytes", float64(s.ConfirmedLag))
	if s.SafeWAL != nil {
		gauge("slot_safe_wal_bytes", float64(*s.SafeWAL))
	}
	if s.InactiveSince != nil {
		gauge("slot_inactive_since_timestamp_seconds", unixSeconds(*s.InactiveSince))
	}
	if s.Failover != nil {
		gauge("slot_failover_enabled", oneIf(*s.Failover))
	}
	for _, status := range replication.WALStatuses {
		gauge("slot_wal_status", oneIf(s.WALStatus == status), status)
	}
	counter("slot_spilled_transactions_total", float64(s.SpilledTransactions))
	counter("slot_spilled_bytes_total", float64(s.SpilledBytes))
}

// withStandby returns standbys with state in its place.
func withStandby(standbys []replication.StandbyState, state replication.StandbyState) []replication.StandbyState {
	changed := slices.DeleteFunc(slices.Clone(standbys), func(s replication.StandbyState) bool { return s.Name == state.Name })
	changed = append(changed, state)
	slices.SortFunc(changed, func(a, b replication.StandbyState) int { return strings.Compare(a.Name, b.Name) })
	return changed
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// unixSeconds is t in Unix time, and 0 for the zero time.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1e3
}
