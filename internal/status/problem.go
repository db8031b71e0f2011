package status

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"pgwitness/internal/terminal"
)

// Problem is something that is wrong, or that a person who looks should know.
type Problem struct {
	Severity Severity `json:"severity"`
	// What says what is wrong, and Fix what to do about it; a sentence each. Of texts that are not ours
	// they hold a sink's error at most, which the sink's state shows too.
	What string `json:"what"`
	Fix  string `json:"fix"`
	// Metric is the name of the metric that shows it over time, left out where there is none.
	Metric string `json:"metric,omitempty"`
}

// Severity says how soon something is to be done about a Problem.
type Severity string

// The severities, the gravest first.
const (
	// Critical wants a person now.
	Critical Severity = "critical"
	// Warning wants one in the next days, or becomes critical if it stays.
	Warning Severity = "warning"
	// Info is no problem at all.
	Info Severity = "info"
)

var severities = []Severity{Critical, Warning, Info}

// Worst is the gravest severity among s.Problems, empty if there are none.
func (s *Status) Worst() Severity {
	if len(s.Problems) == 0 {
		return ""
	}
	return s.Problems[0].Severity
}

const (
	// passing is how long what may heal by itself is no more than a warning.
	passing = 30 * time.Second
	// slowWrite and hungWrite are how long one write of a batch may take. /healthz fails at twice the second.
	slowWrite, hungWrite = 30 * time.Second, 5 * time.Minute
	// staleSlot is how old what the catalog said may be; it is read every few seconds.
	staleSlot = time.Minute
	// slowCommit is the latency, at the median, from which it is one that an auditor who looks at once would notice.
	slowCommit = 30 * time.Second
	// wrongClock is by how much two clocks may differ before times and latencies mislead.
	wrongClock = time.Second
	// muchWAL is what a server keeps for a slot before it is worth a look.
	muchWAL = 1 << 30
	// tamperFresh is for how long tampering wants somebody at once; it is told of until the process ends.
	tamperFresh = time.Hour
)

// problems are what is wrong with s, the gravest first, in a fixed order among equals.
func problems(s *Status) []Problem {
	found := slices.Concat(streamProblems(s), slotProblems(s), sinkProblems(s), evidenceProblems(s), standbyProblems(s))
	if found == nil {
		found = []Problem{} // [] in JSON
	}
	slices.SortStableFunc(found, func(a, b Problem) int {
		return cmp.Compare(slices.Index(severities, a.Severity), slices.Index(severities, b.Severity))
	})
	return found
}

// evidenceProblems are about what the events say.
func evidenceProblems(s *Status) (found []Problem) {
	if s.TamperEvents > 0 {
		severity := Warning
		if s.At.Sub(s.LastTamper) < tamperFresh {
			severity = Critical
		}
		found = append(found, Problem{severity,
			fmt.Sprintf("the audit table was tampered with: %s, the last one %s ago",
				terminal.Count(s.TamperEvents, "change to rows already in it", "changes to rows already in it"), terminal.Duration(s.At.Sub(s.LastTamper))),
			`find the events of kind "tamper" in the sinks: their xid and commit_time say which transaction it was; then who ran it`,
			"pgwitness_tamper_events_total"})
	}
	if s.IncompleteEvents > 0 {
		found = append(found, Problem{Warning,
			terminal.Count(s.IncompleteEvents, "DELETE does", "DELETEs do") + " not say what was deleted: the trigger wrote nothing but nulls",
			"mend the trigger: `pgwitness audit harden`", "pgwitness_incomplete_events_total"})
	}
	if s.RetentionEvents > 0 {
		found = append(found, Problem{Info,
			terminal.Count(s.RetentionEvents, "audit row was", "audit rows were") + " deleted as retention that was announced",
			"nothing, if your schedule explains it: whoever may delete audit rows can announce it", "pgwitness_retention_events_total"})
	}
	return found
}

// downFixes say what to do about each of replication.Reasons but ReasonSlotBusy.
var downFixes = map[string]string{
	"":                "wait a moment; if it stays so, the log says what it is waiting for",
	"shutdown":        "start PostgreSQL again, or see in its log who ended the connection",
	"starting":        "wait until PostgreSQL has recovered; its log says how far it is",
	"slot_endangered": "mend the sink that is behind, or raise max_slot_wal_keep_size at once: the slot is about to be lost",
	"slot_held":       "wait until the server notices, at the latest after wal_sender_timeout",
	"in_recovery":     "wait for the promotion, or see that source.dsn names the primary too",
	"silent":          "look whether PostgreSQL hangs, or the network between it and here drops packets",
	"refused":         "start PostgreSQL, or mend host and port in source.dsn",
	"dns":             "mend the host in source.dsn, or the name service of this machine",
	"timeout":         "look whether PostgreSQL hangs, or a firewall between it and here drops packets",
	"auth":            "mend the password or its file, the user, or pg_hba.conf; the log of pgwitness has the server's words",
	"closed":          "see PostgreSQL's log for why it closed the connection, or what is between it and here",
	"other":           "see the log of pgwitness: it has the server's words",
}

// downWords say each of replication.Reasons for people.
var downWords = map[string]string{
	"": "it has not connected yet", "shutdown": "the server ended the connection", "starting": "the server is starting",
	"slot_endangered": "it hung up so as not to hold up the server", "slot_held": "the server has not noticed yet that the last connection is gone",
	"in_recovery": "the server is a standby", "silent": "the server has been silent for too long",
	"refused": "the connection is refused", "dns": "the host is not known", "timeout": "the server does not answer",
	"auth": "the credentials are refused", "closed": "the connection was closed", "other": "see the log",
}

// streamProblems are about the connection to the database.
func streamProblems(s *Status) (found []Problem) {
	switch s.Role {
	case Ended:
		return []Problem{ended(s.ExitCode)}
	case Standby:
		return []Problem{{Info, "another process streams from the slot; this one waits and takes over when that one ends",
			"nothing, if there is to be a standby; otherwise stop one of the two", "pgwitness_active"}}
	case Connecting:
		down := s.At.Sub(s.Source.DownSince)
		severity := Warning
		if down >= passing {
			severity = Critical
		}
		reason := s.Source.LastError
		if _, ok := downFixes[reason]; !ok {
			reason = "other"
		}
		return []Problem{{severity, fmt.Sprintf("nothing has been streamed for %s: %s", terminal.Duration(down), downWords[reason]),
			downFixes[reason], "pgwitness_source_connected"}}
	}
	if s.Latency.P50 >= slowCommit.Seconds() {
		found = append(found, Problem{Warning,
			fmt.Sprintf("events are durable only %s after their commit", terminal.Duration(seconds(s.Latency.P50))),
			"wait if a backlog is being made up for; otherwise look after the slowest sink, and whether both clocks are right",
			"pgwitness_commit_to_durable_seconds"})
	}
	if s.Server != nil && time.Duration(math.Abs(s.Server.ClockOffset)*1e9) >= wrongClock {
		ahead := "ahead of"
		if s.Server.ClockOffset < 0 {
			ahead = "behind"
		}
		found = append(found, Problem{Warning,
			fmt.Sprintf("the server's clock is %s %s this machine's", terminal.Duration(seconds(math.Abs(s.Server.ClockOffset))), ahead),
			"set both by NTP: times of events and latencies are wrong by as much", "pgwitness_source_clock_offset_seconds"})
	}
	return found
}

// ended says that the run has, by the exit code.
func ended(code int) Problem {
	const metric = "pgwitness_run_ended"
	switch code {
	case exitSetup:
		return Problem{Critical, "the run has ended: the database is not set up for pgwitness",
			"see the last line of the log, or run `pgwitness doctor`; mend it and start pgwitness again", metric}
	case exitEvidence:
		return Problem{Critical, "the run has ended: evidence was or may have been lost",
			"the last line of the log says which and from which position on; compare the sinks with the audit table before anything else", metric}
	}
	return Problem{Critical, fmt.Sprintf("the run has ended with exit code %d", code), "see the last line of the log", metric}
}

// The exit codes after which a process may linger.
const exitSetup, exitEvidence = 3, 4

// slotProblems are about what the server keeps for us.
func slotProblems(s *Status) (found []Problem) {
	if s.Slot == nil {
		return nil // until the first look there is nothing to say
	}
	slot := s.Slot
	switch safe := slot.SafeWAL; {
	case slot.WALStatus == "lost":
		return []Problem{{Critical, "the slot is lost: the server has removed WAL that was not delivered",
			"compare the sinks with the audit table from the confirmed position on; then drop the slot, `pgwitness init --apply`, and start again",
			"pgwitness_slot_wal_status"}}
	case slot.WALStatus == "unreserved":
		found = append(found, Problem{Critical, "the slot is about to be lost: it is past max_slot_wal_keep_size",
			"raise max_slot_wal_keep_size at once (a reload is enough), then mend what is behind", "pgwitness_slot_wal_status"})
	case safe != nil && *safe < slot.RetainedWAL*2/3: // less than two fifths of the limit are left
		severity := Warning
		if *safe < slot.RetainedWAL/4 { // less than one
			severity = Critical
		}
		found = append(found, Problem{severity,
			fmt.Sprintf("the slot is near its limit: %s more of WAL, and it may be lost", terminal.Size(max(0, *safe))),
			"raise max_slot_wal_keep_size (a reload is enough), then mend what is behind", "pgwitness_slot_safe_wal_bytes"})
	}
	if slot.RetainedWAL >= muchWAL {
		fix := "mend what is behind, a sink or the stream: the server's disk fills meanwhile"
		if s.Lag.Confirmed < slot.RetainedWAL/2 {
			fix = "end the transaction that has been open for so long: see xact_start in pg_stat_activity; the server's disk fills meanwhile"
		}
		found = append(found, Problem{Warning, fmt.Sprintf("the server keeps %s of WAL for the slot", terminal.Size(slot.RetainedWAL)), fix,
			"pgwitness_slot_retained_wal_bytes"})
	}
	if old := s.At.Sub(slot.At); old >= staleSlot && s.Role == Active {
		found = append(found, Problem{Warning, fmt.Sprintf("what is said of the slot is %s old: it cannot be watched", terminal.Duration(old)),
			"see the log of pgwitness: the second connection, which the stream does not need, fails", "pgwitness_slot_last_read_timestamp_seconds"})
	}
	return found
}

// standbyProblems are about a failover.
func standbyProblems(s *Status) (found []Problem) {
	if slot := s.Slot; slot != nil && slot.Failover != nil && !*slot.Failover && len(s.Standbys) > 0 {
		return []Problem{{Warning, "the slot is not one that is synchronised to standbys: after a failover rows are missing from the sinks",
			fmt.Sprintf("stop pgwitness for a moment and run ALTER_REPLICATION_SLOT %s (FAILOVER true) on a replication=database connection", s.Source.Slot),
			"pgwitness_slot_failover_enabled"}}
	}
	for _, standby := range s.Standbys {
		if !standby.Ready {
			found = append(found, Problem{Warning,
				fmt.Sprintf("after a failover to %s rows would be missing: %s", standby.Name, standby.Problem),
				"see docs/FAILOVER.md: sync_replication_slots, hot_standby_feedback, primary_slot_name and a dbname in primary_conninfo there",
				"pgwitness_standby_slot_ready"})
		}
	}
	return found
}

// sinkProblems are about the sinks, in the order of the configuration.
func sinkProblems(s *Status) (found []Problem) {
	for _, sink := range s.Sinks {
		switch writing := s.At.Sub(sink.WritingSince); {
		case sink.State == "failing":
			since := s.At.Sub(sink.FailingSince)
			severity := Warning
			if since >= passing {
				severity = Critical
			}
			found = append(found, Problem{severity,
				fmt.Sprintf("sink %s has failed for %s: %s", sink.Name, terminal.Duration(since), sink.Error),
				"mend it: it is tried again by itself and nothing is lost, but the server keeps its WAL meanwhile",
				"pgwitness_sink_failures_total"})
		case !sink.WritingSince.IsZero() && writing >= slowWrite:
			severity := Warning
			if writing >= hungWrite {
				severity = Critical
			}
			found = append(found, Problem{severity,
				fmt.Sprintf("sink %s has been writing one batch for %s", sink.Name, terminal.Duration(writing)),
				"look whether its disk or its server hangs; nothing is lost, but the server keeps its WAL meanwhile",
				"pgwitness_sink_last_success_timestamp_seconds"})
		}
		if sink.DeadLetters > 0 {
			found = append(found, Problem{Critical,
				fmt.Sprintf("sink %s has refused %s for good", sink.Name, terminal.Count(sink.DeadLetters, "event", "events")),
				"read its dead-letter file, mend the cause, and deliver them by hand: its destination does not have this evidence",
				"pgwitness_dead_letter_events_total"})
		}
	}
	return found
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
