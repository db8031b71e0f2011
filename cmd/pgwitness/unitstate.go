package main

import (
	"fmt"
	"strings"

	"pgwitness/internal/status"
)

// unitState is the line of a run that `systemctl status` shows. It changes with the state, not with every second and every
// event: the problems' own texts count both.
func unitState(s status.Status) string {
	var line strings.Builder
	switch s.Role {
	case status.Active:
		fmt.Fprintf(&line, "streaming from slot %s", s.Source.Slot)
	case status.Standby:
		fmt.Fprintf(&line, "standing by: another process has slot %s", s.Source.Slot)
	case status.Ended:
		fmt.Fprintf(&line, "ended with exit code %d; the log says why", s.ExitCode)
	default:
		line.WriteString("no stream yet")
		if s.Source.LastError != "" {
			fmt.Fprintf(&line, " (%s); trying again until it works", s.Source.LastError)
		}
	}
	for _, sink := range s.Sinks {
		if sink.State == "failing" {
			fmt.Fprintf(&line, "; sink %s fails (%s)", sink.Name, sink.Error)
		}
	}
	if s.Worst() == status.Critical {
		line.WriteString("; `pgwitness status` says what to do")
	}
	return line.String()
}
