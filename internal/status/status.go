// Package status says what is going on, for people: the body of /status, with what is wrong in it and what to do about it.
package status

import (
	"time"

	"pgwitness/decoder"
	"pgwitness/internal/metrics"
	"pgwitness/internal/pipeline"
	"pgwitness/internal/replication"
)

// Status is what /status shows. Keys may be added; those that are there stay.
type Status struct {
	Version string `json:"version"`
	// Since is when this process began to count, At when this was put together, both by its own clock.
	Since         time.Time `json:"since"`
	At            time.Time `json:"at"`
	UptimeSeconds float64   `json:"uptime_seconds"`
	Role          Role      `json:"role"`
	// ExitCode is that of a run that has Ended, and 0 of any other.
	ExitCode int `json:"exit_code,omitempty"`
	// Problems are what is wrong, the gravest first; empty if nothing is.
	Problems []Problem `json:"problems"`
	Source   Source    `json:"source"`
	// Slot is what the catalog last said; null before it was read. Server and Table are likewise, Table also where nothing
	// can be said of it.
	Slot   *replication.SlotState  `json:"slot"`
	Server *Server                 `json:"server"`
	Table  *replication.TableState `json:"audit_table"`
	// Standbys are the physical standbys that are watched (source.standby_dsn_file).
	Standbys []replication.StandbyState `json:"standbys"`
	// Lag is how far the stream is behind the server; null before the slot was read.
	Lag   *Lag   `json:"lag"`
	Sinks []Sink `json:"sinks"`
	// EventsPerSecond is how many every sink has made durable, and Latency how long after their commit.
	EventsPerSecond Rate    `json:"events_per_second"`
	Latency         Latency `json:"latency"`
	Buffer          Buffer  `json:"buffer"`
	// ShowsEvents says whether /events may be read (http.show_events).
	ShowsEvents bool `json:"shows_events"`
	// Transactions and Events are how many every sink has made durable since Since; the others are how many of the events
	// tell of tampering, of announced retention, and of a DELETE without what was deleted.
	Transactions     uint64 `json:"transactions"`
	Events           uint64 `json:"events"`
	TamperEvents     uint64 `json:"tamper_events"`
	RetentionEvents  uint64 `json:"retention_events"`
	IncompleteEvents uint64 `json:"incomplete_events"`
	// Operations is how many of the events are audit rows, by the operation on the audited table: insert, update, delete,
	// truncate and other.
	Operations map[string]uint64 `json:"operations"`
	// LastEvent is when the transaction of the newest of them committed, by the server's clock; left out before the first.
	LastEvent time.Time `json:"last_event,omitzero"`
	// LastTamper is when the last tampering was delivered, left out if there was none since Since.
	LastTamper time.Time `json:"last_tamper,omitzero"`
}

// Role is what this process does of all those that may share a slot.
type Role string

// The roles.
const (
	// Active streams from the slot.
	Active Role = "active"
	// Standby waits for the slot, which another process has.
	Standby Role = "standby"
	// Connecting has no stream and wants one.
	Connecting Role = "connecting"
	// Ended has ended because a person is needed, and can be asked for a while still (http.linger).
	Ended Role = "ended"
)

// Source is what is followed, and how far.
type Source struct {
	Name        string `json:"name"`
	Database    string `json:"database"`
	Slot        string `json:"slot"`
	Publication string `json:"publication"`
	Table       string `json:"table"`
	// Connected says whether the stream is connected and streams, StreamingSince since when, DownSince since when not.
	Connected      bool      `json:"connected"`
	StreamingSince time.Time `json:"streaming_since,omitzero"`
	DownSince      time.Time `json:"down_since,omitzero"`
	// Received is up to where the server has sent, Confirmed the flush position it was told; 0/0 before the first of each.
	Received  decoder.LSN `json:"received_lsn"`
	Confirmed decoder.LSN `json:"confirmed_lsn"`
	// LastError is why the last connection was lost or could not be made, one of replication.Reasons; left out if none was.
	// The error itself is in the log only: a server's text is not for everyone who can reach this port.
	LastError string `json:"last_error,omitempty"`
}

// Server is what the server says of itself.
type Server struct {
	replication.ServerState
	// ClockOffset is its clock minus ours, as if it had answered in the middle of the round trip.
	ClockOffset float64 `json:"clock_offset_seconds"`
}

// Lag is in bytes of WAL, of all tables, when the slot was last read.
type Lag struct {
	// Received is what the server has not sent or not yet looked at, Confirmed what it was not told to be durable.
	Received  int64 `json:"received_bytes"`
	Confirmed int64 `json:"confirmed_bytes"`
}

// Sink is a sink's state and its pace.
type Sink struct {
	pipeline.SinkState
	// WritingSince is when the write began that has neither succeeded nor failed yet; left out while there is none.
	WritingSince    time.Time `json:"writing_since,omitzero"`
	EventsPerSecond Rate      `json:"events_per_second"`
	BytesPerSecond  Rate      `json:"bytes_per_second"`
}

// Rate is how many a second, over the last 10 seconds and over the last minute, or since the beginning if that is later.
type Rate struct {
	Last10s float64 `json:"last_10s"`
	Last60s float64 `json:"last_60s"`
}

// Latency is the time from a transaction's commit to when every sink had all of it, by the server's clock and ours, over
// the last minute: the quantiles, to within an eighth, of so many Transactions. All of it is 0 if there were none.
type Latency struct {
	P50          float64 `json:"p50_seconds"`
	P99          float64 `json:"p99_seconds"`
	Transactions uint64  `json:"transactions"`
}

// Buffer is the memory of the events that were received and are not durable yet, and what bounds it.
type Buffer struct {
	Bytes int `json:"bytes"`
	Limit int `json:"limit_bytes"`
}

// Config is what a Status says of the process beside what is measured.
type Config struct {
	Version string
	// Source is of use for its names only.
	Source Source
	Buffer Buffer
	// ShowsEvents says whether /events may be read.
	ShowsEvents bool
}

// Status puts together what is known of this moment.
func (m *Meter) Status(cfg Config, now metrics.Snapshot, sinks []pipeline.SinkState) Status {
	at := time.Now()
	s := Status{
		Version: cfg.Version, Since: now.Since, At: at, UptimeSeconds: at.Sub(now.Since).Seconds(),
		Source: cfg.Source, Slot: now.Slot, Buffer: cfg.Buffer, ShowsEvents: cfg.ShowsEvents,
		Transactions: now.Transactions, Events: now.Events, TamperEvents: now.TamperEvents,
		RetentionEvents: now.RetentionEvents, IncompleteEvents: now.IncompleteEvents, LastEvent: now.LastEvent,
		Table: now.Table, Standbys: now.Standbys, ExitCode: now.ExitCode,
	}
	if now.Server != nil {
		s.Server = &Server{*now.Server, now.Server.ClockOffset.Seconds()}
	}
	if s.Standbys == nil {
		s.Standbys = []replication.StandbyState{} // [] in JSON
	}
	s.Source.Connected, s.Source.StreamingSince = now.Streaming, now.StreamingSince
	s.Source.Received, s.Source.Confirmed = now.Received, now.Confirmed
	s.Source.LastError = now.Reconnect
	s.Role = role(now)
	if now.Slot != nil {
		// The catalog knows of another process's confirmations too, and of those before our first.
		s.Lag = &Lag{Confirmed: now.Slot.ConfirmedLag}
		s.Lag.Received = s.Lag.Confirmed
		if now.Received != 0 {
			s.Lag.Received = min(s.Lag.Confirmed, behind(now.Received, now.Slot.Position))
		}
	}
	m.read(&s, sinks)
	s.Problems = problems(&s)
	return s
}

func role(now metrics.Snapshot) Role {
	switch {
	case now.ExitCode != 0:
		return Ended
	case now.Streaming:
		return Active
	case now.Standby():
		return Standby
	}
	return Connecting
}

// behind is how far position is behind end; both move while the other is read.
func behind(position, end decoder.LSN) int64 { return max(0, int64(end)-int64(position)) }
