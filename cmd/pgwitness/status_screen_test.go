package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pgwitness/decoder"
	"pgwitness/internal/pipeline"
	"pgwitness/internal/replication"
	"pgwitness/internal/status"
	"pgwitness/internal/terminal"
)

var update = flag.Bool("update", false, "write the golden files anew")

// wellStatus is that of a process with nothing wrong.
func wellStatus() *status.Status {
	at := time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC)
	safe := int64(1 << 30)
	return &status.Status{
		Version: "v1.2.3", Since: at.Add(-3 * time.Hour), At: at, UptimeSeconds: 3 * 3600, Role: status.Active,
		Source: status.Source{
			Name: "shop", Database: "shopdb", Slot: "pgwitness", Publication: "pgwitness", Table: "public.custom_audit_log",
			Connected: true, StreamingSince: at.Add(-2*time.Hour - 5*time.Minute), Received: 0x16B3748, Confirmed: 0x16B3700,
		},
		Slot:            &replication.SlotState{Active: true, WALStatus: "reserved", RetainedWAL: 16 << 20, SafeWAL: &safe, Position: 0x16B3748, At: at},
		Lag:             &status.Lag{Confirmed: 72},
		Buffer:          status.Buffer{Bytes: 4096, Limit: 16 << 20},
		EventsPerSecond: status.Rate{Last10s: 52.1, Last60s: 49.7}, Events: 1_234_567,
		Latency: status.Latency{P50: .0021, P99: .022, Transactions: 900},
		Sinks: []status.Sink{
			{
				SinkState: pipeline.SinkState{Name: "file", State: "ok", Position: decoder.Position{LSN: 0x16B3700}, DeliveredEvents: 1_234_567,
					LastSuccess: at.Add(-13 * time.Millisecond)},
				EventsPerSecond: status.Rate{Last10s: 52.1}, BytesPerSecond: status.Rate{Last10s: 19_000},
			},
			{SinkState: pipeline.SinkState{Name: "siem", State: "opening"}},
		},
	}
}

func TestRenderStatus(t *testing.T) {
	failing := func(s *status.Status) {
		s.Sinks[1].State, s.Sinks[1].Failures = "failing", 12
		s.Sinks[1].Error = "Post \"https://siem.example.com:8088/services/collector/event\":\n\tdial tcp 192.0.2.1:8088: connect: connection refused\x1b[2J"
		s.Sinks[1].FailingSince, s.Sinks[1].NextAttempt = s.At.Add(-125*time.Second), s.At.Add(3*time.Second)
		s.Sinks[1].DeliveredEvents, s.Sinks[1].LastSuccess = 1_200_000, s.At.Add(-126*time.Second)
		s.Sinks[1].DeadLetters, s.Sinks[0].Filtered = 1, 4321
		s.Slot.WALStatus = "unreserved"
		*s.Slot.SafeWAL = -5
		s.Standbys = []replication.StandbyState{{Name: "b.example.com:5432", Problem: "the slot is not there"}, {Name: "c:5432", Ready: true}}
		s.Problems = []status.Problem{
			{Severity: status.Critical, What: "sink siem has failed for 2 min 5 s: " + s.Sinks[1].Error, Fix: "mend it: it is tried again by itself"},
			{Severity: status.Warning, What: "the server keeps 16 MB of WAL for the slot", Fix: "mend what is behind"},
		}
	}
	tests := []struct {
		name    string
		change  func(s *status.Status)
		width   int
		colours bool
	}{
		{"well", func(*status.Status) {}, pipedWidth, false},
		{"well-40", func(*status.Status) {}, 40, false},
		{"failing", failing, pipedWidth, false},
		{"failing-40", failing, 40, false},
		{"failing-80-colours", failing, 80, true},
		{"failing-10", failing, 10, false}, // narrower than anybody's, and still whole
		{"connecting", func(s *status.Status) {
			s.Role, s.Source.Connected, s.Source.DownSince, s.Slot, s.Lag = status.Connecting, false, s.At.Add(-12*time.Second), nil, nil
			s.Sinks, s.Latency, s.Events, s.EventsPerSecond = nil, status.Latency{}, 0, status.Rate{}
			s.Problems = []status.Problem{{Severity: status.Warning, What: "nothing has been streamed for 12 s: the connection is refused",
				Fix: "start PostgreSQL, or mend host and port in source.dsn"}}
		}, 80, false},
		{"standby", func(s *status.Status) {
			s.Role, s.Source.DownSince, s.Latency, s.LastEvent = status.Standby, s.Since, status.Latency{}, s.At.Add(-time.Hour)
			s.Slot.SafeWAL = nil
			s.Problems = []status.Problem{{Severity: status.Info, What: "another process streams from the slot", Fix: "nothing, if there is to be a standby"}}
		}, 80, false},
		{"ended", func(s *status.Status) {
			s.Role, s.ExitCode, s.Slot.WALStatus = status.Ended, 4, "lost"
			s.Problems = []status.Problem{{Severity: status.Critical, What: "the run has ended: evidence was or may have been lost", Fix: "see the log"}}
		}, 80, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := wellStatus()
			tt.change(s)
			got := renderStatus(s, "http://localhost:9717", tt.width, tt.colours)
			golden := filepath.Join("testdata", "status", tt.name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("not what %s has (-want +got); -update writes it anew:\n%s", golden, diff)
			}
			for line := range strings.Lines(got) {
				if columns := terminal.Width(strings.TrimSuffix(line, "\n")); !tt.colours && tt.width >= 40 && columns >= tt.width {
					t.Errorf("%d columns of %d, which some terminals break: %s", columns, tt.width, line)
				}
			}
			if control := strings.ContainsFunc(got, func(r rune) bool { return r < ' ' && r != '\n' }); control != tt.colours {
				t.Errorf("it holds control characters: %t", control)
			}
		})
	}
}

func TestRedraw(t *testing.T) {
	tests := []struct {
		rows int
		want string
	}{
		{0, "\x1b[Ha\x1b[K\nb\x1b[K\nc\x1b[K\n\x1b[J"}, // not known
		{4, "\x1b[Ha\x1b[K\nb\x1b[K\nc\x1b[K\n\x1b[J"},
		{3, "\x1b[Ha\x1b[K\n…\x1b[K\n\x1b[J"}, // and the line that the cursor is on
	}
	for _, tt := range tests {
		if got := redraw("a\nb\nc\n", tt.rows); got != tt.want {
			t.Errorf("of %d rows: %q, want %q", tt.rows, got, tt.want)
		}
	}
}
