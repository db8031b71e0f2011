package metrics

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/goleak"

	"pgwitness/decoder"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/internal/replication"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everything returns Metrics of which every series is shown.
func everything(t testing.TB, sinks ...string) *Metrics {
	t.Helper()
	m := New(Config{Sinks: sinks, Tables: 25, Users: 25, Buffered: func() (int, int) { return 1, 2 }})
	zone, safe, yes := time.Now(), int64(1), true
	m.ObserveServer(replication.ServerState{Timeline: 1})
	m.ObserveSlot(replication.SlotState{SafeWAL: &safe, InactiveSince: &zone, Failover: &yes, At: zone})
	m.ObserveTable(&replication.TableState{Bytes: 1, Oldest: &zone})
	m.ObserveStandby(replication.StandbyState{Name: "b:5432", Ready: true, At: zone})
	m.Durable(decode(t, 0x1000, pgoutputtest.Insert(pgoutputtest.RelationOID, auditRow("INSERT")...)), 0x1030)
	return m
}

func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(everything(t, "file").Registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// own returns the metrics that m shows now, by their names, without those of Go and the process.
func own(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*dto.MetricFamily{}
	for _, family := range families {
		if strings.HasPrefix(family.GetName(), namespace) {
			found[family.GetName()] = family
		}
	}
	return found
}

// What is shown is what is defined.
func TestDefinitions(t *testing.T) {
	shown := own(t, everything(t, "file"))
	for _, d := range Definitions() {
		family := shown[d.Name]
		if family == nil {
			t.Errorf("%s is defined and not shown", d.Name)
			continue
		}
		delete(shown, d.Name)
		if got := strings.ToLower(family.GetType().String()); got != string(d.Type) {
			t.Errorf("%s is a %s, and defined as a %s", d.Name, got, d.Type)
		}
		var labels []string
		for _, pair := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, pair.GetName())
		}
		want := slices.Sorted(slices.Values(d.Labels))
		if diff := cmp.Diff(want, labels, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("the labels of %s are not those that are defined (-want +got):\n%s", d.Name, diff)
		}
	}
	for name := range shown {
		t.Errorf("%s is shown and not defined", name)
	}
}

// What is not known is absent: a 0 would be a good value, or an alarming one.
func TestAbsent(t *testing.T) {
	absent := strings.Fields(`
		pgwitness_source_timeline pgwitness_source_clock_offset_seconds pgwitness_last_event_timestamp_seconds
		pgwitness_audited_rows_total pgwitness_audited_user_rows_total pgwitness_buffer_bytes pgwitness_buffer_limit_bytes
		pgwitness_slot_active pgwitness_slot_inactive_since_timestamp_seconds pgwitness_slot_retained_wal_bytes
		pgwitness_slot_confirmed_lag_bytes pgwitness_slot_safe_wal_bytes pgwitness_slot_wal_status
		pgwitness_slot_spilled_transactions_total pgwitness_slot_spilled_bytes_total pgwitness_slot_failover_enabled
		pgwitness_standby_slot_ready pgwitness_standby_last_read_timestamp_seconds
		pgwitness_audit_table_bytes pgwitness_audit_table_oldest_row_timestamp_seconds`)
	shown := own(t, New(Config{Sinks: []string{"file"}}))
	for _, d := range Definitions() {
		if got, want := shown[d.Name] == nil, slices.Contains(absent, d.Name); got != want {
			t.Errorf("%s is absent: %t, want %t", d.Name, got, want)
		}
	}
}

// expect compares all series of the metrics in want with what m shows, without the comments.
func expect(t *testing.T, m *Metrics, want string) {
	t.Helper()
	var names []string
	for line := range strings.Lines(strings.TrimSpace(want)) {
		names = append(names, line[:strings.IndexAny(line, "{ ")])
	}
	text, err := testutil.GatherAndFormat(m.Registry(), expfmt.TypeTextPlain, names...)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			got.WriteString(line)
		}
	}
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got.String())); diff != "" {
		t.Errorf("what is shown is not what is wanted (-want +got):\n%s", diff)
	}
}

func TestInitialSeries(t *testing.T) {
	expect(t, New(Config{Sinks: []string{"archive", "file"}, Version: "v1.2.3", Commit: "abc", GoVersion: "go1"}), `
pgwitness_active 0
pgwitness_audited_operations_total{operation="delete"} 0
pgwitness_audited_operations_total{operation="insert"} 0
pgwitness_audited_operations_total{operation="other"} 0
pgwitness_audited_operations_total{operation="truncate"} 0
pgwitness_audited_operations_total{operation="update"} 0
pgwitness_build_info{commit="abc",goversion="go1",version="v1.2.3"} 1
pgwitness_dead_letter_events_total{sink="archive"} 0
pgwitness_dead_letter_events_total{sink="file"} 0
pgwitness_events_total{op="delete"} 0
pgwitness_events_total{op="insert"} 0
pgwitness_events_total{op="truncate"} 0
pgwitness_events_total{op="update"} 0
pgwitness_filtered_events_total{sink="archive"} 0
pgwitness_filtered_events_total{sink="file"} 0
pgwitness_incomplete_events_total 0
pgwitness_retention_events_total 0
pgwitness_run_ended{exit_code="3"} 0
pgwitness_run_ended{exit_code="4"} 0
pgwitness_sink_attempts_total{sink="archive"} 0
pgwitness_sink_attempts_total{sink="file"} 0
pgwitness_sink_failures_total{reason="canceled",sink="archive"} 0
pgwitness_sink_failures_total{reason="canceled",sink="file"} 0
pgwitness_sink_failures_total{reason="closed",sink="archive"} 0
pgwitness_sink_failures_total{reason="closed",sink="file"} 0
pgwitness_sink_failures_total{reason="io",sink="archive"} 0
pgwitness_sink_failures_total{reason="io",sink="file"} 0
pgwitness_sink_failures_total{reason="no_space",sink="archive"} 0
pgwitness_sink_failures_total{reason="no_space",sink="file"} 0
pgwitness_sink_failures_total{reason="not_found",sink="archive"} 0
pgwitness_sink_failures_total{reason="not_found",sink="file"} 0
pgwitness_sink_failures_total{reason="other",sink="archive"} 0
pgwitness_sink_failures_total{reason="other",sink="file"} 0
pgwitness_sink_failures_total{reason="permission",sink="archive"} 0
pgwitness_sink_failures_total{reason="permission",sink="file"} 0
pgwitness_sink_failures_total{reason="rejected",sink="archive"} 0
pgwitness_sink_failures_total{reason="rejected",sink="file"} 0
pgwitness_sink_failures_total{reason="timeout",sink="archive"} 0
pgwitness_sink_failures_total{reason="timeout",sink="file"} 0
pgwitness_slot_last_read_timestamp_seconds 0
pgwitness_source_reconnects_total{reason="auth"} 0
pgwitness_source_reconnects_total{reason="closed"} 0
pgwitness_source_reconnects_total{reason="dns"} 0
pgwitness_source_reconnects_total{reason="in_recovery"} 0
pgwitness_source_reconnects_total{reason="other"} 0
pgwitness_source_reconnects_total{reason="refused"} 0
pgwitness_source_reconnects_total{reason="shutdown"} 0
pgwitness_source_reconnects_total{reason="silent"} 0
pgwitness_source_reconnects_total{reason="slot_busy"} 0
pgwitness_source_reconnects_total{reason="slot_endangered"} 0
pgwitness_source_reconnects_total{reason="slot_held"} 0
pgwitness_source_reconnects_total{reason="starting"} 0
pgwitness_source_reconnects_total{reason="timeout"} 0
pgwitness_standby 0
pgwitness_tamper_events_total{op="delete"} 0
pgwitness_tamper_events_total{op="truncate"} 0
pgwitness_tamper_events_total{op="update"} 0
`)
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Config{})
		began := time.Now()
		m.Reconnect("refused")
		m.Reconnect("dns")
		time.Sleep(time.Second)
		m.Streaming(true)
		m.Received(0x1_0000_0010)
		m.Flushed(0x1_0000_0000)
		m.DecodeError()
		expect(t, m, `
pgwitness_active 1
pgwitness_confirmed_lsn_bytes 4.294967296e+09
pgwitness_decode_errors_total 1
pgwitness_received_lsn_bytes 4.294967312e+09
pgwitness_source_connected 1
`)
		want := Snapshot{
			Since: began, Streaming: true, StreamingSince: began.Add(time.Second), Reconnect: "dns",
			Received: 0x1_0000_0010, Confirmed: 0x1_0000_0000,
		}
		if diff := cmp.Diff(want, m.Snapshot()); diff != "" {
			t.Errorf("the snapshot is not what is wanted (-want +got):\n%s", diff)
		}
		if got := testutil.ToFloat64(m.reconnects.WithLabelValues("dns")); got != 1 {
			t.Errorf("%v reconnects for dns, want 1", got)
		}

		m.Streaming(false)
		expect(t, m, `
pgwitness_active 0
pgwitness_source_connected 0
`)
		if got := m.Snapshot().StreamingSince; !got.IsZero() {
			t.Errorf("streaming since %v after the stream ended", got)
		}
	})
}

func TestSlot(t *testing.T) {
	at := time.UnixMilli(1_795_422_600_250)
	safe := int64(-512)
	m := New(Config{})
	m.ObserveSlot(replication.SlotState{
		Active: true, WALStatus: "unreserved", RetainedWAL: 4096, ConfirmedLag: 1024, SafeWAL: &safe, At: at,
	})
	expect(t, m, `
pgwitness_slot_active 1
pgwitness_slot_confirmed_lag_bytes 1024
pgwitness_slot_last_read_timestamp_seconds 1.79542260025e+09
pgwitness_slot_retained_wal_bytes 4096
pgwitness_slot_safe_wal_bytes -512
pgwitness_slot_wal_status{status="extended"} 0
pgwitness_slot_wal_status{status="lost"} 0
pgwitness_slot_wal_status{status="reserved"} 0
pgwitness_slot_wal_status{status="unreserved"} 1
`)
	m.ObserveSlot(replication.SlotState{WALStatus: "reserved", At: at})
	for _, name := range []string{
		"pgwitness_slot_safe_wal_bytes", "pgwitness_slot_inactive_since_timestamp_seconds", "pgwitness_slot_failover_enabled",
	} {
		if own(t, m)[name] != nil {
			t.Errorf("%s is shown though the catalog does not have it", name)
		}
	}
}

func TestSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Config{Sinks: []string{"file", "archive"}})
		m.Attempt("file")
		m.Failed("file", "no_space")
		m.Attempt("file")
		m.Delivered("file", 3, 700)
		m.Attempt("file")
		m.Delivered("file", 2, 400)
		expect(t, m, `
pgwitness_sink_attempts_total{sink="archive"} 0
pgwitness_sink_attempts_total{sink="file"} 3
pgwitness_sink_delivered_bytes_total{sink="archive"} 0
pgwitness_sink_delivered_bytes_total{sink="file"} 1100
pgwitness_sink_delivered_events_total{sink="archive"} 0
pgwitness_sink_delivered_events_total{sink="file"} 5
pgwitness_sink_last_success_timestamp_seconds{sink="archive"} 0
pgwitness_sink_last_success_timestamp_seconds{sink="file"} 9.466848e+08
`) // the bubble's clock stands at the beginning of the year 2000
		if got := testutil.ToFloat64(m.sinkFailures.WithLabelValues("file", "no_space")); got != 1 {
			t.Errorf("%v failures for no_space, want 1", got)
		}
	})
}

// decode returns the events of one transaction that commits at lsn with these changes of the seed's audit table.
func decode(t testing.TB, lsn decoder.LSN, changes ...[]byte) []decoder.Event {
	t.Helper()
	d := decoder.New(decoder.Config{Source: "shop", Schema: "public", Table: "custom_audit_log"})
	var batch decoder.Batch
	messages := append([][]byte{pgoutputtest.AuditRelation(), pgoutputtest.Begin(lsn, pgoutputtest.Epoch, 742)}, changes...)
	for _, message := range append(messages, pgoutputtest.Commit(lsn, lsn+0x30, pgoutputtest.Epoch)) {
		if _, err := d.Decode(message, &batch); err != nil {
			t.Fatal(err)
		}
	}
	return batch.Events
}

func auditRow(eventType pgoutputtest.Value) []pgoutputtest.Value {
	return []pgoutputtest.Value{"1", eventType, nil, "app", "orders", "{}"}
}
