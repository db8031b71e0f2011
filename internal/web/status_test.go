package web

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pgwitness/decoder"
	"pgwitness/internal/metrics"
	"pgwitness/internal/pipeline"
	"pgwitness/internal/replication"
)

func TestStatus(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC)
	source := Source{Name: "shop", Database: "shopdb", Slot: "pgwitness", Publication: "audit", Table: "public.custom_audit_log"}
	safe := int64(4096)
	tests := []struct {
		name  string
		now   metrics.Snapshot
		sinks []pipeline.SinkState
		want  string
	}{
		{"before the first connection", metrics.Snapshot{Since: at}, []pipeline.SinkState{}, `{
  "version": "v1.2.3",
  "since": "2026-11-23T08:30:00Z",
  "source": {
    "name": "shop",
    "database": "shopdb",
    "slot": "pgwitness",
    "publication": "audit",
    "table": "public.custom_audit_log",
    "connected": false,
    "received_lsn": "0/0",
    "confirmed_lsn": "0/0"
  },
  "slot": null,
  "sinks": [],
  "transactions": 0,
  "events": 0,
  "tamper_events": 0,
  "retention_events": 0,
  "incomplete_events": 0
}
`},
		{"streaming", metrics.Snapshot{
			Since: at, Streaming: true, StreamingSince: at.Add(time.Minute), Reconnect: "refused",
			Received: 0x16B3748, Confirmed: 0x16B3700,
			Slot:         &replication.SlotState{Active: true, WALStatus: "reserved", RetainedWAL: 4096, ConfirmedLag: 72, SafeWAL: &safe, At: at},
			Transactions: 2, Events: 5, TamperEvents: 1, RetentionEvents: 2, IncompleteEvents: 3,
		}, []pipeline.SinkState{{
			Name: "file", State: "failing", Error: "write a<b: no space left on device",
			Position: decoder.Position{LSN: 0x16B3700, Seq: 1}, LastSuccess: at,
		}}, `{
  "version": "v1.2.3",
  "since": "2026-11-23T08:30:00Z",
  "source": {
    "name": "shop",
    "database": "shopdb",
    "slot": "pgwitness",
    "publication": "audit",
    "table": "public.custom_audit_log",
    "connected": true,
    "streaming_since": "2026-11-23T08:31:00Z",
    "received_lsn": "0/16B3748",
    "confirmed_lsn": "0/16B3700",
    "last_error": "refused"
  },
  "slot": {
    "active": true,
    "wal_status": "reserved",
    "retained_wal_bytes": 4096,
    "confirmed_lag_bytes": 72,
    "safe_wal_bytes": 4096,
    "at": "2026-11-23T08:30:00Z"
  },
  "sinks": [
    {
      "name": "file",
      "state": "failing",
      "error": "write a<b: no space left on device",
      "position": {
        "lsn": "0/16B3700",
        "seq": 1
      },
      "last_success": "2026-11-23T08:30:00Z"
    }
  ],
  "transactions": 2,
  "events": 5,
  "tamper_events": 1,
  "retention_events": 2,
  "incomplete_events": 3
}
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, _ := start(t, Config{Status: func() Status { return NewStatus("v1.2.3", source, tt.now, tt.sinks) }})
			got := request(t, server, http.MethodGet, "/status")
			if diff := cmp.Diff(tt.want, got.body); diff != "" {
				t.Errorf("/status is not what is wanted (-want +got):\n%s", diff)
			}
		})
	}
}
