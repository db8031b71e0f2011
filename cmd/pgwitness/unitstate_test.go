package main

import (
	"testing"

	"pgwitness/internal/pipeline"
	"pgwitness/internal/status"
)

func TestUnitState(t *testing.T) {
	failing := status.Sink{SinkState: pipeline.SinkState{Name: "file", State: "failing", Error: "disk full"}}
	writing := status.Sink{SinkState: pipeline.SinkState{Name: "copy", State: "ok"}}
	tests := []struct {
		name string
		is   status.Status
		want string
	}{
		{"before the first connection", status.Status{Role: status.Connecting}, "no stream yet"},
		{"no server", status.Status{Role: status.Connecting, Source: status.Source{LastError: "refused"}},
			"no stream yet (refused); trying again until it works"},
		{"standby", status.Status{Role: status.Standby, Source: status.Source{Slot: "shop"}}, "standing by: another process has slot shop"},
		{"streaming", status.Status{Role: status.Active, Source: status.Source{Slot: "shop", LastError: "closed"}, Sinks: []status.Sink{writing}},
			"streaming from slot shop"},
		{"lingering", status.Status{Role: status.Ended, ExitCode: 4}, "ended with exit code 4; the log says why"},
		{"a sink fails", status.Status{Role: status.Active, Source: status.Source{Slot: "shop"}, Sinks: []status.Sink{writing, failing},
			Problems: []status.Problem{{Severity: status.Critical}}},
			"streaming from slot shop; sink file fails (disk full); `pgwitness status` says what to do"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := unitState(tt.is); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
