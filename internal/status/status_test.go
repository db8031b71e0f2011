package status

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"pgwitness/decoder"
	"pgwitness/internal/metrics"
	"pgwitness/internal/pgoutputtest"
	"pgwitness/internal/pipeline"
	"pgwitness/internal/replication"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestStatus(t *testing.T) {
	source := Source{Name: "shop", Database: "shopdb", Slot: "pgwitness", Publication: "audit", Table: "public.custom_audit_log"}
	tests := []struct {
		name string
		play func(m *Meter) (Config, metrics.Snapshot, []pipeline.SinkState)
	}{
		{"before", func(*Meter) (Config, metrics.Snapshot, []pipeline.SinkState) {
			return Config{Version: "v1.2.3", Source: source}, metrics.Snapshot{Since: time.Now()}, []pipeline.SinkState{}
		}},
		{"streaming", func(m *Meter) (Config, metrics.Snapshot, []pipeline.SinkState) {
			since, safe := time.Now(), int64(1<<20)
			m.Streaming(true)
			events := pgoutputtest.Events(0x1000, 2, 5)
			for range 20 { // seconds
				m.Attempt("file")
				m.Delivered("file", len(events), 2000)
				m.Durable(events, 0x1130)
				time.Sleep(time.Second)
			}
			m.Attempt("file")
			m.Failed("file", "no_space")
			return Config{Version: "v1.2.3", Source: source, Buffer: Buffer{Bytes: 4096, Limit: 16 << 20}, ShowsEvents: true}, metrics.Snapshot{
					Since: since, Streaming: true, StreamingSince: since, Reconnect: "refused", Received: 0x16B3748, Confirmed: 0x16B3700,
					Slot: &replication.SlotState{Active: true, WALStatus: "reserved", RetainedWAL: 4096, ConfirmedLag: 72, SafeWAL: &safe,
						Position: 0x16B3748, At: time.Now()},
					Transactions: 40, Events: 200, RetentionEvents: 2, IncompleteEvents: 3,
				}, []pipeline.SinkState{{
					Name: "file", State: "failing", Error: "write audit.jsonl: no space left on device",
					Position: decoder.Position{LSN: 0x16B3700, Seq: 1}, LastSuccess: since, FailingSince: time.Now(), Failures: 1,
				}}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := NewMeter(metrics.New(metrics.Config{}))
				got, err := json.MarshalIndent(m.Status(tt.play(m)), "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				golden := filepath.Join("testdata", tt.name+".json")
				if *update {
					if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
					t.Errorf("not what %s has (-want +got); -update writes it anew:\n%s", golden, diff)
				}
			})
		})
	}
}

// The state of a process that nothing is wrong with, five minutes after its start.
func well() *Status {
	start := time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC)
	at := start.Add(5 * time.Minute)
	return &Status{
		Since: start, At: at, Role: Active, Source: Source{Connected: true, StreamingSince: start},
		Slot:  &replication.SlotState{Active: true, WALStatus: "reserved", RetainedWAL: 1 << 20, At: at},
		Lag:   &Lag{},
		Sinks: []Sink{{SinkState: pipeline.SinkState{Name: "file", State: "ok"}}},
	}
}

func TestProblems(t *testing.T) {
	ago := func(s *Status, d time.Duration) time.Time { return s.At.Add(-d) }
	bytes := func(n int64) *int64 { return &n }
	tests := []struct {
		name   string
		change func(s *Status)
		want   []Problem // without fixes
	}{
		{"nothing", func(*Status) {}, nil},
		{"busy and well", func(s *Status) {
			s.Slot.SafeWAL, s.Slot.WALStatus, s.Slot.RetainedWAL = bytes(700<<20), "extended", 1000<<20
			s.Sinks[0].WritingSince, s.Latency.P50 = ago(s, 29*time.Second), 29
		}, nil},
		{"just lost", func(s *Status) {
			s.Role, s.Source.DownSince, s.Source.LastError = Connecting, ago(s, 29*time.Second), "refused"
		}, []Problem{{Warning, "nothing has been streamed for 29 s: the connection is refused", "", "pgwitness_source_connected"}}},
		{"lost for long", func(s *Status) {
			s.Role, s.Source.DownSince, s.Source.LastError = Connecting, ago(s, 30*time.Second), "auth"
			s.Slot.At = ago(s, time.Hour) // not said again
		}, []Problem{{Critical, "nothing has been streamed for 30 s: the credentials are refused", "", "pgwitness_source_connected"}}},
		{"a reason of tomorrow", func(s *Status) { s.Role, s.Source.DownSince, s.Source.LastError = Connecting, s.At, "moon" },
			[]Problem{{Warning, "nothing has been streamed for 0 s: see the log", "", "pgwitness_source_connected"}}},
		{"standby", func(s *Status) { s.Role, s.Source.DownSince = Standby, s.Since },
			[]Problem{{Info, "another process streams from the slot; this one waits and takes over when that one ends", "", "pgwitness_active"}}},
		{"ended for want of evidence", func(s *Status) { s.Role, s.ExitCode = Ended, 4 },
			[]Problem{{Critical, "the run has ended: evidence was or may have been lost", "", "pgwitness_run_ended"}}},
		{"ended for want of set-up", func(s *Status) { s.Role, s.ExitCode = Ended, 3 },
			[]Problem{{Critical, "the run has ended: the database is not set up for pgwitness", "", "pgwitness_run_ended"}}},
		{"clock ahead", func(s *Status) { s.Server = &Server{ClockOffset: 1.25} },
			[]Problem{{Warning, "the server's clock is 1.2 s ahead of this machine's", "", "pgwitness_source_clock_offset_seconds"}}},
		{"clock behind", func(s *Status) { s.Server = &Server{ClockOffset: -90} },
			[]Problem{{Warning, "the server's clock is 1 min 30 s behind this machine's", "", "pgwitness_source_clock_offset_seconds"}}},
		{"clock well", func(s *Status) { s.Server = &Server{ClockOffset: -.99} }, nil},
		{"standbys", func(s *Status) {
			s.Slot.Failover = new(bool)
			*s.Slot.Failover = true
			s.Standbys = []replication.StandbyState{{Name: "a:5432", Ready: true}, {Name: "b:5432", Problem: "it has no such slot"}}
		}, []Problem{{Warning, "after a failover to b:5432 rows would be missing: it has no such slot", "", "pgwitness_standby_slot_ready"}}},
		{"standbys without a failover slot", func(s *Status) {
			s.Slot.Failover, s.Standbys = new(bool), []replication.StandbyState{{Name: "b:5432", Problem: "it has no such slot"}}
		}, []Problem{{Warning, "the slot is not one that is synchronised to standbys: after a failover rows are missing from the sinks", "", "pgwitness_slot_failover_enabled"}}},
		{"no failover wanted", func(s *Status) { s.Slot.Failover = new(bool) }, nil},
		{"dead letters", func(s *Status) { s.Sinks[0].DeadLetters = 1 },
			[]Problem{{Critical, "sink file has refused 1 event for good", "", "pgwitness_dead_letter_events_total"}}},
		{"slow", func(s *Status) { s.Latency.P50 = 42 },
			[]Problem{{Warning, "events are durable only 42 s after their commit", "", "pgwitness_commit_to_durable_seconds"}}},
		{"slot lost", func(s *Status) { s.Slot.WALStatus = "lost" },
			[]Problem{{Critical, "the slot is lost: the server has removed WAL that was not delivered", "", "pgwitness_slot_wal_status"}}},
		{"slot unreserved", func(s *Status) { s.Slot.WALStatus, s.Slot.SafeWAL = "unreserved", bytes(-1) },
			[]Problem{{Critical, "the slot is about to be lost: it is past max_slot_wal_keep_size", "", "pgwitness_slot_wal_status"}}},
		{"slot near its limit", func(s *Status) { s.Slot.RetainedWAL, s.Slot.SafeWAL = 61<<20, bytes(39<<20) },
			[]Problem{{Warning, "the slot is near its limit: 39 MB more of WAL, and it may be lost", "", "pgwitness_slot_safe_wal_bytes"}}},
		{"slot nearer its limit", func(s *Status) { s.Slot.RetainedWAL, s.Slot.SafeWAL = 81<<20, bytes(19<<20) },
			[]Problem{{Critical, "the slot is near its limit: 19 MB more of WAL, and it may be lost", "", "pgwitness_slot_safe_wal_bytes"}}},
		{"much retained", func(s *Status) { s.Slot.RetainedWAL = 2 << 30 },
			[]Problem{{Warning, "the server keeps 2.0 GB of WAL for the slot", "", "pgwitness_slot_retained_wal_bytes"}}},
		{"stale", func(s *Status) { s.Slot.At = ago(s, time.Minute) },
			[]Problem{{Warning, "what is said of the slot is 1 min old: it cannot be watched", "", "pgwitness_slot_last_read_timestamp_seconds"}}},
		{"slot not read yet", func(s *Status) { s.Slot, s.Lag = nil, nil }, nil},
		{"sink fails", func(s *Status) {
			s.Sinks[0].State, s.Sinks[0].Error, s.Sinks[0].FailingSince = "failing", "disk full", ago(s, 3*time.Second)
		}, []Problem{{Warning, "sink file has failed for 3.0 s: disk full", "", "pgwitness_sink_failures_total"}}},
		{"sink fails for long", func(s *Status) {
			s.Sinks[0].State, s.Sinks[0].Error, s.Sinks[0].FailingSince = "failing", "disk full", ago(s, 30*time.Second)
		}, []Problem{{Critical, "sink file has failed for 30 s: disk full", "", "pgwitness_sink_failures_total"}}},
		{"slow write", func(s *Status) { s.Sinks[0].WritingSince = ago(s, 30*time.Second) },
			[]Problem{{Warning, "sink file has been writing one batch for 30 s", "", "pgwitness_sink_last_success_timestamp_seconds"}}},
		{"hung write", func(s *Status) { s.Sinks[0].WritingSince = ago(s, 5*time.Minute) },
			[]Problem{{Critical, "sink file has been writing one batch for 5 min", "", "pgwitness_sink_last_success_timestamp_seconds"}}},
		{"tampering", func(s *Status) { s.TamperEvents, s.LastTamper = 2, ago(s, 59*time.Minute) },
			[]Problem{{Critical, "the audit table was tampered with: 2 changes to rows already in it, the last one 59 min ago", "", "pgwitness_tamper_events_total"}}},
		{"the gravest first", func(s *Status) {
			s.RetentionEvents, s.IncompleteEvents, s.TamperEvents, s.LastTamper = 2, 1, 1, ago(s, time.Hour)
			s.Slot.WALStatus = "lost"
		}, []Problem{
			{Critical, "the slot is lost: the server has removed WAL that was not delivered", "", "pgwitness_slot_wal_status"},
			{Warning, "the audit table was tampered with: 1 change to rows already in it, the last one 1 h ago", "", "pgwitness_tamper_events_total"},
			{Warning, "1 DELETE does not say what was deleted: the trigger wrote nothing but nulls", "", "pgwitness_incomplete_events_total"},
			{Info, "2 audit rows were deleted as retention that was announced", "", "pgwitness_retention_events_total"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := well()
			tt.change(s)
			s.Problems = problems(s)
			worst := Severity("")
			if len(tt.want) > 0 {
				worst = tt.want[0].Severity
			}
			if s.Worst() != worst {
				t.Errorf("the worst is %q, want %q", s.Worst(), worst)
			}
			got := s.Problems
			for i := range got {
				if got[i].Fix == "" {
					t.Errorf("%q has no fix", got[i].What)
				}
				got[i].Fix = ""
			}
			if got == nil {
				t.Error("no problems are null in JSON, want []")
			}
			if diff := cmp.Diff(append([]Problem{}, tt.want...), got); diff != "" {
				t.Errorf("the problems are others (-want +got):\n%s", diff)
			}
		})
	}
}

// Each word that a stream can end with is said for people.
func TestDownReasons(t *testing.T) {
	for _, reason := range append([]string{""}, replication.Reasons...) {
		if reason == replication.ReasonSlotBusy {
			continue // that is a standby
		}
		if downWords[reason] == "" || downFixes[reason] == "" {
			t.Errorf("%q has the words %q and the fix %q", reason, downWords[reason], downFixes[reason])
		}
	}
}

// What the fix says of retained WAL depends on what holds it.
func TestRetainedFix(t *testing.T) {
	s := well()
	s.Slot.RetainedWAL, s.Lag.Confirmed = 2<<30, 2<<30
	behind := problems(s)[0].Fix
	s.Lag.Confirmed = 0
	if open := problems(s)[0].Fix; open == behind {
		t.Errorf("both times it says %q", open)
	}
}

// A process that stands by has received and confirmed nothing itself: what it lags behind is the slot, not the whole WAL.
func TestLagOfAStandby(t *testing.T) {
	m := NewMeter(metrics.New(metrics.Config{}))
	s := m.Status(Config{}, metrics.Snapshot{Slot: &replication.SlotState{ConfirmedLag: 72, Position: 0x16B3748}}, nil)
	if want := (Lag{Received: 72, Confirmed: 72}); s.Lag == nil || *s.Lag != want {
		t.Errorf("the lag is %+v, want %+v", s.Lag, want)
	}
}
